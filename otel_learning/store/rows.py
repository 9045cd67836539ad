"""Assembled executions, attempts and feedback <-> table rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

import pyarrow as pa

from otel_learning.assembly.assemble import NAMESPACE
from otel_learning.observation import Observation

if TYPE_CHECKING:
    import duckdb

_TIME: Final = pa.timestamp("us", "UTC")
_FLOAT, _INT, _TEXT, _BOOL = pa.float64(), pa.int64(), pa.string(), pa.bool_()

EXECUTION: Final[dict[str, pa.DataType]] = {
    "execution_id": _TEXT, "task_id": _TEXT, "run": pa.int32(), "trace_ids": pa.list_(_TEXT),
    "session_id": _TEXT, "user_hash": _TEXT, "environment": _TEXT, "service_name": _TEXT,
    "started_at": _TIME, "ended_at": _TIME, "duration_seconds": _FLOAT, "recorded_at": _TIME,
    "updated_at": _TIME, "task_type": _TEXT, "task_description": _TEXT, "repo": _TEXT,
    "file_count": _INT, "estimated_tokens": _INT, "model_tier": _TEXT, "model": _TEXT,
    "requested_model": _TEXT, "provider": _TEXT, "pool_type": _TEXT, "swarm_topology": _TEXT,
    "agent": _TEXT, "selector": _TEXT, "routing_confidence": _FLOAT, "complexity_score": _FLOAT,
    "propensity": _FLOAT, "propensity_of": _TEXT, "policy_version": _TEXT, "experiment": _TEXT,
    "variant": _TEXT, "success": _BOOL, "success_source": _TEXT, "quality_score": _FLOAT,
    "error_type": _TEXT, "error_class": _TEXT, "error_message": _TEXT, "fallback_used": _BOOL,
    "cost_estimate": _FLOAT, "actual_cost": _FLOAT, "cost_source": _TEXT, "input_tokens": _INT,
    "output_tokens": _INT, "router_cost": _FLOAT, "attempt_count": pa.int32(),
    "failed_attempt_count": pa.int32(), "peak_memory_mb": _FLOAT, "cpu_time_seconds": _FLOAT,
    "solution_summary": _TEXT, "producer": _TEXT, "profile": _TEXT, "complete": _BOOL,
    "dropped_attributes": _INT, "sampling_ratio": _FLOAT, "metadata": _TEXT,
    "day": pa.date32(),
}  # fmt: skip
"""Columns of settled_executions and open_executions, in their order."""

ATTEMPT: Final[dict[str, pa.DataType]] = {
    "execution_id": _TEXT, "ordinal": pa.int32(), "trace_id": _TEXT, "span_id": _TEXT,
    "started_at": _TIME, "duration_seconds": _FLOAT, "role": _TEXT, "model": _TEXT,
    "requested_model": _TEXT, "provider": _TEXT, "response_id": _TEXT, "input_tokens": _INT,
    "output_tokens": _INT, "cost": _FLOAT, "success": _BOOL, "error_type": _TEXT,
    "error_class": _TEXT, "reason": _TEXT,
}  # fmt: skip

FEEDBACK: Final[dict[str, pa.DataType]] = {
    "feedback_id": _TEXT, "target_kind": _TEXT, "target_id": _TEXT, "given_at": _TIME,
    "recorded_at": _TIME, "accepted": _BOOL, "rating": _FLOAT, "comment": _TEXT, "source": _TEXT,
    "quality_score": _FLOAT, "revoked": _BOOL, "execution_id": _TEXT, "visibility": _TEXT,
    "issue": _TEXT, "revised_at": _TIME,
}  # fmt: skip

_NANOSECONDS: Final = frozenset(("started_at", "ended_at", "given_at"))
_IDS: Final = frozenset(("execution_id", "feedback_id"))


def table(rows: list[dict[str, Any]], layout: dict[str, pa.DataType]) -> pa.Table:
    """Rows as an Arrow table; times that the assembly counts in nanoseconds become stamps.

    The rows' keys are those of the layout, in its order.
    """
    if list(rows[0]) != list(layout):
        raise ValueError(f"a row has the keys {list(rows[0])}, the table {list(layout)}")
    arrays = []
    columns = zip(*[row.values() for row in rows], strict=True)
    for (name, kind), values in zip(layout.items(), columns, strict=True):
        column: Any = values
        if name in _NANOSECONDS:
            column = [None if value is None else value // 1000 for value in column]
        elif name in _IDS:
            column = [None if value is None else str(value) for value in column]
        arrays.append(pa.array(column, kind))
    return pa.table(arrays, names=list(layout))


def insert(
    con: duckdb.DuckDBPyConnection, target: str, rows: pa.Table, layout: dict[str, pa.DataType]
) -> None:
    """Appends a table made by `table` to the table of that layout."""
    columns = ", ".join(f"CAST({name} AS UUID)" if name in _IDS else name for name in layout)
    con.register("incoming", rows)
    try:
        con.execute(f"INSERT INTO {target} ({', '.join(layout)}) SELECT {columns} FROM incoming")
    finally:
        con.unregister("incoming")


_SAYS: Final = frozenset(
    ("feedback_accepted", "feedback_rating", "feedback_comment", "feedback_quality",
     "feedback_issue", "feedback_revoked")
)  # fmt: skip


_MOMENTS: Final = 10**12
"""Revisions above are moments, in microseconds, that feedback was said at; below, of mappings."""


def feedback_id(observation: Observation) -> str:
    """The id that was given with it; else one made of where it was said."""
    given = observation.facts.get("feedback_id")
    if given is None:
        return said_on_span(observation.trace_id, observation.span_id)
    try:
        return str(UUID(str(given)))
    except ValueError:
        return str(uuid5(NAMESPACE, f"feedback id|{given}"))


def said_on_span(trace_id: str | None, span_id: str) -> str:
    """The id of feedback that a span or a log event carries without an id of its own."""
    return str(uuid5(NAMESPACE, f"feedback|{trace_id}|{span_id}"))


def carries_feedback(observation: Observation) -> bool:
    return not _SAYS.isdisjoint(observation.facts)


def feedback_row(
    observation: Observation, execution: str | None, recorded_us: int
) -> dict[str, Any]:
    """The feedback that an observation carries."""
    facts = observation.facts
    kind = facts.get("feedback_kind")
    target = facts.get("feedback_target")
    if kind is None:
        # Said on the task's own span: it is about the execution that the span belongs to.
        kind, target = "span_id", f"{observation.trace_id}:{observation.span_id}"
    given = observation.end_ns or observation.start_ns
    revised = observation.revision if observation.revision > _MOMENTS else (given or 0) // 1000
    return {
        "feedback_id": feedback_id(observation),
        "target_kind": kind,
        "target_id": target,
        "given_at": given,
        "recorded_at": recorded_us,
        "accepted": facts.get("feedback_accepted"),
        "rating": facts.get("feedback_rating"),
        "comment": facts.get("feedback_comment"),
        "source": facts.get("feedback_source"),
        "quality_score": facts.get("feedback_quality"),
        "revoked": bool(facts.get("feedback_revoked", False)),
        "execution_id": execution,
        "visibility": facts.get("feedback_visibility") or "private",
        "issue": facts.get("feedback_issue"),
        "revised_at": revised,
    }
