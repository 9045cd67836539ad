"""What executions tell about what works, as rows to learn from; and the table of solutions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

from otel_learning.store import copying, lease
from otel_learning.store.reader import Reader
from otel_learning.store.transaction import transaction

_TIMEOUT_SECONDS: Final = 60.0


def told(reader: Reader, environment: str | None, until: datetime | None, rows: int) -> list[Told]:
    """The newest executions that tell something, oldest first: an outcome, or a summary.

    Args:
        reader: a database or a snapshot.
        environment: only of this one; None for those of none.
        until: only such as started before.
        rows: how many at most.
    """
    with reader._cursor() as con:
        found = con.execute(
            _TOLD, {"environment": environment, "until": until, "rows": rows}
        ).fetchall()
    return [Told(*row) for row in reversed(found)]


def main_environment(reader: Reader) -> str | None:
    """The environment of most executions, as `recommend` takes it; None where they name none."""
    with reader._cursor() as con:
        found = con.execute(
            "SELECT environment FROM executions GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"
        ).fetchall()
    return found[0][0] if found else None


def replace_solutions(path: Path, rows: Sequence[tuple[Any, ...]]) -> None:
    """Writes solutions into their table, in the place of all that stood there."""
    marks = ", ".join("?" * 15)
    with (
        copying.database_errors(path),
        lease.exclusive(path, _TIMEOUT_SECONDS),
        lease.connection(path, _TIMEOUT_SECONDS) as con,
        transaction(con),
    ):
        con.execute("DELETE FROM solutions")
        for row in rows:
            con.execute(f"INSERT INTO solutions VALUES ({marks})", list(row))


class Told(NamedTuple):
    """What one execution tells about what works."""

    execution_id: UUID
    task_id: str | None
    started_at: datetime | None
    repo: str | None
    task_type: str | None
    task_description: str | None
    model_tier: str | None
    pool_type: str | None
    swarm_topology: str | None
    success: bool | None
    error_type: str | None
    solution_summary: str | None
    actual_cost: float | None
    recovered_from: str | None
    """The error of a model call that failed before one that worked."""


_TOLD: Final = """
WITH chosen AS (
    SELECT * FROM executions
    WHERE environment IS NOT DISTINCT FROM $environment
        AND (success IS NOT NULL OR solution_summary IS NOT NULL)
        AND ($until IS NULL OR started_at < $until)
    ORDER BY started_at DESC NULLS LAST, execution_id LIMIT $rows
), failed AS (
    SELECT execution_id, min_by(error_type, ordinal) AS recovered_from FROM attempts
    WHERE NOT success AND role = 'work' AND error_type IS NOT NULL
        AND execution_id IN (SELECT execution_id FROM chosen WHERE failed_attempt_count > 0)
    GROUP BY execution_id
)
SELECT execution_id, task_id, started_at, repo, task_type, task_description, model_tier, pool_type,
    swarm_topology, success, error_type, solution_summary, actual_cost, recovered_from
FROM chosen LEFT JOIN failed USING (execution_id)
ORDER BY started_at DESC NULLS LAST, execution_id
"""
