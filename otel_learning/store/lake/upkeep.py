"""Keeps a lake well: few files, few snapshots, nothing older than wanted.

Every publication adds files and a snapshot. From time to time one process merges small files,
writes those anew of which much was deleted, lets go of old snapshots, and deletes the files that
no snapshot needs. It holds the writers' turn: publishers wait, readers do not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from otel_learning.store import lease, rollups
from otel_learning.store.day_keys import UNKNOWN_DAY
from otel_learning.store.lake import catalog, reading
from otel_learning.store.lake.address import LakeAddress
from otel_learning.store.transaction import transaction

if TYPE_CHECKING:
    import duckdb

SNAPSHOTS_SECONDS: Final = 3600.0
"""How long a snapshot is kept: a reader that pinned one may take so long."""
REWRITTEN_SHARE: Final = 0.25
"""A file of which so much is deleted is written anew."""
ERASED_SECONDS: Final = 7 * 86_400.0
"""How long what was erased is kept from coming back; as long as a store's ledger may tell of it."""
_CLOCKS_SECONDS: Final = 3600.0
"""By how much PostgreSQL's clock, or a disk's, may be before ours."""
_DATED: Final = (
    "settled_attempts", "execution_keys", "part_attempts", "part_executions", "settled_executions",
    "changed_days", "rolled_days", *rollups.ROLLUPS,
)  # fmt: skip


@dataclass(slots=True)
class Kept:
    """What a lake consisted of before and after."""

    files_before: int = 0
    files: int = 0
    bytes: int = 0
    snapshots_before: int = 0
    snapshots: int = 0
    rolled_up_days: int = 0
    deleted: int = 0
    """Executions that were older than wanted."""
    unneeded_files: int = 0
    """Files that were deleted from the data path, left by killed publishers or merged away."""
    steps: dict[str, float] = field(default_factory=dict)
    """What took how many seconds."""


def maintain(
    address: LakeAddress,
    *,
    keep_days: float | None = None,
    snapshots_seconds: float = SNAPSHOTS_SECONDS,
) -> Kept:
    """Merges, expires and deletes what the lake does not need.

    Args:
        address: the lake's.
        keep_days: executions that started longer ago are deleted from the lake; None keeps all.
        snapshots_seconds: how long snapshots, and files that only they need, are kept. 0 also
            takes away what a reader may be reading.

    Raises:
        StoreMissingError: nobody has published to it.
        LakeExtensionError, LakeError: it cannot be reached or written.
    """
    done = Kept()
    with catalog.errors(address):
        con = reading.connect(address, read_only=False)
        try:
            with catalog.turn(con, most_seconds=0):
                _maintain(con, keep_days, snapshots_seconds, done)
        finally:
            catalog.close(con)
    return done


def _maintain(
    con: duckdb.DuckDBPyConnection, keep_days: float | None, snapshots_seconds: float, done: Kept
) -> None:
    done.files_before, _, done.snapshots_before = _size(con)
    if keep_days is not None:
        cutoff = (datetime.now(UTC) - timedelta(days=keep_days)).date()
        with transaction(con):
            for table in _DATED:
                gone = con.execute(
                    f"DELETE FROM lake.{table} WHERE day < ? AND day <> ?", [cutoff, UNKNOWN_DAY]
                ).fetchall()
                if table == "settled_executions":
                    done.deleted = int(gone[0][0])
    begun = datetime.now(UTC)
    done.rolled_up_days = _roll_up(con)
    done.steps["roll_up"] = round((datetime.now(UTC) - begun).total_seconds(), 3)
    con.execute("DELETE FROM lake.erased WHERE erased_at < now() - to_seconds(?)", [ERASED_SECONDS])
    share = REWRITTEN_SHARE if snapshots_seconds else 0.0
    _call(con, done, "rewrite_data_files", f"delete_threshold => {share}")
    _call(con, done, "merge_adjacent_files")
    # All files are written in a writer's turn, so that none of them is somebody's by now.
    before = datetime.now(UTC) - timedelta(seconds=snapshots_seconds or -_CLOCKS_SECONDS)
    older = f"older_than => TIMESTAMPTZ '{before.isoformat()}'"
    _call(con, done, "expire_snapshots", older)
    done.unneeded_files = len(_call(con, done, "cleanup_old_files", older))
    done.unneeded_files += len(_call(con, done, "delete_orphaned_files", older))
    done.files, done.bytes, done.snapshots = _size(con)


def _roll_up(con: duckdb.DuckDBPyConnection) -> int:
    """Puts every changed day into the rollups, as a store does; returns how many."""
    days = con.execute("SELECT day FROM lake.changed_days ORDER BY day").fetchall()
    if not days:
        return 0
    listed = ", ".join(f"DATE '{day}'" for (day,) in days)
    with transaction(con):
        for table, view in rollups.ROLLUPS.items():
            con.execute(f"DELETE FROM lake.{table} WHERE day IN ({listed})")
            con.execute(
                f"INSERT INTO lake.{table} SELECT * FROM {view} WHERE day IN ({listed}) "
                "ORDER BY day"
            )
        con.execute(f"DELETE FROM lake.rolled_days WHERE day IN ({listed})")
        con.execute(
            "INSERT INTO lake.rolled_days SELECT DISTINCT day, now() FROM settled_executions "
            f"WHERE day IN ({listed})"
        )
        con.execute(f"DELETE FROM lake.changed_days WHERE day IN ({listed})")
    return len(days)


def _call(
    con: duckdb.DuckDBPyConnection, done: Kept, function: str, *arguments: str
) -> list[tuple[Any, ...]]:
    begun = datetime.now(UTC)
    listed = ", ".join(("'lake'", *arguments))
    found = con.execute(f"CALL ducklake_{function}({listed})").fetchall()
    done.steps[function] = round((datetime.now(UTC) - begun).total_seconds(), 3)
    return found


def _size(con: duckdb.DuckDBPyConnection) -> tuple[int, int, int]:
    """Data files and their bytes, and snapshots."""
    files = lease.one(
        con,
        "SELECT sum(file_count), sum(file_size_bytes) FROM ducklake_table_info('lake')",
    )
    snapshots = lease.one(con, "SELECT count(*) FROM ducklake_snapshots('lake')")
    count, size = files or (0, 0)
    return int(count or 0), int(size or 0), int(snapshots[0]) if snapshots else 0
