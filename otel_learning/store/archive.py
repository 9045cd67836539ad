"""Moves what is old into Parquet files beside the store, and shows it with the live rows.

The files are written, synced and read back before one transaction names them, shows them in the
views `all_executions` and `all_attempts`, and deletes the rows. So a row is visible once, whatever
step a kill falls on: a file that no store names is no archive yet, and the next archive removes it.
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from otel_learning.errors import InputError, StoreError, StoreMissingError
from otel_learning.store import archive_files, compaction, copying, lease, rollups, schema
from otel_learning.store.archive_files import KINDS, parquet
from otel_learning.store.copying import beside
from otel_learning.store.drain import Drainer, DrainSettings
from otel_learning.store.failpoints import failpoint
from otel_learning.store.ledger import hash_key

if TYPE_CHECKING:
    import duckdb

COMPACTED_SHARE: Final = 0.2
"""The file is rewritten when so much of it has gone: nobody can read it meanwhile, and what comes
next uses the space that is left."""
TIMEOUT_SECONDS: Final = 60.0
_HASHED_AT_ONCE: Final = 100_000
_BYTES_PER_ROW: Final = 500
"""Room to ask for; a row takes less in Parquet."""


@dataclass(slots=True)
class Archived:
    """What one archive did."""

    executions: int = 0
    attempts: int = 0
    files: list[str] = field(default_factory=list)
    kept: int = 0
    """Executions that are old enough, and stay since the ledger may still add to them."""
    bytes_before: int = 0
    bytes_after: int = 0
    """Of the store file."""


def archive(
    path: Path,
    days: float,
    *,
    folder: Path | None = None,
    delete: bool = False,
    settings: DrainSettings | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Archived:
    """Takes settled executions that started more than `days` ago out of the store.

    Args:
        path: the store.
        days: how old they are; feedback about them stays.
        folder: where the files go, by default `<store>.archive`.
        delete: writes no files: what is taken out is gone.
        settings: how to drain, and how long the ledger's window is.
        timeout_seconds: how long to wait for the store.

    Raises:
        StoreMissingError: there is no store.
        StoreLockedError: it was not free in time.
        DiskFullError: there is no room for the files; nothing was changed.
        ArchiveError: a file does not read back as it was written; nothing was deleted.
        StoreError: the store cannot be read or written.
    """
    if not path.exists():
        raise StoreMissingError(f"there is no store at {path}", "name one with --db")
    if not 0 <= days < 100_000:
        raise InputError(f"{days:g} is no number of days", "for example 90")
    folder = (folder or beside(path, archive_files.FOLDER)).expanduser().resolve()
    done = Archived(bytes_before=path.stat().st_size)
    Drainer(path, settings).drain(timeout_seconds)
    with copying.database_errors(path), lease.exclusive(path, timeout_seconds):
        with lease.connection(path, timeout_seconds) as con:
            schema.upgrade(con, str(path))
            archive_files.remove_orphans(con, path, timeout_seconds)
            try:
                total = _count(con)
                months = _choose(con, datetime.now(UTC) - timedelta(days=days), done)
                if not delete:
                    copying.need_room(path.parent, done.executions * _BYTES_PER_ROW)
                    written = _write(con, folder, months, done)
                else:
                    written = []
                _take_out(con, written, done)
            except OSError as error:
                raise StoreError(f"the store {path} could not be archived: {error}") from error
        if done.executions and done.executions >= COMPACTED_SHARE * total:
            # Without room for a second copy the space is used again by what comes next.
            with contextlib.suppress(copying.DiskFullError):
                compaction.rewrite(path, timeout_seconds)
    done.bytes_after = path.stat().st_size
    return done


def _count(con: duckdb.DuckDBPyConnection) -> int:
    row = lease.one(con, "SELECT count(*) FROM settled_executions")
    return int(row[0]) if row else 0


def _choose(con: duckdb.DuckDBPyConnection, cutoff: datetime, done: Archived) -> list[str]:
    """Fills the table `chosen` with the ids of what goes, and returns their months."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE chosen AS SELECT execution_id, "
        "strftime(timezone('UTC', started_at), '%Y-%m') AS month "
        "FROM settled_executions WHERE started_at < ?", [cutoff],
    )  # fmt: skip
    held = _held_by_ledger(con)
    con.register("held", pa.table({"execution_id": pa.array(held, pa.string())}))
    con.execute(
        "DELETE FROM chosen WHERE CAST(execution_id AS VARCHAR) IN (SELECT execution_id FROM held)"
    )
    con.unregister("held")
    done.kept = len(held)
    row = lease.one(
        con,
        "SELECT count(*), (SELECT count(*) FROM settled_attempts WHERE execution_id IN "
        "(SELECT execution_id FROM chosen)) FROM chosen",
    )
    done.executions, done.attempts = row if row else (0, 0)
    months = con.execute("SELECT DISTINCT month FROM chosen ORDER BY 1").fetchall()
    return [str(month) for (month,) in months]


def _held_by_ledger(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Those of the chosen of which the ledger still holds something: it may add to them."""
    live = {
        key for (key,) in con.execute(
            "SELECT DISTINCT k.key FROM ledger_keys AS k WHERE EXISTS "
            "(FROM ledger AS l WHERE k.drain BETWEEN l.first_drain AND l.last_drain)"
        ).fetchall()
    }  # fmt: skip
    if not live:
        return []
    con.execute(
        "SELECT CAST(execution_id AS VARCHAR), task_id, trace_ids FROM settled_executions "
        "WHERE execution_id IN (SELECT execution_id FROM chosen)"
    )
    held = []
    while rows := con.fetchmany(_HASHED_AT_ONCE):
        for identity, task, traces in rows:
            keys = [f"trace|{trace}" for trace in traces or ()]
            if task is not None:
                keys.append(f"task|{task}")
            if any(hash_key(key) in live for key in keys):
                held.append(str(identity))
    return held


_Named = tuple[str, str, int, str]
"""File, kind, rows, checksum."""


def _write(
    con: duckdb.DuckDBPyConnection, folder: Path, months: list[str], done: Archived
) -> list[_Named]:
    named: list[_Named] = []
    if not months:
        return named
    lease.private_directory(folder)
    name = f"{copying.stamp()}-{secrets.token_hex(4)}.parquet"
    planned = [
        (folder / kind / f"month={month}" / name, kind, month) for kind in KINDS for month in months
    ]
    for file, kind, month in planned:
        # Named before they are there, so that those that a kill leaves are known.
        con.execute(
            "INSERT INTO archives (file, kind, month) VALUES (?, ?, ?)", [str(file), kind, month]
        )
    for file, kind, month in planned:
        lease.private_directory(file.parent.parent)
        lease.private_directory(file.parent)
        con.execute("SET VARIABLE archived_month = ?", [month])
        rows = (
            f"(FROM {kind} WHERE execution_id IN (SELECT execution_id FROM chosen "
            "WHERE month = getvariable('archived_month')) "
            "ORDER BY started_at, execution_id)"
        )
        written = archive_files.write(con, rows, file)
        named.append((str(file), kind, written.rows, written.checksum))
        done.files.append(str(file))
    for kind, expected in zip(KINDS, (done.executions, done.attempts), strict=True):
        if sum(rows for _, k, rows, _ in named if k == kind) != expected:
            raise archive_files.ArchiveError(
                f"not all {kind} were written", "nothing was deleted; try it again"
            )
    failpoint("archive: all written")
    return named


def _take_out(con: duckdb.DuckDBPyConnection, written: list[_Named], done: Archived) -> None:
    if not done.executions:
        return
    con.execute("BEGIN")
    for file, _, count, checksum in written:
        con.execute(
            "UPDATE archives SET rows = ?, checksum = ?, archived_at = now() WHERE file = ?",
            [count, checksum, file],
        )
    show(con)
    chosen = "WHERE execution_id IN (SELECT execution_id FROM chosen)"
    days = con.execute(f"SELECT DISTINCT day FROM settled_executions {chosen}").fetchall()
    for kind in KINDS:
        con.execute(f"DELETE FROM settled_{kind} {chosen}")
    rollups.mark_days(con, [day for (day,) in days])
    con.execute(
        "DELETE FROM execution_keys WHERE day NOT IN (SELECT day FROM settled_executions "
        "UNION SELECT day FROM open_executions)"
    )
    con.execute("DROP TABLE chosen")
    failpoint("archive: before commit")
    con.execute("COMMIT")
    failpoint("archive: committed")


def show(con: duckdb.DuckDBPyConnection) -> None:
    """Makes the views `all_executions` and `all_attempts` anew; inside a transaction."""
    for kind in KINDS:
        rows: list[tuple[Any, ...]] = con.execute(
            "SELECT file FROM archives WHERE kind = ? AND archived_at IS NOT NULL ORDER BY file",
            [kind],
        ).fetchall()
        files = [Path(file) for (file,) in rows]
        archived = f" UNION ALL BY NAME FROM {parquet(*files)}" if files else ""
        con.execute(f"CREATE OR REPLACE VIEW all_{kind} AS FROM {kind}{archived}")
