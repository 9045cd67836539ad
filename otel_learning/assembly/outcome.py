"""Whether an execution succeeded, which rule says so, and what went wrong. Pure (rule R4)."""

from __future__ import annotations

from otel_learning.assembly.attempts import Call
from otel_learning.assembly.correlation import order
from otel_learning.assembly.evidence import Classify, Evidence, Row, text
from otel_learning.observation import FactValue, Observation


def decide_outcome(
    row: Row, evidence: Evidence, ranked: dict[str, FactValue], classify: Classify
) -> None:
    """Fills success and its source, fallback, and error columns where it did not succeed."""
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
            named = text(said.get("error_type")) or text(said.get("error_class"))
            row["error_type"] = classify(named, text(said.get("error_message")))
    if success is False and row["error_type"] is None:
        row["error_type"] = "unknown"


def _success(
    evidence: Evidence, *, stated: bool
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
        for o in spans
        if o.role in ("task", "step")
    ) and not any(call.success is False for call in work)
    return False if work and not hidden else None


def _errors(evidence: Evidence, witness: Observation | None) -> list[dict[str, FactValue]]:
    """What is said about the failure, the most telling first."""
    by_rank, tops = evidence.by_rank, evidence.tops
    said: list[dict[str, FactValue]] = [
        o.facts
        for o in by_rank
        if o.role in ("task", "step", "agent")
        and (o is witness or "success" in o.facts or o in tops)
    ]
    for call in reversed(evidence.work):
        if call.success is False:
            facts = dict(call.facts)
            if call.observation.status != "error" and "finish" in facts:
                facts["error_class"] = "content_filter"
            said.append(facts)
    said += [o.facts for o in by_rank if o.status == "error" and o.role != "call"]
    return [s for s in said if {"error_class", "error_type", "error_message"} & s.keys()]
