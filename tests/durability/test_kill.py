"""Rule R1: what `export` called a success survives kill -9, at any moment, exactly once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from otel_learning import LearningDatabase
from otel_learning.store import migrating
from tests.durability import harness

POINTS = (
    "spool: opened",
    "spool: written",
    "spool: before rename",
    "spool: renamed",
    "drain: read",
    "drain: before commit",
    "drain: after commit",
    "drain: unlinked",
    "settle: before commit",
    "roll up: before commit",
    "roll up: after commit",
    "roll up month: before commit",
)


def _all_acknowledged_once(path: Path, acknowledged: set[str]) -> dict[str, int]:
    with LearningDatabase(path) as db:
        db.drain()
    stored = harness.stored_tasks(path)
    assert acknowledged - stored.keys() == set()
    assert {task: rows for task, rows in stored.items() if rows != 1} == {}
    harness.assert_no_row_twice(path)
    return stored


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_kill_at_random_moments(tmp_path: Path, seed: int) -> None:
    """40 exporters, each killed at a random moment: every acknowledged task is there once."""
    path = tmp_path / "learning.duckdb"
    out = harness.run("kill_rounds", path, 40 if seed == 1 else 200, seed, seconds=240)
    acknowledged = set()
    for line in out.splitlines():
        prefix, first, last = line.split()
        acknowledged |= {f"{prefix}-{i}" for i in range(int(first), int(last))}
    assert len(acknowledged) > 1000
    stored = _all_acknowledged_once(path, acknowledged)
    calls = harness.query(path, "SELECT count(*) FROM attempts")[0][0]
    assert calls == len(stored)
    assert harness.segments_of(path) == []


@pytest.mark.parametrize("passing", [1, 2])
@pytest.mark.parametrize("point", POINTS)
def test_kill_at_every_step(tmp_path: Path, point: str, passing: int) -> None:
    """Killed at a named step of writing or draining: the next drain completes it, once."""
    path = tmp_path / "learning.duckdb"
    process = harness.start("die_at", path, point, passing)
    out, err = process.communicate(timeout=60)
    if "survived" in out:  # there was nothing left to do a second time
        assert point.startswith(("settle", "roll up")) and passing == 2, err
    else:
        assert process.returncode == -9, err
    acknowledged: set[str] = set()
    orphan = 0
    for line in out.splitlines():
        if line == "ack orphan":
            orphan = 1
        elif line.startswith("ack"):
            _, first, last = line.split()
            acknowledged |= {f"t-{i}" for i in range(int(first), int(last))}
    stored = _all_acknowledged_once(path, acknowledged)
    assert stored.get(None, 0) >= orphan  # type: ignore[call-overload]
    assert harness.segments_of(path) == []
    assert [check.check for check in migrating.check(path) if not check.passed] == []


def test_a_killed_writer_leaves_no_torn_segment(tmp_path: Path) -> None:
    """A draft that was never renamed is not a segment, and is swept away when it is old."""
    import os

    path = tmp_path / "learning.duckdb"
    process = harness.start("die_at", path, "spool: before rename", 2)
    process.communicate(timeout=60)
    [draft] = Path(f"{path}.spool").glob("*.draft")
    with LearningDatabase(path) as db:
        db.drain()
    assert draft.exists()  # it may be another process's, in the middle of its write
    os.utime(draft, (1, 1))
    with LearningDatabase(path) as db:
        db.drain()
    assert not draft.exists()


def test_programs_that_die_are_told_apart(tmp_path: Path) -> None:
    """The failpoints do kill: without one, the same program ends by itself."""
    process = harness.start("die_at", tmp_path / "x.duckdb", "none", 1)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.endswith("survived\n")
    assert err == ""
    assert isinstance(process, subprocess.Popen)
