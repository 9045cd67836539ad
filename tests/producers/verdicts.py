"""Whether what the store says of one fact is what happened: one small rule per fact.

A rule answers 1.0, 0.0, or 0.5 where the store leaves open what it could have known: unknown is
better than wrong. None means that there is nothing to compare.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.producers.truth import Task

Stored = Mapping[str, Any]
"""The row of an execution."""
Rule = Callable[[Task, Stored], float | None]

COUNTED: Final = ("input_tokens", "output_tokens", "attempt_count")
"""Counts that may have router calls in or out, but the same way for a whole producer."""
DESCRIPTION_ENOUGH: Final = 80
"""Characters of a description after which a cut is a cut, not a mistake."""
COST_TOLERANCE: Final = 0.01

_FAMILIES: Final[Mapping[str, frozenset[str]]] = {
    "429": frozenset(("rate_limit",)),
    "500": frozenset(("network", "crash")),
    "503": frozenset(("network", "crash")),
    "timeout": frozenset(("timeout", "network")),
    "400ctx": frozenset(("validation",)),
    "404": frozenset(("validation",)),
    "401": frozenset(("authentication",)),
    "filter": frozenset(("content_filter",)),
}
"""What the fake server did -> the families of error that describe it."""
_CLASSES: Final[Mapping[str, frozenset[str]]] = {
    "content_filter": frozenset(("content_filter",)),
    "ValueError": frozenset(("validation", "crash")),
    "RuntimeError": frozenset(("crash", "quality_gate")),
}
"""What the application raised by itself -> the families of error that describe it."""
_VERDICTS: Final[Mapping[str, bool]] = {"accepted": True, "rejected": False}


def verdict(fact: str, task: Task, stored: Stored | None) -> float | None:
    """How right the store is about a fact; `stored` is None where it knows no such task."""
    rule = _RULES.get(fact, _as_given)
    if fact in ("task_id", "task_type", "repo"):
        right = 0.0 if stored is None else _same_text(task.told[fact], stored.get(fact))
        return right
    expected = rule(task, stored or {})
    return 0.0 if stored is None and expected is not None else expected


def counted(fact: str, task: Task, stored: Stored | None, *, with_router_calls: bool) -> float:
    """Whether a count is right, router calls counted in or left out."""
    known = task.mask[f"{fact}_accept"]["all" if with_router_calls else "work"]
    if stored is None:
        return 0.0
    found = stored.get(fact)
    if found is None:
        return float(0 in known and fact != "attempt_count")
    return float(int(found) in known)


def _same_text(told: object, found: object) -> float:
    return float(found is not None and str(found) == str(told))


def _as_given(task: Task, stored: Stored) -> float | None:
    raise LookupError("no rule for this fact")


def _description(task: Task, stored: Stored) -> float:
    told, found = _folded(task.told["description"]), _folded(stored.get("task_description"))
    if not found:
        return 0.0
    shorter, longer = sorted((told, found.rstrip(". …")), key=len)
    cut = len(shorter) >= DESCRIPTION_ENOUGH - 4 and longer.startswith(shorter)
    return float(told == found or cut)


def _tier(task: Task, stored: Stored) -> float:
    return float(_folded(stored.get("model_tier")) == _folded(task.mask["model_tier_truth"]))


def _model(task: Task, stored: Stored) -> float | None:
    answered = {_plain(task.told[key]) for key in ("final_model", "response_model")}
    if not task.told["final_model"]:
        return None
    return float(stored.get("model") is not None and _plain(stored["model"]) in answered)


def _success(task: Task, stored: Stored) -> float:
    return _or_open(stored.get("success"), task.told["success"])


def _fallback(task: Task, stored: Stored) -> float:
    return _or_open(stored.get("fallback_used"), task.told["fallback_used"])


def _or_open(found: object, told: bool) -> float:
    return 0.5 if found is None else float(bool(found) == told)


def _error(task: Task, stored: Stored) -> float | None:
    kinds, raised = task.told["error_kinds"], task.told["error_type"]
    if task.told["success"] and not kinds:
        return None
    found = stored.get("error_type")
    if found is None:
        # A task that recovered need not say what it recovered from.
        return float(task.told["success"])
    fitting: frozenset[str] = frozenset().union(*(_FAMILIES[kind] for kind in kinds))
    if raised and not task.told["success"]:
        fitting |= _CLASSES.get(raised, frozenset())
    return float(str(found) in fitting)


def _cost(task: Task, stored: Stored) -> float | None:
    told, found = task.told.get("cost_usd_reported"), stored.get("actual_cost")
    if told is None:
        return None
    return float(found is not None and abs(found - told) <= COST_TOLERANCE * told + 1e-9)


def _quality(task: Task, stored: Stored) -> float | None:
    told, found = task.told.get("quality_score"), stored.get("quality_score")
    if told is None:
        return None
    return float(found is not None and abs(found - 100 * told) <= 0.51)


def _feedback(task: Task, stored: Stored) -> float | None:
    said = task.told.get("user_feedback")
    if said is None:
        return None
    marks = []
    if said in _VERDICTS:
        marks.append(stored.get("user_accepted") is _VERDICTS[said])
    if "user_rating_truth" in task.mask:
        marks.append(stored.get("user_rating") == task.mask["user_rating_truth"])
    return sum(marks) / len(marks) if marks else None


_RULES: Final[Mapping[str, Rule]] = {
    "task_description": _description,
    "model_tier": _tier,
    "model": _model,
    "success": _success,
    "fallback_used": _fallback,
    "error_type": _error,
    "actual_cost": _cost,
    "quality_score": _quality,
    "user_feedback": _feedback,
}


def _folded(text: object) -> str:
    return "" if text is None else " ".join(str(text).lower().split())


def _plain(model: object) -> str:
    """A model's name without provider and date."""
    name = re.split(r"[/:]", str(model).lower())[-1]
    return re.sub(r"-(?:\d{4}-\d\d-\d\d|\d{8})$", "", name)
