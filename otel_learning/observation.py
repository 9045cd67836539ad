"""What one span or log event told about an execution: ids, times, role and typed facts.

An observation is the only thing that travels from the mapping to the store. It never holds
the raw span. `FACTS` lists every fact that an observation may carry, with its type.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final, Literal

FactType = Literal["text", "integer", "number", "boolean"]
FactValue = str | int | float | bool
Facts = dict[str, FactValue]

FACTS: Final[dict[str, FactType]] = {
    # identity
    "task_id": "text",
    "session_id": "text",
    "user_hash": "text",
    "join_key": "text",
    # the task
    "task_type": "text",
    "task_description": "text",
    "prompt": "text",
    "repo": "text",
    "file_count": "integer",
    "estimated_tokens": "integer",
    # the route
    "model_tier": "text",
    "routed_model": "text",
    "pool_type": "text",
    "swarm_topology": "text",
    "agent": "text",
    "selector": "text",
    "routing_confidence": "number",
    "complexity_score": "number",
    "propensity": "number",
    "propensity_of": "text",
    "policy_version": "text",
    "experiment": "text",
    "variant": "text",
    "cost_estimate": "number",
    # the model call
    "requested_model": "text",
    "response_model": "text",
    "provider": "text",
    "response_id": "text",
    "input_tokens": "integer",
    "output_tokens": "integer",
    "cached_tokens": "integer",
    "uncached_input_tokens": "integer",
    "cache_write_tokens": "integer",
    "cost": "number",
    "attempt_number": "integer",
    "attempt_reason": "text",
    "purpose": "text",
    "model_alias": "text",
    "final_model": "text",
    "tier_hint": "text",
    # the outcome
    "success": "boolean",
    "finish": "text",
    "quality_score": "number",
    "error_type": "text",
    "error_class": "text",
    "error_message": "text",
    "error_at_ns": "integer",
    "fallback_used": "boolean",
    "fallback_from": "text",
    "fallback_to": "text",
    "total_cost": "number",
    "stated_cost": "number",
    "untimed": "boolean",
    "duration_seconds": "number",
    "peak_memory_mb": "number",
    "cpu_time_seconds": "number",
    "solution_summary": "text",
    # feedback
    "feedback_id": "text",
    "feedback_kind": "text",
    "feedback_target": "text",
    "feedback_accepted": "boolean",
    "feedback_rating": "number",
    "feedback_comment": "text",
    "feedback_source": "text",
    "feedback_quality": "number",
    "feedback_issue": "text",
    "feedback_visibility": "text",
    "feedback_revoked": "boolean",
    # provenance
    "service_name": "text",
    "environment": "text",
    "namespace": "text",
    "sampling_ratio": "number",
    "metadata": "text",
}

Role = Literal["task", "route", "agent", "call", "tool", "step", "feedback", "ancestor"]
"""What a span is to its execution.

task: the task's own span. route: a routing decision. agent: an agent's or a workflow's run,
whose tokens repeat those of the calls below it. call: one model call. tool: a tool's run.
step: any other span with a fact. feedback: something said later. ancestor: no facts, kept
because it lies between spans that have some.
"""


@dataclass(slots=True)
class Observation:
    """One observation. Times are nanoseconds since the epoch, None where they cannot be."""

    trace_id: str | None
    span_id: str
    parent_id: str | None
    local_root: bool
    role: Role
    start_ns: int | None
    end_ns: int | None
    status: str | None = None
    """`ok`, `error`, or None where the span left its status unset."""
    producer: str | None = None
    profile: str | None = None
    revision: int = 0
    dropped: int = 0
    facts: Facts = field(default_factory=dict)

    @property
    def key(self) -> tuple[str | None, str]:
        """What makes two observations observations of the same span."""
        return (self.trace_id, self.span_id)

    def digest(self) -> str:
        """A hash of everything the observation says; breaks ties between differing copies."""
        said = (
            self.parent_id,
            self.local_root,
            self.role,
            self.start_ns,
            self.end_ns,
            self.status,
            self.producer,
            self.profile,
            self.dropped,
            sorted(self.facts.items()),
        )
        return hashlib.blake2b(repr(said).encode(), digest_size=16).hexdigest()


def deduplicate(observations: list[Observation]) -> list[Observation]:
    """One observation per span, whatever their order.

    Of two that differ, the one with the higher mapping revision stands, then the one with
    more facts, then the one with the smaller hash.
    """
    best: dict[tuple[str | None, str], Observation] = {}
    for new in observations:
        old = best.setdefault(new.key, new)
        if old is not new and _precedes(new, old):
            best[new.key] = new
    return list(best.values())


def _precedes(new: Observation, old: Observation) -> bool:
    # An ancestor knows least of a span: any other reading of the same span replaces it.
    new_rank = (new.role != "ancestor", new.revision, len(new.facts))
    old_rank = (old.role != "ancestor", old.revision, len(old.facts))
    if new_rank != old_rank:
        return new_rank > old_rank
    return new.digest() < old.digest()
