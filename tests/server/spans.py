"""Spans of tasks, as OTLP."""

from __future__ import annotations

import time
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def task_span(number: int, **attributes: Any) -> dict[str, Any]:
    """The span of one task, as OTLP's JSON has it."""
    now = time.time_ns()
    given = {
        "learning.task.id": f"task-{number}", "learning.task.type": "fix",
        "learning.route.model_tier": "small" if number % 2 else "large",
        "learning.outcome.success": number % 3 != 0, **attributes,
    }  # fmt: skip
    return {
        "traceId": f"{number + 1:032x}",
        "spanId": f"{number + 1:016x}",
        "name": "task",
        "kind": 1,
        "startTimeUnixNano": str(now - 2_000_000_000),
        "endTimeUnixNano": str(now - 1_000_000_000),
        "attributes": [{"key": key, "value": _value(value)} for key, value in given.items()],
    }


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": str(value)}


def json_of(spans: list[dict[str, Any]]) -> dict[str, Any]:
    """An export request as JSON."""
    return {"resourceSpans": [{"scopeSpans": [{"scope": {"name": "test"}, "spans": spans}]}]}


def proto_of(spans: list[dict[str, Any]]) -> ExportTraceServiceRequest:
    """The same as a message."""
    from otel_learning.capture.otlp import trace_request

    return trace_request(json_of(spans))


def log_of(task: str, **said: Any) -> dict[str, Any]:
    """An export request of one log record: feedback about a task, as JSON."""
    given = {"learning.task.id": task,
             **{f"learning.feedback.{name}": value for name, value in said.items()}}  # fmt: skip
    record = {
        "timeUnixNano": str(time.time_ns()),
        "eventName": "learning.feedback",
        "attributes": [{"key": key, "value": _value(value)} for key, value in given.items()],
    }
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
