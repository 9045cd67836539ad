"""One group of observations -> one execution with its attempts. Pure.

Every column is decided by one small rule, and what no observation tells stays None.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from otel_learning.assembly.attempts import Call, Lineage, calls_of, provider_of
from otel_learning.assembly.correlation import Group, order
from otel_learning.observation import FactValue, Observation

NAMESPACE: Final = UUID("6f1d3f0e-8a5b-5c55-9d0b-0f6a3e1f4b77")
"""Of execution and feedback ids (UUID version 5, RFC 9562)."""

Price = Callable[[str, str | None, int, int, int], float | None]
"""(model, provider, input tokens, output tokens, cached tokens) -> USD or None."""
Classify = Callable[[str | None, str | None], str | None]
"""(error class, message) -> error type."""

Row = dict[str, Any]

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

_RANK: Final = {"task": 0, "step": 1, "agent": 1, "route": 2, "call": 3, "tool": 4, "feedback": 5}
_DEEPEST: Final = 1_000_000
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


@dataclass(slots=True)
class _Evidence:
    """One execution's observations, in the orders in which they are asked."""

    group: Group
    spans: list[Observation]
    """In time order."""
    lineage: Lineage
    tops: list[Observation]
    """Without a known ancestor: the task's own span first, then by time."""
    by_rank: list[Observation]
    """Who is to be believed about the task as a whole, first."""
    calls: list[Call]
    work: list[Call]
    """The calls that worked on the task, router calls left out."""


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
    evidence = _Evidence(
        group,
        spans,
        lineage,
        tops=_topmost(spans, lineage),
        by_rank=_by_rank(spans, lineage),
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
    _decide_outcome(row, evidence, ranked, classify)
    _decide_cost(row, evidence, price)
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
    by_rank = _by_rank(group.observations, lineage)
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


# ------------------------------------------------------------------------ who comes first


def _topmost(spans: list[Observation], lineage: Lineage) -> list[Observation]:
    """Spans with no known ancestor in the execution: the task's own first, then by time."""
    tops = [o for o in spans if lineage.parent(o) is None and o.role != "tool"]
    if len(tops) > 1:
        tops.sort(key=lambda o: (o.role != "task", o.role == "ancestor", order(o)))
    return tops


def _by_rank(spans: list[Observation], lineage: Lineage) -> list[Observation]:
    """Who is to be believed about the task as a whole: its own span, then the outer ones."""
    telling = [o for o in spans if o.role != "ancestor"]
    if len(telling) > 1:
        # Stable: of equal rank and depth, the earlier one comes first.
        telling.sort(key=lambda o: _RANK[o.role] * _DEEPEST + lineage.depth(o))
    return telling


def _trace_ids(spans: list[Observation]) -> list[str]:
    traces: dict[str, None] = {}
    for observation in spans:
        if observation.trace_id is not None and observation.role != "ancestor":
            traces.setdefault(observation.trace_id)
    return list(traces)


def _duration(evidence: _Evidence) -> float | None:
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


# ------------------------------------------------------------------------ models and route


def _decide_models(row: Row, evidence: _Evidence, chosen: dict[str, FactValue]) -> None:
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
        row["model_tier"] = next((c.facts["tier_hint"] for c in work if "tier_hint" in c.facts), None)


def _agent(spans: list[Observation]) -> str | None:
    """The agent that worked: the first one named that is not a router."""
    named = [o for o in spans if "agent" in o.facts and o.role != "tool"]
    working = [o for o in named if o.role == "agent"] or [o for o in named if o.role != "route"]
    found = next(iter(working or named), None)
    return None if found is None else str(found.facts["agent"])


# ------------------------------------------------------------------------------- outcome


def _decide_outcome(
    row: Row, evidence: _Evidence, ranked: dict[str, FactValue], classify: Classify
) -> None:
    success, source, witness = _success(evidence, stated="success" in ranked)
    row["success"], row["success_source"] = success, source
    if evidence.work or "fallback_used" in ranked or "fallback_from" in ranked:
        row["fallback_used"] = _fallback(evidence.spans, evidence.work)
    if success is True:
        return
    for said in _errors(evidence, witness):
        if row["error_class"] is None and "error_class" in said:
            row["error_class"] = str(said["error_class"])
        if row["error_message"] is None and "error_message" in said:
            row["error_message"] = str(said["error_message"])
        if row["error_type"] in (None, "unknown"):
            named = _text(said.get("error_type")) or _text(said.get("error_class"))
            row["error_type"] = classify(named, _text(said.get("error_message")))
    if success is False and row["error_type"] is None:
        row["error_type"] = "unknown"


def _success(
    evidence: _Evidence, *, stated: bool
) -> tuple[bool | None, str | None, Observation | None]:
    """True, False or None, the rule that said so, and the span it said it of (rule R4)."""
    by_rank, tops, work = evidence.by_rank, evidence.tops, evidence.work
    if stated:
        said = [o for o in by_rank if "success" in o.facts and o.role not in ("tool", "call")]
        own = [o for o in said if o.role == "task"] or said
        if len(own) == 1:
            return bool(own[0].facts["success"]), "stated", own[0]
        if own:
            # The outermost statement is the task's; of several runs in a row, the last one.
            parents = {o.span_id for o in by_rank}
            last = max(own, key=lambda o: (o.parent_id not in parents, order(o)))
            return bool(last.facts["success"]), "stated", last
    if not evidence.group.complete:
        return None, None, None
    last_call = work[-1] if work else None
    if last_call is not None and last_call.success is False:
        return False, "last_attempt", last_call.observation
    root = next((o for o in reversed(tops) if o.role != "ancestor"), None)
    root = root or (tops[-1] if tops else None)
    if root is not None and root.status == "error":
        failed_at = root.facts.get("error_at_ns")
        recovered = (
            failed_at is not None
            and last_call is not None
            and last_call.success is True
            and (last_call.observation.end_ns or 0) > int(failed_at)
            and last_call.observation is not root
        )
        if not recovered:
            return False, "unhandled_error", root
        return True, "last_attempt", last_call.observation if last_call else root
    if root is not None and not work and {"error_class", "error_message"} & root.facts.keys():
        return False, "stated_error", root
    if root is not None and root.status == "ok":
        return True, "root_status", root
    if last_call is not None and last_call.success is True:
        return True, "last_attempt", last_call.observation
    return None, None, None


def _fallback(spans: list[Observation], work: list[Call]) -> bool | None:
    stated = [o.facts["fallback_used"] for o in spans if "fallback_used" in o.facts]
    if any(stated) or any("fallback_from" in o.facts for o in spans):
        return True
    if any(call.reason == "fallback" for call in work):
        return True
    if stated:
        return False
    # An error that no visible attempt accounts for may hide a fallback.
    hidden = any(
        "error_at_ns" in o.facts and "requested_model" in o.facts
        for o in spans if o.role in ("task", "step")
    ) and not any(call.success is False for call in work)
    return False if work and not hidden else None


def _errors(evidence: _Evidence, witness: Observation | None) -> list[dict[str, FactValue]]:
    """What is said about the failure, the most telling first."""
    by_rank, tops = evidence.by_rank, evidence.tops
    said: list[dict[str, FactValue]] = []
    for observation in by_rank:
        if observation.role in ("task", "step", "agent") and (
            observation is witness or "success" in observation.facts or observation in tops
        ):
            said.append(observation.facts)
    for call in reversed(evidence.work):
        if call.success is False:
            facts = dict(call.facts)
            if call.observation.status != "error" and "finish" in facts:
                facts["error_class"] = "content_filter"
            said.append(facts)
    said += [o.facts for o in by_rank if o.status == "error" and o.role != "call"]
    return [s for s in said if {"error_class", "error_type", "error_message"} & s.keys()]


# ---------------------------------------------------------------------- tokens and cost


def _decide_cost(row: Row, evidence: _Evidence, price: Price) -> None:
    calls, by_rank = evidence.calls, evidence.by_rank
    if not calls:
        _decide_cost_without_calls(row, evidence)
        return
    used = [call for call in calls if call.has_usage]
    row["input_tokens"] = _sum([c.facts.get("input_tokens") for c in used])
    row["output_tokens"] = _sum([c.facts.get("output_tokens") for c in used])
    priced = {id(call): _price(call, price) for call in used if "cost" not in call.facts}
    costs = [(call, call.facts.get("cost", priced.get(id(call)))) for call in used]
    reported = [call for call in calls if "cost" in call.facts]
    row["router_cost"] = _sum([cost for call, cost in costs if call.router])
    stated = next((o.facts["stated_cost"] for o in by_rank if "stated_cost" in o.facts), None)
    total = stated
    if total is None and not (used and len(reported) >= len(used)):
        total = next((o.facts["total_cost"] for o in by_rank if "total_cost" in o.facts), None)
        if total is None:
            total = next(
                (o.facts["cost"] for o in by_rank if o.role == "task" and "cost" in o.facts
                 and "requested_model" not in o.facts), None,
            )  # fmt: skip
    if total is not None:
        row["actual_cost"], row["cost_source"] = float(total), "reported"
    elif costs and all(cost is not None for _, cost in costs):
        row["actual_cost"] = _sum([cost for _, cost in costs])
        row["cost_source"] = "priced" if priced else "reported"


def _decide_cost_without_calls(row: Row, evidence: _Evidence) -> None:
    """No call is visible: what agents, pools and the task say of their tokens and cost."""
    for fact in ("input_tokens", "output_tokens"):
        row[fact] = _sum(_innermost(fact, evidence))
    for fact in ("stated_cost", "total_cost"):
        for observation in evidence.by_rank:
            if fact in observation.facts:
                row["actual_cost"], row["cost_source"] = observation.facts[fact], "reported"
                return
    total = _sum(_innermost("cost", evidence))
    if total is not None:
        row["actual_cost"], row["cost_source"] = total, "reported"


def _innermost(fact: str, evidence: _Evidence) -> list[FactValue]:
    """The fact's values that no span further in repeats: outer spans sum up the inner ones."""
    having = [o for o in evidence.spans if fact in o.facts]
    if len(having) < 2:
        return [o.facts[fact] for o in having]
    outer = evidence.lineage.outer(having)
    return [o.facts[fact] for o in having if (o.trace_id, o.span_id) not in outer]


def _price(call: Call, price: Price) -> float | None:
    model = call.model
    if model is None:
        return None
    return price(
        model,
        provider_of(call.facts),
        int(call.facts.get("input_tokens", 0)),
        int(call.facts.get("output_tokens", 0)),
        int(call.facts.get("cached_tokens", 0)),
    )


def _sum(values: list[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


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
        "error_type": classify(_text(error_class), _text(message)) if failed else None,
        "error_class": _text(error_class),
        "reason": call.reason,
    }


def _text(value: FactValue | None) -> str | None:
    return None if value is None else str(value)
