"""The words of a store: which values its executions have, and how often."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_learning.errors import InputError
from otel_learning.store.reader import Reader

if TYPE_CHECKING:
    import duckdb

COLUMNS: Final = (
    "environment", "repo", "task_type", "model_tier", "pool_type", "swarm_topology",
    "requested_model", "agent", "error_type",
)  # fmt: skip


class Vocabulary(NamedTuple):
    """What a store holds, in its own words."""

    executions: int
    outcomes_known: int
    first_started_at: datetime | None
    last_started_at: datetime | None
    words: dict[str, list[tuple[str | None, int]]]
    """Column -> its values with their executions, the most frequent first."""


def vocabulary(reader: Reader, most: int) -> Vocabulary:
    """The most frequent values of each column that tells executions apart.

    Args:
        reader: a database or a snapshot.
        most: how many values of one column.
    """
    with reader._cursor() as con:
        [(executions, known, first, last)] = con.execute(
            "SELECT count(*), count(success), min(started_at), max(started_at) FROM executions"
        ).fetchall()
        words = {column: _counted(con, column, most) for column in COLUMNS}
    return Vocabulary(executions, known, first, last, words)


def values_of(reader: Reader, column: str, most: int) -> list[str]:
    """The most frequent values of one of COLUMNS, unknown ones left out."""
    if column not in COLUMNS:
        raise InputError(f"{column!r} has no words of its own", f"one of {', '.join(COLUMNS)}")
    with reader._cursor() as con:
        return [value for value, _ in _counted(con, column, most) if value is not None]


def _counted(
    con: duckdb.DuckDBPyConnection, column: str, most: int
) -> list[tuple[str | None, int]]:
    rows = con.execute(
        f"SELECT {column}, count(*) FROM executions GROUP BY 1 "
        "ORDER BY 2 DESC, 1 NULLS LAST LIMIT ?", [most],
    ).fetchall()  # fmt: skip
    return [(None if value is None else str(value), int(count)) for value, count in rows]
