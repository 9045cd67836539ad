"""On which days a task or a trace is found: the keys of the table `execution_keys`.

Executions lie in time order, and row groups of other days are skipped, so that knowing the day
makes a look-up a matter of milliseconds in a large store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    import duckdb

Kind = Literal["task", "trace"]

UNKNOWN_DAY: Final = date(1970, 1, 1)
"""The day of executions whose start is not known."""
LAID_AT_ONCE: Final = 1_000_000
"""Keys that are put in order at once, in half a second."""
_DAY: Final = timedelta(days=1)


def day_key(kind: Kind, identity: str) -> int:
    """The key of a task or trace: SQL's `md5_number_upper(kind || '|' || identity)`.

    Not for security; DuckDB's own `hash` may change with its release.
    """
    digest = hashlib.md5(f"{kind}|{identity}".encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "little")


def note_days(con: duckdb.DuckDBPyConnection, executions: list[dict[str, Any]]) -> None:
    """Notes the days of executions, given as rows with task_id, trace_ids and day."""
    days = {
        (day_key("trace", trace), row["day"]) for row in executions for trace in row["trace_ids"]
    }
    days |= {
        (day_key("task", row["task_id"]), row["day"])
        for row in executions
        if row["task_id"] is not None
    }
    if not days:
        return
    import pyarrow as pa

    keys, dates = zip(*sorted(days), strict=True)
    layout = {"key": pa.array(keys, pa.uint64()), "day": pa.array(dates, pa.date32())}
    con.register("keyed", pa.table(layout))
    try:
        con.execute("INSERT INTO execution_keys SELECT key, day FROM keyed")
    finally:
        con.unregister("keyed")


def delete_days(con: duckdb.DuckDBPyConnection, keys: Iterable[int]) -> None:
    """Deletes what was noted of tasks and traces that are erased."""
    import pyarrow as pa

    con.register("gone_days", pa.table({"key": pa.array(sorted(keys), pa.uint64())}))
    try:
        con.execute("DELETE FROM execution_keys WHERE key IN (SELECT key FROM gone_days)")
    finally:
        con.unregister("gone_days")


def lay_down(con: duckdb.DuckDBPyConnection, first: date, last: date) -> None:
    """Lays the keys of these days down in order, so that a look-up skips most row groups of them.

    Where they are too many to be done in passing, a compaction of the file does it.
    """
    row = con.execute(
        "SELECT count(*) FROM execution_keys WHERE day BETWEEN ? AND ?", [first, last]
    )
    if int(row.fetchall()[0][0]) > LAID_AT_ONCE:
        return
    con.execute(
        "CREATE TEMP TABLE laid AS SELECT DISTINCT key, day FROM execution_keys "
        "WHERE day BETWEEN ? AND ?", [first, last],
    )  # fmt: skip
    con.execute("DELETE FROM execution_keys WHERE day BETWEEN ? AND ?", [first, last])
    con.execute("INSERT INTO execution_keys FROM laid ORDER BY key")
    con.execute("DROP TABLE laid")


def rebuild(con: duckdb.DuckDBPyConnection) -> None:
    """Makes all keys anew from the executions."""
    con.execute("DELETE FROM execution_keys")
    con.execute(
        "INSERT INTO execution_keys SELECT DISTINCT md5_number_upper(name), day FROM ("
        "  SELECT unnest(list_concat(list_transform(trace_ids, lambda t: 'trace|' || t), "
        "    ['task|' || task_id])) AS name, day FROM ("
        "    SELECT task_id, trace_ids, day FROM settled_executions"
        "    UNION ALL SELECT task_id, trace_ids, day FROM open_executions)"
        ") WHERE name IS NOT NULL"
    )


def bounds(con: duckdb.DuckDBPyConnection, key: int) -> tuple[str, list[datetime]]:
    """A condition on `started_at` that holds for every execution of a task or trace.

    It is made of constants, because only by them whole row groups are skipped.
    """
    found = con.execute("SELECT DISTINCT day FROM execution_keys WHERE key = ?", [key]).fetchall()
    parts, values = [], []
    for (day,) in sorted(found):
        if day == UNKNOWN_DAY:
            parts.append("started_at IS NULL")
            continue
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        parts.append("(started_at >= ? AND started_at < ?)")
        values += [begin, begin + _DAY]
    return f"({' OR '.join(parts)})" if parts else "FALSE", values
