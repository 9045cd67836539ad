"""Keys of which everything has left the ledger's window: they tell what is late from what is new.

They are kept for good, and most of what a drain brings is in none of them. A filter says so
without reading them, so that a drain costs the same in a large store as in a small one.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from otel_learning.store import lease
from otel_learning.store.failpoints import failpoint
from otel_learning.store.key_filter import BrokenFilterError, KeyFilter
from otel_learning.store.transaction import transaction

if TYPE_CHECKING:
    import duckdb

KEYS_AT_ONCE: Final = 10_000
"""Moved in one transaction, in some tens of milliseconds; a drain moves no more."""


class ExpiredKeys:
    """The keys of one store, and their filter in its ledger's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def among(self, con: duckdb.DuckDBPyConnection, keys: Collection[int]) -> set[int]:
        """Those of the keys of which something has left the ledger."""
        if not keys:
            return set()
        row = lease.one(con, "SELECT count(*) FROM expired_keys")
        if row is None or not row[0]:
            return set()
        bits = self._sound(con)
        # Without the filter all are looked up; `retire` makes another one.
        maybe = set(keys) if bits is None else bits.may_hold(keys)
        if not maybe:
            return set()
        con.register("maybe_expired", pa.table({"key": pa.array(sorted(maybe), pa.uint64())}))
        try:
            rows = con.execute(
                "SELECT DISTINCT key FROM expired_keys WHERE key IN (SELECT key FROM maybe_expired)"
            ).fetchall()
        finally:
            con.unregister("maybe_expired")
        return {key for (key,) in rows}

    def retire(self, con: duckdb.DuckDBPyConnection) -> bool:
        """Moves some keys of which the ledger has let go; returns whether there may be more.

        In a transaction of its own: the filter has them, on the disk, before the table does.
        """
        with transaction(con):
            # The last drain's stay, so that its number is known, and not used again.
            rows = con.execute(
                "DELETE FROM ledger_keys WHERE rowid IN ("
                "  SELECT rowid FROM ledger_keys WHERE drain < coalesce("
                "    (SELECT min(first_drain) FROM ledger), (SELECT max(drain) FROM ledger_keys))"
                "  LIMIT ?) RETURNING key", [KEYS_AT_ONCE],
            ).fetchall()  # fmt: skip
            if not rows:
                return False
            keys = sorted({key for (key,) in rows})
            self._filter(con).add(keys)
            failpoint("retire: in the filter")
            con.register("retired", pa.table({"key": pa.array(keys, pa.uint64())}))
            try:
                con.execute("INSERT INTO expired_keys SELECT key FROM retired")
            finally:
                con.unregister("retired")
        return len(rows) == KEYS_AT_ONCE

    def begin_anew(self, con: duckdb.DuckDBPyConnection) -> None:
        """Lets go of the filter: every key is looked up until it has been moved again.

        Where the filter is lost, or holds bits of what must not be known any more.
        """
        con.execute("INSERT INTO ledger_keys SELECT key, 0 FROM expired_keys")
        con.execute("DELETE FROM expired_keys")
        con.execute("DELETE FROM key_filters")

    def _filter(self, con: duckdb.DuckDBPyConnection) -> KeyFilter:
        found = self._sound(con)
        if found is not None:
            return found
        self.begin_anew(con)
        lease.private_directory(self._folder)
        # A name of its own: the filter of another store is never taken for this one's.
        name = f"expired-{secrets.token_hex(8)}.bits"
        found = KeyFilter(self._folder / name)
        found.create()
        con.execute("INSERT INTO key_filters VALUES (?)", [name])
        return found

    def _sound(self, con: duckdb.DuckDBPyConnection) -> KeyFilter | None:
        """The filter, if it is there and as new as the table; it has a key before that does."""
        row = lease.one(con, "SELECT max(file), (SELECT count(*) FROM expired_keys) "
                        "FROM key_filters")  # fmt: skip
        if row is None or row[0] is None:
            return None
        found = KeyFilter(self._folder / str(row[0]))
        with contextlib.suppress(OSError, BrokenFilterError):
            if found.count() >= row[1]:
                return found
        return None


def filter_files(con: duckdb.DuckDBPyConnection, catalog: str = "main") -> list[str]:
    """The filter's files in the ledger's folder, by name; none in a store of an older schema."""
    import duckdb

    try:
        rows = con.execute(f"SELECT file FROM {catalog}.key_filters").fetchall()
    except duckdb.CatalogException:
        return []
    return [str(name) for (name,) in rows]
