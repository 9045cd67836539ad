"""Rule R3: an exporter that was used before a fork works on both sides of it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest
from opentelemetry.sdk.trace.export import SpanExportResult

from otel_learning import LearningDatabase, LearningSpanExporter
from tests.durability import harness


@pytest.mark.skipif(
    duckdb.__version__ < "2", reason="DuckDB 1 crashes after a fork: a child only spools"
)
@pytest.mark.parametrize("processor", ["batch", "own"])
@pytest.mark.parametrize("way", ["fork", "multiprocessing"])
def test_both_sides_export(tmp_path: Path, way: str, processor: str) -> None:
    """After spans, drains and a thread: parent and three children go on exporting, at once."""
    path = tmp_path / "learning.duckdb"
    harness.run("fork_and_export", path, way, processor)
    with LearningDatabase(path) as db:
        db.drain()
    expected = {f"before-{i}" for i in range(20)} | {f"unflushed-{i}" for i in range(3)}
    expected |= {f"after-{i}" for i in range(5)}
    for n in range(3):
        expected |= {f"child{n}-{i}" for i in range(20)}
        expected |= {f"child{n}-again-{i}" for i in range(5)}
        expected |= {f"between{n}-{i}" for i in range(5)}
    stored = harness.stored_tasks(path)
    assert stored.keys() == expected
    assert set(stored.values()) == {1}
    harness.assert_no_row_twice(path)


def test_gunicorn_prefork_with_preload(tmp_path: Path) -> None:
    """A server that loads the application, exports, and forks its workers: all is found."""
    path = tmp_path / "learning.duckdb"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--preload", "--workers", "3", "--bind",
         f"127.0.0.1:{port}", "--log-level", "warning", "--worker-tmp-dir", str(tmp_path),
         "tests.durability.programs.wsgi:app"],
        env=harness.environment(STORE=str(path)), cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    def request(number: int) -> bytes:
        began = time.monotonic()
        while True:
            assert server.poll() is None, server.communicate()
            with contextlib.suppress(OSError):
                url = f"http://127.0.0.1:{port}/request-{number}"
                with urllib.request.urlopen(url, timeout=5) as answer:
                    return bytes(answer.read())
            assert time.monotonic() - began < 30
            time.sleep(0.1)

    try:
        with ThreadPoolExecutor(6) as pool:
            workers = set(pool.map(request, range(60)))
    finally:
        server.terminate()
        _, err = server.communicate(timeout=30)
    # DuckDB 1 cannot be used after a fork: its workers say so, and leave what waits to others.
    assert err == "" or duckdb.__version__ < "2"
    assert len(workers) >= 2
    with LearningDatabase(path) as db:
        db.drain()
    stored = harness.stored_tasks(path)
    assert stored.keys() == {"preload"} | {f"request-{i}" for i in range(60)}
    assert set(stored.values()) == {1}


def test_a_fork_while_the_store_is_locked(tmp_path: Path) -> None:
    """The thread waits for a foreign lock: a fork does not wait with it, and works."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    exporter.export(harness.task("before"))
    assert exporter.force_flush()
    with harness.held(path):
        exporter.export(harness.task("during"))
        time.sleep(1.2)  # the thread is in its two seconds of trying
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                kept = exporter.export(harness.task("child")) is SpanExportResult.SUCCESS
                status = 0 if kept and time.monotonic() - began < 1 else 1
            finally:
                os._exit(status)
        assert time.monotonic() - began < 1
        assert os.waitpid(pid, 0)[1] == 0
    assert exporter.force_flush()
    assert harness.stored_tasks(path).keys() == {"before", "during", "child"}
    exporter.shutdown()


@pytest.mark.parametrize("way", ["own", "simple"])
def test_a_signal_handler_that_shuts_down(tmp_path: Path, way: str) -> None:
    """SIGTERM in the middle of our own code: its handler's shutdown ends, and stores all."""
    for attempt in range(4):
        path = tmp_path / f"{attempt}.duckdb"
        process = harness.start("signalled", path, way)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.15 + 0.1 * attempt)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, err) == (0, "")
        with LearningDatabase(path) as db:
            db.drain()
        stored = harness.stored_tasks(path)
        assert {f"t-{i}" for i in range(int(out))} - stored.keys() == set()
        assert set(stored.values()) <= {1}


def test_a_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    """Forked in the middle of a drain's wait, a child that lives on holds nobody up."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    exporter.export(harness.task("before"))
    assert exporter.force_flush()
    receive, send = os.pipe()
    with harness.held(path):
        exporter.export(harness.task("during"))
        time.sleep(1.2)
        pid = os.fork()
        if pid == 0:
            os.close(send)
            os.read(receive, 1)
            os._exit(0)
    try:
        assert exporter.force_flush(4000)
        LearningDatabase(path, timeout_seconds=2).drain()
    finally:
        os.close(send)
        os.waitpid(pid, 0)
        os.close(receive)
    exporter.shutdown()
