"""Reads a lake as if it were a store: the store's own views, over the lake's tables.

An empty store is made in a temporary file, and what a lake holds is put in the place of its
tables, so that every question is the same SQL, asked of a connection that can only read.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_learning.store import lease, rollups
from otel_learning.store.lake import catalog, layout
from otel_learning.store.lake.address import LakeAddress

if TYPE_CHECKING:
    import duckdb

_VIEWS: Final = {
    "settled_executions": "SELECT * EXCLUDE (store_id) FROM lake.settled_executions",
    "settled_attempts": "SELECT * EXCLUDE (day) FROM lake.settled_attempts",
    "execution_keys": "FROM lake.execution_keys",
    "feedback": "SELECT * EXCLUDE (store_id) FROM lake.feedback",
    "solutions": "SELECT * EXCLUDE (store_id) FROM lake.solutions",
    **{table: f"FROM lake.{table}" for table in (*rollups.ROLLUPS, "rolled_days", "changed_days")},
}
"""What stands in the place of a store's table."""
_abandoned: list[object] = []
"""Connections of the process that this one was forked from: not even to be let go of here."""


class LakeConnection:
    """A connection to a lake, made when it is first asked and kept: nobody waits for it.

    Every cursor sees the lake as it is when it asks; a whole one at each moment.
    """

    def __init__(self, address: LakeAddress, snapshot: int | None = None) -> None:
        self.address = address
        self._snapshot = snapshot
        self._lock = threading.Lock()
        self._con: duckdb.DuckDBPyConnection | None = None
        self._owner = 0

    @contextlib.contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor of its own for one call.

        Raises:
            LakeExtensionError: DuckDB's extension for lakes is not installed.
            LakeError: the lake cannot be reached.
            StoreMissingError: nobody has published to it.
        """
        with contextlib.closing(self.connection().cursor()) as cursor, catalog.away(self.address):
            yield cursor

    def told(self) -> contextlib.AbstractContextManager[None]:
        """Raises LakeError where PostgreSQL goes away inside, as `cursor` does."""
        return catalog.away(self.address)

    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection that cursors are made of; opened where it is not yet, or was forked."""
        with self._lock:
            if self._con is not None and self._owner != os.getpid():
                _abandoned.append(self._con)
                self._con = None
            if self._con is None:
                self._con, self._owner = connect(self.address, snapshot=self._snapshot), os.getpid()
            return self._con

    def pinned(self) -> LakeConnection:
        """Another connection, to the lake as it is now, whatever is published meanwhile."""
        with self.cursor() as con:
            row = lease.one(con, "SELECT max(snapshot_id) FROM ducklake_snapshots('lake')")
        return LakeConnection(self.address, int(row[0]) if row else 0)

    def close(self) -> None:
        """Lets go of the lake; the next question opens it again."""
        with self._lock:
            con, self._con = self._con, None
        if con is not None and self._owner == os.getpid():
            catalog.close(con)


def connect(
    address: LakeAddress, *, read_only: bool = True, snapshot: int | None = None
) -> duckdb.DuckDBPyConnection:
    """A connection of which the own catalog is a store's, over what the lake holds.

    Raises:
        LakeExtensionError, LakeError: as `catalog.connect`.
        StoreMissingError: nobody has published to the lake.
    """
    folder = Path(tempfile.mkdtemp(prefix="otel-learning-"))
    try:
        file = folder / "views.duckdb"
        write_views(file)
        con = catalog.connect(address, read_only=read_only, database=str(file), snapshot=snapshot)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # DuckDB has the file open
    try:
        with catalog.errors(address):
            if layout.lake_id(con) is None:
                raise catalog.missing(address)
    except BaseException:
        catalog.close(con)
        raise
    return con


def write_views(file: Path) -> None:
    """An empty store whose tables are views over a catalog `lake`."""
    import duckdb

    with contextlib.closing(duckdb.connect(str(file))) as con:
        layout.shell(con)
        # DuckDB wants to see what a view is over; when it is asked, it looks again.
        con.execute("ATTACH ':memory:' AS lake")
        for name, query in layout.TABLES.items():
            con.execute(f"CREATE TABLE lake.{name} AS SELECT * FROM ({query}) LIMIT 0")
        for name, query in _VIEWS.items():
            columns = [str(column) for column, *_ in con.execute(f"DESCRIBE {name}").fetchall()]
            con.execute(f"DROP TABLE {name}")
            con.execute(f"CREATE VIEW {name} AS SELECT {', '.join(columns)} FROM ({query})")
