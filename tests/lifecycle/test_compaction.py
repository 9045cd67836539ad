"""Compaction: the same rows in less space, and never half a file."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from otel_learning.errors import StoreLockedError
from otel_learning.store import compaction, copying, lease
from tests.durability import harness
from tests.lifecycle import stores


def _grown(path: Path) -> None:
    stores.fill(path, "t", 400)
    with lease.exclusive(path, 5), lease.connection(path, 5) as con:
        con.execute("DELETE FROM settled_executions WHERE task_id > 't-2'")


def test_the_same_rows_in_less_space(tmp_path: Path) -> None:
    """Views answer as before, executions lie in time order, indexes and log are as they should."""
    path = tmp_path / "learning.duckdb"
    _grown(path)
    before = [stores.rows_of(path, view) for view in ("executions", "tier_performance")]

    done = compaction.compact(path)

    assert done.bytes_after < done.bytes_before
    assert [stores.rows_of(path, view) for view in ("executions", "tier_performance")] == before
    starts = harness.query(path, "SELECT started_at FROM settled_executions")
    assert starts == sorted(starts)
    assert not Path(f"{path}.wal").exists()
    assert harness.query(path, "SELECT count(*) FROM duckdb_constraints() "
                         "WHERE constraint_type = 'PRIMARY KEY'") == [(2,)]  # fmt: skip
    assert path.stat().st_mode & 0o777 == 0o600
    stores.fill(path, "after", 3)
    assert {f"after-{i}" for i in range(3)} <= harness.stored_tasks(path).keys()


@pytest.mark.parametrize("point", ["begun", "copied", "in place"])
def test_killed_on_the_way(tmp_path: Path, point: str) -> None:
    """Whenever it is killed, the store holds the same rows, and the next one goes through."""
    path = tmp_path / "learning.duckdb"
    _grown(path)
    before = stores.rows_of(path)

    stores.killed_at(tmp_path, f"compaction: {point}", "compact", "--db", str(path))

    assert stores.rows_of(path) == before
    stores.answer(tmp_path, "compact", "--db", str(path))
    assert stores.rows_of(path) == before


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without room for a second copy it says how much is needed, and changes nothing."""
    path = tmp_path / "learning.duckdb"
    _grown(path)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2**30, 2**30 - 2**20, 2**20))

    with pytest.raises(copying.DiskFullError, match="1 MiB free"):
        compaction.compact(path)
    assert harness.stored_tasks(path)


def test_held_by_another_program(tmp_path: Path) -> None:
    """It waits its time, names the program, and changes nothing."""
    path = tmp_path / "learning.duckdb"
    _grown(path)
    with harness.held(path) as holder, pytest.raises(StoreLockedError, match=str(holder.pid)):
        compaction.compact(path, 0.2)
