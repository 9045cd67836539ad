"""Erases a task, trace, session or user from the store and all that we keep beside it (rule R5).

Tables and ledger in one transaction with the hashes that keep a replay out; then the waiting
segments, the archives and our backups, each at once or not at all. Whatever step a kill falls
on, the same command again brings it to its end.
"""

from __future__ import annotations

import glob
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from otel_learning.errors import OtelLearningError, StoreMissingError
from otel_learning.mapping.privacy import hash_user
from otel_learning.store import (
    compaction,
    copying,
    exporting,
    forgotten,
    lease,
    schema,
    segments,
    torn,
)
from otel_learning.store.archive_files import erase_archived, missing, remove_orphans
from otel_learning.store.backup import FOLDER, stores_beside
from otel_learning.store.copying import beside
from otel_learning.store.drain import Drainer, DrainSettings
from otel_learning.store.erasure import Erased, erase, sweep
from otel_learning.store.failpoints import failpoint
from otel_learning.store.forgotten import Id, ids_of
from otel_learning.store.spool import Spool

TIMEOUT_SECONDS: Final = 60.0
_STALE_SECONDS: Final = 60.0
"""How old a segment's draft is before it counts as left behind; writing one takes milliseconds."""


@dataclass(slots=True)
class Forgotten:
    """What was erased, and what was not reached."""

    executions: int = 0
    attempts: int = 0
    feedback: int = 0
    observations: int = 0
    archives: int = 0
    """Archive files that were written anew."""
    backups: int = 0
    """Backups, and stores kept aside, that something was erased from."""
    read_copies: int = 0
    """Read copies that were made anew."""
    unreachable: list[str] = field(default_factory=list)
    """Files that hold it, or may hold it, and have to be looked after by hand."""


def forget(
    path: Path,
    wanted: set[Id],
    *,
    user: str | None = None,
    settings: DrainSettings | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Forgotten:
    """Erases every execution that stands under one of the ids, whole.

    Args:
        path: the store.
        wanted: ids of the kinds `task_id`, `trace_id`, `session_id`, `user_hash`.
        user: a user's plain name, hashed with the key of each store.
        settings: how to drain.
        timeout_seconds: how long to wait for the store.

    Raises:
        StoreMissingError: there is no store.
        StoreLockedError: it was not free in time.
        StoreError: it cannot be read or written.
    """
    if not path.exists():
        raise StoreMissingError(f"there is no store at {path}", "name one with --db")
    settings = settings or DrainSettings()
    window = settings.correlation_window_seconds
    done = Forgotten()
    # What waits goes into the store first, so that parts of one execution are erased together.
    Drainer(path, settings).drain(timeout_seconds)
    with copying.database_errors(path), lease.exclusive(path, timeout_seconds):
        _remove_unfinished(path, timeout_seconds)
        mine = wanted | _of_user(path, path, user)
        erased = _erase_from(path, mine, window, timeout_seconds, done)
        done.executions += erased.executions
        done.attempts += erased.attempts
        done.feedback, done.observations = erased.feedback, erased.observations
        done.observations += _erase_from_spool(path, erased.ids)
        _look_at_broken(path, erased.ids, done)
        for store in stores_beside(path):
            theirs = wanted | _of_user(store, path, user)
            try:
                found = _erase_from(store, theirs, window, timeout_seconds, done)
            except OtelLearningError:
                done.unreachable.append(str(store))
            else:
                done.backups += bool(found.executions or found.observations or found.feedback)
        with lease.connection(path, timeout_seconds, read_only=True) as con:
            copies = con.execute("SELECT DISTINCT path FROM backups ORDER BY 1").fetchall()
        folder = beside(path, FOLDER)
        elsewhere = [Path(copy) for (copy,) in copies if Path(copy).parent != folder]
        for copy in elsewhere:
            exporting.remove_unfinished(copy)
            if exporting.renew(path, copy, timeout_seconds):
                done.read_copies += 1
            else:
                done.unreachable.append(str(copy))
        done.unreachable = list(dict.fromkeys(done.unreachable))
    return done


def _of_user(store: Path, main: Path, user: str | None) -> set[Id]:
    if user is None:
        return set()
    found: set[Id] = set()
    for key in (beside(store, ".key"), beside(main, ".key")):
        if key.exists():
            found.add(("user_hash", hash_user(user, key.read_bytes())))
    return found


def _remove_unfinished(path: Path, timeout_seconds: float) -> None:
    """What killed commands left half done may hold copies of anything."""
    copying.sweep(path.parent, path.name)
    copying.sweep(beside(path, FOLDER), None)
    for block in path.parent.glob(f"{glob.escape(path.name)}{torn.KEPT}*"):
        block.unlink(missing_ok=True)
    with lease.connection(path, timeout_seconds) as con:
        schema.upgrade(con, str(path))
        remove_orphans(con, path, timeout_seconds)


def _erase_from(
    store: Path,
    wanted: set[Id],
    window_seconds: float,
    timeout_seconds: float,
    done: Forgotten,
) -> Erased:
    """One store: the archives that it names, then its tables and its ledger in one transaction.

    Then the file is written anew.
    """
    with copying.database_errors(store), lease.connection(store, timeout_seconds) as con:
        schema.upgrade(con, str(store), on_drain=False)
        files, executions, attempts = erase_archived(con, wanted)
        done.archives += files
        done.executions += executions
        done.attempts += attempts
        done.unreachable += [str(file) for file in missing(con)]
        con.execute("BEGIN")
        erased = erase(con, store, wanted, window_seconds)
        known = forgotten.recogniser(con) or _nothing
        forgotten.remember(con, [one for one in erased.ids if not known(one)])
        something = erased.executions or erased.observations or erased.feedback
        if something:
            con.execute("INSERT INTO forgotten VALUES (?, '', '', now())", [forgotten.DUE])
        failpoint("forget: before commit")
        con.execute("COMMIT")
        failpoint("forget: committed")
        sweep(con, store)
        row = lease.one(con, "SELECT count(*) FROM forgotten WHERE kind = ?", [forgotten.DUE])
        due = bool(row and row[0])
    failpoint("forget: swept")
    if due:
        # Deleted rows stay in the file as bytes until it is written anew.
        compaction.rewrite(store, timeout_seconds)
        with lease.connection(store, timeout_seconds) as con:
            con.execute("DELETE FROM forgotten WHERE kind = ?", [forgotten.DUE])
            con.execute("FORCE CHECKPOINT")
        failpoint("forget: compacted")
    return erased


def _nothing(_: Id) -> bool:
    return False


# ------------------------------------------------------------------------------------- spool


def _erase_from_spool(path: Path, ids: set[Id]) -> int:
    """Observations that came while the store was being worked on; how many were erased."""
    spool, count = Spool(path), 0
    for segment in spool.list():
        try:
            contents = spool.read(segment)
        except (OtelLearningError, OSError):
            continue  # the next drain sets it aside, or waits until it can be read
        kept = [o for o in contents.observations if ids.isdisjoint(ids_of(o))]
        if len(kept) < len(contents.observations):
            count += len(contents.observations) - len(kept)
            spool.replace(segment, segments.encode(kept, contents.notes))
            failpoint("forget: segment replaced")
    return count


def _look_at_broken(path: Path, ids: set[Id], done: Forgotten) -> None:
    """Names files that cannot be read as what they are, and hold one of the ids as bytes."""
    words = [value.encode("utf-8", "replace") for kind, value in ids if kind != "span_id"]
    for file in _unread(path):
        try:
            body = file.read_bytes()
            if not any(word in body for word in words):
                continue
            if file.suffix == ".draft" and time.time() - file.stat().st_mtime > _STALE_SECONDS:
                file.unlink()  # whoever wrote it was killed
                continue
        except FileNotFoundError:
            continue
        except OSError:
            pass
        done.unreachable.append(str(file))


def _unread(path: Path) -> Iterator[Path]:
    spool = Spool(path)
    yield from (file for file in spool.broken() if file.is_file())
    yield from sorted(spool.folder.glob("*.draft"))
    recovered = spool.folder / "recovered"
    yield from sorted(recovered.iterdir()) if recovered.is_dir() else ()
    yield from (segment.path for segment in spool.list() if segment.format > segments.FORMAT)
    yield from sorted(path.parent.glob(f"{path.name}.wal.broken-*"))
