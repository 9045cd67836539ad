"""The tables of a lake: those of a store, and who published what.

A lake's tables have the columns that the store's have in this release. One that is added later is
added to the lake by the first publisher that knows it; older ones leave it NULL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from otel_learning.store import lease, rollups, schema
from otel_learning.store.transaction import transaction

if TYPE_CHECKING:
    import duckdb

TABLES: Final = {
    "settled_executions": "SELECT *, NULL::UUID AS store_id FROM settled_executions",
    "settled_attempts": "SELECT *, NULL::DATE AS day FROM settled_attempts",
    "execution_keys": "FROM execution_keys",
    "feedback": "SELECT *, NULL::UUID AS store_id FROM feedback",
    "solutions": "SELECT *, NULL::UUID AS store_id FROM solutions",
    "part_executions": "SELECT *, NULL::UUID AS store_id FROM settled_executions",
    "part_attempts": "SELECT *, NULL::DATE AS day, NULL::UUID AS store_id FROM settled_attempts",
    "stores": "SELECT NULL::UUID AS store_id, NULL::VARCHAR AS name, NULL::VARCHAR AS copy, "
    "NULL::BIGINT AS generation, NULL::BIGINT AS sequence, NULL::BIGINT AS published, "
    "NULL::TIMESTAMPTZ AS published_at",
    "erased": "SELECT NULL::VARCHAR AS salt, NULL::VARCHAR AS hash, NULL::TIMESTAMPTZ AS erased_at",
    "changed_days": "FROM changed_days",
    "rolled_days": "FROM rolled_days",
    **{table: f"FROM {table}" for table in rollups.ROLLUPS},
    "lakes": "SELECT NULL::UUID AS lake_id, NULL::TIMESTAMPTZ AS made_at",
}
"""Each table of a lake, as a query over a store's. An execution that several stores hold parts of
is in `part_executions` once per store, and in `settled_executions` once, of no store."""

SORTED: Final = {
    "settled_executions": "started_at", "settled_attempts": "started_at", "execution_keys": "key",
}  # fmt: skip
"""What files are put in order by when they are merged, so that most of them are skipped."""


def shell(con: duckdb.DuckDBPyConnection) -> None:
    """Makes the tables and views of an empty store in the connection's own catalog."""
    schema.upgrade(con, "in memory", on_drain=False)


def lake_id(con: duckdb.DuckDBPyConnection) -> UUID | None:
    """Which lake it is; None where nobody has published to it."""
    row = lease.one(con, "SELECT lake_id FROM lake.lakes") if "lakes" in _tables(con) else None
    return None if row is None else UUID(str(row[0]))


def bring_up(con: duckdb.DuckDBPyConnection) -> None:
    """Makes what is missing of the lake; in the writers' turn, and after `shell`."""
    found = _tables(con)
    wanted = {name: con.execute(f"DESCRIBE {query}").fetchall() for name, query in TABLES.items()}
    missing = [
        (name, column, kind)
        for name, columns in wanted.items()
        for column, kind, *_ in columns
        if column not in found.get(name, ())
    ]
    if not missing:
        return
    with transaction(con):
        for name, query in TABLES.items():
            if name not in found:
                con.execute(f"CREATE TABLE lake.{name} AS SELECT * FROM ({query}) LIMIT 0")
                if name in SORTED:
                    con.execute(f"ALTER TABLE lake.{name} SET SORTED BY ({SORTED[name]} ASC)")
        for name, column, kind in missing:
            if name in found:
                con.execute(f"ALTER TABLE lake.{name} ADD COLUMN {column} {kind}")
        if "lakes" not in found:
            con.execute("INSERT INTO lake.lakes VALUES (?, now())", [str(uuid4())])


def _tables(con: duckdb.DuckDBPyConnection) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for table, column in con.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = 'lake' "
        "AND schema_name = 'main'"
    ).fetchall():
        found.setdefault(str(table), set()).add(str(column))
    return found
