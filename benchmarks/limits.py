"""What a store could cost at best: one wide row per task, from the same spans.

No correlation beyond "same trace", no late spans, no ledger, no second process, no masking: a
limit to hold our figures against, not something to use.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

_TEXT, _WHOLE, _REAL, _TRUTH, _LIST = "VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "VARCHAR[]"
_ROOT = {
    "task.id": _TEXT, "task.name": _TEXT, "task.type": _TEXT, "task.priority": _WHOLE,
    "task.complexity": _REAL, "task.domain": _TEXT, "task.prompt_hash": _TEXT,
    "task.input_tokens": _WHOLE, "task.max_tokens": _WHOLE, "task.user_id": _TEXT,
    "task.session_id": _TEXT, "task.workflow_id": _TEXT, "task.retry_count": _WHOLE,
    "task.timeout_s": _REAL, "task.tags": _LIST, "task.language": _TEXT, "task.success": _TRUTH,
    "task.quality_score": _REAL, "task.total_cost_usd": _REAL, "task.description": _TEXT,
}  # fmt: skip
_ROUTER = {
    "router.tier": _TEXT, "router.model": _TEXT, "router.confidence": _REAL,
    "router.cost_estimate_usd": _REAL, "router.strategy": _TEXT, "router.candidates": _LIST,
    "router.reason": _TEXT, "router.latency_estimate_ms": _REAL, "router.fallback": _TRUTH,
    "router.version": _TEXT, "router.feature_count": _WHOLE, "router.explore": _TRUTH,
}  # fmt: skip
_POOL = {
    "pool.name": _TEXT, "pool.worker_id": _TEXT, "pool.attempt": _WHOLE, "pool.success": _TRUTH,
    "pool.duration_ms": _REAL, "pool.tokens_in": _WHOLE, "pool.tokens_out": _WHOLE,
    "pool.cost_usd": _REAL, "pool.memory_mb": _REAL, "pool.cpu_ms": _REAL,
    "pool.queue_ms": _REAL, "pool.error_type": _TEXT,
}  # fmt: skip
_HEAD = {
    "trace_id": _TEXT, "root_span": _TEXT, "router_span": _TEXT, "pool_span": _TEXT,
    "started": _WHOLE, "ended": _WHOLE, "routing_started": _WHOLE, "routing_ended": _WHOLE,
    "work_started": _WHOLE, "work_ended": _WHOLE, "status": _WHOLE, "events": _TEXT,
}  # fmt: skip
LAYOUT = _HEAD | {key.replace(".", "_"): kind for key, kind in (_ROOT | _ROUTER | _POOL).items()}
_CREATE = f"CREATE TABLE records ({', '.join(f'{name} {kind}' for name, kind in LAYOUT.items())})"

Row = tuple[Any, ...]


class Rows:
    """Three spans of one trace -> one row of 56 columns, as soon as the root has come."""

    def __init__(self) -> None:
        self._waiting: dict[int, dict[str, ReadableSpan]] = defaultdict(dict)

    def of(self, spans: Sequence[ReadableSpan]) -> list[Row]:
        rows = []
        for span in spans:
            trace_id = span.context.trace_id
            if span.parent is not None:
                self._waiting[trace_id][span.name] = span
                continue
            below = self._waiting.pop(trace_id, {})
            rows.append(_row(span, below.get("router.route_task"), below.get("pool.execute")))
        return rows


def _row(root: ReadableSpan, router: ReadableSpan | None, pool: ReadableSpan | None) -> Row:
    events = [
        {"name": event.name, "time": event.timestamp, "attributes": dict(event.attributes or {})}
        for event in (pool.events if pool is not None else ())
    ]
    return (
        f"{root.context.trace_id:032x}",
        f"{root.context.span_id:016x}",
        None if router is None else f"{router.context.span_id:016x}",
        None if pool is None else f"{pool.context.span_id:016x}",
        root.start_time, root.end_time,
        router and router.start_time, router and router.end_time,
        pool and pool.start_time, pool and pool.end_time,
        root.status.status_code.value,
        json.dumps(events) if events else None,
        *_values(root, _ROOT), *_values(router, _ROUTER), *_values(pool, _POOL),
    )  # fmt: skip


def _values(span: ReadableSpan | None, layout: dict[str, str]) -> list[Any]:
    if span is None:
        return [None] * len(layout)
    get = dict(span.attributes or {}).get
    return [get(key) for key in layout]


class BareDuckDB(SpanExporter):
    """Arrow columns, one INSERT and one commit per batch, the file kept open."""

    def __init__(self, path: Path) -> None:
        import duckdb
        import pyarrow as pa

        self._arrow = pa
        kinds = {
            _TEXT: pa.string(), _WHOLE: pa.int64(), _REAL: pa.float64(), _TRUTH: pa.bool_(),
            _LIST: pa.list_(pa.string()),
        }  # fmt: skip
        self._schema = pa.schema([(name, kinds[kind]) for name, kind in LAYOUT.items()])
        self._connection = duckdb.connect(str(path))
        self._connection.execute(_CREATE)
        self._rows = Rows()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        rows = self._rows.of(spans)
        if rows:
            pa = self._arrow
            columns = zip(zip(*rows, strict=True), self._schema, strict=True)
            arrays = [pa.array(values, field.type) for values, field in columns]
            self._connection.register("batch", pa.Table.from_arrays(arrays, schema=self._schema))
            self._connection.execute("INSERT INTO records SELECT * FROM batch")
            self._connection.unregister("batch")
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True

    def shutdown(self) -> None:
        self._connection.close()


class PlainSQLite(SpanExporter):
    """executemany and one commit per batch; WAL, synchronous FULL."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute(_CREATE.replace(_LIST, "TEXT"))
        self._connection.commit()
        self._insert = f"INSERT INTO records VALUES ({', '.join('?' * len(LAYOUT))})"
        self._lists = [n for n, kind in enumerate(LAYOUT.values()) if kind == _LIST]
        self._rows = Rows()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        rows = [list(row) for row in self._rows.of(spans)]
        for row in rows:
            for position in self._lists:
                row[position] = json.dumps(row[position])
        if rows:
            self._connection.executemany(self._insert, rows)
            self._connection.commit()
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True

    def shutdown(self) -> None:
        self._connection.close()
