"""Takes a store's schema up and back on request: a copy of the store first, then the steps.

A drain takes the quick steps up by itself; this is for the others, and for the way back.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_learning.errors import StoreError, StoreMissingError
from otel_learning.store import copying, lease, schema
from otel_learning.store.backup import FOLDER, copy_ledger
from otel_learning.store.copying import beside
from otel_learning.store.drain import ensure_store
from otel_learning.store.failpoints import failpoint
from otel_learning.store.ledger_files import LedgerFiles
from otel_learning.store.restore import carry_over, known_of, new_generation
from otel_learning.store.spool import Spool
from otel_learning.store.validation import Check, validate

if TYPE_CHECKING:
    import duckdb

TIMEOUT_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Step:
    """One step, and what became of it in a store."""

    version: int
    name: str
    applied_at: datetime | None
    """None where it waits."""
    on_drain: bool
    """Whether the next drain takes it; else `migrate upgrade` does."""
    loses: str | None
    """What goes with the way back; None where nothing does, or there is none."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What a migration did."""

    version: int
    """The schema version now."""
    steps: list[str]
    backup: Path | None
    """The copy of the store as it was; None where there was nothing to do."""


def status(path: Path, timeout_seconds: float = TIMEOUT_SECONDS) -> list[Step]:
    """Every step that the store has taken or this release knows, in order; changes nothing.

    Raises:
        StoreMissingError: there is no store.
        StoreLockedError: it was not free in time.
    """
    with _reading(path, timeout_seconds) as con:
        rows = con.execute("SELECT version, name, applied_at FROM schema_migrations").fetchall()
        count = con.execute("SELECT count(*) FROM settled_executions").fetchall()[0][0]
    taken = {int(version): (str(name), applied_at) for version, name, applied_at in rows}
    known = {step.version: step for step in schema.migrations()}
    found = []
    for version in sorted(taken.keys() | known.keys()):
        step = known.get(version)
        name, applied_at = taken.get(version, (step.name if step else "", None))
        quick = step is not None and applied_at is None and count < step.executions_on_drain
        found.append(Step(version, name, applied_at, quick, step.loses if step else None))
    return found


def upgrade(path: Path, timeout_seconds: float = TIMEOUT_SECONDS) -> Moved:
    """Takes every step that waits. Where none does, nothing happens.

    Raises:
        SchemaVersionError: the store is newer than this release.
        StoreMissingError, StoreLockedError: there is none, or it was not free in time.
        StoreError: a step failed; the store is as it was before that step.
    """
    return _move(
        path, timeout_seconds,
        lambda con: schema.checked(schema.applied(con), str(path)),
        lambda con: schema.upgrade(con, str(path), on_drain=False),
    )  # fmt: skip


def downgrade(path: Path, version: int, timeout_seconds: float = TIMEOUT_SECONDS) -> Moved:
    """Takes the steps above `version` back, so that an older release opens the store.

    Raises as `upgrade`, and StoreError where a step has no way back.
    """
    return _move(
        path, timeout_seconds,
        lambda con: schema.to_take_back(schema.applied(con), str(path), version),
        lambda con: schema.downgrade(con, str(path), version),
    )  # fmt: skip


def lost_by(path: Path, version: int, timeout_seconds: float = TIMEOUT_SECONDS) -> list[str]:
    """What the way back to `version` would lose. Raises as `downgrade`; changes nothing."""
    with _reading(path, timeout_seconds) as con:
        steps = schema.to_take_back(schema.applied(con), str(path), version)
    return [step.loses for step in steps if step.loses]


def check(path: Path, timeout_seconds: float = TIMEOUT_SECONDS) -> list[Check]:
    """Whether the store is sound. What it writes to find out is rolled back."""
    with (
        lease.exclusive(_there(path), timeout_seconds),
        lease.connection(path, timeout_seconds) as con,
    ):
        return validate(con, path)


def reset(path: Path, timeout_seconds: float = TIMEOUT_SECONDS) -> Path:
    """Begins anew with an empty store, ledger and spool; returns the copy of what was there.

    Raises:
        StoreMissingError, StoreLockedError: there is none, or it was not free in time.
    """
    with lease.exclusive(_there(path), timeout_seconds):
        copy = _keep(path, timeout_seconds)
        known = known_of(path, timeout_seconds)
        failpoint("reset: kept")
        # What waits is of the store that goes. An application that is writing goes on.
        spool = Spool(path)
        for segment in spool.list():
            spool.remove(segment)
        path.unlink()
        beside(path, ".wal").unlink(missing_ok=True)
        failpoint("reset: gone")
        ensure_store(path)
        LedgerFiles(path).keep_only(set())
        with lease.connection(path, timeout_seconds) as con:
            # Who was erased stays so, and whoever has read the old store must notice.
            carry_over(con, known)
            new_generation(con)
    return copy


def _move(
    path: Path,
    timeout_seconds: float,
    pending: Callable[[Any], list[schema.Migration]],
    move: Callable[[Any], list[schema.Migration]],
) -> Moved:
    import duckdb

    with lease.exclusive(_there(path), timeout_seconds):
        with lease.connection(path, timeout_seconds) as con:
            waiting = pending(con)
            if not waiting:
                return Moved(max(schema.applied(con), default=0), [], None)
        copy = _keep(path, timeout_seconds)
        failpoint("migrate: kept")
        with lease.connection(path, timeout_seconds) as con:
            try:
                steps = move(con)
            except duckdb.Error as error:
                raise StoreError(
                    f"the store {path} could not be migrated: {error}", f"a copy is at {copy}"
                ) from error
            failpoint("migrate: done")
            version = max(schema.applied(con), default=0)
    return Moved(version, [f"{step.version} {step.name}" for step in steps], copy)


def _keep(path: Path, timeout_seconds: float) -> Path:
    """Copies the store as it is, of whatever schema, into the folder of its backups."""
    folder = beside(path, FOLDER)
    lease.private_directory(folder)
    target = folder / f"{path.stem}-before-migration-{copying.stamp()}{path.suffix}"
    with copying.draft_folder(target) as drafts:
        copying.fold_in_wal(path, timeout_seconds)
        copying.need_room(drafts, path.stat().st_size)
        draft = drafts / target.name
        copying.copy_store(path, draft, timeout_seconds)
        copy_ledger(path, draft, timeout_seconds)
        ledger = beside(draft, ".ledger")
        if ledger.exists():
            shutil.move(ledger, beside(target, ".ledger"))
        draft.rename(target)
    return target


@contextlib.contextmanager
def _reading(path: Path, timeout_seconds: float) -> Iterator[duckdb.DuckDBPyConnection]:
    with (
        lease.exclusive(_there(path), timeout_seconds),
        lease.connection(path, timeout_seconds, read_only=True) as con,
    ):
        yield con


def _there(path: Path) -> Path:
    if not path.exists():
        raise StoreMissingError(f"there is no store at {path}", "name one with --db")
    return path
