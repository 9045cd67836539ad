"""Rebuilds the spans of a recorded corpus (`tests/corpus/*.jsonl.gz`) as the SDK gave them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

CORPUS = Path(__file__).parent / "corpus"


def corpora() -> list[Path]:
    """Every recorded corpus, by name."""
    return sorted(CORPUS.glob("*.jsonl.gz"))


def load(file: Path) -> Iterator[ReadableSpan]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield _span(json.loads(line))


def _attributes(found: dict[str, Any] | None) -> dict[str, Any]:
    # JSON knows no tuples, and the SDK no lists.
    return {k: tuple(v) if isinstance(v, list) else v for k, v in (found or {}).items()}


def _span(found: dict[str, Any]) -> ReadableSpan:
    state = TraceState.from_header([found["trace_state"]]) if found["trace_state"] else None

    def context(trace: str, span: str, remote: bool = False) -> SpanContext:
        return SpanContext(
            int(trace, 16), int(span, 16), remote, TraceFlags(found["trace_flags"]), state
        )

    parent = found["parent_id"]
    scope = found["scope"] or {}
    return ReadableSpan(
        name=found["name"],
        context=context(found["trace_id"], found["span_id"]),
        parent=context(found["trace_id"], parent, bool(found["parent_is_remote"]))
        if parent
        else None,
        resource=Resource(
            _attributes(found["resource"]["attributes"]), found["resource"]["schema_url"] or None
        ),
        attributes=_attributes(found["attributes"]),
        events=[
            Event(e["name"], _attributes(e["attributes"]), e["time_unix_nano"])
            for e in found["events"]
        ],
        links=[
            Link(context(link["trace_id"], link["span_id"]), _attributes(link["attributes"]))
            for link in found["links"]
        ],
        kind=SpanKind[found["kind"]],
        status=Status(StatusCode[found["status"]["code"]], found["status"]["description"]),
        start_time=found["start_time_unix_nano"],
        end_time=found["end_time_unix_nano"],
        instrumentation_scope=InstrumentationScope(
            scope.get("name") or "",
            scope.get("version"),
            scope.get("schema_url"),
            scope.get("attributes") or None,
        ),
    )
