"""Reads what can be read of a store file that is damaged, and of segments that were cut short."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_learning.observation import Observation
from otel_learning.store import copying, lease, schema, segments

if TYPE_CHECKING:
    import duckdb

SMALLEST_ROWS: Final = 2048
"""DuckDB reads so many rows at once; fewer are not tried apart."""
_OBSERVATIONS: Final = '"observations":['
_FOOTER: Final = b"otel_learning:"


def unreadable_tables(con: duckdb.DuckDBPyConnection) -> list[str]:
    """The tables of the catalog `store` of which not every value can be read."""
    import duckdb

    broken = []
    for table in copying.tables(con, "store"):
        try:
            con.execute(f"SELECT count(*), sum(hash(r)) FROM store.{table} AS r").fetchall()
        except duckdb.Error:
            broken.append(table)
    return broken


def copy_readable(source: Path, draft: Path, timeout_seconds: float) -> dict[str, tuple[int, int]]:
    """Copies what can be read into a new store; rows copied and rows lost of each table.

    Raises StoreError where the file cannot be opened at all.
    """
    done: dict[str, tuple[int, int]] = {}
    with copying.database_errors(source), lease.attached(source, timeout_seconds) as con:
        found = copying.tables(con, "store")
        con.execute(
            f"ATTACH {lease.quoted(draft)} AS draft (STORAGE_VERSION "
            f"'{lease.STORAGE_VERSION}', BLOCK_SIZE {lease.BLOCK_BYTES})"
        )
        con.execute("COPY FROM DATABASE store TO draft (SCHEMA)")
        for table, columns in found.items():
            row = lease.one(con, f"SELECT count(*), coalesce(max(rowid), -1) FROM store.{table}")
            total, last = row if row else (0, -1)
            copied = _copy_rows(con, table, 0, int(last) + 1) if total else 0
            done[table] = (copied, int(total) - copied)
            if done[table][1] == 0 and copying.ORDERED in columns:
                # Sound, so that it can be put into time order as any copy.
                con.execute(f"DELETE FROM draft.{table}")
                con.execute(
                    f"INSERT INTO draft.{table} FROM store.{table} ORDER BY {copying.ORDERED}"
                )
        con.execute("DETACH draft")
    draft.chmod(0o600)
    with lease.connection(draft, timeout_seconds) as con:
        schema.upgrade(con, str(draft), on_drain=False)
    return done


def _copy_rows(con: duckdb.DuckDBPyConnection, table: str, first: int, end: int) -> int:
    """Copies a range of rows; where it cannot be read, its halves, down to single vectors."""
    import duckdb

    try:
        inserted = con.execute(
            f"INSERT INTO draft.{table} FROM store.{table} WHERE rowid >= ? AND rowid < ?",
            [first, end],
        ).fetchall()
        return int(inserted[0][0])
    except duckdb.Error:
        if end - first <= SMALLEST_ROWS:
            return 0
        middle = first + max(SMALLEST_ROWS, (end - first) // 2 // SMALLEST_ROWS * SMALLEST_ROWS)
        return _copy_rows(con, table, first, middle) + _copy_rows(con, table, middle, end)


def whole_observations(body: bytes) -> list[Observation]:
    """The observations of a segment that was cut short, up to the cut; [] where it is not that.

    A segment that ends as it should and has another checksum is not read: which of its values
    is wrong cannot be told.
    """
    if _FOOTER in body[-64:]:
        return []
    text = body.decode("utf-8", "ignore")
    place = text.find(_OBSERVATIONS)
    if place < 0:
        return []
    place += len(_OBSERVATIONS)
    decoder, rows = json.JSONDecoder(), []
    while True:
        try:
            row, place = decoder.raw_decode(text, place)
        except ValueError:
            break
        rows.append(row)
        if text[place : place + 1] != ",":
            break
        place += 1
    try:
        whole = json.dumps({"notes": {}, "observations": rows}).encode()
        return segments.decode(whole).observations
    except ValueError:
        return []
