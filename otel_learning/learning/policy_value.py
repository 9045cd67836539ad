"""What a policy would have achieved, from choices whose probabilities were logged: pure functions.

Doubly robust, with a model that learned from other executions: the estimate is unbiased however
bad the model is, and the less it errs the narrower the interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Final

CONFIDENCE: Final = 0.95
FREEDOM_LEAST: Final = 2.0

Shares = Mapping[str, float]
"""Arm -> with which probability it is drawn."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """One choice of a router, and what came of it."""

    propensity: float
    arm: str
    reward: float
    target: Shares | None
    """What the policy would draw from; None where it leaves the choice to the router."""
    current: Shares | None
    """What it is compared with; None is the router as it was."""
    expected: Mapping[str, float]
    """What the model expects of each arm in this context."""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Estimated:
    """A mean with its interval; NULLs where there is nothing to estimate it from."""

    value: float | None
    low: float | None
    """The mean lies between `low` and `high` with 95 %."""
    high: float | None
    support: int
    effective_support: float
    """How many executions of the policy itself would tell as much."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


NOTHING: Final = Estimated(None, None, None, 0, 0.0)


def effect(rows: Iterable[Chosen], confidence: float = CONFIDENCE) -> Estimated:
    """By how much the mean reward changes under the policy, against what it is compared with.

    Source: Dudik, Langford & Li, ICML 2011 (doubly robust); the difference of two policies is
    taken row by row, so that what they have in common does not widen the interval.
    """
    return _mean([(_under(r, r.target) - _under(r, r.current), r) for r in rows], confidence)


def value(rows: Iterable[Chosen], confidence: float = CONFIDENCE) -> Estimated:
    """The mean reward under the policy."""
    return _mean([(_under(r, r.target), r) for r in rows], confidence)


def _under(row: Chosen, shares: Shares | None) -> float:
    if shares is None:
        return row.reward
    known = math.fsum(shares.values())
    model = math.fsum(share * row.expected.get(arm, 0.0) for arm, share in shares.items())
    off = row.reward - row.expected.get(row.arm, 0.0)
    return model / known + shares.get(row.arm, 0.0) / known / row.propensity * off


def _mean(scores: Sequence[tuple[float, Chosen]], confidence: float) -> Estimated:
    if not scores:
        return NOTHING
    total = math.fsum(row.weight for _, row in scores)
    mean = math.fsum(row.weight * score for score, row in scores) / total
    squares = math.fsum((row.weight * (score - mean)) ** 2 for score, row in scores)
    count = len(scores)
    effective = _effective(scores)
    if count < 2:
        return Estimated(mean, None, None, count, effective)
    error = math.sqrt(squares * count / (count - 1)) / total
    fourths = math.fsum((row.weight * (score - mean)) ** 4 for score, row in scores)
    half = student(0.5 + confidence / 2, _freedom(count, squares, fourths)) * error
    return Estimated(mean, mean - half, mean + half, count, effective)


def _freedom(count: int, squares: float, fourths: float) -> float:
    """How well the spread itself is known: few outcomes with large weights tell little of it.

    Source: the variance of a variance, as in Satterthwaite, Biometrics Bulletin 2 (1946): degrees
    of freedom are 2n / (kurtosis - 1), which is n where scores are normal.
    """
    if squares <= 0:
        return float(count - 1)
    kurtosis = count * fourths / squares**2
    return min(count - 1.0, max(FREEDOM_LEAST, 2 * count / max(kurtosis - 1, 1e-9)))


def _effective(scores: Sequence[tuple[float, Chosen]]) -> float:
    weights = [
        row.weight * (1.0 if row.target is None else row.target.get(row.arm, 0.0) / row.propensity)
        for _, row in scores
    ]
    squares = math.fsum(w * w for w in weights)
    return math.fsum(weights) ** 2 / squares if squares > 0 else 0.0


def student(probability: float, freedom: float) -> float:
    """A quantile of Student's t, to three digits from three degrees of freedom on.

    Source: Hill, Communications of the ACM 13 (1970), algorithm 396, as an expansion about the
    normal quantile.
    """
    z = NormalDist().inv_cdf(probability)
    g1 = (z**3 + z) / 4
    g2 = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    g3 = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + g1 / freedom + g2 / freedom**2 + g3 / freedom**3
