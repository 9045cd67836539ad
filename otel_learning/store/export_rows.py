"""What an export holds: the documented views, as relations that a span of time limits. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from otel_learning.errors import InputError

_OF_DAYS: Final = ("tier_performance", "routing_statistics")
TABLES: Final = (
    "executions", "attempts", "feedback", "tier_performance", "pool_performance",
    "routing_statistics", "solution_patterns", "solutions", "calibration", "quality_policies",
    "experiments", "experiment_events", "policies", "policy_events",
)  # fmt: skip
"""In the order in which they are written. Nothing below the documented views is exported."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows of which views are exported."""

    tables: tuple[str, ...] = TABLES
    since: datetime | None = None
    """Executions that started then or later, with all that belongs to them; None is all."""
    until: datetime | None = None
    """Executions that started before."""
    archived: bool = False
    """Also what `archive` moved into files."""

    @property
    def limited(self) -> bool:
        return self.since is not None or self.until is not None


def checked(selection: Selection) -> Selection:
    """The selection in the order of TABLES, each table once.

    Raises:
        InputError: a table is unknown, or the two ends of the time are exchanged.
    """
    for name in selection.tables:
        if name not in TABLES:
            raise InputError(f"there is no table {name!r} to export", f"one of {', '.join(TABLES)}")
    since, until = selection.since, selection.until
    if since is not None and until is not None and since >= until:
        raise InputError(f"--since {since} is not before --until {until}", "exchange them")
    tables = tuple(name for name in TABLES if name in selection.tables)
    return Selection(tables, since, until, selection.archived)


def relation(table: str, chosen: Selection) -> str:
    """The query that gives a table's rows; COPY and CREATE TABLE AS take no bound values.

    Executions and what belongs to them are chosen by `started_at`. Views by day or hour have the
    days and hours that the time touches, whole; views without a time of their own have all rows.
    """
    if table == "executions":
        return f"{_executions(chosen)} ORDER BY started_at, execution_id"
    if table == "attempts":
        source = "all_attempts" if chosen.archived else "attempts"
        condition = f"execution_id IN ({_ids(chosen)})" if chosen.limited else "TRUE"
        return f"FROM {source} WHERE {condition} ORDER BY started_at, execution_id, ordinal"
    if table == "feedback":
        said = _within("coalesce(given_at, recorded_at)", chosen)
        condition = (
            f"execution_id IN ({_ids(chosen)}) OR (execution_id IS NULL AND {said})"
            if chosen.limited
            else "TRUE"
        )
        return f"FROM feedback WHERE {condition} ORDER BY recorded_at, feedback_id"
    if table in _OF_DAYS:
        return f"FROM {table} WHERE {_within_days('day', chosen)} ORDER BY day"
    if table == "pool_performance":
        return f"FROM {table} WHERE {_within_hours('hour', chosen)} ORDER BY hour"
    return f"FROM {table}"


def _executions(chosen: Selection) -> str:
    source = "all_executions" if chosen.archived else "executions"
    return f"FROM {source} WHERE {_within('started_at', chosen)}"


def _ids(chosen: Selection) -> str:
    return f"SELECT execution_id {_executions(chosen)}"


def _within(column: str, chosen: Selection) -> str:
    parts = []
    if chosen.since is not None:
        parts.append(f"{column} >= {_literal(chosen.since)}")
    if chosen.until is not None:
        parts.append(f"{column} < {_literal(chosen.until)}")
    return " AND ".join(parts) or "TRUE"


def _within_days(column: str, chosen: Selection) -> str:
    parts = []
    if chosen.since is not None:
        parts.append(f"{column} >= DATE '{_day(chosen.since)}'")
    if chosen.until is not None:
        # The end itself is not in it: at midnight that day is not touched.
        parts.append(f"{column} <= DATE '{_day(chosen.until - timedelta(microseconds=1))}'")
    return " AND ".join(parts) or "TRUE"


def _within_hours(column: str, chosen: Selection) -> str:
    since = chosen.since
    if since is not None:
        since = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return _within(column, Selection(since=since, until=chosen.until))


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


def _literal(moment: datetime) -> str:
    return f"TIMESTAMPTZ '{moment.astimezone(UTC).isoformat()}'"
