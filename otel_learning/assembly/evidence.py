"""One execution's observations, in the orders in which its columns are decided. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from otel_learning.assembly.attempts import Call
from otel_learning.assembly.correlation import Group, order
from otel_learning.assembly.lineage import Lineage
from otel_learning.observation import FactValue, Observation

Price = Callable[[str, str | None, int, int, int], float | None]
"""(model, provider, input tokens, output tokens, cached tokens) -> USD or None."""
Classify = Callable[[str | None, str | None], str | None]
"""(error class, message) -> error type."""

Row = dict[str, Any]

_RANK: Final = {"task": 0, "step": 1, "agent": 1, "route": 2, "call": 3, "tool": 4, "feedback": 5}

_DEEPEST: Final = 1_000_000


@dataclass(slots=True)
class Evidence:
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


def topmost(spans: list[Observation], lineage: Lineage) -> list[Observation]:
    """Spans with no known ancestor in the execution: the task's own first, then by time."""
    tops = [o for o in spans if lineage.parent(o) is None and o.role != "tool"]
    if len(tops) > 1:
        tops.sort(key=lambda o: (o.role != "task", o.role == "ancestor", order(o)))
    return tops


def by_rank_of(spans: list[Observation], lineage: Lineage) -> list[Observation]:
    """Who is to be believed about the task as a whole: its own span, then the outer ones."""
    telling = [o for o in spans if o.role != "ancestor"]
    if len(telling) > 1:
        # Stable: of equal rank and depth, the earlier one comes first.
        telling.sort(key=lambda o: _RANK[o.role] * _DEEPEST + lineage.depth(o))
    return telling


def text(value: FactValue | None) -> str | None:
    return None if value is None else str(value)
