"""Made-up worlds of which the truth is known, and logs that are drawn from them."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

from otel_learning.learning.evidence import Environment, Sums, environments
from otel_learning.learning.pooling import sigmoid
from otel_learning.store.evidence_rows import EvidenceRows


@dataclass
class World:
    """Success rates by (task type, repo) and arm; more rows in some contexts than in others."""

    arms: list[str]
    rates: dict[tuple[str, str], list[float]]

    @classmethod
    def drawn(
        cls, seed: int, *, arms: int = 3, types: int = 5, repos: int = 6,
        shared: float = 0.6, single: float = 0.3,
    ) -> World:  # fmt: skip
        draw = random.Random(seed)
        base = [draw.gauss(0.7, 0.6) for _ in range(arms)]
        rates = {}
        for t in range(types):
            shift_t, own_t = draw.gauss(0, shared), [draw.gauss(0, single) for _ in base]
            for r in range(repos):
                shift, own = draw.gauss(0, shared), [draw.gauss(0, single) for _ in base]
                rates[f"type-{t}", f"repo-{r}"] = [
                    sigmoid(b + shift_t + a + shift + c)
                    for b, a, c in zip(base, own_t, own, strict=True)
                ]
        return cls([f"arm-{a}" for a in range(arms)], rates)

    def evidence(self, seed: int, rows: int) -> Environment:
        """The evidence of a log in which arms are drawn evenly, with what chance is logged."""
        draw = random.Random(seed)
        contexts = list(self.rates)
        sizes = [1 / (1 + i) for i in range(len(contexts))]
        told: dict[tuple[str, str, int], dict[str, Any]] = {}
        for context in draw.choices(contexts, sizes, k=rows):
            arm = draw.randrange(len(self.arms))
            success = draw.random() < self.rates[context][arm]
            add(told.setdefault((*context, arm), empty()), success, 1 / len(self.arms))
        return environments(
            EvidenceRows(
                [],
                [
                    {"environment": "e", "task_type": t, "repo": r, "arm": self.arms[a], **sums}
                    for (t, r, a), sums in sorted(told.items())
                ],
                [],
                None,
            )
        )["e"]


def empty() -> dict[str, Any]:
    return dict.fromkeys(Sums.__dataclass_fields__, 0.0)


def add(sums: dict[str, Any], success: bool, propensity: float) -> None:
    for name in ("executions", "known", "randomised"):
        sums[name] += 1
    sums["balance"] += 1 / propensity
    sums["open_known"] += 1
    sums["w_squares_success"] += success / propensity**2
    for prefix, weight in (("v", 1.0), ("w", 1 / propensity)):
        sums[f"{prefix}_known"] += weight
        sums[f"{prefix}_squares"] += weight * weight
        sums[f"{prefix}_success"] += weight * success


def kendall(found: list[float], truth: list[float]) -> float:
    """Kendall's tau of two orders."""
    pairs = [(i, j) for i in range(len(truth)) for j in range(i)]
    return sum(
        math.copysign(1, found[i] - found[j]) * math.copysign(1, truth[i] - truth[j])
        for i, j in pairs
    ) / len(pairs)
