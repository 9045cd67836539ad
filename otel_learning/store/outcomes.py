"""Reads the outcomes of executions, each with the time from which it was known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from otel_learning.store.reader import Reader

_ENDED: Final = "coalesce(e.ended_at, e.started_at, e.recorded_at)"
MEASURES: Final[dict[str, tuple[str, str]]] = {
    **{
        name: (f"CAST(e.{name} AS DOUBLE)", _ENDED)
        for name in (
            "success", "fallback_used", "actual_cost", "duration_seconds", "input_tokens",
            "output_tokens", "router_cost", "attempt_count", "failed_attempt_count",
            "peak_memory_mb", "cpu_time_seconds",
        )
    },
    "accepted": ("CAST(s.accepted AS DOUBLE)", "s.accepted_at"),
    "rating": ("s.rating", "s.rating_at"),
    # The view lets an evaluation stand over what the spans say; before its date they stand.
    "quality_score": (
        "CASE WHEN s.quality_at IS NOT NULL THEN s.quality WHEN coalesce(s.evaluations, 0) = 0 "
        "THEN e.quality_score END",
        f"coalesce(s.quality_at, {_ENDED})",
    ),
}  # fmt: skip
"""Measure -> its value, and when that was known; feedback counts from the time it was given."""

UNITS: Final = ("task_id", "session_id", "repo", "user_hash")
"""What can be assigned to a variant: the columns of `executions` that hold its id."""
COLUMNS: Final = (
    "repo", "task_type", "environment", "service_name", "model_tier", "requested_model", "model",
    "provider", "pool_type", "swarm_topology", "agent", "selector", "policy_version",
)  # fmt: skip
"""Columns by which executions can be grouped, or that say what was chosen."""


class Row(NamedTuple):
    """What one execution contributes."""

    execution_id: str
    unit: str | None
    variant: str | None
    environment: str | None
    started_at: datetime | None
    groups: tuple[str | None, ...]
    """The values of the columns asked for."""
    values: tuple[float | None, ...]
    """Of each measure asked for; None where it was not known by the time asked for."""
    known_at: tuple[datetime | None, ...]


def read_outcomes(
    reader: Reader,
    measures: Sequence[str],
    *,
    unit: str = "task_id",
    groups: Sequence[str] = (),
    experiment: str | None = None,
    since: datetime | None = None,
    as_of: datetime | None = None,
    newest: int | None = None,
    **equal: str | None,
) -> list[Row]:
    """Executions that started before `as_of`, with what was known of them by then.

    In the order of time.

    Args:
        reader: a database, or a snapshot of one.
        measures: names in MEASURES.
        unit: one of UNITS.
        groups: names in COLUMNS.
        experiment: only those whose spans name this experiment.
        since: only those that started at this time or later.
        as_of: None for now.
        newest: how many at most, the last to start; None is all.
        equal: columns in COLUMNS, and the value each must have; None is any.
    """
    until = "coalesce(CAST($as_of AS TIMESTAMPTZ), TIMESTAMPTZ '9999-12-31')"
    chosen = ["coalesce(e.started_at, e.recorded_at) < " + until]
    values: dict[str, Any] = {"as_of": as_of}
    if experiment is not None:
        chosen.append("e.experiment = $experiment")
        values["experiment"] = experiment
    if since is not None:
        chosen.append("e.started_at >= $since")
        values["since"] = since
    for column, value in equal.items():
        if column not in COLUMNS:
            raise ValueError(f"executions are not chosen by {column}")
        if value is not None:
            chosen.append(f"e.{column} = ${column}")
            values[column] = value
    last = "" if newest is None else "ORDER BY e.started_at DESC, e.execution_id DESC LIMIT $newest"
    if newest is not None:
        values["newest"] = newest
    asked = [MEASURES[name] for name in measures]
    columns = [f"e.{unit}" if unit in UNITS else _refused(unit)]
    columns += [f"e.{group}" if group in COLUMNS else _refused(group) for group in groups]
    for value_sql, known_sql in asked:
        known = f"({known_sql}) < {until}"
        columns += [f"CASE WHEN {known} THEN {value_sql} END", f"CASE WHEN {known} THEN "
                    f"CASE WHEN ({value_sql}) IS NOT NULL THEN {known_sql} END END"]  # fmt: skip
    query = f"""
        WITH said AS (
            SELECT execution_id,
                arg_max(accepted, said_at) FILTER (accepted IS NOT NULL AND said) AS accepted,
                max(said_at) FILTER (accepted IS NOT NULL AND said) AS accepted_at,
                arg_max(rating, said_at) FILTER (rating IS NOT NULL AND said) AS rating,
                max(said_at) FILTER (rating IS NOT NULL AND said) AS rating_at,
                arg_max(quality_score, said_at) FILTER (quality_score IS NOT NULL AND said)
                    AS quality,
                max(said_at) FILTER (quality_score IS NOT NULL AND said) AS quality_at,
                count(quality_score) AS evaluations
            FROM (
                SELECT *, coalesce(given_at, recorded_at) AS said_at, said_at < {until} AS said
                FROM feedback WHERE NOT revoked AND execution_id IS NOT NULL
            ) GROUP BY execution_id
        )
        SELECT CAST(e.execution_id AS VARCHAR), e.variant, e.environment, e.started_at,
            {", ".join(columns)}
        FROM (FROM executions AS e WHERE {" AND ".join(chosen)} {last}) AS e
        LEFT JOIN said AS s ON s.execution_id = e.execution_id
        ORDER BY e.started_at, e.execution_id
    """
    n = len(groups)
    return [
        Row(
            execution_id=row[0], variant=row[1], environment=row[2], started_at=row[3],
            unit=row[4], groups=tuple(row[5 : 5 + n]),
            values=tuple(row[5 + n :: 2]), known_at=tuple(row[6 + n :: 2]),
        )
        for row in reader.sql(query, values)
    ]  # fmt: skip


def first_start(
    reader: Reader, repo: str, environment: str | None, as_of: datetime | None
) -> datetime | None:
    """When the first execution of a repository in an environment started."""
    rows = reader.sql(
        "SELECT min(started_at) FROM executions WHERE repo = $repo AND environment IS NOT "
        "DISTINCT FROM $environment AND ($as_of IS NULL OR started_at < $as_of)",
        {"repo": repo, "environment": environment, "as_of": as_of},
    )
    return rows[0][0] if rows else None


def _refused(column: str) -> str:
    raise ValueError(f"executions are not grouped by {column}")


def main_environment(
    reader: Reader, *, experiment: str | None = None, repo: str | None = None
) -> str | None:
    """The environment with most executions; None where most name none, or there are none."""
    rows = reader.sql(
        "SELECT environment FROM executions WHERE ($experiment IS NULL OR experiment = $experiment)"
        " AND ($repo IS NULL OR repo = $repo) GROUP BY environment "
        "ORDER BY count(*) DESC, environment NULLS LAST LIMIT 1",
        {"experiment": experiment, "repo": repo},
    )
    return rows[0][0] if rows else None
