"""Puts a copy of a backup in the store's place; the store that was there is kept beside it."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from otel_learning.errors import (
    InputError,
    StoreError,
    StoreLockedError,
)
from otel_learning.store import compaction, copying, lease, outbox, schema
from otel_learning.store.backup import REPLACED, TIMEOUT_SECONDS, copy_ledger, copy_private
from otel_learning.store.copying import beside
from otel_learning.store.drain import DrainSettings
from otel_learning.store.erasure import forget_again, sweep
from otel_learning.store.failpoints import failpoint

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore put in place."""

    executions: int
    replaced: Path | None
    """Where the store that was there lies now; None where there was none."""
    other_key: bool
    """Whether user ids are hashed with another key now; running applications keep the old one."""


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
            schema.refuse_newer(str(source), version)
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
    with (
        copying.database_errors(path),
        lease.exclusive(path, timeout_seconds),
        copying.draft_folder(path) as folder,
    ):
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
            new_generation(con)
            carry_over(con, known)
            con.execute("BEGIN")
            erased = forget_again(con, draft, window)
            con.execute("COMMIT")
            executions = _executions(con)
        if erased is not None:
            with lease.connection(draft, timeout_seconds) as con:
                sweep(con, draft)
            compaction.rewrite(draft, timeout_seconds)
        failpoint("restore: copied")
        other_key = _differs(beside(source, ".key"), beside(path, ".key"))
        replaced = keep_aside(path) if path.exists() else None
        failpoint("restore: kept aside")
        bring_ledger(draft, path)
        if other_key:
            copy_private(beside(source, ".key"), beside(draft, ".key"))
            beside(draft, ".key").rename(beside(path, ".key"))
        failpoint("restore: before the rename")
        draft.rename(path)
        failpoint("restore: in place")
    return Restored(executions, replaced, other_key)


def keep_aside(path: Path, name: str = REPLACED, *, with_wal: bool = True) -> Path:
    """Keeps a store, with what belongs to it, under another name; it also stays where it is.

    Only inside `lease.exclusive`.
    """
    kept = beside(path, name + copying.stamp())
    ledger = beside(path, ".ledger")
    if ledger.is_dir():
        lease.private_directory(beside(kept, ".ledger"))
        for entry in ledger.iterdir():
            link(entry, beside(kept, ".ledger") / entry.name)
    if beside(path, ".key").exists():
        copy_private(beside(path, ".key"), beside(kept, ".key"))
    if with_wal and beside(path, ".wal").exists():
        # A log must not be read into the file that comes into this one's place.
        beside(path, ".wal").rename(beside(kept, ".wal"))
    link(path, kept)
    return kept


def link(source: Path, target: Path) -> None:
    """A second name, or a copy where the file system has none; neither file changes in place."""
    try:
        os.link(source, target)
    except OSError:
        copy_private(source, target)


def bring_ledger(draft: Path, path: Path) -> None:
    """Puts the ledger files beside those of the store; a later drain removes what it names not."""
    if not beside(draft, ".ledger").is_dir():
        return
    lease.private_directory(beside(path, ".ledger"))
    for entry in beside(draft, ".ledger").iterdir():
        entry.rename(beside(path, ".ledger") / entry.name)


class Known(NamedTuple):
    """What a store knows that the one in its place must know, too."""

    copies: list[tuple[object, ...]]
    forgotten: list[tuple[object, ...]]
    """Hashes of ids that must not come back."""
    published: outbox.Left


def known_of(path: Path, timeout_seconds: float) -> Known:
    """What the store that goes knows of its copies, of erased ids, and of a lake."""
    import duckdb

    nothing = Known([], [], (None, []))
    if not path.exists():
        return nothing
    try:
        copying.fold_in_wal(path, timeout_seconds)
        with lease.connection(path, timeout_seconds, read_only=True) as con:
            return Known(
                con.execute("FROM backups").fetchall(),
                con.execute("FROM forgotten").fetchall(),
                outbox.left(con),
            )
    except StoreLockedError:
        raise
    except (StoreError, duckdb.Error):
        return nothing  # a store that cannot be opened is a reason to restore one


def carry_over(con: duckdb.DuckDBPyConnection, known: Known) -> None:
    for copy in known.copies:
        con.execute(
            "INSERT INTO backups SELECT ?, ? WHERE NOT EXISTS (FROM backups WHERE path = ?)",
            [*copy, copy[0]],
        )
    for row in known.forgotten:
        con.execute("INSERT INTO forgotten VALUES (?, ?, ?, ?)", list(row))
    outbox.take_over(con, known.published)


def _executions(con: duckdb.DuckDBPyConnection) -> int:
    row = lease.one(con, "SELECT count(*) FROM executions")
    return int(row[0]) if row else 0


def new_generation(con: duckdb.DuckDBPyConnection) -> None:
    """What other processes have of the ledger in memory is void from the next drain on."""
    con.execute("UPDATE generations SET generation = ?", [secrets.randbits(62)])


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
