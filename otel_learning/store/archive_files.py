"""The Parquet files of an archive: written as drafts, read back, then named by the store."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from otel_learning.errors import OtelLearningError
from otel_learning.store import copying, lease, outbox
from otel_learning.store.backup import stores_beside
from otel_learning.store.copying import beside
from otel_learning.store.erasure import CONCERNED
from otel_learning.store.failpoints import failpoint
from otel_learning.store.forgotten import Id

if TYPE_CHECKING:
    import duckdb

FOLDER: Final = ".archive"
KINDS: Final = ("executions", "attempts")


class ArchiveError(OtelLearningError):
    """What was archived does not read back as it was written; nothing was deleted."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What tells whether two relations hold the same rows, in any order."""

    rows: int
    checksum: str


def contents(con: duckdb.DuckDBPyConnection, relation: str) -> Contents:
    """Rows and checksum of a relation; the sum of the rows' hashes does not depend on order."""
    row = lease.one(
        con,
        "SELECT count(*), CAST(coalesce(sum(md5_number_lower(CAST(r AS VARCHAR))), 0) AS VARCHAR) "
        f"FROM (FROM {relation}) AS r",
    )
    rows, checksum = row if row else (0, "0")
    return Contents(int(rows), str(checksum))


def write(con: duckdb.DuckDBPyConnection, relation: str, file: Path) -> Contents:
    """Writes a relation as a file that is there as a whole or not at all, and reads it back.

    Raises ArchiveError where what is read is not what was written.
    """
    draft = _draft_of(file)
    try:
        con.execute(
            f"COPY (FROM {relation}) TO {lease.quoted(draft)} (FORMAT parquet, COMPRESSION zstd)"
        )
        failpoint("archive: written")
        draft.chmod(0o600)
        _sync(draft)
        written, read = contents(con, relation), contents(con, parquet(draft))
        if written != read:
            raise ArchiveError(
                f"the archive file {file} does not read back as it was written",
                "nothing was deleted; try it again, and check the disk",
            )
        failpoint("archive: verified")
        draft.rename(file)
        _sync(file.parent)
    finally:
        draft.unlink(missing_ok=True)
    return written


def parquet(*files: Path) -> str:
    """The relation of these files' rows; a later file may have more columns."""
    listed = ", ".join(lease.quoted(file) for file in files)
    return f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"


def erase_archived(con: duckdb.DuckDBPyConnection, wanted: set[Id]) -> tuple[int, int, int]:
    """Erases executions that stand under a wanted id from the archives, whole.

    Files are written anew under their names, so that no view and no backup loses them. Outside a
    transaction. Returns how many files, executions and attempts that were.
    """
    named = con.execute(
        "SELECT file, kind FROM archives WHERE archived_at IS NOT NULL ORDER BY 1"
    ).fetchall()
    there = [(Path(file), str(kind)) for file, kind in named if Path(file).exists()]
    executions = [file for file, kind in there if kind == "executions"]
    if not executions:
        return 0, 0, 0
    pairs = sorted(wanted)
    ids = {"kind": [kind for kind, _ in pairs], "value": [value for _, value in pairs]}
    con.register(
        "wanted", pa.table(ids, pa.schema([("kind", pa.string()), ("value", pa.string())]))
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE archived AS "
        f"SELECT execution_id FROM {parquet(*executions)} WHERE {CONCERNED}"
    )
    con.unregister("wanted")
    outbox.note(
        con, "execution", "SELECT execution_id AS id, NULL::DATE AS day FROM archived",
        "erased",
    )  # fmt: skip
    touched, gone = 0, {"executions": 0, "attempts": 0}
    # Attempts first: after a kill their executions still say whose they are.
    for file, kind in sorted(there, key=lambda entry: entry[1]):
        lost = lease.one(
            con, f"SELECT count(*) FROM {parquet(file)} WHERE execution_id IN (FROM archived)"
        )
        if lost and lost[0]:
            kept = f"(FROM {parquet(file)} WHERE execution_id NOT IN (FROM archived))"
            now = write(con, kept, file)
            failpoint("forget: archive replaced")
            touched += 1
            gone[kind] += int(lost[0])
        elif _rows_named(con, file):
            continue
        else:  # a kill fell between the two
            now = contents(con, parquet(file))
        con.execute(
            "UPDATE archives SET rows = ?, checksum = ? WHERE file = ?",
            [now.rows, now.checksum, str(file)],
        )
    con.execute("DROP TABLE archived")
    return touched, gone["executions"], gone["attempts"]


def missing(con: duckdb.DuckDBPyConnection) -> list[Path]:
    """Files that the store names and that are not in their place."""
    return [file for file in _named(con) if not file.exists()]


def remove_orphans(con: duckdb.DuckDBPyConnection, path: Path, timeout_seconds: float) -> None:
    """Removes what killed archives left; outside a transaction.

    Anywhere, what was about to be written. In the store's own folder also files that it does not
    name, since another store came into its place, unless one that was kept aside names them.
    """
    for (name,) in con.execute("SELECT file FROM archives WHERE archived_at IS NULL").fetchall():
        _draft_of(Path(name)).unlink(missing_ok=True)
        Path(name).unlink(missing_ok=True)
        con.execute("DELETE FROM archives WHERE file = ?", [name])
    there = {file for kind in KINDS for file in (beside(path, FOLDER) / kind).glob("month=*/*Z-*")}
    there -= _named(con)
    for store in stores_beside(path) if there else []:
        try:
            with copying.database_errors(store), lease.attached(store, timeout_seconds) as other:
                named = other.execute("SELECT file FROM store.archives").fetchall()
        except OtelLearningError:
            return  # what it names cannot be known
        there -= {Path(file) for (file,) in named}
    for orphan in there:
        orphan.unlink(missing_ok=True)


def _draft_of(file: Path) -> Path:
    return file.with_name(f".{file.name}.draft")


def _named(con: duckdb.DuckDBPyConnection) -> set[Path]:
    rows = con.execute("SELECT file FROM archives WHERE archived_at IS NOT NULL").fetchall()
    return {Path(file) for (file,) in rows}


def _rows_named(con: duckdb.DuckDBPyConnection, file: Path) -> bool:
    """Whether a file has as many rows as the table says."""
    row = lease.one(
        con,
        f"SELECT rows = (SELECT count(*) FROM {parquet(file)}) FROM archives WHERE file = ?",
        [str(file)],
    )
    return bool(row and row[0])


def _sync(path: Path) -> None:
    """To the disk: after this its rows are deleted elsewhere."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
