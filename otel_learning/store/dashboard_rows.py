"""The rows that the dashboard's pages are made of: sums over the executions that a scope leaves.

A scope is what somebody filters by. Each query reads a few columns of the executions in it, which
at a million of them takes tenths of a second; nothing of it is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from otel_learning.errors import InputError
from otel_learning.store.evidence_rows import ARM_COLUMNS
from otel_learning.store.reader import Reader

CHOICES_MOST: Final = 200
"""Values of a filter that are offered, those with most executions first."""
GROUPS: Final = ("repo", "task_type", "environment", *ARM_COLUMNS)
"""Columns that figures can be put together by."""

Chosen = tuple[str | None] | None
"""None is every value; (None,) those executions that have none; else the one value."""


class Scope(NamedTuple):
    """Which executions are looked at."""

    environment: Chosen = None
    repo: Chosen = None
    task_type: Chosen = None
    since: datetime | None = None
    """Started then or later."""
    until: datetime | None = None
    """Started before."""

    def condition(self) -> tuple[str, list[Any]]:
        """What follows WHERE, and the values of its question marks."""
        parts, values = ["TRUE"], []
        for name in ("environment", "repo", "task_type"):
            chosen = getattr(self, name)
            if chosen is not None:
                parts.append(f"{name} IS NOT DISTINCT FROM ?")
                values.append(chosen[0])
        for sign, moment in ((">=", self.since), ("<", self.until)):
            if moment is not None:
                parts.append(f"started_at {sign} ?")
                values.append(moment)
        return " AND ".join(parts), values


class Extent(NamedTuple):
    """What there is to look at."""

    executions: int
    first: datetime | None
    newest: datetime | None
    """When the first and the newest execution started."""
    choices: dict[str, list[tuple[str | None, int]]]
    """environment, repo, task_type -> values with their executions, the most first."""


class Figures(NamedTuple):
    """How the executions of a scope, or of a part of it, went."""

    executions: int = 0
    known: int = 0
    """Those with a known outcome."""
    successes: int = 0
    cost: float = 0.0
    """The sum of known costs, USD."""
    costs_known: int = 0
    failed_cost: float = 0.0
    """Of failures."""
    reported: int = 0
    """Executions whose cost their producer said."""
    priced: int = 0
    """Those whose cost was computed from tokens."""
    fallbacks: int = 0
    middle_seconds: float | None = None
    """Median and 95th percentile of durations."""
    slow_seconds: float | None = None
    durations_known: int = 0


_FIGURES: Final = """
    count(*), count(success), count(*) FILTER (success),
    coalesce(sum(actual_cost), 0), count(actual_cost),
    coalesce(sum(actual_cost) FILTER (NOT success), 0),
    count(actual_cost) FILTER (cost_source = 'reported'),
    count(actual_cost) FILTER (cost_source = 'priced'),
    count(*) FILTER (fallback_used),
    {durations}, count(duration_seconds)
"""
_QUANTILES: Final = "quantile_cont(duration_seconds, 0.5), quantile_cont(duration_seconds, 0.95)"
_DAY: Final = "CAST(timezone('UTC', started_at) AS DATE)"


def extent(reader: Reader) -> Extent:
    """What the store holds, and the values that one can filter by."""
    count, first, newest = reader.sql(
        "SELECT count(*), min(started_at), max(started_at) FROM executions"
    )[0]
    names = ("environment", "repo", "task_type")
    choices: dict[str, list[tuple[str | None, int]]] = {name: [] for name in names}
    for *which, environment, repo, task_type, executions in reader.sql(
        f"SELECT {', '.join(f'grouping({name})' for name in names)}, {', '.join(names)}, "
        "sum(executions) AS n FROM routing_statistics "
        f"GROUP BY GROUPING SETS ({', '.join(f'({name})' for name in names)}) "
        "ORDER BY n DESC, environment NULLS LAST, repo NULLS LAST, task_type NULLS LAST"
    ):
        at = which.index(0)
        into = choices[names[at]]
        if len(into) < CHOICES_MOST:
            into.append(((environment, repo, task_type)[at], int(executions)))
    return Extent(count, first, newest, choices)


def totals(reader: Reader, scope: Scope) -> Figures:
    """One row over all executions of a scope."""
    where, values = scope.condition()
    figures = _FIGURES.format(durations=_QUANTILES)
    return Figures(*reader.sql(f"SELECT {figures} FROM executions WHERE {where}", values)[0])


def days(reader: Reader, scope: Scope) -> list[tuple[date, Figures]]:
    """The same for each day (UTC) that has executions, in order."""
    where, values = scope.condition()
    figures = _FIGURES.format(durations=_QUANTILES)
    rows = reader.sql(
        f"SELECT {_DAY} AS day, {figures} FROM executions "
        f"WHERE started_at IS NOT NULL AND {where} GROUP BY day ORDER BY day",
        values,
    )
    return [(row[0], Figures(*row[1:])) for row in rows]


def groups(
    reader: Reader, scope: Scope, columns: Sequence[str], most: int = 50
) -> dict[str, list[tuple[str | None, Figures]]]:
    """The same for each value of each column, the dearest first; without durations.

    All columns are put together in one look at the executions.

    Raises:
        InputError: figures cannot be put together by one of them.
    """
    wanted = list(dict.fromkeys(_checked(column) for column in columns))
    where, values = scope.condition()
    figures = _FIGURES.format(durations="NULL, NULL")
    rows = reader.sql(
        f"SELECT {', '.join(f'grouping({c})' for c in wanted)}, {', '.join(wanted)}, {figures} "
        f"FROM executions WHERE {where} "
        f"GROUP BY GROUPING SETS ({', '.join(f'({c})' for c in wanted)}) "
        "ORDER BY coalesce(sum(actual_cost), 0) DESC, count(*) DESC, "
        f"{', '.join(f'{c} NULLS LAST' for c in wanted)}",
        values,
    )
    found: dict[str, list[tuple[str | None, Figures]]] = {column: [] for column in wanted}
    many = len(wanted)
    for row in rows:
        at = row.index(0)  # the set that this row is of: 1 says that a column is not in it
        into = found[wanted[at]]
        if len(into) < most:
            into.append((row[many + at], Figures(*row[2 * many :])))
    return found


class DayPart(NamedTuple):
    """Part of a day's amount: of one arm, or of one kind of error."""

    day: date
    part: str | None
    amount: float


def cost_by_day(reader: Reader, scope: Scope, column: str) -> list[DayPart]:
    """USD per day and value of a column, in order.

    Raises:
        InputError: figures cannot be put together by that column.
    """
    column = _checked(column)
    where, values = scope.condition()
    rows = reader.sql(
        f"SELECT {_DAY} AS day, {column}, sum(actual_cost) FROM executions "
        f"WHERE started_at IS NOT NULL AND actual_cost IS NOT NULL AND {where} "
        "GROUP BY day, 2 ORDER BY day, 2",
        values,
    )
    return [DayPart(*row) for row in rows]


def errors_by_day(reader: Reader, scope: Scope) -> list[DayPart]:
    """Failures per day and kind of error, in order."""
    where, values = scope.condition()
    rows = reader.sql(
        f"SELECT {_DAY} AS day, error_type, CAST(count(*) AS DOUBLE) FROM executions "
        f"WHERE started_at IS NOT NULL AND NOT success AND {where} "
        "GROUP BY day, error_type ORDER BY day, error_type",
        values,
    )
    return [DayPart(*row) for row in rows]


class Cell(NamedTuple):
    """How one kind of task in one repository went on one tier."""

    repo: str | None
    task_type: str | None
    model_tier: str | None
    known: int
    successes: int
    error_type: str | None
    """What most of its failures were."""
    failed_cost: float
    example: UUID | None
    """Its newest failure."""


def failing_cells(reader: Reader, scope: Scope, least: int, most: int) -> list[Cell]:
    """Repository, type and tier where most fails, by the number of failures.

    Args:
        reader: the store.
        scope: what is looked at.
        least: known outcomes that a cell must have.
        most: how many cells.
    """
    where, values = scope.condition()
    rows = reader.sql(
        "SELECT repo, task_type, model_tier, count(*), count(*) FILTER (success), "
        "mode(error_type) FILTER (NOT success), "
        "coalesce(sum(actual_cost) FILTER (NOT success), 0), "
        "arg_max(execution_id, started_at) FILTER (NOT success) "
        f"FROM executions WHERE success IS NOT NULL AND {where} GROUP BY 1, 2, 3 "
        "HAVING count(*) >= ? AND count(*) FILTER (NOT success) > 0 "
        "ORDER BY count(*) FILTER (NOT success) DESC, 1, 2, 3 LIMIT ?",
        [*values, least, most],
    )
    return [Cell(*row) for row in rows]


def arms(reader: Reader, column: str) -> list[str]:
    """Every value of an arm's column in the store, by name: what colours are given by.

    Raises:
        InputError: there is no such column.
    """
    column = _checked(column)
    if column in ("model_tier", "requested_model", "pool_type", "swarm_topology"):
        source = "routing_statistics"
    else:
        source = "executions"
    rows = reader.sql(
        f"SELECT DISTINCT {column} FROM {source} WHERE {column} IS NOT NULL ORDER BY 1"
    )
    return [value for (value,) in rows]


def start_of_newest(reader: Reader, scope: Scope, count: int) -> datetime | None:
    """When the last of the newest `count` executions started; None where there are fewer."""
    where, values = scope.condition()
    rows = reader.sql(
        f"SELECT started_at FROM executions WHERE started_at IS NOT NULL AND {where} "
        "ORDER BY started_at DESC LIMIT 1 OFFSET ?",
        [*values, count - 1],
    )
    return rows[0][0] if rows else None


class Learned(NamedTuple):
    """A solution as the table `solutions` has it."""

    summary: str
    error_type: str | None
    rate: float
    low: float
    high: float
    support: int
    repos: list[str]
    helped: bool | None
    last_used_at: datetime | None
    extracted_at: datetime
    example: UUID | None


def solutions(reader: Reader, most: int) -> list[Learned]:
    """Solutions of the table, the surest first; [] where none were extracted."""
    rows = reader.sql(
        "SELECT solution_summary, error_type, success_rate, success_low, success_high, support, "
        "repos_used_in, helped, last_used_at, extracted_at, evidence[1] FROM solutions "
        "ORDER BY success_low DESC, support DESC, solution_summary LIMIT ?",
        [most],
    )
    return [Learned(*row) for row in rows]


def _checked(column: str) -> str:
    if column not in GROUPS:
        raise InputError(f"figures cannot be put together by {column!r}", ", ".join(GROUPS))
    return column
