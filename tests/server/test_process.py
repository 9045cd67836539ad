"""The process: its start, its end, and what survives when it is killed."""

from __future__ import annotations

import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from otel_learning import LearningDatabase
from tests.durability import harness
from tests.server.serving import Server, serving, wait_until
from tests.server.spans import json_of, proto_of, task_span
from tests.server.test_receive import PROTOBUF, run_tasks, task_ids


def test_it_says_where_it_listens(server: Server) -> None:
    """On stderr for people, with --json on stdout for programs."""
    said = server.said()

    assert f"listening on {server.http} (OTLP/HTTP, API, pages)" in said
    assert f"{server.grpc} (OTLP/gRPC)" in said
    assert str(server.store) in said


def test_a_port_in_use(server: Server, run_cli: Any, tmp_path: Path) -> None:
    """A port that somebody has is exit 1, one line that names it, and no store is made."""
    port = server.http.rpartition(":")[2]
    grpc_port = server.grpc.rpartition(":")[2]

    for arguments, named in (
        (("--port", port, "--grpc-port", "0"), port),
        (("--port", "0", "--grpc-port", grpc_port), grpc_port),
    ):
        done = run_cli("serve", *arguments, "--db", "other.duckdb")
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: port {named} of 127.0.0.1 is in use")
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "other.duckdb").exists()


def test_wrong_arguments(run_cli: Any, tmp_path: Path) -> None:
    """What cannot be understood is exit 2 or 3, and named."""
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "folder").mkdir()
    cases: list[tuple[int, str, tuple[str, ...]]] = [
        (2, "65535", ("--port", "65536")),
        (2, "--token-file nowhere", ("--token-file", "nowhere")),
        (2, "--token-file empty", ("--token-file", "empty")),
        (1, "no address of this machine", ("--host", "no.such.invalid", "--unprotected")),
        (1, "192.0.2.1", ("--host", "192.0.2.1", "--unprotected")),
        (3, "is a folder", ("--db", "folder")),
    ]
    for code, named, arguments in cases:
        done = run_cli("serve", "--port", "0", "--grpc-port", "0", *arguments)
        assert (done.returncode, named in done.stderr) == (code, True), done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_the_end_stores_everything(tmp_path: Path, which: signal.Signals) -> None:
    """A signal ends it in order: what was sent is in the store, nothing waits."""
    with serving(tmp_path) as server:
        assert run_tasks(OTLPSpanExporter(f"{server.http}/v1/traces"), 300)
        assert server.end(which) == (0 if which == signal.SIGTERM else 130)
        said = server.said()

    assert harness.segments_of(server.store) == []
    assert "Traceback" not in said
    assert len(harness.stored_tasks(server.store)) == 300


def test_the_end_while_others_hold_the_store(tmp_path: Path) -> None:
    """It ends all the same when somebody holds the store; what waits is safe, and said."""
    with serving(tmp_path) as server:
        with harness.held(server.store):
            assert server.ask("/v1/traces", json_of([task_span(1)]))[0] == 200
            assert server.ask("/readyz")[1]["ready"] is True
            assert server.end() == 0
        assert "nothing is lost" in server.said()

    assert task_ids(server) == {"task-1"}


def test_requests_under_way_are_answered(tmp_path: Path) -> None:
    """A request whose body is still coming when the signal comes is taken and answered."""
    body = proto_of([task_span(n) for n in range(100)]).SerializeToString()
    with serving(tmp_path) as server:
        host, port = server.http.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as sender:
            sender.sendall(
                b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/x-protobuf\r\nContent-Length: %d\r\n\r\n"
                % len(body)
                + body[:1000]
            )
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            sender.sendall(body[1000:])
            assert sender.recv(100).startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(30) == 0

    assert len(task_ids(server)) == 100


@pytest.mark.slow
def test_kill_under_load(tmp_path: Path) -> None:
    """R1 over the network: killed five times under load, no acknowledged task is missing."""
    acknowledged: set[str] = set()
    for round_number in range(5):
        with serving(tmp_path) as server:
            lock = threading.Lock()

            def send(first: int, server: Server = server, lock: Any = lock) -> None:
                for batch in range(1000):
                    start = first + 20 * batch
                    spans = [task_span(number) for number in range(start, start + 20)]
                    try:
                        status, *_ = server.request(
                            "/v1/traces", proto_of(spans).SerializeToString(), PROTOBUF
                        )
                    except OSError:
                        return
                    assert status == 200
                    with lock:
                        acknowledged.update(f"task-{number}" for number in range(start, start + 20))

            threads = [
                threading.Thread(target=send, args=(round_number * 100_000 + n * 30_000,))
                for n in range(3)
            ]
            before = len(acknowledged)
            for thread in threads:
                thread.start()
            wait_until(lambda before=before: len(acknowledged) > before + 300)
            time.sleep(0.37 * round_number)
            server.process.kill()
            server.process.wait(10)
            for thread in threads:
                thread.join()

    with LearningDatabase(tmp_path / "learning.duckdb") as database:
        database.drain()
    stored = harness.stored_tasks(tmp_path / "learning.duckdb")
    assert len(acknowledged) > 1500
    assert acknowledged - stored.keys() == set()
    assert {task: rows for task, rows in stored.items() if rows != 1} == {}


def test_what_waited_is_brought_in_at_the_start(tmp_path: Path) -> None:
    """A server that starts on a store with a spool brings in what others left there."""
    with serving(tmp_path, env={"OTEL_EXPORTER_LEARNING_DRAIN": "off"}) as server:
        server.ask("/v1/traces", json_of([task_span(1)]))
        server.process.kill()
        server.process.wait(10)
    assert harness.segments_of(server.store)

    with serving(tmp_path) as server:
        assert harness.segments_of(server.store) == []


def test_it_stores_without_being_asked(server: Server) -> None:
    """What was received is in the file for plain DuckDB within seconds, though nobody asks."""
    assert server.ask("/v1/traces", json_of([task_span(1)]))[0] == 200
    feedback = {"task_id": "task-1", "accepted": True}
    assert server.ask("/api/feedback", feedback)[0] == 200

    wait_until(lambda: not harness.segments_of(server.store))
    rows = harness.query(server.store, "SELECT task_id, user_accepted FROM executions")
    assert rows == [("task-1", True)]
