"""The signals of OTLP: how each one's messages are read, and what is made of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from otel_learning.capture import otlp
from otel_learning.capture.log_exporter import observe_logs
from otel_learning.capture.pipeline import Pipeline
from otel_learning.errors import InputError
from otel_learning.observation import Observation
from otel_learning.server.refusal import Reason, Refusal

Observed = tuple[int, list[Observation]]
"""How many items a message holds, and what was observed of them."""


def _spans(pipeline: Pipeline, message: Any, refused: list[str]) -> Observed:
    spans = otlp.spans_from_proto(message, refused)
    invalid = len(refused)
    pipeline.count_loss("span without valid ids", invalid)
    return len(spans) + invalid, pipeline.observe_spans(spans, refused)


def _logs(pipeline: Pipeline, message: Any, refused: list[str]) -> Observed:
    records = otlp.logs_from_proto(message)
    return len(records), observe_logs(pipeline, records, refused)


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal, and where OTLP sends it."""

    name: str
    path: str
    method: str
    """Of gRPC."""
    items: str
    rejected: str
    """The field of a partial success that counts what was rejected."""
    response: Callable[[], Any]
    request: Callable[[], Any] | None = None
    from_json: Callable[[Any], Any] | None = None
    observe: Callable[[Pipeline, Any, list[str]], Observed] | None = None

    @property
    def kept(self) -> bool:
        """Whether anything is made of it; what is not kept is not even parsed."""
        return self.observe is not None

    def parse(self, body: bytes, *, is_json: bool) -> Message:
        """The message in a body. Raises Refusal: it is none."""
        assert self.request is not None
        assert self.from_json is not None
        try:
            if is_json:
                return self.from_json(json.loads(body)) if body else self.request()
            message = self.request()
            message.ParseFromString(body)
            return message
        except (InputError, DecodeError, ValueError, RecursionError) as error:
            said = str(error.args[0] if error.args else error)[:300]
            raise Refusal(Reason.MALFORMED, f"the body is no OTLP {self.name}: {said}") from error


_SERVICE: Final = "/opentelemetry.proto.collector"

TRACES: Final = Signal(
    "traces", "/v1/traces", f"{_SERVICE}.trace.v1.TraceService/Export", "spans", "rejected_spans",
    ExportTraceServiceResponse, ExportTraceServiceRequest, otlp.trace_request, _spans,
)  # fmt: skip
LOGS: Final = Signal(
    "logs", "/v1/logs", f"{_SERVICE}.logs.v1.LogsService/Export", "log records",
    "rejected_log_records", ExportLogsServiceResponse, ExportLogsServiceRequest, otlp.log_request,
    _logs,
)  # fmt: skip
METRICS: Final = Signal(
    "metrics", "/v1/metrics", f"{_SERVICE}.metrics.v1.MetricsService/Export", "metrics",
    "rejected_data_points", ExportMetricsServiceResponse,
)  # fmt: skip
"""Taken and thrown away: SDKs and Collectors send all signals to one address, and would log an
error every minute."""
SIGNALS: Final = (TRACES, LOGS, METRICS)
