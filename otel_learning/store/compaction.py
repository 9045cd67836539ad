"""Rewrites the store file: what was deleted leaves it, and executions lie in time order again.

DuckDB reuses the space of deleted rows and never gives it back, and the bytes of what was erased
stay in the file until something else is written over them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from otel_learning.store import copying, lease
from otel_learning.store.failpoints import failpoint

TIMEOUT_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Compaction:
    """What a rewrite did."""

    bytes_before: int
    bytes_after: int
    rows: dict[str, int]
    """Of each table; the same before and after."""


def compact(path: Path, timeout_seconds: float = TIMEOUT_SECONDS) -> Compaction:
    """Rewrites the store. Others can read it meanwhile; what is exported waits in the spool.

    Raises:
        StoreMissingError: there is no store.
        StoreLockedError: it was not free in time.
        DiskFullError: there is no room for a second copy; nothing was changed.
        StoreError: it cannot be read, or the copy cannot be written; nothing was changed.
    """
    with lease.exclusive(path, timeout_seconds):
        return rewrite(path, timeout_seconds)


def rewrite(path: Path, timeout_seconds: float = TIMEOUT_SECONDS) -> Compaction:
    """The same, only inside `lease.exclusive`."""
    copying.fold_in_wal(path, timeout_seconds)
    before = path.stat().st_size
    copying.need_room(path.parent, before)
    with copying.draft_folder(path) as folder:
        draft = folder / path.name
        failpoint("compaction: begun")
        rows = copying.copy_store(path, draft, timeout_seconds)
        failpoint("compaction: copied")
        draft.rename(path)
    failpoint("compaction: in place")
    return Compaction(before, path.stat().st_size, rows)
