"""Copies the store while the application runs.

A backup is a store like any other: `<backup>`, `<backup>.ledger` and `<backup>.key`. What had
not been drained when it was made is not in it, and the names of the segments that had been are.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_learning.errors import (
    InputError,
    StoreMissingError,
)
from otel_learning.store import copying, lease, schema
from otel_learning.store.copying import beside
from otel_learning.store.drain import Drainer, DrainSettings
from otel_learning.store.expired import filter_files
from otel_learning.store.failpoints import failpoint

if TYPE_CHECKING:
    pass

FOLDER: Final = ".backups"
REPLACED: Final = ".replaced-"
DAMAGED: Final = ".damaged-"
_NO_STORES: Final = (".key", ".wal", ".lock", ".ledger")
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
    with (
        copying.database_errors(path),
        lease.exclusive(path, timeout_seconds),
        copying.draft_folder(destination) as folder,
    ):
        copying.fold_in_wal(path, timeout_seconds)
        copying.need_room(folder, sum(copying.size_of(beside(path, s)) for s in ("", ".ledger")))
        draft = folder / destination.name
        failpoint("backup: begun")
        rows = copying.copy_store(path, draft, timeout_seconds)
        copy_ledger(path, draft, timeout_seconds)
        if beside(path, ".key").exists():
            copy_private(beside(path, ".key"), beside(draft, ".key"))
        failpoint("backup: copied")
        with lease.attached(draft, timeout_seconds) as con:
            if copying.counts(con, "store") != rows:
                raise copying.CopyError(f"the backup {destination} is not whole", "make another")
        failpoint("backup: verified")
        # Recorded first: a copy that is named and was never made harms nobody.
        with lease.connection(path, timeout_seconds) as con:
            schema.upgrade(con, str(path))
            con.execute("INSERT INTO backups VALUES (?, ?)", [str(destination), made_at])
        failpoint("backup: recorded")
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
        failpoint("backup: between renames")
    draft.rename(destination)


def copy_ledger(source: Path, target: Path, timeout_seconds: float) -> None:
    """Copies the ledger files that the store's tables name; the others are about to go."""
    with lease.attached(source, timeout_seconds) as con:
        names = [str(name) for (name,) in con.execute("SELECT file FROM store.ledger").fetchall()]
        names += filter_files(con, "store")
    if names:
        lease.private_directory(beside(target, ".ledger"))
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            # Readers take a file that is gone for one that has expired.
            copy_private(beside(source, ".ledger") / name, beside(target, ".ledger") / name)


def copy_private(source: Path, target: Path) -> None:
    """Copies a file so that its owner alone can read the copy."""
    body = source.open("rb")
    with body:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as copy:
            shutil.copyfileobj(body, copy, 1024 * 1024)


def backups_of(path: Path) -> list[Path]:
    """Our backups of a store, the oldest first."""
    folder = beside(path, FOLDER)
    if not folder.is_dir():
        return []
    return _stores(list(folder.iterdir()))


def stores_beside(path: Path) -> list[Path]:
    """Our backups of a store, and the stores that were kept aside when another came in."""
    found = backups_of(path)
    for kind in (REPLACED, DAMAGED):
        prefix = path.name + kind
        found += [entry for entry in path.parent.iterdir() if entry.name.startswith(prefix)]
    return _stores(found)


def _stores(found: list[Path]) -> list[Path]:
    return sorted(f for f in found if f.is_file() and not f.name.endswith(_NO_STORES))
