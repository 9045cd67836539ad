"""Copies a store into a new file: table by table, executions in time order, rows counted.

The copy is a draft in a folder of its own beside its place; whoever asked for it renames it.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_learning.errors import OtelLearningError, StoreError
from otel_learning.store import lease

if TYPE_CHECKING:
    import duckdb

_DRAFTS: Final = ".draft-"
_STALE_SECONDS: Final = 6 * 3600.0
_SPARE_BYTES: Final = 16 * 1024 * 1024
"""Left free beside a copy: the application goes on to write."""
ORDERED: Final = "started_at"
"""Tables that have this column are written in its order."""
_BY_KEY: Final = "execution_keys"
"""Laid down by its keys, so that all but one row group is skipped. Not the ledger's: a drain asks
for keys from everywhere, and the numbers beside them would no longer compress."""


class DiskFullError(OtelLearningError):
    """There is not enough room on the disk for what was asked; nothing was changed."""


class CopyError(OtelLearningError):
    """A copy does not hold what its original holds; the original is as it was."""


@contextlib.contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Raises StoreError in the place of what DuckDB raises."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise StoreError(f"the store {path} cannot be worked on: {error}") from error


def beside(store: Path, suffix: str) -> Path:
    """`<store><suffix>`."""
    return store.with_name(store.name + suffix)


def stamp() -> str:
    """A UTC time for file names, to the microsecond, so that names sort by time."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")


@contextlib.contextmanager
def draft_folder(place: Path) -> Iterator[Path]:
    """A private folder beside `place` for what is not finished, gone at the end.

    What killed processes left of such folders is removed: at once where it is of the same place,
    since whoever works on that holds its lock, and others' once it is old.
    """
    sweep(place.parent, place.name)
    folder = place.parent / f"{_DRAFTS}{place.name}-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise StoreError(
            f"nothing can be written beside {place}: {error.strerror}",
            "check that the folder exists and can be written",
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path, name: str | None) -> None:
    """Removes the draft folders of that name, or all where it is None, and any that are old.

    Only where nobody else may be at work on them.
    """
    oldest = time.time() - _STALE_SECONDS
    own = re.compile(re.escape(f"{_DRAFTS}{name}") + r"-\d+-[0-9a-f]{8}")
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.startswith(_DRAFTS) and entry.is_dir(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    mine = name is None or own.fullmatch(entry.name)
                    if mine or entry.stat().st_mtime < oldest:
                        shutil.rmtree(entry.path, ignore_errors=True)


def need_room(folder: Path, count: int) -> None:
    """Raises DiskFullError unless that many bytes fit beside what the application writes."""
    free = shutil.disk_usage(folder).free
    if free < count + _SPARE_BYTES:
        raise DiskFullError(
            f"{folder} has {free // 2**20} MiB free, "
            f"and {(count + _SPARE_BYTES) // 2**20 + 1} MiB are needed",
            "free some, or name another disk",
        )


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; 0 where there is none."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.exists() else 0


def fold_in_wal(path: Path, timeout_seconds: float) -> None:
    """Leaves a store without a write-ahead log. Only inside `lease.exclusive`."""
    with database_errors(path), lease.connection(path, timeout_seconds) as con:
        con.execute("FORCE CHECKPOINT")
    wal = beside(path, ".wal")
    if size_of(wal):
        raise StoreError(f"{wal} cannot be brought into the store", "otel-learning repair looks")
    wal.unlink(missing_ok=True)


def copy_store(source: Path, draft: Path, timeout_seconds: float) -> dict[str, int]:
    """Writes all of `source` into a new file, and returns the rows of each table.

    Only inside `lease.exclusive` of the source, and with no write-ahead log beside it.

    Raises:
        StoreError: the source cannot be read, or the draft cannot be written.
        CopyError: the draft does not hold what the source holds.
    """
    with database_errors(source), lease.attached(source, timeout_seconds) as con:
        rows = copy_attached(con, draft)
    draft.chmod(0o600)
    return rows


def copy_attached(con: duckdb.DuckDBPyConnection, draft: Path) -> dict[str, int]:
    """The same, from the catalog `store` of an open connection."""
    con.execute(f"SET temp_directory = {lease.quoted(draft.with_name(draft.name + '.tmp'))}")
    con.execute(
        f"ATTACH {lease.quoted(draft)} AS draft (STORAGE_VERSION '{lease.STORAGE_VERSION}', "
        f"BLOCK_SIZE {lease.BLOCK_BYTES})"
    )
    con.execute("COPY FROM DATABASE store TO draft (SCHEMA)")
    for table, columns in tables(con, "store").items():
        ordered = "key" if _BY_KEY in table else ORDERED
        order = f" ORDER BY {ordered}" if ordered in columns else ""
        con.execute(f"INSERT INTO draft.{table} FROM store.{table}{order}")
    rows = counts(con, "store")
    if counts(con, "draft") != rows:
        raise CopyError("the copy does not hold as many rows as the store", "try it again")
    con.execute("DETACH draft")
    return rows


def tables(con: duckdb.DuckDBPyConnection, catalog: str) -> dict[str, list[str]]:
    """The tables of a catalog as `"schema"."name"`, with their columns."""
    found: dict[str, list[str]] = {}
    for schema, table, column in con.execute(
        "SELECT schema_name, table_name, column_name FROM duckdb_columns() AS c "
        "WHERE database_name = ? AND EXISTS (FROM duckdb_tables() AS t WHERE "
        "  t.database_name = c.database_name AND t.table_oid = c.table_oid) "
        "ORDER BY 1, 2, column_index", [catalog],
    ).fetchall():  # fmt: skip
        found.setdefault(f"{_name(schema)}.{_name(table)}", []).append(str(column))
    return found


def counts(con: duckdb.DuckDBPyConnection, catalog: str) -> dict[str, int]:
    """Rows of each table of a catalog."""
    return {
        table: int(_first(con, f"SELECT count(*) FROM {catalog}.{table}"))
        for table in tables(con, catalog)
    }


def _first(con: duckdb.DuckDBPyConnection, query: str) -> Any:
    row = lease.one(con, query)
    return row[0] if row else None


def _name(identifier: object) -> str:
    return '"' + str(identifier).replace('"', '""') + '"'
