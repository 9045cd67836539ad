"""Repairs a store: segments cut short, a log that does not replay, a file that is damaged.

What can be read goes into a new file; what is missing there and still in the ledger's files is
put together anew. Every original is kept beside the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_learning.assembly.assemble import execution_id
from otel_learning.assembly.correlation import correlate
from otel_learning.errors import (
    InputError,
    OtelLearningError,
    SchemaVersionError,
    StoreError,
    StoreLockedError,
    StoreMissingError,
)
from otel_learning.observation import Observation
from otel_learning.store import (
    backup,
    copying,
    day_keys,
    forgotten,
    lease,
    restore,
    rollups,
    salvage,
    schema,
    segments,
)
from otel_learning.store.breath import DRAIN_BREATH_SECONDS, Breather
from otel_learning.store.copying import beside
from otel_learning.store.drain import Drainer, DrainSettings, ensure_store
from otel_learning.store.failpoints import failpoint
from otel_learning.store.ledger import Ledger
from otel_learning.store.ledger_files import LedgerFiles
from otel_learning.store.merge import Merger
from otel_learning.store.spool import Segment, Spool

if TYPE_CHECKING:
    import duckdb

TIMEOUT_SECONDS: Final = 60.0
_WHOLE: Final = """
SELECT execution_id FROM executions AS e LEFT JOIN (
    SELECT execution_id, count(*) AS found FROM attempts GROUP BY ALL
) AS a USING (execution_id)
WHERE coalesce(e.attempt_count, 0) <= coalesce(a.found, 0)
"""


@dataclass(slots=True)
class Repaired:
    """What was found and what was done."""

    sound: bool = True
    """Nothing was wrong, and nothing was changed."""
    segments_recovered: int = 0
    segments_lost: int = 0
    """Segments of which nothing can be read; they are kept."""
    wal: str = "none"
    """`none`, `replayed`, or `set aside`."""
    tables: dict[str, dict[str, int]] = field(default_factory=dict)
    """Where the file was written anew: rows kept, and rows that could not be read, by table."""
    executions_rebuilt: int = 0
    """Executions that were missing and were put together anew from the ledger's files."""
    base: str | None = None
    """The backup that was taken where the file itself could not be opened."""
    lost: list[str] = field(default_factory=list)
    """In words: what is missing, or may be."""
    kept: list[str] = field(default_factory=list)
    """Originals that were kept."""


def repair(
    path: Path,
    *,
    settings: DrainSettings | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Repaired:
    """Looks the store over, and repairs what is wrong. A sound store is left as it is.

    Raises:
        StoreMissingError: there is no store.
        StoreLockedError: it was not free in time.
        DiskFullError: there is no room for a second copy; nothing was changed.
        StoreError: nothing can be written beside it, or a newer release wrote it.
    """
    settings = settings or DrainSettings()
    done = Repaired()
    with copying.database_errors(path), lease.exclusive(path, timeout_seconds):
        if not _sound(path, timeout_seconds, done):
            done.sound = False
            _rebuild(path, settings, timeout_seconds, done)
        tried = _salvage_segments(path, done)
    if done.segments_recovered:
        Drainer(path, settings).drain(timeout_seconds)
        for segment in tried:
            if (segment.path.parent / "broken" / segment.name).exists():
                done.segments_recovered -= 1
                _give_up(segment.path.parent / "broken" / segment.name, done)
    return done


# ------------------------------------------------------------------------------ the store file


def _sound(path: Path, timeout_seconds: float, done: Repaired) -> bool:
    """Whether every value of every table can be read, and the log replays."""
    wal = beside(path, ".wal")
    logged = copying.size_of(wal)
    try:
        with copying.database_errors(path), lease.attached(path, timeout_seconds) as con:
            found = copying.tables(con, "store")
            if found and '"main"."schema_migrations"' not in found:
                raise InputError(f"{path} is another program's database", "name a learning store")
            newest = lease.one(con, "SELECT max(version) FROM store.schema_migrations")
            if newest and newest[0] is not None:
                schema.refuse_newer(str(path), int(newest[0]))
            if salvage.unreadable_tables(con):
                return False
        if logged:
            copying.fold_in_wal(path, timeout_seconds)
            done.wal = "replayed"
    except (StoreLockedError, SchemaVersionError, StoreMissingError):
        raise
    except StoreError:
        return False
    return True


def _rebuild(path: Path, settings: DrainSettings, timeout_seconds: float, done: Repaired) -> None:
    copying.need_room(path.parent, copying.size_of(path) + copying.size_of(beside(path, ".ledger")))
    with copying.draft_folder(path) as folder:
        # Under another name the file has no log beside it.
        bare = folder / "damaged.duckdb"
        restore.link(path, bare)
        draft = folder / path.name
        _fill(path, bare, draft, timeout_seconds, done)
        lease.private_directory(beside(draft, ".ledger"))
        for file in _ledger_files(path):
            target = beside(draft, ".ledger") / file.name
            if not target.exists():
                restore.link(file, target)
        done.executions_rebuilt = _replay(draft, settings, timeout_seconds)
        copying.fold_in_wal(draft, timeout_seconds)
        failpoint("repair: rebuilt")
        wal = beside(path, ".wal")
        kept = restore.keep_aside(path, backup.DAMAGED, with_wal=False)
        done.kept.append(str(kept))
        failpoint("repair: kept aside")
        restore.bring_ledger(draft, path)
        draft.rename(path)
        failpoint("repair: in place")
        # A kill before this leaves a log that does not match, which the next repair sets aside.
        if wal.exists():
            aside = beside(path, f".wal.broken-{copying.stamp()}")
            wal.rename(aside)
            if copying.size_of(aside):
                done.wal = "set aside"
                done.kept.append(str(aside))
                done.lost.append(
                    "what was committed to the log and is in no ledger file: feedback notes, "
                    "counts of losses, settling"
                )
            else:
                aside.unlink()


def _fill(path: Path, bare: Path, draft: Path, timeout_seconds: float, done: Repaired) -> None:
    """What can be read of the file; where it does not open, the newest backup, else nothing."""
    try:
        found = salvage.copy_readable(bare, draft, timeout_seconds)
    except StoreError as error:
        draft.unlink(missing_ok=True)
        done.lost.append(f"the file does not open: {error.args[0]}")
    else:
        for table, (rows, lost) in found.items():
            name = table.replace('"', "").removeprefix("main.")
            done.tables[name] = {"rows": rows, "lost": lost}
            if lost:
                done.lost.append(f"{lost} rows of {name} could not be read")
        return
    for store in sorted(backup.backups_of(path), reverse=True):
        try:
            copying.copy_store(store, draft, timeout_seconds)
            backup.copy_ledger(store, draft, timeout_seconds)
        except OtelLearningError:
            draft.unlink(missing_ok=True)
        else:
            done.base = str(store)
            with lease.connection(draft, timeout_seconds) as con:
                schema.upgrade(con, str(draft), on_drain=False)
            done.lost.append("what is neither in that backup nor in the ledger's files")
            return
    if not _ledger_files(path):
        raise StoreError(
            f"{path} does not open, and there is neither a ledger nor a backup beside it",
            "is it a learning store? nothing was changed",
        )
    ensure_store(draft)
    done.lost.append("what is not in the ledger's files, and there is no backup beside the store")


def _replay(draft: Path, settings: DrainSettings, timeout_seconds: float) -> int:
    """Puts executions together that the ledger's files tell of and the tables do not hold."""
    with lease.connection(draft, timeout_seconds) as con:
        before = _count(con)
        merger = Merger(
            Ledger(draft), settings.correlation_window_seconds, Breather(DRAIN_BREATH_SECONDS)
        )
        for observations in _missing(con, draft, settings.correlation_window_seconds):
            con.execute("BEGIN")
            left, _ = forgotten.without(con, observations, settings.correlation_window_seconds)
            merger.merge(con, left)
            con.execute("COMMIT")
        restore.new_generation(con)
        day_keys.rebuild(con)
        rollups.begin_anew(con)
        return _count(con) - before


def _missing(
    con: duckdb.DuckDBPyConnection, draft: Path, window_seconds: float
) -> Iterator[list[Observation]]:
    """Observations of files that no row names, then one of each execution that is not there."""
    files = LedgerFiles(draft)
    named = {str(file) for (file,) in con.execute("SELECT file FROM ledger").fetchall()}
    for file in sorted(_ledger_files(draft), key=_drain_of):
        if file.name not in named:
            yield files.read(file.name) or []
    whole = con.execute(_WHOLE).fetchall()
    known = {str(identity) for (identity,) in whole}
    for name in sorted(named):
        for group in correlate(files.read(name) or [], window_seconds).groups:
            identity = execution_id(group)
            if identity not in known:
                for kind in ("settled", "open"):
                    con.execute(f"DELETE FROM {kind}_attempts WHERE execution_id = ?", [identity])
                # The rest of it is found by the ledger's keys.
                yield group.observations[:1]


def _ledger_files(path: Path) -> list[Path]:
    folder = beside(path, ".ledger")
    return sorted(folder.glob("*-*-*.zst")) if folder.is_dir() else []


def _drain_of(file: Path) -> int:
    first = file.name.partition("-")[0]
    return int(first) if first.isdigit() else 0


def _count(con: duckdb.DuckDBPyConnection) -> int:
    row = lease.one(con, "SELECT count(*) FROM executions")
    return int(row[0]) if row else 0


# ------------------------------------------------------------------------------------ segments


def _salvage_segments(path: Path, done: Repaired) -> list[Segment]:
    """Brings back what can be read of segments that were set aside; they are drained after.

    Returns those that are sound as files, and may be set aside again.
    """
    spool = Spool(path)
    tried = []
    for file in spool.broken():
        if not file.is_file():
            continue
        done.sound = False
        segment = Segment(file, segments.FORMAT, file.stat().st_size)
        try:
            spool.read(segment)
        except OtelLearningError:
            whole = salvage.whole_observations(file.read_bytes())
            if not whole:
                _give_up(file, done)
                continue
            spool.write(segments.encode(whole))
            failpoint("repair: segment recovered")
            aside = spool.folder / "recovered" / file.name
            lease.private_directory(aside.parent)
            file.rename(aside)
            done.kept.append(str(aside))
            done.lost.append(f"what was behind the cut of {file.name}")
        except OSError:
            _give_up(file, done)
            continue
        else:
            # Sound as a file: another release may be able to store it.
            back = spool.folder / file.name
            file.rename(back)
            tried.append(Segment(back, segments.FORMAT, segment.size))
        done.segments_recovered += 1
    return tried


def _give_up(file: Path, done: Repaired) -> None:
    done.segments_lost += 1
    done.kept.append(str(file))
