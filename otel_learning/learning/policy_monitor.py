"""Watches whether a policy keeps its promises, as often as one likes: pure functions.

Every outcome is a small bet against the promise. The wealth that such bets win is evidence that
the promise is broken; bets begin anew with every outcome, so that a change that comes late is
seen as fast as an early one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

RUN_LENGTH: Final = 10_000
"""Outcomes between two false alarms on average, at least, while the promise is just kept."""
OUTCOMES_LEAST: Final = 10
"""No alarm before so many: one bad morning is no drift."""
_BET_MOST: Final = 0.5
"""Of what could be lost at most: a single outcome never ruins the wealth."""
_BETS: Final = (0.05, 0.15, 0.5)
"""Bold bets see a large change soon, timid ones a small change at last; their mean is taken."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What was said of one outcome of a policy, before it was in force."""

    what: str
    """`success` or `cost`."""
    limit: float
    """The mean stays at or above this (success, 0..1), or at or below it (cost, USD)."""
    expected: float


@dataclass(frozen=True, slots=True)
class Watched:
    """How a promise is kept."""

    what: str
    limit: float
    expected: float
    outcomes: int
    mean: float | None
    """Of all outcomes since the policy is in force."""
    evidence: float
    """Against the promise: at 1 the alarm is given."""
    alarmed_after: int | None
    """The number of the outcome at which the alarm was given; None while the promise is kept."""

    @property
    def broken(self) -> bool:
        return self.alarmed_after is not None

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "broken": self.broken}


def watch(promise: Promise, outcomes: Sequence[float]) -> Watched:
    """How a promise is kept by outcomes in the order of their coming.

    Args:
        promise: what was said.
        outcomes: 1.0 and 0.0 for success and failure; or costs in USD.
    """
    if promise.what == "cost":
        # Costs have no upper bound; one that is larger counts as ten times what was promised.
        most = 10 * promise.limit
        scaled: Iterable[float] = (1 - min(cost, most) / most for cost in outcomes)
        floor = 1 - promise.limit / most
    else:
        scaled, floor = outcomes, promise.limit
    wealth, alarmed = _bets(scaled, floor)
    mean = math.fsum(outcomes) / len(outcomes) if outcomes else None
    return Watched(
        promise.what, promise.limit, promise.expected, len(outcomes), mean,
        min(1.0, wealth / RUN_LENGTH), alarmed,
    )  # fmt: skip


def _bets(outcomes: Iterable[float], floor: float) -> tuple[float, int | None]:
    """The largest wealth, and when it was enough for an alarm.

    Source: Shin, Ramdas & Rinaldo, "E-detectors" (2022): the Shiryaev-Roberts sum of betting
    e-processes alarms falsely once in RUN_LENGTH outcomes at most; the bets are those of
    Waudby-Smith & Ramdas, JRSS B 86 (2024).
    """
    if floor <= 0:
        return 0.0, None
    # What is lost at most, 1 - floor, leaves half of the wealth; so any bet is at most this.
    bets = [bet * min(_BET_MOST / max(1 - floor, 1e-9), 1 / floor) for bet in _BETS]
    sums = [0.0] * len(bets)
    largest = 0.0
    for number, outcome in enumerate(outcomes, 1):
        gain = floor - outcome
        sums = [(one + 1) * max(0.0, 1 + bet * gain) for one, bet in zip(sums, bets, strict=True)]
        wealth = math.fsum(sums) / len(sums)
        largest = max(largest, wealth)
        if wealth >= RUN_LENGTH and number >= OUTCOMES_LEAST:
            return largest, number
    return largest, None
