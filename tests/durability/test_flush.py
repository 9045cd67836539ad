"""Rule R1: what `force_flush` promises, while the file is free and while somebody holds it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest
from opentelemetry.sdk.trace.export import SpanExportResult

from otel_learning import LearningSpanExporter, LearningSpanProcessor
from tests.durability import harness


def test_flushed_is_queryable_elsewhere(tmp_path: Path) -> None:
    """After force_flush has returned True another process reads the rows with plain DuckDB."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    exporter.export(harness.tasks("t", 0, 50))
    assert exporter.force_flush() is True
    code = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); "
        "print(c.execute('SELECT count(*) FROM executions').fetchone()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "50"
    exporter.shutdown()


@pytest.mark.parametrize("seconds", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_while_another_program_holds_the_file(tmp_path: Path, seconds: int) -> None:
    """Exports succeed all along, force_flush is False within its time, and all arrives after."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    exporter.export(harness.tasks("before", 0, 5))
    assert exporter.force_flush()
    exported = 0
    slowest = 0.0
    with harness.held(path):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.monotonic()
            spans = harness.tasks("during", exported, exported + 5)
            assert exporter.export(spans) is SpanExportResult.SUCCESS
            slowest = max(slowest, time.monotonic() - began)
            exported += 5
            time.sleep(0.01)
        began = time.monotonic()
        assert exporter.force_flush(500) is False
        assert time.monotonic() - began < 1.5
        assert len(harness.segments_of(path)) == exported // 5
    assert slowest < 0.5
    # Nobody flushes: the thread comes back by itself.
    harness.wait_for(lambda: not harness.segments_of(path), 12, "the drain after the lock")
    assert len(harness.stored_tasks(path)) == 5 + exported
    exporter.shutdown()


def test_shutdown_is_bounded_while_the_file_is_held(tmp_path: Path) -> None:
    """An application ends in seconds though the store is locked; the data wait in the spool."""
    path = tmp_path / "learning.duckdb"
    for timeout, most in ((300, 2.0), (30_000, 9.0)):
        exporter = LearningSpanExporter(path=path)
        with harness.held(path):
            exporter.export(harness.tasks(f"t{timeout}", 0, 3))
            began = time.monotonic()
            exporter.shutdown(timeout_millis=timeout)
            assert time.monotonic() - began < most
            assert harness.segments_of(path)
    late = LearningSpanExporter(path=path)
    late.export(harness.tasks("late", 0, 1))
    assert late.force_flush()
    assert len(harness.stored_tasks(path)) == 7
    late.shutdown()


def test_an_idle_app_lets_go_of_the_file(tmp_path: Path) -> None:
    """Seconds after the last span, another process opens the store for writing."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    for first in range(0, 50, 5):
        exporter.export(harness.tasks("t", first, first + 5))
    harness.wait_for(lambda: path.exists() and not harness.segments_of(path), 5)
    with harness.held(path):
        pass
    open_files = {os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")}
    assert not any(name.startswith(str(path)) for name in open_files)
    exporter.shutdown()


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    """A hundred exports, drains and refused drains leave as many files open as before."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    exporter.export(harness.task("first"))
    assert exporter.force_flush()
    before = len(os.listdir("/proc/self/fd"))
    for i in range(30):
        exporter.export(harness.task(f"t-{i}"))
        assert exporter.force_flush()
    with harness.held(path):
        now = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            exporter.export(harness.task("more"))
            assert not exporter.force_flush(0)
        assert len(os.listdir("/proc/self/fd")) <= now + 1
    assert exporter.force_flush()
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    exporter.shutdown()


def test_an_application_that_has_the_store_open_itself(tmp_path: Path) -> None:
    """A connection of the application's own to the store, in its own process, is no obstacle."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    exporter.export(harness.task("one"))
    assert exporter.force_flush()
    with duckdb.connect(str(path)) as con:
        exporter.export(harness.task("two"))
        assert exporter.force_flush(5000)
        assert con.execute("SELECT count(*) FROM executions").fetchall() == [(2,)]
    with duckdb.connect(str(path), read_only=True) as con:
        exporter.export(harness.task("three"))
        assert exporter.force_flush(300) is False
    assert exporter.force_flush()
    assert len(harness.stored_tasks(path)) == 3
    exporter.shutdown()


def test_nothing_waits_for_ever_beside_a_flush(tmp_path: Path) -> None:
    """Spans recorded while a flush and the thread race for the store are drained by themselves."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    for i in range(60):
        exporter.export(harness.task(f"t-{i}"))
        if i % 3 == 0:
            exporter.force_flush()
    harness.wait_for(lambda: not harness.segments_of(path), 6, "the last drain")
    assert len(harness.stored_tasks(path)) == 60
    exporter.shutdown()


def test_a_clock_set_back_stops_no_drain(tmp_path: Path) -> None:
    """The time of the last drain lies in the future: the thread drains all the same."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    exporter.export(harness.task("one"))
    assert exporter.force_flush()
    hour_ahead = time.time() + 3600
    os.utime(f"{path}.spool/.drained", (hour_ahead, hour_ahead))
    exporter.export(harness.task("two"))
    harness.wait_for(lambda: not harness.segments_of(path), 5)
    exporter.shutdown()


def test_drain_off_only_spools(tmp_path: Path) -> None:
    """With DRAIN=off no store appears, and force_flush does not claim that it can be queried."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path, drain="off")
    assert exporter.force_flush() is True  # nothing waits yet
    exporter.export(harness.tasks("t", 0, 10))
    assert exporter.force_flush() is False
    exporter.shutdown()
    assert not path.exists()
    other = LearningSpanExporter(path=path)
    other.export(harness.task("x"))
    assert other.force_flush()
    assert len(harness.stored_tasks(path)) == 11
    other.shutdown()


def test_a_large_backlog_is_drained_in_bursts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flush with little time stores a part, says False, and the rest follows."""
    from otel_learning.store import drain

    monkeypatch.setattr(drain, "TRANSACTION_OBSERVATIONS", 200)
    path = tmp_path / "learning.duckdb"
    feeder = LearningSpanExporter(path=path, drain="off")
    for first in range(0, 4000, 100):
        feeder.export(harness.tasks("t", first, first + 100))
    feeder.shutdown()
    exporter = LearningSpanExporter(path=path)
    exporter.export(harness.task("last"))
    began = time.monotonic()
    assert exporter.force_flush(200) is False
    assert time.monotonic() - began < 2
    assert harness.segments_of(path)
    assert exporter.force_flush(60_000) is True
    assert len(harness.stored_tasks(path)) == 4001
    exporter.shutdown()


def test_the_processor_is_durable_within_200_ms(tmp_path: Path) -> None:
    """LearningSpanProcessor: no flush, no shutdown; half a second later the spool has it."""
    path = tmp_path / "learning.duckdb"
    processor = LearningSpanProcessor(path=path, drain="off")
    for s in harness.task("t"):
        processor.on_end(s)
    harness.wait_for(lambda: harness.segments_of(path), 1.5, "the segment")
    processor.shutdown()


def test_what_somebody_else_drained_counts(tmp_path: Path) -> None:
    """Another process has drained our segments: force_flush is True at once, not after its time."""
    from otel_learning.store.drain import Drainer

    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    exporter.export(harness.task("first"))
    assert exporter.force_flush()
    exporter.export(harness.task("second"))
    Drainer(path).drain(10)
    began = time.monotonic()
    assert exporter.force_flush(3000) is True
    assert time.monotonic() - began < 1
    exporter.shutdown()
