"""Rules R2 and R6 with many at it: writers, drainers and readers in processes of their own."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from otel_learning import LearningDatabase, LearningSpanExporter
from tests.durability import harness


def _end(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, ""), out
    return dict(json.loads(out))


def test_four_writers_and_a_reader(tmp_path: Path) -> None:
    """Four workers write, one race of drains, a reader polls: nothing lost, nothing twice."""
    path = tmp_path / "learning.duckdb"
    first = LearningSpanExporter(path=path)
    first.export(harness.task("first"))
    assert first.force_flush()
    first.shutdown()
    writers = [
        harness.start("write_steadily", path, f"w{i}", 5, 0.01, "shutdown") for i in range(4)
    ]
    reader = harness.start("read_steadily", path, 5)
    written = [_end(writer) for writer in writers]
    read = _end(reader)
    expected = {"first"} | {
        f"w{i}-{number}" for i, done in enumerate(written) for number in range(done["tasks"])
    }
    with LearningDatabase(path) as db:
        db.drain()
    stored = harness.stored_tasks(path)
    assert stored.keys() == expected
    assert set(stored.values()) == {1}
    harness.assert_no_row_twice(path)
    assert harness.query(path, "SELECT count(*) FROM attempts") == [(len(expected),)]
    assert harness.query(path, "SELECT count(*) FROM losses") == [(0,)]
    assert read["reads"] >= 10
    assert read["p95"] < 1.5, read
    assert max(done["slowest"] for done in written) < 1.5


def test_readers_beside_a_steady_writer(tmp_path: Path) -> None:
    """One application exporting steadily: a reader gets in within a second (rule R6)."""
    path = tmp_path / "learning.duckdb"
    LearningDatabase(path).close()
    writer = harness.start("write_steadily", path, "w", 4, 0.005, "shutdown")
    time.sleep(1)
    read = _end(harness.start("read_steadily", path, 3))
    _end(writer)
    assert read["p95"] < 1.0, read
    assert read["median"] < 0.3, read


def test_drains_are_paced_per_store(tmp_path: Path) -> None:
    """Two workers under steady load drain about once a second together, not once each."""
    path = tmp_path / "learning.duckdb"
    writers = [harness.start("write_steadily", path, f"w{i}", 7, 0.02) for i in range(2)]
    drains = sum(_end(writer)["drains"] for writer in writers)
    # Seven seconds each, started within a moment of one another.
    assert 3 <= drains <= 9, drains


def test_drainers_in_processes(tmp_path: Path) -> None:
    """Three processes drain what a fourth one spools: together they move everything, once."""
    path = tmp_path / "learning.duckdb"
    racers = [harness.start("drain_race", path, 4) for _ in range(3)]
    feeder = LearningSpanExporter(path=path, drain="off")
    until = time.monotonic() + 2.5
    number = 0
    while time.monotonic() < until:
        feeder.export(harness.tasks("t", number, number + 3))
        number += 3
    feeder.shutdown()
    moved = 0
    for racer in racers:
        out, err = racer.communicate(timeout=60)
        assert (racer.returncode, err) == (0, "")
        moved += int(out)
    with LearningDatabase(path) as db:
        db.drain()
    assert moved <= 2 * number
    stored = harness.stored_tasks(path)
    assert len(stored) == number
    assert set(stored.values()) == {1}
    harness.assert_no_row_twice(path)
