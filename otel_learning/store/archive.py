"""Moves what is old into Parquet files beside the store, and shows it with the live rows.

Part by part the files are written, synced and read back before one transaction names them, shows
them in the views `all_executions` and `all_attempts`, and deletes the rows. So a row is visible
once, whatever step a kill falls on: a file that no store names is no archive yet, and the next
archive removes it. Others can read while files are written, and drain between two parts.
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
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
from otel_learning.store.transaction import transaction

if TYPE_CHECKING:
    import duckdb

COMPACTED_SHARE: Final = 0.2
"""The file is rewritten when so much has gone; otherwise what comes next uses the space left."""
PART_EXECUTIONS: Final = 10_000
"""Taken out in one transaction: nobody can read meanwhile. A day goes whole."""
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
    """Executions that are old enough, and stay since the ledger may still add to them, or since a
    lake has not been told of them."""
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
    cutoff = datetime.now(UTC) - timedelta(days=days)
    Drainer(path, settings).drain(timeout_seconds)
    with copying.database_errors(path):
        with lease.exclusive(path, timeout_seconds):
            with lease.connection(path, timeout_seconds) as con:
                schema.upgrade(con, str(path))
                archive_files.remove_orphans(con, path, timeout_seconds)
            with lease.connection(path, timeout_seconds, read_only=True) as con:
                total, parts = _plan(con, cutoff)
        for part in parts:
            # Between two parts drains have their turn.
            with lease.exclusive(path, timeout_seconds):
                _take(path, folder, part, cutoff, delete, timeout_seconds, done)
        if done.executions and done.executions >= COMPACTED_SHARE * total:
            # Without room for a second copy the space is used again by what comes next.
            with contextlib.suppress(copying.DiskFullError):
                compaction.compact(path, timeout_seconds)
    done.bytes_after = path.stat().st_size
    return done


@dataclass(frozen=True, slots=True)
class _Part:
    """Days of one month, whose executions are taken out together."""

    first: date
    last: date


def _plan(con: duckdb.DuckDBPyConnection, cutoff: datetime) -> tuple[int, list[_Part]]:
    """How many executions there are, and in what parts the old ones are taken out."""
    row = lease.one(con, "SELECT count(*) FROM settled_executions")
    days = con.execute(
        "SELECT day, count(*) FROM settled_executions WHERE started_at < ? GROUP BY day "
        "ORDER BY day", [cutoff],
    ).fetchall()  # fmt: skip
    parts: list[_Part] = []
    size = 0
    for day, count in days:
        if parts and size + count <= PART_EXECUTIONS and _month(parts[-1].first) == _month(day):
            parts[-1] = _Part(parts[-1].first, day)
            size += count
        else:
            parts.append(_Part(day, day))
            size = count
    return int(row[0]) if row else 0, parts


def _month(day: date) -> str:
    return f"{day:%Y-%m}"


def _take(
    path: Path, folder: Path, part: _Part, cutoff: datetime, delete: bool, timeout_seconds: float,
    done: Archived,
) -> None:  # fmt: skip
    """Takes one part out. The file is held against readers only while names and rows change."""
    planned = {} if delete else _names(folder, part)
    with lease.connection(path, timeout_seconds) as con:
        for kind, file in planned.items():
            # Named before they are there, so that those that a kill leaves are known.
            con.execute(
                "INSERT INTO archives (file, kind, month) VALUES (?, ?, ?)",
                [str(file), kind, _month(part.first)],
            )
    written: list[_Named] = []
    with lease.attached(path, timeout_seconds) as con:
        con.execute("USE store")
        held = _choose(con, part, cutoff)
        rows = con.execute("SELECT CAST(execution_id AS VARCHAR) FROM chosen").fetchall()
        chosen = [str(identity) for (identity,) in rows]
        if chosen:
            copying.need_room(path.parent, 0 if delete else len(chosen) * _BYTES_PER_ROW)
            try:
                written = [_write(con, kind, file) for kind, file in planned.items()]
            except OSError as error:
                raise StoreError(f"the store {path} could not be archived: {error}") from error
    failpoint("archive: all written")
    with lease.connection(path, timeout_seconds) as con:
        if chosen:
            attempts = _take_out(con, chosen, written)
            done.executions += len(chosen)
            done.attempts += attempts
            done.files += [file for file, *_ in written]
        else:
            con.execute("DELETE FROM archives WHERE archived_at IS NULL")
    done.kept += held
    failpoint("archive: committed")


def _choose(con: duckdb.DuckDBPyConnection, part: _Part, cutoff: datetime) -> int:
    """Fills the table `chosen` with the ids of what goes; returns how many are held back."""
    con.execute(
        "CREATE TEMP TABLE chosen AS SELECT execution_id FROM settled_executions "
        "WHERE started_at < ? AND day BETWEEN ? AND ?", [cutoff, part.first, part.last],
    )  # fmt: skip
    held = _held_by_ledger(con)
    con.register("held", pa.table({"execution_id": pa.array(held, pa.string())}))
    con.execute(
        "DELETE FROM chosen WHERE CAST(execution_id AS VARCHAR) IN (SELECT execution_id FROM held)"
    )
    con.unregister("held")
    # A lake takes its rows from the tables.
    kept = con.execute(
        "DELETE FROM chosen WHERE execution_id IN "
        "(SELECT id FROM unpublished WHERE kind = 'execution' AND change = 'written')"
    ).fetchall()
    return len(held) + int(kept[0][0])


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


def _names(folder: Path, part: _Part) -> dict[str, Path]:
    name = f"{copying.stamp()}-{secrets.token_hex(4)}.parquet"
    return {kind: folder / kind / f"month={_month(part.first)}" / name for kind in KINDS}


def _write(con: duckdb.DuckDBPyConnection, kind: str, file: Path) -> _Named:
    lease.private_directory(file.parent.parent.parent)
    lease.private_directory(file.parent.parent)
    lease.private_directory(file.parent)
    rows = (
        f"(FROM {kind} WHERE execution_id IN (SELECT execution_id FROM chosen) "
        "ORDER BY started_at, execution_id)"
    )
    written = archive_files.write(con, rows, file)
    return str(file), kind, written.rows, written.checksum


def _take_out(con: duckdb.DuckDBPyConnection, chosen: list[str], written: list[_Named]) -> int:
    """Deletes what was written, and shows the files instead; returns the attempts deleted."""
    con.register("named", pa.table({"execution_id": pa.array(chosen, pa.string())}))
    with transaction(con):
        con.execute(
            "CREATE TEMP TABLE chosen AS SELECT CAST(execution_id AS UUID) AS execution_id "
            "FROM named"
        )
        for file, _, count, checksum in written:
            con.execute(
                "UPDATE archives SET rows = ?, checksum = ?, archived_at = now() WHERE file = ?",
                [count, checksum, file],
            )
        show(con)
        within = "WHERE execution_id IN (SELECT execution_id FROM chosen)"
        days = con.execute(f"SELECT DISTINCT day FROM settled_executions {within}").fetchall()
        deleted = {
            kind: int(con.execute(f"DELETE FROM settled_{kind} {within}").fetchall()[0][0])
            for kind in KINDS
        }
        wanted = {kind: count for _, kind, count, _ in written} or deleted
        if deleted != wanted or deleted["executions"] != len(chosen):
            raise archive_files.ArchiveError(
                f"{wanted} were written, and {deleted} are there", "nothing was deleted; try again"
            )
        rollups.mark_days(con, [day for (day,) in days])
        con.execute(
            "DELETE FROM execution_keys WHERE day NOT IN (SELECT day FROM settled_executions "
            "UNION SELECT day FROM open_executions)"
        )
        failpoint("archive: before commit")
    con.unregister("named")
    return deleted["attempts"]


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
