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
_PULL: Final = 5.0
"""Outcomes that the errors of all arms together count for, where an arm has few of its own."""

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
    scores = []
    for row in rows:
        fixed, share = _under(row, row.target)
        fixed_now, share_now = _under(row, row.current)
        scores.append(_Score(row, fixed - fixed_now, share - share_now))
    return _mean(scores, confidence)


def value(rows: Iterable[Chosen], confidence: float = CONFIDENCE) -> Estimated:
    """The mean reward under the policy."""
    return _mean([_Score(row, *_under(row, row.target)) for row in rows], confidence)


class _Score:
    """A row's part of the mean: what the model says, and how often its error counts."""

    __slots__ = ("fixed", "off", "row", "share", "total")

    def __init__(self, row: Chosen, fixed: float, share: float) -> None:
        self.row, self.fixed, self.share = row, fixed, share
        self.off = row.reward - row.expected.get(row.arm, 0.0)
        """By how much the model errs."""
        self.total = fixed + share * self.off


def _under(row: Chosen, shares: Shares | None) -> tuple[float, float]:
    if shares is None:
        return row.expected.get(row.arm, 0.0), 1.0
    known = math.fsum(shares.values())
    model = math.fsum(share * row.expected.get(arm, 0.0) for arm, share in shares.items())
    return model / known, shares.get(row.arm, 0.0) / known / row.propensity


def _mean(scores: Sequence[_Score], confidence: float) -> Estimated:
    if not scores:
        return NOTHING
    total = math.fsum(score.row.weight for score in scores)
    mean = math.fsum(score.row.weight * score.total for score in scores) / total
    squares = math.fsum((score.row.weight * (score.total - mean)) ** 2 for score in scores)
    count = len(scores)
    effective = _effective(scores)
    if count < 2:
        return Estimated(mean, None, None, count, effective)
    error = math.sqrt(max(squares, _foretold(scores, mean)) * count / (count - 1)) / total
    half = student(0.5 + confidence / 2, count - 1) * error
    return Estimated(mean, mean - half, mean + half, count, effective)


def _foretold(scores: Sequence[_Score], mean: float) -> float:
    """The squares that one would see, did the model err by as much in each context.

    An arm that was hardly tried here, and happened to do as expected, looks surer than it is;
    how much the model errs on that arm anywhere tells better.
    """
    errors: dict[str, list[float]] = {}
    for score in scores:
        errors.setdefault(score.row.arm, []).append(score.off * score.off)
    common = math.fsum(math.fsum(each) for each in errors.values()) / len(scores)
    usual = {
        arm: (math.fsum(each) + _PULL * common) / (len(each) + _PULL)
        for arm, each in errors.items()
    }
    return math.fsum(
        score.row.weight**2 * ((score.fixed - mean) ** 2 + score.share**2 * usual[score.row.arm])
        for score in scores
    )


def _effective(scores: Sequence[_Score]) -> float:
    weights = [
        score.row.weight
        * (
            1.0
            if score.row.target is None
            else score.row.target.get(score.row.arm, 0.0) / score.row.propensity
        )
        for score in scores
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
