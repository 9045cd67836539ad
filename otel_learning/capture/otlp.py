"""OTLP messages, as JSON objects or protobuf, to the SDK's spans and log records. Pure.

OTLP's JSON writes ids as hex where protobuf's own JSON has base64; apart from that it is
protobuf's JSON (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding), so it is
made a message first and both ways meet in one place.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from google.protobuf import json_format  # type: ignore[import-untyped]
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from otel_learning.errors import InputError

_ID_BYTES: Final = {
    "traceId": 16, "trace_id": 16, "spanId": 8, "span_id": 8, "parentSpanId": 8,
    "parent_span_id": 8,
}  # fmt: skip
_SPAN_LISTS: Final = ("resourceSpans", "resource_spans")
_LOG_LISTS: Final = ("resourceLogs", "resource_logs")
_HAS_IS_REMOTE: Final = 0x100
_IS_REMOTE: Final = 0x200
_KINDS: Final = {kind.value + 1: kind for kind in SpanKind}
"""The protocol counts from 1, with 0 for "not said", which is INTERNAL."""
_OK: Final = Status(StatusCode.OK)
_UNSET: Final = Status(StatusCode.UNSET)
_PLAIN: Final = frozenset(("string_value", "bool_value", "int_value", "double_value"))
_DEPTH_LIMIT: Final = 64
"""Of nested values: deeper than any producer nests, shallow enough for the stack."""


def spans_from_json(document: Any) -> list[ReadableSpan]:
    """The spans of one OTLP JSON object (`resourceSpans`); [] where it has none.

    Raises:
        InputError: it is not what OTLP writes; what is wrong is in the message.
    """
    return spans_from_proto(trace_request(document))


def logs_from_json(document: Any) -> list[ReadableLogRecord]:
    """The log records of one OTLP JSON object (`resourceLogs`); [] where it has none.

    Raises:
        InputError: it is not what OTLP writes; what is wrong is in the message.
    """
    return logs_from_proto(log_request(document))


def trace_request(document: Any) -> ExportTraceServiceRequest:
    """The message that an OTLP JSON object stands for. Raises InputError."""
    request = ExportTraceServiceRequest()
    _parse(document, _SPAN_LISTS, request)
    return request


def log_request(document: Any) -> ExportLogsServiceRequest:
    """The message that an OTLP JSON object stands for. Raises InputError."""
    request = ExportLogsServiceRequest()
    _parse(document, _LOG_LISTS, request)
    return request


def is_otlp(document: Any) -> bool:
    """Whether a JSON value has one of OTLP's lists: spans, logs or metrics."""
    lists = (*_SPAN_LISTS, *_LOG_LISTS, "resourceMetrics", "resource_metrics")
    return isinstance(document, dict) and any(name in document for name in lists)


def spans_from_proto(
    request: ExportTraceServiceRequest, refused: list[str] | None = None
) -> list[ReadableSpan]:
    """The spans of an export request, or of a TracesData, which has the same field.

    Args:
        request: the message.
        refused: where given, it is told why for each span without valid ids; the others stand.

    Raises:
        InputError: a span has no valid ids, and there is no `refused`.
    """
    spans = []
    for of_resource in request.resource_spans:
        resource = _resource(of_resource)
        for of_scope in of_resource.scope_spans:
            scope = _scope(of_scope)
            for span in of_scope.spans:
                try:
                    spans.append(_span(span, resource, scope))
                except InputError as error:
                    if refused is None:
                        raise
                    refused.append(str(error))
    return spans


def logs_from_proto(request: ExportLogsServiceRequest) -> list[ReadableLogRecord]:
    """The log records of an export request, or of a LogsData, which has the same field."""
    records = []
    for of_resource in request.resource_logs:
        resource = _resource(of_resource)
        for of_scope in of_resource.scope_logs:
            scope = _scope(of_scope)
            records += [
                ReadableLogRecord(_log_record(record), resource, scope)
                for record in of_scope.log_records
            ]
    return records


# ------------------------------------------------------------------------------- messages


class _ReceivedSpan(ReadableSpan):
    """A span whose attributes are a plain dict: checking them again would double the work."""

    dropped = 0

    @property
    def dropped_attributes(self) -> int:
        return self.dropped


def _span(span: Any, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    context = _context(span.trace_id, span.span_id, span.flags, span.trace_state)
    if not context.is_valid:
        raise InputError(
            f"the span {span.name!r} has no valid ids "
            f"(trace {span.trace_id.hex()!r}, span {span.span_id.hex()!r})"
        )
    parent = None
    if any(span.parent_span_id):
        remote = bool(span.flags & _HAS_IS_REMOTE and span.flags & _IS_REMOTE)
        parent = _context(span.trace_id, span.parent_span_id, span.flags, span.trace_state, remote)
    found = _ReceivedSpan(
        name=span.name,
        context=context,
        parent=parent,
        resource=resource,
        attributes=attributes_of(span.attributes),
        events=[
            Event(event.name, attributes_of(event.attributes), event.time_unix_nano)
            for event in span.events
        ],
        links=[
            Link(_context(link.trace_id, link.span_id, link.flags, link.trace_state),
                 attributes_of(link.attributes))
            for link in span.links
        ],
        kind=_KINDS.get(span.kind, SpanKind.INTERNAL),
        status=_status(span.status),
        # Zero means that the time is not known (opentelemetry/proto/trace/v1/trace.proto).
        start_time=span.start_time_unix_nano or None,
        end_time=span.end_time_unix_nano or None,
        instrumentation_scope=scope,
    )  # fmt: skip
    found.dropped = span.dropped_attributes_count
    return found


def _status(status: Any) -> Status:
    if status.code == StatusCode.ERROR.value:
        return Status(StatusCode.ERROR, status.message)
    return _OK if status.code == StatusCode.OK.value else _UNSET


def _log_record(record: Any) -> LogRecord:
    context = _context(record.trace_id, record.span_id, record.flags)
    number = record.severity_number
    return LogRecord(
        timestamp=record.time_unix_nano or None,
        # Zero, not None: the SDK would put in now, and the same record must stay the same.
        observed_timestamp=record.observed_time_unix_nano,
        context=trace.set_span_in_context(trace.NonRecordingSpan(context)),
        severity_text=record.severity_text or None,
        severity_number=SeverityNumber(number) if 0 < number <= 24 else None,
        body=_value(record.body),
        attributes=attributes_of(record.attributes),
        event_name=record.event_name or None,
    )


def _resource(of_resource: Any) -> Resource:
    attributes = attributes_of(of_resource.resource.attributes)
    return Resource(attributes, of_resource.schema_url or None)


def _scope(of_scope: Any) -> InstrumentationScope:
    scope = of_scope.scope
    return InstrumentationScope(
        scope.name, scope.version or None, of_scope.schema_url or None,
        attributes_of(scope.attributes) or None,
    )  # fmt: skip


def _context(
    trace_id: bytes, span_id: bytes, flags: int, state: str = "", remote: bool = False
) -> SpanContext:
    return SpanContext(
        int.from_bytes(trace_id, "big") if len(trace_id) == 16 else 0,
        int.from_bytes(span_id, "big") if len(span_id) == 8 else 0,
        remote,
        TraceFlags(flags & 0xFF),
        _trace_state(state) if state else None,
    )


@lru_cache(maxsize=256)
def _trace_state(state: str) -> TraceState:
    return TraceState.from_header([state])


# ------------------------------------------------------------------------------- attributes


def attributes_of(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Attributes as the SDK holds them; a nested value becomes JSON, which the mapping reads."""
    found = {}
    for pair in pairs:
        value = pair.value
        kind = value.WhichOneof("value")
        if kind in _PLAIN:
            found[pair.key] = getattr(value, kind)
        elif kind is not None:
            found[pair.key] = _attribute(value)
    found.pop("", None)  # a key that is empty is none
    return found


def _attribute(value: AnyValue) -> Any:
    found = _value(value)
    if isinstance(found, dict):
        return json.dumps(found, ensure_ascii=False)
    if isinstance(found, list):
        if any(isinstance(item, dict | list) for item in found):
            return json.dumps(found, ensure_ascii=False)
        return tuple(found)
    return found


def _value(value: AnyValue, depth: int = 0) -> Any:
    kind = value.WhichOneof("value")
    if kind is None or depth > _DEPTH_LIMIT:
        return None
    if kind == "array_value":
        return [_value(item, depth + 1) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _value(pair.value, depth + 1) for pair in value.kvlist_value.values}
    if kind == "bytes_value":
        return value.bytes_value.hex()
    return getattr(value, kind)


# ------------------------------------------------------------------------------------- JSON


def _parse(document: Any, lists: tuple[str, str], request: Any) -> Any:
    if not isinstance(document, Mapping):
        raise InputError(f"it is a JSON {type(document).__name__}, not an object")
    for name in lists:
        if name in document:
            try:
                return json_format.ParseDict(
                    {lists[0]: list(_with_base64(document[name]))}, request,
                    ignore_unknown_fields=True,
                )  # fmt: skip
            except (json_format.ParseError, ValueError, TypeError, RecursionError) as error:
                raise InputError(f"it is not OTLP JSON: {error}") from error
    return request


def _with_base64(value: Any) -> Iterator[Any]:
    if not isinstance(value, list):
        raise TypeError(f"a list was expected, not {value!r:.60}")
    for item in value:
        yield _rewritten(item)


def _rewritten(value: Any, depth: int = 0) -> Any:
    """The value with hex ids as base64. Attributes hold no ids by these names: they are lists."""
    if depth > 2 * _DEPTH_LIMIT:
        raise ValueError(f"it is nested more than {2 * _DEPTH_LIMIT} levels deep")
    if isinstance(value, Mapping):
        return {
            name: _id(item, _ID_BYTES[name])
            if name in _ID_BYTES
            else item
            if name == "attributes"
            else _rewritten(item, depth + 1)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_rewritten(item, depth + 1) for item in value]
    return value


def _id(value: Any, length: int) -> Any:
    if not isinstance(value, str) or not value:
        return value
    if len(value) != 2 * length:
        # Some writers use protobuf's own JSON; their base64 has another length than hex.
        return value
    try:
        return base64.b64encode(bytes.fromhex(value)).decode()
    except ValueError:
        raise ValueError(f"the id {value!r} is not hex") from None
