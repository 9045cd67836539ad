"""Real exporters send to a real server, and what they sent is there."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from otel_learning import LearningDatabase
from tests.server.serving import Server
from tests.server.spans import json_of, log_of, proto_of, task_span

JSON = {"Content-Type": "application/json"}
PROTOBUF = {"Content-Type": "application/x-protobuf"}


def run_tasks(exporter: SpanExporter, count: int, first: int = 0) -> bool:
    """An application that carries tasks out, with a provider of its own."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=100))
    tracer = provider.get_tracer("router")
    for number in range(first, first + count):
        with tracer.start_as_current_span("task") as span:
            span.set_attribute("learning.task.id", f"task-{number}")
            span.set_attribute("learning.outcome.success", True)
    done = provider.force_flush()
    provider.shutdown()
    return done


def task_ids(server: Server) -> set[str | None]:
    with LearningDatabase(server.store) as database:
        return {record.task_id for record in database.executions(limit=100_000)}


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_the_http_exporter(server: Server, compression: Compression) -> None:
    """What Python's OTLP/HTTP exporter sends, plain or compressed with gzip, is stored."""
    exporter = OTLPSpanExporter(f"{server.http}/v1/traces", compression=compression)

    assert run_tasks(exporter, 600)

    assert task_ids(server) == {f"task-{number}" for number in range(600)}


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_the_grpc_exporter(server: Server, compression: grpc.Compression) -> None:
    """What Python's OTLP/gRPC exporter sends is stored."""
    exporter = GrpcExporter(server.grpc, insecure=True, compression=compression)

    assert run_tasks(exporter, 600)

    assert task_ids(server) == {f"task-{number}" for number in range(600)}


def test_two_senders_at_once(server: Server) -> None:
    """Senders of both protocols at the same time lose nothing of each other's."""
    senders = [
        lambda: run_tasks(OTLPSpanExporter(f"{server.http}/v1/traces"), 1000, 0),
        lambda: run_tasks(GrpcExporter(server.grpc, insecure=True), 1000, 1000),
    ]
    threads = [threading.Thread(target=sender) for sender in senders]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(task_ids(server)) == 2000


def test_json_and_its_answer(server: Server) -> None:
    """OTLP's JSON is answered in JSON, with an empty object where all went well."""
    assert server.ask("/v1/traces", json_of([task_span(1)])) == (200, {})

    assert task_ids(server) == {"task-1"}


def test_json_compressed(server: Server) -> None:
    """JSON may be compressed, and in several members, as gzip allows."""
    whole = json.dumps(json_of([task_span(1)])).encode()
    body = gzip.compress(whole[:50]) + gzip.compress(whole[50:])

    assert server.ask("/v1/traces", body, {**JSON, "Content-Encoding": "gzip"}) == (200, {})

    assert task_ids(server) == {"task-1"}


def test_an_empty_request_is_fine(server: Server) -> None:
    """A request without spans is taken, in every form."""
    assert server.ask("/v1/traces", b"", PROTOBUF) == (200, "")
    assert server.ask("/v1/traces", {}) == (200, {})
    channel = grpc.insecure_channel(server.grpc)
    stub = logs_service_pb2_grpc.LogsServiceStub(channel)
    answer = stub.Export(logs_service_pb2.ExportLogsServiceRequest(), timeout=10)
    assert not answer.HasField("partial_success")
    channel.close()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_feedback_as_log_events(server: Server, protocol: str) -> None:
    """Feedback that comes as a log event finds the execution that came as a span."""
    assert server.ask("/v1/traces", json_of([task_span(7)]))[0] == 200
    sent = log_of("task-7", rating=4.0)

    if protocol == "http":
        assert server.ask("/v1/logs", sent) == (200, {})
    else:
        channel = grpc.insecure_channel(server.grpc)
        message = json_format.ParseDict(sent, logs_service_pb2.ExportLogsServiceRequest())
        logs_service_pb2_grpc.LogsServiceStub(channel).Export(message, timeout=10)
        channel.close()

    with LearningDatabase(server.store) as database:
        (record,) = database.executions()
    assert record.user_rating == 4.0


def test_what_is_rejected_is_counted(server: Server) -> None:
    """A span without ids is counted in the partial success; the others are stored."""
    bad = {**task_span(1), "traceId": "", "name": "lost"}
    message = proto_of([bad, task_span(2), task_span(3)])

    status, body, headers = server.request("/v1/traces", message.SerializeToString(), PROTOBUF)

    answer = ExportTraceServiceResponse.FromString(body)
    assert (status, headers["Content-Type"]) == (200, "application/x-protobuf")
    assert answer.partial_success.rejected_spans == 1
    assert "'lost' has no valid ids" in answer.partial_success.error_message
    assert task_ids(server) == {"task-2", "task-3"}
    status, told = server.ask("/v1/traces", json_of([bad]))
    assert (status, told["partialSuccess"]["rejectedSpans"]) == (200, "1")


def test_metrics_are_taken_and_thrown_away(server: Server) -> None:
    """A sender of all signals to one address meets no error."""
    assert server.ask("/v1/metrics", b"anything", PROTOBUF) == (200, "")
    channel = grpc.insecure_channel(server.grpc)
    stub = metrics_service_pb2_grpc.MetricsServiceStub(channel)
    assert stub.Export(metrics_service_pb2.ExportMetricsServiceRequest(), timeout=10) is not None
    channel.close()

    assert 'otel_learning_discarded_requests_total{signal="metrics"} 2.0' in str(
        server.ask("/metrics")[1]
    )


def test_others_read_while_it_serves(server: Server, run_cli: Callable[..., Any]) -> None:
    """R6: another process reads the store with plain SQL while the server runs."""
    assert server.ask("/v1/traces", json_of([task_span(n) for n in range(50)]))[0] == 200

    done = run_cli("query", "SELECT count(*) AS n FROM executions", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [{"n": 50}]
    assert server.process.poll() is None


def test_what_is_stored_is_private(server: Server, tmp_path: Path) -> None:
    """R5: files that the server makes are readable by their owner alone."""
    assert server.ask("/v1/traces", json_of([task_span(1)]))[0] == 200
    task_ids(server)

    for file in tmp_path.glob("learning.duckdb*"):
        assert file.stat().st_mode & 0o077 == 0, file
