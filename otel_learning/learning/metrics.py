"""What an experiment can measure: which values a metric has, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from otel_learning.errors import InputError
from otel_learning.store.outcomes import MEASURES

Goal = Literal["max", "min"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One outcome of an execution."""

    name: str
    boolean: bool
    """Whether it is 0 or 1, so that tests of it are exact."""
    goal: Goal
    """Which way is better, unless an experiment says otherwise."""
    low: float | None = None
    high: float | None = None
    """Its range, where it has one."""


METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric("success", True, "max", 0, 1),
        Metric("accepted", True, "max", 0, 1),
        Metric("rating", False, "max", 1, 5),
        Metric("quality_score", False, "max", 0, 100),
        Metric("fallback_used", True, "min", 0, 1),
        *(
            Metric(name, False, "min", 0)
            for name in (
                "actual_cost", "duration_seconds", "input_tokens", "output_tokens", "router_cost",
                "attempt_count", "failed_attempt_count", "peak_memory_mb", "cpu_time_seconds",
            )
        ),
    )
}  # fmt: skip
"""Every metric: those of an execution's own, and `accepted` and `rating` from feedback."""

assert METRICS.keys() == MEASURES.keys()

_COLUMNS: Final = {"user_accepted": "accepted", "user_rating": "rating"}


def metric_of(name: str) -> Metric:
    """The metric of that name, or of that column of `executions`.

    Raises:
        InputError: there is none.
    """
    found = METRICS.get(_COLUMNS.get(name, name))
    if found is None:
        raise InputError(f"there is no metric {name!r}", f"one of {', '.join(METRICS)}")
    return found
