"""Rules R3 and R9: quiet, quick to import, no I/O before the first export, no network."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from otel_learning import LearningLogExporter, LearningSpanExporter, LearningSpanProcessor
from tests.durability import harness


@pytest.mark.parametrize("how", ["orderly", "abrupt", "freeze", "hold"])
def test_nothing_is_printed(tmp_path: Path, how: str) -> None:
    """Not on stdout, not on stderr, not at exit: only what the application prints itself."""
    process = harness.start("quiet_app", tmp_path / "learning.duckdb", how)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "mine\n", "")
    if how != "abrupt":
        assert len(harness.stored_tasks(tmp_path / "learning.duckdb")) == 300


def test_a_constructor_does_no_io(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exporter, log exporter and processor: made, flushed and shut down without a file."""
    monkeypatch.chdir(tmp_path)
    threads = threading.active_count()
    spans, logs, processor = LearningSpanExporter(), LearningLogExporter(), LearningSpanProcessor()
    assert threading.active_count() == threads
    assert list(tmp_path.iterdir()) == []
    spans.force_flush()
    logs.force_flush()
    processor.force_flush()
    spans.shutdown()
    logs.shutdown()
    processor.shutdown()
    assert list(tmp_path.iterdir()) == []


def _python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=harness.environment(),
    )  # fmt: skip
    return done.stdout.strip()


def test_the_import_is_light() -> None:
    """Importing the class costs at most 100 ms beside the SDK's, and none of the heavy three."""
    sdk = "import opentelemetry.sdk.trace.export, opentelemetry.sdk._logs.export"
    ours = "from otel_learning.capture.span_exporter import LearningSpanExporter"
    heavy = _python(
        f"{ours}; from otel_learning import LearningSpanExporter; import sys; "
        "print([m for m in ('duckdb', 'pyarrow', 'pydantic', 'pydantic_settings') "
        "if m in sys.modules])"
    )
    assert heavy == "[]"
    timed = f"import time; {sdk}; t = time.perf_counter(); {ours}; print(time.perf_counter() - t)"
    assert min(float(_python(timed)) for _ in range(3)) < 0.1


def test_no_network_is_wanted(tmp_path: Path) -> None:
    """Export, drain and read with every socket refused (rule R9)."""
    assert harness.run("no_network", tmp_path / "learning.duckdb").strip() == "50"


def test_shutdown_twice_and_export_after(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The second shutdown is nothing; an export after it fails, is counted, said once."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    exporter.export(harness.task("a"))
    exporter.shutdown()
    exporter.shutdown(timeout_millis=10)
    for _ in range(5):
        assert exporter.export(harness.task("b")).name == "FAILURE"
    said = [r for r in caplog.records if "after shutdown" in r.getMessage()]
    assert len(said) == 1
    assert harness.stored_tasks(path) == {"a": 1}
    processor = LearningSpanProcessor(path=path)
    processor.shutdown()
    processor.shutdown()
    processor.on_end(harness.task("c")[1])
    assert harness.stored_tasks(path) == {"a": 1}


def test_two_exporters_of_one_store(tmp_path: Path) -> None:
    """One is shut down; the other goes on, with the same spool and thread."""
    path = tmp_path / "learning.duckdb"
    a, b = LearningSpanExporter(path=path), LearningSpanExporter(path=str(path))
    a.export(harness.task("a"))
    a.shutdown()
    b.export(harness.task("b"))
    harness.wait_for(lambda: path.exists() and not harness.segments_of(path), 5)
    assert harness.stored_tasks(path).keys() == {"a", "b"}
    b.shutdown()
    again = LearningSpanExporter(path=path)
    again.export(harness.task("c"))
    harness.wait_for(lambda: not harness.segments_of(path), 5)
    again.shutdown()


def test_threads_end_with_the_exporter(tmp_path: Path) -> None:
    """A dozen exporters made, used and shut down leave no thread and no pipeline behind."""
    from otel_learning.capture import pipeline

    threads = threading.active_count()
    for i in range(12):
        exporter = LearningSpanExporter(path=tmp_path / f"{i}.duckdb")
        exporter.export(harness.task("a"))
        exporter.shutdown()
    assert threading.active_count() == threads
    assert not [p for p in pipeline._pipelines.values() if p.path.parent == tmp_path]


def test_drains_are_not_instrumented(tmp_path: Path) -> None:
    """Neither the thread nor a flush makes spans, whatever instruments DuckDB or files."""
    from opentelemetry import context

    from otel_learning.store import failpoints

    seen: list[object] = []
    path = tmp_path / "learning.duckdb"

    def look(point: str) -> None:
        if not point.startswith("spool"):  # an export is on the application's own thread here
            seen.append(context.get_value(context._SUPPRESS_INSTRUMENTATION_KEY))

    passed, failpoints.hook = failpoints.hook, look
    try:
        exporter = LearningSpanExporter(path=path)
        exporter.export(harness.task("a"))
        assert exporter.force_flush()
        exporter.export(harness.task("b"))
        harness.wait_for(lambda: not harness.segments_of(path), 5)
    finally:
        failpoints.hook = passed
    exporter.shutdown()
    assert seen
    assert set(seen) == {True}


def test_no_thread_can_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The system has no thread for us: the export is a success all the same, and flush works."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert exporter.export(harness.task("a")).name == "SUCCESS"
        processor = LearningSpanProcessor(path=path)
        processor.on_end(harness.task("b")[1])
    assert "no thread to drain with" in caplog.text
    processor.shutdown()
    assert exporter.force_flush()
    assert harness.stored_tasks(path).keys() == {"a", "b"}
    exporter.export(harness.task("c"))
    harness.wait_for(lambda: not harness.segments_of(path), 5)
    exporter.shutdown()


def test_losses_are_counted_under_threads(tmp_path: Path) -> None:
    """Eight threads count losses while others write them down: none is forgotten."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path, drain="off")
    pipeline = exporter._pipeline
    assert pipeline is not None

    def lose(number: int) -> None:
        for i in range(300):
            pipeline.count_loss(f"reason {(number + i) % 7}", 1)
            if i % 10 == 0:
                exporter.export(harness.task(f"t-{number}-{i}"))

    threads = [threading.Thread(target=lose, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    exporter.shutdown()
    other = LearningSpanExporter(path=path)
    other.export(harness.task("last"))
    assert other.force_flush()
    assert harness.query(path, "SELECT sum(count) FROM losses") == [(2400,)]
    assert len(harness.stored_tasks(path)) == 241
    other.shutdown()


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor whose spool cannot be written keeps no more than its buffer, and counts."""
    from otel_learning.capture import processor as module

    monkeypatch.setattr(module, "BUFFER_OBSERVATIONS", 100)
    monkeypatch.setattr(module.LearningSpanProcessor, "_spool", lambda self: time.sleep(0.01))
    processor = LearningSpanProcessor(path=tmp_path / "x.duckdb")
    for span in harness.tasks("t", 0, 200):
        processor.on_end(span)
    assert len(processor._buffer) == 100
    assert processor._pipeline is not None
    assert processor._pipeline.lost == {"processor's buffer full": 300}
    monkeypatch.undo()
    processor.shutdown()
