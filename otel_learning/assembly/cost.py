"""What an execution used and cost, each call counted once. Pure."""

from __future__ import annotations

from typing import Any

from otel_learning.assembly.attempts import Call, provider_of
from otel_learning.assembly.evidence import Evidence, Price, Row
from otel_learning.observation import FactValue


def decide_cost(row: Row, evidence: Evidence, price: Price) -> None:
    """Fills tokens, cost and its source: the calls' own, else what was stated of the whole."""
    calls, by_rank = evidence.calls, evidence.by_rank
    if not calls:
        _decide_without_calls(row, evidence)
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


def _decide_without_calls(row: Row, evidence: Evidence) -> None:
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


def _innermost(fact: str, evidence: Evidence) -> list[FactValue]:
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
