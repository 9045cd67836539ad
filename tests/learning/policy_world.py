"""Outcomes of a made-up router, replayed into a store: it explores, and logs how."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from otel_learning.policy_reader import PolicyReader
from tests.learning.building import execution, store_with

BEGIN = datetime(2026, 9, 1, tzinfo=UTC)
COSTS = {"small": 0.002, "large": 0.01}
RATES = {
    "bug_fix": {"small": 0.55, "large": 0.9},
    "docs": {"small": 0.95, "large": 0.96},
}
"""The small tier is right for documents, and wrong for bugs."""
OWN = {"small": 0.8, "large": 0.2}
"""What the router draws from, for any task."""


class Router:
    """Carries tasks out one after the other, an hour's tenth apart, and remembers nothing."""

    def __init__(self, store: Path, seed: int = 1) -> None:
        self.store = store
        self.now = BEGIN
        self._draw = random.Random(seed)
        self._number = 0
        self.reader = PolicyReader(
            store, draw=self._draw.random, clock=lambda: self.now.timestamp()
        )

    def run(self, tasks: int, rates: Mapping[str, Mapping[str, float]] = RATES) -> None:
        told = []
        for _ in range(tasks):
            told.append(self._task(rates))
            self.now += timedelta(minutes=6)
        store_with(self.store, told)

    def _task(self, rates: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
        self._number += 1
        task_type = self._draw.choice(sorted(rates))
        choice = self.reader.choose({"task_type": task_type})
        arm, propensity, version = choice.arm, choice.propensity, choice.policy_version
        if choice.reason != "policy" or arm is None:
            arm = self._draw.choices(list(OWN), list(OWN.values()))[0]
            propensity, version = OWN[arm], None
        return execution(
            self._number, task_type=task_type, repo="shop", model_tier=arm,
            propensity=propensity, policy_version=version,
            success=self._draw.random() < rates[task_type][arm],
            actual_cost=COSTS[arm] * self._draw.uniform(0.8, 1.25),
            started_at=self.now,
            duration_seconds=60.0,
        )  # fmt: skip
