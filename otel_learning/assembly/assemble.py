"""One group of observations -> one execution with its attempts. Pure.

Every column is decided by one small rule, and what no observation tells stays None.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from otel_learning.assembly.attempts import Call, calls_of, provider_of
from otel_learning.assembly.correlation import Group
from otel_learning.assembly.cost import decide_cost
from otel_learning.assembly.evidence import (
    Classify,
    Evidence,
    Price,
    Row,
    by_rank_of,
    text,
    topmost,
)
from otel_learning.assembly.lineage import Lineage
from otel_learning.assembly.outcome import decide_outcome
from otel_learning.observation import FactValue, Observation

NAMESPACE: Final = UUID("6f1d3f0e-8a5b-5c55-9d0b-0f6a3e1f4b77")
"""Of execution and feedback ids (UUID version 5, RFC 9562)."""


COLUMNS: Final = (
    "execution_id", "task_id", "run", "trace_ids", "session_id", "user_hash", "environment",
    "service_name", "started_at", "ended_at", "duration_seconds", "recorded_at", "updated_at",
    "task_type", "task_description", "repo", "file_count", "estimated_tokens", "model_tier",
    "model", "requested_model", "provider", "pool_type", "swarm_topology", "agent", "selector",
    "routing_confidence", "complexity_score", "propensity", "propensity_of", "policy_version",
    "experiment", "variant", "success", "success_source", "quality_score", "error_type",
    "error_class", "error_message", "fallback_used", "cost_estimate", "actual_cost", "cost_source",
    "input_tokens", "output_tokens", "router_cost", "attempt_count", "failed_attempt_count",
    "peak_memory_mb", "cpu_time_seconds", "solution_summary", "producer", "profile", "complete",
    "dropped_attributes", "sampling_ratio", "metadata",
)  # fmt: skip
"""Of an execution as it is stored; what feedback adds is joined when it is read."""

_FIRST_SAID: Final = frozenset(
    ("model_tier", "pool_type", "swarm_topology", "selector", "routing_confidence",
     "complexity_score", "propensity", "propensity_of", "policy_version", "experiment", "variant",
     "cost_estimate")
)  # fmt: skip
"""What the router chose: the first statement stands, whatever a fallback did later."""
_TOPMOST_SAID: Final = frozenset(
    ("session_id", "user_hash", "environment", "service_name", "task_type", "task_description",
     "repo", "file_count", "estimated_tokens", "quality_score", "peak_memory_mb",
     "cpu_time_seconds", "solution_summary", "sampling_ratio")
)  # fmt: skip
"""What the task is: the task's own span is believed first, then the outer ones."""


@dataclass(slots=True)
class Assembled:
    """An execution's row and its attempts' rows."""

    execution: Row
    attempts: list[Row]


def execution_id(group: Group) -> str:
    """The execution's id: a version 5 UUID of scope, task id or trace, and run (RFC 9562).

    As text, and written out here: the standard library's takes six times as long, for each one.
    """
    digest = hashlib.sha1(NAMESPACE.bytes + group.name.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


def assemble(group: Group, price: Price, classify: Classify) -> Assembled:
    """What the observations of one execution say, taken together."""
    spans = group.observations
    lineage = Lineage(spans)
    calls = calls_of(spans, lineage)
    evidence = Evidence(
        group,
        spans,
        lineage,
        tops=topmost(spans, lineage),
        by_rank=by_rank_of(spans, lineage),
        calls=calls,
        work=[call for call in calls if not call.router],
    )
    row: Row = dict.fromkeys(COLUMNS)
    row["execution_id"] = execution_id(group)
    row["task_id"], row["run"] = group.task_id, group.run
    row["trace_ids"] = _trace_ids(spans)
    ranked: dict[str, FactValue] = {}
    for observation in reversed(evidence.by_rank):
        ranked.update(observation.facts)
    for fact in _TOPMOST_SAID & ranked.keys():
        row[fact] = ranked[fact]
    chosen: dict[str, FactValue] = {}
    for observation in reversed(spans):
        if observation.role != "tool":
            chosen.update(observation.facts)
    for fact in _FIRST_SAID & chosen.keys():
        row[fact] = chosen[fact]
    if row["task_description"] is None:
        row["task_description"] = chosen.get("prompt")  # only there with CONTENT=prompt
    if row["propensity"] is not None and row["propensity_of"] is None:
        row["propensity_of"] = "model_tier"

    starts = [o.start_ns for o in evidence.by_rank if o.start_ns is not None]
    ends = [o.end_ns for o in evidence.by_rank if o.end_ns is not None]
    row["started_at"] = min(starts) if starts else None
    row["ended_at"] = max(ends) if ends else None
    row["duration_seconds"] = _duration(evidence)
    _decide_models(row, evidence, chosen)
    decide_outcome(row, evidence, ranked, classify)
    decide_cost(row, evidence, price)
    row["attempt_count"] = len(calls)
    row["failed_attempt_count"] = len([c for c in evidence.work if c.success is False])

    top = evidence.tops[0] if evidence.tops else spans[0]
    if top.profile is None:
        top = next((o for o in evidence.by_rank if o.profile is not None), top)
    row["producer"], row["profile"] = top.producer, top.profile
    row["complete"] = group.complete
    row["dropped_attributes"] = sum([o.dropped for o in spans])
    if "metadata" in ranked:
        row["metadata"] = _metadata(evidence.by_rank)
    identity = row["execution_id"]
    attempts = [
        _attempt(identity, ordinal, call, classify) for ordinal, call in enumerate(calls, start=1)
    ]
    return Assembled(row, attempts)


def evidence_of(group: Group, row: Row) -> dict[str, str]:
    """Column -> which span, or which rule, its value comes from; for `explain`."""
    lineage = Lineage(group.observations)
    by_rank = by_rank_of(group.observations, lineage)
    found = {}
    for fact in sorted(_TOPMOST_SAID | _FIRST_SAID):
        among = by_rank if fact in _TOPMOST_SAID else group.observations
        for observation in among:
            if fact in observation.facts and observation.facts[fact] == row.get(fact):
                found[fact] = f"{observation.role} span {observation.span_id}"
                break
    if row.get("model_tier") is not None and "model_tier" not in found:
        found["model_tier"] = "the tier table, by the requested model"
    found["success"] = f"rule {row['success_source']}" if row["success_source"] else "no rule"
    if row.get("cost_source"):
        found["actual_cost"] = str(row["cost_source"])
    return found


def _trace_ids(spans: list[Observation]) -> list[str]:
    traces: dict[str, None] = {}
    for observation in spans:
        if observation.trace_id is not None and observation.role != "ancestor":
            traces.setdefault(observation.trace_id)
    return list(traces)


def _duration(evidence: Evidence) -> float | None:
    """A stated duration of the task, else the topmost span's own."""
    tops = evidence.tops
    for observation in evidence.by_rank:
        stated = observation.facts.get("duration_seconds")
        if stated is not None and (observation.role == "task" or observation in tops):
            return float(stated)
    if not evidence.group.complete:
        return None
    own = [o for o in tops if o.role == "task"] or [o for o in tops if o.local_root] or tops
    lasted = [
        (o.end_ns - o.start_ns) / 1e9
        for o in own
        if o.start_ns is not None and o.end_ns is not None and "untimed" not in o.facts
    ]
    return max(lasted) if lasted else None


def _decide_models(row: Row, evidence: Evidence, chosen: dict[str, FactValue]) -> None:
    work = evidence.work
    routed, final = chosen.get("routed_model"), chosen.get("final_model")
    if "agent" in chosen:
        row["agent"] = _agent(evidence.spans)
    if not work:
        row["model"] = final or chosen.get("fallback_to") or routed
        row["requested_model"] = routed or final
        return
    good = [call for call in work if call.success is not False and call.model is not None]
    named = [call for call in work if call.model is not None]
    if good:
        row["model"] = good[-1].model
        row["provider"] = provider_of(good[-1].facts)
    elif named:
        row["model"] = named[-1].requested_model
        row["provider"] = provider_of(named[-1].facts)
    else:
        row["model"] = final or chosen.get("fallback_to") or routed
    asked = next((call.requested_model for call in work if call.requested_model), None)
    row["requested_model"] = asked or routed or final
    if row["model_tier"] is None:
        row["model_tier"] = next(
            (c.facts["tier_hint"] for c in work if "tier_hint" in c.facts), None
        )


def _agent(spans: list[Observation]) -> str | None:
    """The agent that worked: the first one named that is not a router."""
    named = [o for o in spans if "agent" in o.facts and o.role != "tool"]
    working = [o for o in named if o.role == "agent"] or [o for o in named if o.role != "route"]
    found = next(iter(working or named), None)
    return None if found is None else str(found.facts["agent"])


def _metadata(by_rank: list[Observation]) -> str | None:
    merged: dict[str, Any] = {}
    for observation in reversed(by_rank):
        if "metadata" in observation.facts:
            merged.update(json.loads(str(observation.facts["metadata"])))
    return json.dumps(merged, sort_keys=True) if merged else None


def _attempt(identity: str, ordinal: int, call: Call, classify: Classify) -> Row:
    observation, facts = call.observation, call.facts
    start, end = observation.start_ns, observation.end_ns
    failed = call.success is False
    error_class = facts.get("error_class") if failed else None
    if failed and observation.status != "error" and "finish" in facts:
        error_class = "content_filter"
    message = facts.get("error_message") if failed else None
    return {
        "execution_id": identity,
        "ordinal": ordinal,
        "trace_id": observation.trace_id,
        "span_id": observation.span_id,
        "started_at": start,
        "duration_seconds": (end - start) / 1e9 if start is not None and end is not None else None,
        "role": "router" if call.router else "work",
        "model": call.model,
        "requested_model": call.requested_model,
        "provider": provider_of(facts),
        "response_id": facts.get("response_id"),
        "input_tokens": facts.get("input_tokens"),
        "output_tokens": facts.get("output_tokens"),
        "cost": facts.get("cost"),
        "success": call.success,
        "error_type": classify(text(error_class), text(message)) if failed else None,
        "error_class": text(error_class),
        "reason": call.reason,
    }
