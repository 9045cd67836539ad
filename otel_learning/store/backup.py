"""Copies the store while the application runs, and puts a copy back in its place.

A backup is a store like any other: `<backup>`, `<backup>.ledger` and `<backup>.key`. What had
not been drained when it was made is not in it, and the names of the segments that had been are.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_learning.errors import (
    InputError,
    SchemaVersionError,
    StoreError,
    StoreLockedError,
    StoreMissingError,
)
from otel_learning.store import compaction, copying, lease, schema
from otel_learning.store.copying import beside
from otel_learning.store.drain import Drainer, DrainSettings
from otel_learning.store.erasure import forget_again, sweep

if TYPE_CHECKING:
    import duckdb

FOLDER: Final = ".backups"
REPLACED: Final = ".replaced-"
TIMEOUT_SECONDS: Final = 30.0
_COMPANIONS: Final = (".ledger", ".key")
"""What belongs to a store beside its file. What waits in its spool belongs to the application."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished backup."""

    path: Path
    bytes: int
    executions: int
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore put in place."""

    executions: int
    replaced: Path | None
    """Where the store that was there lies now; None where there was none."""
    other_key: bool
    """Whether user ids are hashed with another key now; running applications keep the old one."""


def back_up(
    path: Path,
    destination: Path | None = None,
    *,
    settings: DrainSettings | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Backup:
    """Brings in what waits, then writes a verified copy of the store.

    Args:
        path: the store.
        destination: the file to write; by default one with the time in its name, in the folder
            `<store>.backups`, where `forget` reaches it.
        settings: how to drain.
        timeout_seconds: how long to wait for the store.

    Raises:
        InputError: there is a file at the destination.
        StoreMissingError: there is no store.
        StoreLockedError: it was not free in time.
        StoreError: it cannot be read, or the copy cannot be written.
    """
    if not path.exists():
        raise StoreMissingError(f"there is no store at {path}", "name one with --db")
    made_at = datetime.now(UTC)
    if destination is None:
        lease.private_directory(beside(path, FOLDER))
        destination = beside(path, FOLDER) / f"{path.stem}-{copying.stamp()}{path.suffix}"
    destination = destination.expanduser().resolve()
    if destination.exists() or destination == path:
        raise InputError(f"there is something at {destination}", "name a file that does not exist")
    destination.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    Drainer(path, settings).drain(timeout_seconds)
    with lease.exclusive(path, timeout_seconds), copying.draft_folder(destination) as folder:
        copying.fold_in_wal(path, timeout_seconds)
        copying.need_room(folder, sum(copying.size_of(beside(path, s)) for s in ("", ".ledger")))
        draft = folder / destination.name
        copying.failpoint("backup: begun")
        rows = copying.copy_store(path, draft, timeout_seconds)
        copy_ledger(path, draft, timeout_seconds)
        if beside(path, ".key").exists():
            _copy_private(beside(path, ".key"), beside(draft, ".key"))
        copying.failpoint("backup: copied")
        with lease.attached(draft, timeout_seconds) as con:
            if copying.counts(con, "store") != rows:
                raise copying.CopyError(f"the backup {destination} is not whole", "make another")
        copying.failpoint("backup: verified")
        # Recorded first: a copy that is named and was never made harms nobody.
        with lease.connection(path, timeout_seconds) as con:
            schema.upgrade(con, str(path))
            con.execute("INSERT INTO backups VALUES (?, ?)", [str(destination), made_at])
        copying.failpoint("backup: recorded")
        _place(draft, destination)
    executions = sum(rows[f'"main"."{kind}_executions"'] for kind in ("settled", "open"))
    total = sum(copying.size_of(beside(destination, s)) for s in ("", *_COMPANIONS))
    return Backup(destination, total, executions, made_at)


def _place(draft: Path, destination: Path) -> None:
    """The file itself last: where it is, everything is."""
    for suffix in _COMPANIONS:
        old = beside(destination, suffix)
        if old.is_dir():
            shutil.rmtree(old)
        if beside(draft, suffix).exists():
            beside(draft, suffix).rename(old)
        copying.failpoint("backup: between renames")
    draft.rename(destination)


def copy_ledger(source: Path, target: Path, timeout_seconds: float) -> None:
    """Copies the ledger files that the store's table names; the others are about to go."""
    with lease.attached(source, timeout_seconds) as con:
        names = [str(name) for (name,) in con.execute("SELECT file FROM store.ledger").fetchall()]
    if names:
        lease.private_directory(beside(target, ".ledger"))
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            # Readers take a file that is gone for one that has expired.
            _copy_private(beside(source, ".ledger") / name, beside(target, ".ledger") / name)


def _copy_private(source: Path, target: Path) -> None:
    body = source.open("rb")
    with body:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as copy:
            shutil.copyfileobj(body, copy, 1024 * 1024)


# ------------------------------------------------------------------------------------ restore


def examine(source: Path, timeout_seconds: float = TIMEOUT_SECONDS) -> int:
    """How many executions a backup holds.

    Raises:
        StoreMissingError: there is no such file.
        SchemaVersionError: it was written by a newer release.
        StoreError: it is no store, or cannot be read.
    """
    import duckdb

    try:
        with (
            _undisturbed(source, timeout_seconds),
            lease.attached(source, timeout_seconds) as con,
        ):
            row = lease.one(con, "SELECT max(version) FROM store.schema_migrations")
            version = int(row[0]) if row and row[0] is not None else 0
            if version > schema.supported_version():
                raise SchemaVersionError(str(source), version, schema.supported_version())
            found = copying.counts(con, "store")
            return sum(found[f'"main"."{kind}_executions"'] for kind in ("settled", "open"))
    except (duckdb.Error, KeyError) as error:
        raise StoreError(f"{source} is not a learning store: {error}") from error


def restore(
    path: Path,
    source: Path,
    *,
    settings: DrainSettings | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Restored:
    """Puts a copy of a backup in the store's place, and keeps the store that was there.

    One rename is the moment at which it happens. Applications go on: what they spooled and was
    not stored in the backup is drained into the restored store. What was forgotten since the
    backup, in the ledger's window, does not come back.

    Raises:
        StoreMissingError: there is no backup at `source`.
        SchemaVersionError: it was written by a newer release.
        StoreError: it is no store, or cannot be read; nothing was changed.
    """
    window = (settings or DrainSettings()).correlation_window_seconds
    source = source.expanduser().resolve()
    if source == path:
        raise InputError(f"{source} is the store itself", "name a backup")
    examine(source, timeout_seconds)
    path.parent.mkdir(parents=True, exist_ok=True)
    with lease.exclusive(path, timeout_seconds), copying.draft_folder(path) as folder:
        copying.need_room(
            folder,
            sum(copying.size_of(beside(source, s)) for s in ("", ".ledger"))
            + copying.size_of(beside(path, ".ledger")),
        )
        draft = folder / path.name
        with _undisturbed(source, timeout_seconds):
            copying.copy_store(source, draft, timeout_seconds)
            copy_ledger(source, draft, timeout_seconds)
        known = known_of(path, timeout_seconds)
        with lease.connection(draft, timeout_seconds) as con:
            schema.upgrade(con, str(source), on_drain=False)
            con.execute("UPDATE generations SET generation = ?", [secrets.randbits(62)])
            carry_over(con, known)
            con.execute("BEGIN")
            erased = forget_again(con, draft, window)
            con.execute("COMMIT")
            executions = _executions(con)
        if erased is not None:
            with lease.connection(draft, timeout_seconds) as con:
                sweep(con, draft)
            compaction.rewrite(draft, timeout_seconds)
        copying.failpoint("restore: copied")
        other_key = _differs(beside(source, ".key"), beside(path, ".key"))
        replaced = keep_aside(path) if path.exists() else None
        copying.failpoint("restore: kept aside")
        _bring_ledger(draft, path)
        if other_key:
            _copy_private(beside(source, ".key"), beside(draft, ".key"))
            beside(draft, ".key").rename(beside(path, ".key"))
        copying.failpoint("restore: before the rename")
        draft.rename(path)
        copying.failpoint("restore: in place")
    return Restored(executions, replaced, other_key)


def keep_aside(path: Path, name: str = REPLACED) -> Path:
    """Keeps a store, with what belongs to it, under another name; it also stays where it is.

    Only inside `lease.exclusive`.
    """
    kept = beside(path, name + copying.stamp())
    ledger = beside(path, ".ledger")
    if ledger.is_dir():
        lease.private_directory(beside(kept, ".ledger"))
        for entry in ledger.iterdir():
            _link(entry, beside(kept, ".ledger") / entry.name)
    if beside(path, ".key").exists():
        _copy_private(beside(path, ".key"), beside(kept, ".key"))
    if beside(path, ".wal").exists():
        # A log must not be read into the file that comes into this one's place.
        beside(path, ".wal").rename(beside(kept, ".wal"))
    _link(path, kept)
    return kept


def _link(source: Path, target: Path) -> None:
    """A second name, or a copy where the file system has none; neither file changes in place."""
    try:
        os.link(source, target)
    except OSError:
        _copy_private(source, target)


def _bring_ledger(draft: Path, path: Path) -> None:
    """Puts the ledger files beside those of the store; a later drain removes what it names not."""
    if not beside(draft, ".ledger").is_dir():
        return
    lease.private_directory(beside(path, ".ledger"))
    for entry in beside(draft, ".ledger").iterdir():
        entry.rename(beside(path, ".ledger") / entry.name)


Known = tuple[list[tuple[object, ...]], list[tuple[object, ...]]]


def known_of(path: Path, timeout_seconds: float) -> Known:
    """What the store that goes knows of its copies, and of ids that must not come back."""
    import duckdb

    if not path.exists():
        return [], []
    try:
        copying.fold_in_wal(path, timeout_seconds)
        with lease.connection(path, timeout_seconds, read_only=True) as con:
            copies = con.execute("FROM backups").fetchall()
            return copies, con.execute("FROM forgotten").fetchall()
    except StoreLockedError:
        raise
    except (StoreError, duckdb.Error):
        return [], []  # a store that cannot be opened is a reason to restore one


def carry_over(con: duckdb.DuckDBPyConnection, known: Known) -> None:
    copies, forgotten = known
    for copy in copies:
        con.execute(
            "INSERT INTO backups SELECT ?, ? WHERE NOT EXISTS (FROM backups WHERE path = ?)",
            [*copy, copy[0]],
        )
    for row in forgotten:
        con.execute("INSERT INTO forgotten VALUES (?, ?, ?, ?)", list(row))


def _executions(con: duckdb.DuckDBPyConnection) -> int:
    row = lease.one(con, "SELECT count(*) FROM executions")
    return int(row[0]) if row else 0


def _differs(theirs: Path, ours: Path) -> bool:
    if not theirs.exists():
        return False
    return not ours.exists() or theirs.read_bytes() != ours.read_bytes()


@contextlib.contextmanager
def _undisturbed(source: Path, timeout_seconds: float) -> Iterator[None]:
    """Another store that is in use may be restored from; a mere backup gets no lock file."""
    with contextlib.ExitStack() as stack:
        if beside(source, ".lock").exists():
            stack.enter_context(lease.exclusive(source, timeout_seconds))
        yield
