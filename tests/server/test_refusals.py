"""What is refused, and how clearly: too much, too slow, malformed, without a token, from a page."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc

from otel_learning import LearningDatabase
from otel_learning.server import limits
from otel_learning.server.refusal import Refusal
from tests.server.serving import Server, serving
from tests.server.spans import json_of, proto_of, task_span
from tests.server.test_receive import JSON, PROTOBUF, run_tasks, task_ids

TOKEN = "t0ken-of-the-tests"


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("open"), grpc=True) as found:
        yield found


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a token, which a file holds."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "token").write_text(f"{TOKEN}\n")
    with serving(folder, "--token-file", "token", grpc=True) as found:
        yield found


def grpc_error(address: str, message: Any, **metadata: str) -> grpc.Call:
    """The error with which an export over gRPC ends."""
    channel = grpc.insecure_channel(address)
    stub = trace_service_pb2_grpc.TraceServiceStub(channel)
    try:
        with pytest.raises(grpc.RpcError) as caught:
            stub.Export(message, timeout=20, metadata=tuple(metadata.items()))
    finally:
        channel.close()
    return caught.value


# ------------------------------------------------------------------------------- malformed


@pytest.mark.parametrize(
    ("body", "headers", "says"),
    [
        (b"\xff\xff\xff", PROTOBUF, "no OTLP traces"),
        (b"{", JSON, "no OTLP traces"),
        (b"[1]", JSON, "a JSON list, not an object"),
        (b'{"resourceSpans": 3}', JSON, "a list was expected"),
        (b'{"a":' * 100_000, JSON, "no OTLP traces"),
        (b"not gzip", {**PROTOBUF, "Content-Encoding": "gzip"}, "not gzip"),
        (
            gzip.compress(b"x" * 999, mtime=0)[:-9],
            {**PROTOBUF, "Content-Encoding": "gzip"},
            "cut short",
        ),
    ],
)
def test_malformed(
    open_server: Server, body: bytes, headers: dict[str, str], says: str
) -> None:  # fmt: skip
    """A body that is no OTLP gets 400, and a Status in the form of the request that says why."""
    status, found, answered = open_server.request("/v1/traces", body, headers)

    assert status == 400
    assert answered["Content-Type"] == headers["Content-Type"]
    if headers["Content-Type"] == "application/json":
        told = json.loads(found)
        assert (told["code"], says in told["message"]) == (3, True), told
    else:
        told = status_pb2.Status.FromString(found)
        assert (told.code, says in told.message) == (3, True), told


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": ""},
        {**PROTOBUF, "Content-Encoding": "zstd"},
    ],
)
def test_unknown_forms(open_server: Server, headers: dict[str, str]) -> None:
    """Another content type or coding gets 415, and is told what is taken."""
    status, found, _ = open_server.request("/v1/traces", b"{}", headers)

    assert status == 415
    assert b"send " in found


def test_malformed_over_grpc(open_server: Server) -> None:
    """What is no message gets INVALID_ARGUMENT."""
    channel = grpc.insecure_channel(open_server.grpc)
    call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"\xff\xff\xff", timeout=10)
    channel.close()

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "no OTLP traces" in caught.value.details()


def test_other_paths_and_methods(open_server: Server) -> None:
    """What is not there is 404, and a GET where a POST belongs is 405; both in JSON."""
    for path, expected in (("/v1/profiles", 404), ("/nothing", 404), ("/v1/traces", 405)):
        status, told = open_server.ask(path)
        assert (status, set(told)) == (expected, {"error", "hint"}), path


# ------------------------------------------------------------------------------- too large


def test_too_large(open_server: Server) -> None:
    """More than 64 MiB gets 413, also where it becomes so much only when it is decompressed."""
    much = b"\0" * (limits.BODY_BYTES + 1)

    packed = {**PROTOBUF, "Content-Encoding": "gzip"}
    for body, headers in ((much, PROTOBUF), (gzip.compress(much, 1), packed)):
        status, found, _ = open_server.request("/v1/traces", body, headers)
        assert status == 413
        assert "send smaller batches" in status_pb2.Status.FromString(found).message


def test_a_question_that_is_too_large(open_server: Server) -> None:
    """The API takes questions of a megabyte, however they are sent; then it answers others."""
    host, port = open_server.http.removeprefix("http://").split(":")
    status, told = open_server.ask("/api/feedback", {"task_id": "t", "comment": "x" * 2**20})
    assert (status, "more than 1048576 bytes" in told["error"]) == (413, True)
    with socket.create_connection((host, int(port)), timeout=30) as sender:
        sender.sendall(
            b"POST /api/feedback HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: application/json\r\n\r\n"
        )
        for _ in range(17):
            sender.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
        assert sender.recv(100).startswith(b"HTTP/1.1 413 ")
    assert open_server.ask("/healthz")[0] == 200


def test_a_bomb_is_given_up_in_the_middle() -> None:
    """A body of a megabyte that stands for a gigabyte is not unpacked."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b"\0" * 2**20) for _ in range(1024)) + packer.flush()

    with pytest.raises(Refusal, match="more than") as caught:
        limits.gunzipped(bomb)

    assert caught.value.reason.http == 413


def test_too_large_over_grpc(open_server: Server) -> None:
    """The same bound holds over gRPC, for what a message is when it is decompressed, too."""
    big = proto_of([task_span(1, note="x" * (limits.BODY_BYTES + 1))])

    channel = grpc.insecure_channel(open_server.grpc)
    stub = trace_service_pb2_grpc.TraceServiceStub(channel)
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        with pytest.raises(grpc.RpcError) as caught:
            stub.Export(big, timeout=30, compression=compression)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    channel.close()


# ---------------------------------------------------------------------------------- a token


def test_without_the_token(guarded: Server) -> None:
    """Everything but the probes asks for the token; a wrong one is as good as none."""
    for path in ("/api/executions", "/metrics", "/openapi.json"):
        status, told = guarded.ask(path)
        assert (status, told["error"]) == (401, "a token is needed"), path
    status, told = guarded.ask("/api/executions", headers={"Authorization": "Bearer wrong"})
    assert (status, told["error"]) == (401, "the token is wrong")
    status, told = guarded.ask("/v1/traces", json_of([task_span(1)]))
    assert (status, told["code"]) == (401, 16)
    error = grpc_error(guarded.grpc, proto_of([task_span(1)]), authorization="Bearer wrong")
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED

    assert guarded.ask("/healthz")[0] == guarded.ask("/readyz")[0] == 200
    assert task_ids(guarded) == set()


def test_with_the_token(guarded: Server) -> None:
    """Exporters carry it in a header, and browsers as a password."""
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    basic = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()

    assert run_tasks(OTLPSpanExporter(f"{guarded.http}/v1/traces", headers=bearer), 3, 100)
    lower = {name.lower(): value for name, value in bearer.items()}
    assert run_tasks(GrpcExporter(guarded.grpc, insecure=True, headers=lower), 3, 200)

    assert guarded.ask("/api/executions", headers=bearer)[0] == 200
    assert guarded.ask("/api/executions", headers={"Authorization": f"Basic {basic}"})[0] == 200
    assert len(task_ids(guarded)) == 6


def test_a_browser_is_asked_for_it(guarded: Server) -> None:
    """401 names the scheme that browsers know; no page is shown without the token."""
    for path in ("/", "/api/executions", "/static/nothing"):
        status, _, headers = guarded.request(path)
        assert (status, headers["WWW-Authenticate"][:5]) == (401, "Basic"), path


def test_the_token_from_the_environment(tmp_path: Path) -> None:
    """OTEL_EXPORTER_LEARNING_TOKEN is the token, and no output shows it."""
    with serving(tmp_path, env={"OTEL_EXPORTER_LEARNING_TOKEN": TOKEN}) as server:
        assert server.ask("/api/executions")[0] == 401
        assert server.ask("/api/executions", headers={"Authorization": f"Bearer {TOKEN}"})[0] == 200
        assert "with a token" in server.said()
        assert TOKEN not in server.said()


def test_others_without_a_token(run_cli: Any) -> None:
    """A server that others reach needs a token, or a word that it needs none."""
    done = run_cli("serve", "--host", "0.0.0.0", "--port", "0", "--grpc-port", "0")

    assert done.returncode == 2
    assert "--host 0.0.0.0 lets others reach" in done.stderr
    assert "--token-file" in done.stderr


# ------------------------------------------------------------------------- pages of others


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    ],
)
def test_pages_of_other_origins(open_server: Server, headers: dict[str, str]) -> None:
    """A page in the user's browser can neither read nor write: not by name, not across sites."""
    body = {"task_id": "t", "accepted": True}

    assert open_server.ask("/api/feedback", body, headers)[0] == 403
    assert open_server.ask("/api/executions", headers=headers)[0] == 403
    status, told = open_server.ask("/v1/traces", json_of([task_span(1)]), headers)
    assert (status, told["code"]) == (403, 7)


def test_our_own_pages(open_server: Server) -> None:
    """A page of the server's own may ask; no answer lets another origin read."""
    port = open_server.http.rpartition(":")[2]
    own = {"Origin": open_server.http, "Sec-Fetch-Site": "same-origin"}
    named = {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"}

    for headers in (own, named):
        status, _, answered = open_server.request("/api/executions", headers=headers)
        assert status == 200
        assert "access-control-allow-origin" not in {name.lower() for name in answered}


def test_a_name_of_ours(tmp_path: Path) -> None:
    """--allow-host lets a server be asked under its name in a network of containers."""
    with serving(tmp_path, "--allow-host", "learning") as server:
        assert server.ask("/api/executions", headers={"Host": "learning:4318"})[0] == 200
        status, told = server.ask("/api/executions", headers={"Host": "other:4318"})
        assert (status, "--allow-host" in told["hint"]) == (403, True)


# ------------------------------------------------------------------------------ slow senders


def test_senders_that_never_end(open_server: Server) -> None:
    """A head that never ends is closed, a body that stops gets 408, others are served meanwhile."""
    host, port = open_server.http.removeprefix("http://").split(":")
    address = (host, int(port))
    with (
        socket.create_connection(address, timeout=30) as head,
        socket.create_connection(address, timeout=30) as body,
    ):
        started = time.monotonic()
        head.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\n")
        body.sendall(
            b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
            b"Content-Type: application/json\r\n\r\n{"
        )
        while time.monotonic() - started < 3:
            head.sendall(b"X-A: b\r\n")
            time.sleep(1)
        assert open_server.ask("/healthz")[0] == 200
        assert head.recv(100) == b""
        answer = body.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"not whole in time" in answer + body.recv(4096)
        assert time.monotonic() - started < 20


def test_connections_that_say_nothing(open_server: Server) -> None:
    """Hundreds of silent connections do not keep a sender out."""
    host, port = open_server.http.removeprefix("http://").split(":")
    silent = [socket.create_connection((host, int(port)), timeout=5) for _ in range(300)]
    try:
        assert open_server.ask("/v1/traces", json_of([task_span(1)])) == (200, {})
    finally:
        for connection in silent:
            # Without a farewell, so that no port stays in use for a minute.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()


# ----------------------------------------------------------------------------- back-pressure


def test_a_full_spool(tmp_path: Path) -> None:
    """While the spool is full, senders are asked to come again; what was taken is there."""
    env = {"OTEL_EXPORTER_LEARNING_SPOOL_LIMIT": "2000", "OTEL_EXPORTER_LEARNING_DRAIN": "off"}
    with serving(tmp_path, grpc=True, env=env) as server:
        taken = 0
        while (sent := server.request("/v1/traces", *json_request(taken)))[0] == 200:
            taken += 1
            assert taken < 500
            time.sleep(0.05)
        status, found, headers = sent

        assert (status, headers["Retry-After"]) == (503, "2")
        told = json.loads(found)
        assert told["code"] == 14
        assert "the limit is 2000" in told["message"]
        assert told["details"][0]["retryDelay"] == "2s"
        assert server.ask("/readyz")[0] == 503
        error = grpc_error(server.grpc, proto_of([task_span(9999)]))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        details = dict(error.trailing_metadata())["grpc-status-details-bin"]
        delay = error_details_pb2.RetryInfo()
        assert status_pb2.Status.FromString(details).details[0].Unpack(delay)
        assert delay.retry_delay.seconds == 2
    with LearningDatabase(tmp_path / "learning.duckdb") as database:
        database.drain()
        assert len(database.executions()) == taken
        assert database.sql("SELECT count(*) FROM losses") == [(0,)]


def json_request(number: int) -> tuple[bytes, dict[str, str]]:
    return json.dumps(json_of([task_span(number)])).encode(), JSON


def test_too_many_at_once() -> None:
    """Beyond so many requests or bytes at once, a sender is asked to come again."""
    gate = limits.Gate()
    entered = [gate.entered() for _ in range(limits.REQUESTS_AT_ONCE)]
    loads = [context.__enter__() for context in entered]
    with pytest.raises(Refusal, match="at once") as caught, gate.entered():
        pass
    assert caught.value.retry_seconds

    for load in loads[:3]:
        load.add(limits.BODY_BYTES)
    loads[3].add(limits.BODY_BYTES)
    with pytest.raises(Refusal, match="bytes are being received at once"):
        loads[4].add(1)
    for context in entered:
        context.__exit__(None, None, None)

    assert (gate.requests, gate.bytes) == (0, 0)
