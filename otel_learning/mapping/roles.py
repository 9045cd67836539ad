"""What a span is to us: the task, a route, a call, a step, feedback; or nothing of interest."""

from __future__ import annotations

from typing import Final

from otel_learning.mapping.plan import Traits, is_router_name
from otel_learning.observation import Facts, Role

_ROUTING: Final = frozenset(
    ("model_tier", "routed_model", "selector", "routing_confidence", "propensity",
     "complexity_score")
)  # fmt: skip
_CALLING: Final = frozenset(("requested_model", "response_model", "response_id"))
_FAILED_CALL: Final = frozenset(("requested_model", "purpose"))
_ANSWERING: Final = frozenset(
    ("response_model", "response_id", "provider", "input_tokens", "output_tokens",
     "attempt_number", "finish")
)  # fmt: skip
_ABOUT_A_TASK: Final = frozenset(
    ("task_id", "task_type", "task_description", "repo", "quality_score", "model_tier", "success",
     "total_cost")
)  # fmt: skip
_TELLING_TOGETHER: Final = 3
"""A `request.id` alone is any request; with a type and a tier, it is a task by another name."""


def fails_as_call(facts: Facts) -> bool:
    """Whether a failed span was a call: it has nothing of an answer, and yet it is one."""
    return facts.keys() >= _FAILED_CALL


def tells(explicit: Role | None, facts: Facts) -> bool:
    """Whether facts make a span relevant that none of them makes so alone."""
    return (
        explicit in ("task", "route", "agent", "call")
        or _is_call(facts)
        or len(facts.keys() & _ABOUT_A_TASK) >= _TELLING_TOGETHER
    )


def role_of(traits: Traits, explicit: Role | None, facts: Facts, direct_task: bool) -> Role:
    """What the span is: as its producer says, else by what it tells."""
    if "feedback_target" in facts:
        facts.pop("task_id", None)
        return "feedback"
    if explicit == "tool" or explicit == "task":
        return explicit
    if direct_task and "task_id" in facts:
        return "task"
    if explicit != "call" and not direct_task:
        agent = facts.get("agent")
        if traits.router or (isinstance(agent, str) and is_router_name(agent)):
            return "route"
    if explicit is not None:
        return explicit
    if _is_call(facts):
        return "call"
    if not _ROUTING.isdisjoint(facts):
        return "route" if "success" not in facts else "step"
    if "task_id" in facts and "pool_type" not in facts:
        return "task"
    return "step"


def _is_call(facts: Facts) -> bool:
    """A model alone is a choice; with an answer, its cost or its number, it is a call."""
    return not _CALLING.isdisjoint(facts) and not _ANSWERING.isdisjoint(facts)
