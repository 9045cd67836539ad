"""Executions with planted outcomes, exported as an orchestrator does it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from otel_learning import LearningDatabase, LearningSpanExporter
from tests.durability import harness

DAY_NS = 86_400 * 10**9
Attributes = dict[str, Any]


def export(
    path: Path,
    tasks: Iterable[tuple[str, Attributes]],
    *,
    start_ns: int | None = None,
    step_ns: int = 10**5,
    environment: str | None = None,
) -> LearningDatabase:
    """Stores one execution per task id, one after the other in time."""
    begun = time.time_ns() if start_ns is None else start_ns
    resource = {} if environment is None else {"deployment.environment.name": environment}
    exporter = LearningSpanExporter(path=path)
    spans = [
        harness.span(
            harness.number_of(f"{environment}{task_id}"), 1,
            {"learning.task.id": task_id, **attributes}, name="task", resource=resource,
            start_ns=begun + number * step_ns, seconds=0.5,
        )
        for number, (task_id, attributes) in enumerate(tasks)
    ]  # fmt: skip
    exporter.export(spans)
    assert exporter.force_flush()
    exporter.shutdown()
    return LearningDatabase(path)


def labelled(
    experiment: str,
    rates: dict[str, float],
    count: int,
    *,
    seed: int = 1,
    prefix: str = "t",
    more: Callable[[random.Random, str], Attributes] | None = None,
    unknown: float = 0.0,
) -> list[tuple[str, Attributes]]:
    """Tasks whose spans name experiment and variant, taking turns; success by the variant's rate.

    Args:
        unknown: the share of tasks whose outcome nobody says.
        more: further attributes of a task with that variant.
    """
    draw = random.Random(seed)
    variants = list(rates)
    made = []
    for number in range(count):
        variant = variants[number % len(variants)]
        said: Attributes = {
            "learning.route.experiment": experiment, "learning.route.variant": variant,
        }  # fmt: skip
        success = draw.random() < rates[variant]
        if draw.random() >= unknown:
            said["learning.outcome.success"] = success
        made.append((f"{prefix}-{number}", {**said, **(more(draw, variant) if more else {})}))
    return made
