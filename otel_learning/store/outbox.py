"""What changed since it was last published to a lake, noted in the transaction that changes it.

A store that was never published notes nothing. Rows are let go of after the lake's own commit, so
a kill between the two has them published twice, and to publish is to put a row in the place of
what the lake holds of it: the second time changes nothing. So neither clocks nor the file's
layout matter, and a store that comes back from a backup publishes again what it had not let go of.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final, Literal
from uuid import UUID, uuid4

import pyarrow as pa

from otel_learning.store import lease
from otel_learning.store.day_keys import UNKNOWN_DAY
from otel_learning.store.transaction import transaction

if TYPE_CHECKING:
    import duckdb

Kind = Literal["execution", "feedback"]
Change = Literal["written", "gone", "erased"]

_ADD: Final = """
INSERT INTO unpublished
SELECT n + (
    SELECT coalesce((SELECT max(sequence) FROM unpublished), (SELECT max(through) FROM publication))
), '{kind}', id, day, '{change}' FROM (SELECT id, day, row_number() OVER () AS n FROM ({rows}))
"""


def is_on(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether the store publishes to a lake."""
    row = lease.one(con, "SELECT count(*) FROM publication")
    return bool(row and row[0])


def note(con: duckdb.DuckDBPyConnection, kind: Kind, rows: str, change: Change = "written") -> None:
    """Notes what a query gives as `id` and `day`; in the transaction that changes it."""
    if is_on(con):
        con.execute(_ADD.format(kind=kind, rows=rows, change=change))


def note_these(
    con: duckdb.DuckDBPyConnection,
    kind: Kind,
    changed: Iterable[tuple[str, int | date | None]],
    change: Change = "written",
) -> None:
    """Notes ids, each with a day, which may be a number of days since 1970."""
    pairs = list(changed)
    if not pairs or not is_on(con):
        return
    days = [UNKNOWN_DAY + timedelta(day) if isinstance(day, int) else day for _, day in pairs]
    con.register(
        "changed_ids",
        pa.table(
            {
                "id": pa.array([str(identity) for identity, _ in pairs], pa.string()),
                "day": pa.array(days, pa.date32()),
            }
        ),
    )
    try:
        note(con, kind, "SELECT CAST(id AS UUID) AS id, day FROM changed_ids", change)
    finally:
        con.unregister("changed_ids")


def begin(con: duckdb.DuckDBPyConnection, lake_id: UUID) -> UUID:
    """The store's id in a lake; where it is another lake than before, all of it is unpublished.

    In the order of time, so that a lake's files hold neighbouring times each. Numbers go on: a
    lake that is come back to must not take them for those that it knows.
    """
    row = lease.one(con, "SELECT store_id, lake_id, through FROM publication")
    if row is not None and row[1] == lake_id:
        return UUID(str(row[0]))
    store_id = UUID(str(row[0])) if row is not None else uuid4()
    with transaction(con):
        newest = lease.one(con, "SELECT max(sequence) FROM unpublished")
        through = max(row[2] if row else 0, newest[0] if newest and newest[0] else 0)
        con.execute("DELETE FROM unpublished WHERE change = 'written'")
        con.execute("DELETE FROM publication")
        con.execute(
            "INSERT INTO publication VALUES (?, ?, ?, now())",
            [str(store_id), str(lake_id), through],
        )
        con.execute("UPDATE unpublished SET sequence = sequence + ?", [through])
        note(con, "execution", "SELECT execution_id AS id, day FROM settled_executions "
             "ORDER BY started_at")  # fmt: skip
        note(con, "feedback", "SELECT feedback_id AS id, NULL::DATE AS day FROM feedback")
    return store_id


def let_go(con: duckdb.DuckDBPyConnection, through: int) -> None:
    """Lets go of what the lake has by now."""
    with transaction(con):
        con.execute("DELETE FROM unpublished WHERE sequence <= ?", [through])
        con.execute("UPDATE publication SET through = greatest(through, ?)", [through])


def waiting(con: duckdb.DuckDBPyConnection) -> int:
    """How many changes a lake has not been told."""
    row = lease.one(con, "SELECT count(*) FROM unpublished")
    return int(row[0]) if row else 0


Left = tuple[tuple[object, ...] | None, list[tuple[object, ...]]]
"""Who the store was to a lake, and what of it had still to be removed there."""


def left(con: duckdb.DuckDBPyConnection) -> Left:
    """What the store that goes must not take with it."""
    if "publication" not in {name for (name,) in con.execute("SHOW TABLES").fetchall()}:
        return None, []  # it has the schema of an earlier release
    removals = con.execute(
        "SELECT DISTINCT kind, id FROM unpublished WHERE change = 'erased'"
    ).fetchall()
    return lease.one(con, "SELECT store_id FROM publication"), removals


def take_over(con: duckdb.DuckDBPyConnection, known: Left) -> None:
    """The store that comes in its place is the same one to a lake, and removes the same there."""
    store, removals = known
    if store is None:
        return
    if not is_on(con):
        # Of no lake: the next `publish` notes all that the store holds.
        con.execute("INSERT INTO publication VALUES (?, NULL, 0, now())", [str(store[0])])
    for kind, identity in removals:
        rows = f"SELECT CAST('{identity}' AS UUID) AS id, NULL::DATE AS day"
        note(con, "feedback" if kind == "feedback" else "execution", rows, "erased")
