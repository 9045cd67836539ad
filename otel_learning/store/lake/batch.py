"""What one publication takes to a lake: copied out of the store, which is let go of at once.

The copy is in temporary tables of the lake's own connection, so that the store is held for the
time of reading and nobody waits for a lake that is far away.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

from otel_learning.store import copying, lease

if TYPE_CHECKING:
    import duckdb

EXECUTIONS: Final = 20_000
"""Changes in one publication: some megabytes, and a Parquet file that is worth one."""
_ROW_TABLES: Final = ("executions", "attempts")


@dataclass(frozen=True, slots=True)
class Batch:
    """What is to be published together; the rows are in temporary tables."""

    store_id: UUID
    generation: int
    through: int
    """The last sequence number in it."""
    changes: int
    left: int
    """Changes that wait behind it."""


def take(
    con: duckdb.DuckDBPyConnection,
    path: Path,
    timeout_seconds: float,
    limit: int = EXECUTIONS,
) -> Batch:
    """Copies what is next into `going`, `b_executions`, `b_attempts`, `b_feedback`, `b_solutions`.

    Raises:
        StoreLockedError: the store was not free in time.
        StoreError: it cannot be read.
    """
    deadline = time.monotonic() + timeout_seconds
    with copying.database_errors(path), lease.exclusive(path, timeout_seconds):
        left = max(0.0, deadline - time.monotonic())
        with lease.attached_to(con, path, left):
            return _copy(con, limit)


def _copy(con: duckdb.DuckDBPyConnection, limit: int) -> Batch:
    con.execute(
        "CREATE OR REPLACE TEMP TABLE batch AS "
        f"FROM store.unpublished ORDER BY sequence LIMIT {limit}"
    )
    con.execute(_GOING)
    known = lease.one(
        con,
        "SELECT store_id, (SELECT max(generation) FROM store.generations), "
        "(SELECT max(sequence) FROM batch), (SELECT count(*) FROM batch), "
        "(SELECT count(*) FROM store.unpublished) FROM store.publication",
    )
    assert known is not None
    store_id, generation, through, changes, total = known
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE b_executions AS SELECT *, '{store_id}'::UUID AS store_id "
        f"FROM store.settled_executions WHERE {_within(con)} AND execution_id IN "
        "(SELECT id FROM going WHERE kind = 'execution' AND change = 'written')"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE b_attempts AS SELECT a.*, e.day "
        "FROM store.settled_attempts AS a JOIN b_executions AS e USING (execution_id) "
        f"WHERE {_attempts_within(con)}"
    )
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE b_feedback AS SELECT *, '{store_id}'::UUID AS store_id "
        "FROM store.feedback WHERE feedback_id IN "
        "(SELECT id FROM going WHERE kind = 'feedback' AND change = 'written')"
    )
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE b_solutions AS SELECT *, '{store_id}'::UUID AS store_id "
        "FROM store.solutions"
    )
    return Batch(
        UUID(str(store_id)), int(generation), int(through or 0), int(changes),
        int(total) - int(changes),
    )  # fmt: skip


_GOING: Final = """
CREATE OR REPLACE TEMP TABLE going AS
SELECT kind, id, arg_max(change, sequence) AS change, min(day) AS first, max(day) AS last
FROM batch GROUP BY kind, id
"""
"""What is published of each id is what stands now, whatever stood when the change was noted."""


def _within(con: duckdb.DuckDBPyConnection) -> str:
    """The days of the batch as constants, by which row groups are skipped."""
    row = lease.one(con, "SELECT min(first), max(last) FROM going WHERE change = 'written'")
    if row is None or row[0] is None:
        return "FALSE"
    return f"day BETWEEN DATE '{row[0]}' AND DATE '{row[1]}'"


def _attempts_within(con: duckdb.DuckDBPyConnection) -> str:
    """The same for attempts, which start within their executions where these have a start."""
    row = lease.one(
        con,
        "SELECT min(started_at), max(ended_at), bool_or(started_at IS NULL OR ended_at IS NULL) "
        "FROM b_executions",
    )
    if row is None or row[0] is None or row[2]:
        return "TRUE"
    return (
        f"(a.started_at IS NULL OR a.started_at BETWEEN TIMESTAMPTZ '{row[0].isoformat()}' "
        f"AND TIMESTAMPTZ '{row[1].isoformat()}')"
    )
