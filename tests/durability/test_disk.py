"""Rules R1 and R3 on a bad disk: full, read-only, damaged, or somebody else's."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from opentelemetry.sdk.trace.export import SpanExportResult

from otel_learning import LearningDatabase, LearningSpanExporter, LearningSpanProcessor
from otel_learning.errors import SchemaVersionError, StoreError
from tests.durability import harness

SUCCESS, FAILURE = SpanExportResult.SUCCESS, SpanExportResult.FAILURE


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {made.stderr!r}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def _fill(folder: Path) -> Path:
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    return ballast


def test_a_full_disk_under_the_spool(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Failures are told and counted, no torn segment is read, acknowledged data come in later."""
    with small_disk(tmp_path / "disk", "8m") as folder:
        path = folder / "learning.duckdb"
        exporter = LearningSpanExporter(path=path)
        exporter.export(harness.tasks("before", 0, 5))
        assert exporter.force_flush()
        ballast = _fill(folder)
        kept: set[str] = set()
        failed = 0
        for first in range(0, 200, 20):
            result = exporter.export(harness.tasks("t", first, first + 20))
            if result is SUCCESS:
                kept |= {f"t-{i}" for i in range(first, first + 20)}
            else:
                failed += 20
        assert failed >= 160
        assert "spool could not be written" in caplog.text
        assert not list(Path(f"{path}.spool").glob("*.draft"))
        ballast.unlink()
        exporter.export(harness.task("after"))
        assert exporter.force_flush()
        stored = harness.stored_tasks(path)
        assert stored.keys() == {f"before-{i}" for i in range(5)} | kept | {"after"}
        lost = harness.query(path, "SELECT sum(count) FROM losses WHERE reason LIKE 'spool%'")
        assert lost == [(2 * failed,)]
        exporter.shutdown()


def test_a_full_disk_under_the_store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """DuckDB cannot write: the data stay in the spool, and go in once there is room."""
    with small_disk(tmp_path / "disk", "8m") as folder:
        path = folder / "learning.duckdb"
        exporter = LearningSpanExporter(path=path)
        exporter.export(harness.tasks("before", 0, 5))
        assert exporter.force_flush()
        written = 0
        # No room for the store, but some for the spool: segments of one task each.
        ballast = _fill(folder)
        with ballast.open("r+b") as file:
            file.truncate(ballast.stat().st_size - 160_000)
        feeder = LearningSpanExporter(path=path, drain="off")
        while feeder.export(harness.tasks("t", written, written + 10)) is SUCCESS and written < 60:
            written += 10
        flushed = exporter.force_flush(1500)
        if not flushed:
            assert harness.segments_of(path)
        assert not (Path(f"{path}.spool") / "broken").exists()
        ballast.unlink()
        assert exporter.force_flush(20_000)
        expected = {f"before-{i}" for i in range(5)} | {f"t-{i}" for i in range(written)}
        assert harness.stored_tasks(path).keys() >= expected
        assert set(harness.stored_tasks(path).values()) == {1}
        harness.assert_no_row_twice(path)
        exporter.shutdown()
        feeder.shutdown()


def test_a_store_that_may_not_grow(tmp_path: Path) -> None:
    """RLIMIT_FSIZE in a process of its own: DuckDB's writes fail, nothing is lost or torn."""
    path = tmp_path / "learning.duckdb"
    out = harness.run("limited", path, seconds=60)
    acknowledged = {f"t-{i}" for i in range(int(out.split()[0]))}
    assert acknowledged
    with LearningDatabase(path) as db:
        db.drain()
    stored = harness.stored_tasks(path)
    assert stored.keys() >= acknowledged
    assert set(stored.values()) == {1}
    harness.assert_no_row_twice(path)


def test_the_spool_limit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Beyond SPOOL_LIMIT exports fail and are counted, and the holder of the file is named."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path, spool_limit=8_000)
    exporter.export(harness.task("first"))
    assert exporter.force_flush()
    results = []
    with harness.held(path) as holder:
        results.append(exporter.export(harness.task("t")))
        assert not exporter.force_flush(50)
        for i in range(40):
            results.append(exporter.export(harness.task(f"t-{i}")))
            time.sleep(0.01)
        bytes_waiting = sum(f.stat().st_size for f in harness.segments_of(path))
        assert bytes_waiting < 30_000
    assert results[0] is SUCCESS
    assert results[-1] is FAILURE
    assert "limit" in caplog.text
    assert f"PID {holder.pid}" in caplog.text
    assert exporter.force_flush()
    time.sleep(1.1)
    assert exporter.export(harness.task("again")) is SUCCESS
    assert exporter.force_flush()
    assert len(harness.stored_tasks(path)) == 2 + results.count(SUCCESS)
    [(lost,)] = harness.query(path, "SELECT sum(count) FROM losses")
    assert lost == 2 * results.count(FAILURE)
    exporter.shutdown()


def test_damaged_segments(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Cut, scrambled, empty: set aside and named. Foreign names: left alone. The rest goes in."""
    path = tmp_path / "learning.duckdb"
    feeder = LearningSpanExporter(path=path, drain="off")
    for i in range(6):
        feeder.export(harness.task(f"t-{i}"))
    feeder.shutdown()
    cut, flipped, empty, garbage, *_ = harness.segments_of(path)
    whole = cut.read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    bits = bytearray(flipped.read_bytes())
    bits[len(bits) // 2] ^= 0xFF
    flipped.write_bytes(bytes(bits))
    empty.write_bytes(b"")
    garbage.write_bytes(os.urandom(5000))
    spool = Path(f"{path}.spool")
    (spool / "notes.txt").write_text("mine")
    (spool / "v1-nonsense.json").write_bytes(b"x")
    (spool / f"v1-{0:020d}-1-1-{'0' * 8}.json").mkdir()
    os.mkfifo(spool / f"v1-{1:020d}-1-1-{'1' * 8}.json")
    newer = spool / f"v2-{time.time_ns():020d}-1-0-abcdef01.json"
    newer.write_bytes(b"a layout of the future")

    exporter = LearningSpanExporter(path=path)
    exporter.export(harness.task("more"))
    assert exporter.force_flush()
    assert harness.stored_tasks(path).keys() == {"t-4", "t-5", "more"}
    for name in (cut.name, flipped.name, empty.name, garbage.name):
        assert (spool / "broken" / name).exists()
        assert name in caplog.text
    assert newer.exists()
    assert "newer release" in caplog.text
    assert (spool / "notes.txt").exists()
    assert harness.query(path, "SELECT sum(count) FROM losses") == [(4,)]
    assert exporter.force_flush()
    exporter.shutdown()


def test_a_segment_that_cannot_be_stored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Sound as a file, senseless as data: it alone is set aside, its neighbours go in."""
    from otel_learning.store.spool import Spool

    path = tmp_path / "learning.duckdb"
    feeder = LearningSpanExporter(path=path, drain="off")
    feeder.export(harness.task("a"))
    poison = Spool(path).write(b'{"notes": {}, "observations": [["colour", "blue"]]}')
    feeder.export(harness.task("b"))
    feeder.shutdown()
    exporter = LearningSpanExporter(path=path)
    exporter.export(harness.task("c"))
    assert exporter.force_flush()
    assert harness.stored_tasks(path).keys() == {"a", "b", "c"}
    assert (Path(f"{path}.spool") / "broken" / poison.name).exists()
    assert poison.name in caplog.text
    assert harness.query(path, "SELECT sum(count) FROM losses") == [(1,)]
    exporter.shutdown()


def test_a_store_of_a_newer_release(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The exporter only spools, and says so once; the database raises SchemaVersionError."""
    path = tmp_path / "learning.duckdb"
    LearningDatabase(path).close()
    with duckdb.connect(str(path)) as con:
        con.execute("INSERT INTO schema_migrations BY NAME SELECT 999 AS version, 'x' AS name")
    exporter = LearningSpanExporter(path=path)
    for i in range(3):
        assert exporter.export(harness.task(f"t-{i}")) is SUCCESS
        assert exporter.force_flush(200) is False
    said = [r for r in caplog.records if "version 999" in r.getMessage()]
    assert len(said) == 1
    assert len(harness.segments_of(path)) == 3
    with pytest.raises(SchemaVersionError):
        LearningDatabase(path).drain()
    with duckdb.connect(str(path)) as con:
        con.execute("DELETE FROM schema_migrations WHERE version = 999")
    assert exporter.force_flush()
    assert len(harness.stored_tasks(path)) == 3
    exporter.shutdown()


@pytest.mark.parametrize("case", ["directory", "not duckdb", "read-only folder", "no parent"])
def test_places_that_are_no_store(
    tmp_path: Path, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever the path points: exports do not raise, and what is wrong is said."""
    path = tmp_path / "lockers" / "learning.duckdb"
    if case == "directory":
        path.mkdir(parents=True)
    elif case == "not duckdb":
        path.parent.mkdir()
        path.write_bytes(b"# my notes, and not a database\n" * 500)
    elif case == "read-only folder":
        path = Path("/proc/learning.duckdb")  # root may write to any folder, but not there
    exporter = LearningSpanExporter(path=path)
    result = exporter.export(harness.task("t"))
    flushed = exporter.force_flush(300)
    if case == "no parent":
        assert (result, flushed) == (SUCCESS, True)
        assert len(harness.stored_tasks(path)) == 1
    else:
        assert flushed is False
        assert result is (FAILURE if case == "read-only folder" else SUCCESS)
        assert str(path) in caplog.text
        assert "is locked" not in caplog.text
        if case == "not duckdb":
            assert path.read_bytes().startswith(b"# my notes")
            with pytest.raises(StoreError):
                LearningDatabase(path, timeout_seconds=1).drain()
    exporter.shutdown(timeout_millis=100)


def test_a_user_id_before_there_is_a_folder(tmp_path: Path) -> None:
    """The first span has a user and the store's folder is missing: the span is kept."""
    path = tmp_path / "deep" / "er" / "learning.duckdb"
    processor = LearningSpanProcessor(path=path)
    trace = harness.number_of("u")
    attributes = harness.task_attributes("u", **{"user.id": "ann"})
    processor.on_end(harness.span(trace, 1, attributes, name="task"))
    assert processor.force_flush()
    [(user,)] = harness.query(path, "SELECT user_hash FROM executions")
    assert user is not None
    assert "ann" not in user
    processor.shutdown()


def test_a_damaged_key_file_costs_no_span(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """User ids cannot be hashed: they are left out, and the executions are kept."""
    path = tmp_path / "learning.duckdb"
    Path(f"{path}.key").write_bytes(b"short")
    exporter = LearningSpanExporter(path=path)
    attributes = harness.task_attributes("u", **{"user.id": "ann"})
    assert exporter.export([harness.span(1, 1, attributes)]) is SUCCESS
    assert exporter.force_flush()
    assert harness.query(path, "SELECT task_id, user_hash FROM executions") == [("u", None)]
    assert "user ids are left out" in caplog.text
    exporter.shutdown()


def test_the_folder_is_removed_under_a_running_app(tmp_path: Path) -> None:
    """Somebody deletes store and spool: the next export starts both anew."""
    import shutil

    path = tmp_path / "there" / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    exporter.export(harness.task("one"))
    assert exporter.force_flush()
    shutil.rmtree(path.parent)
    assert exporter.export(harness.task("two")) is SUCCESS
    assert exporter.force_flush()
    assert harness.stored_tasks(path).keys() == {"two"}
    exporter.shutdown()
    logging.getLogger("otel_learning").debug("done")


def test_a_segment_that_cannot_be_read_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the disk or too many open files: it waits, the others go in, flush says False."""
    path = tmp_path / "learning.duckdb"
    # What a process spools itself it need not read; this one must.
    monkeypatch.setattr("otel_learning.store.handover.HANDED_OBSERVATIONS", 0)
    exporter = LearningSpanExporter(path=path)
    exporter.export(harness.task("a"))
    [refused] = harness.segments_of(path)
    read = Path.read_bytes

    def fail(file: Path) -> bytes:
        if file == refused:
            raise OSError(24, "Too many open files")
        return read(file)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fail)
        exporter.export(harness.task("b"))
        assert exporter.force_flush() is False
        assert harness.stored_tasks(path).keys() == {"b"}
        assert harness.segments_of(path) == [refused]
    assert exporter.force_flush() is True
    assert harness.stored_tasks(path).keys() == {"a", "b"}
    exporter.shutdown()


def test_a_segment_that_cannot_be_stored_keeps_no_other_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read well but cannot be stored is set aside and counted; the rest goes in once."""
    from otel_learning.store import drain, merge

    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path, drain="off")
    for name in ("a", "bad", "c"):
        exporter.export(harness.task(name))
    whole = merge.Merger.merge

    def refuse(self: Any, con: Any, incoming: Any) -> merge.Merged:
        if any(o.facts.get("task_id") == "bad" for o in incoming):
            raise ValueError("no such value")
        return whole(self, con, incoming)

    monkeypatch.setattr(merge.Merger, "merge", refuse)
    report = drain.Drainer(path).drain(10)

    assert len(report.broken) == 1 and report.broken[0].exists()
    assert harness.stored_tasks(path) == {"a": 1, "c": 1}
    assert harness.segments_of(path) == []
    assert harness.query(path, "SELECT reason, count FROM losses") == [
        ("segment that could not be stored: ValueError", 1)
    ]
    exporter.shutdown()
