"""Chooses among arms whose success and cost are known as far as they are: pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from otel_learning.learning.pooling import Normal, rate_of, sigmoid

EXPLORE_SHARE: Final = 0.05
"""Of all decisions, spread evenly, so that no arm is ever ruled out for good."""
EXPLORE_LEAST: Final = 0.01
"""And at least this for each arm: what `randomised` asks for."""
_STRIP: Final = 1.0 / 24
"""Quantile steps over which the probability of being the best is integrated."""
SENSITIVITY_MOST: Final = 100.0


def utilities(
    rates: Sequence[float], costs: Sequence[float | None], cost_weight: float
) -> list[float]:
    """`success_rate - cost_weight * cost / dearest cost`; an unknown cost is taken for the dearest.

    As a function of `cost_weight` each is a falling line, so the best one's cost never rises
    with it.
    """
    known = [cost for cost in costs if cost is not None]
    dearest = max(known, default=0.0)
    shares = [
        (cost / dearest if dearest > 0 else 0.0) if cost is not None else float(bool(known))
        for cost in costs
    ]
    return [rate - cost_weight * share for rate, share in zip(rates, shares, strict=True)]


def dominated(rates: Sequence[float], costs: Sequence[float | None]) -> list[bool]:
    """Which arms another one beats: as successful and as cheap, and better in one of both.

    An arm without a known cost neither dominates nor is dominated.
    """

    def beats(a: int, b: int) -> bool:
        cost_a, cost_b = costs[a], costs[b]
        if cost_a is None or cost_b is None or a == b:
            return False
        return (
            rates[a] >= rates[b] and cost_a <= cost_b and (rates[a] > rates[b] or cost_a < cost_b)
        )

    return [any(beats(a, b) for a in range(len(rates))) for b in range(len(rates))]


def best(utility: Sequence[float], costs: Sequence[float | None], names: Sequence[str]) -> int:
    """The arm with the largest utility; of equal ones the cheapest, then by name."""
    return min(
        range(len(utility)),
        key=lambda a: (-utility[a], math.inf if costs[a] is None else costs[a], names[a]),
    )


def propensities(logits: Sequence[Normal], penalties: Sequence[float]) -> list[float]:
    """With which probability each arm is the best, with a floor: Thompson sampling, in closed form.

    Integrated over quantiles instead of sampled, so that the same rows give the same answer.

    Args:
        logits: posterior of each arm's success rate; only what is `worth_exploring` of its
            variance counts.
        penalties: what its cost takes off the success rate.

    Source: Thompson, Biometrika 25 (1933); Chapelle & Li, NeurIPS 2011.
    """
    count = len(logits)
    if count == 1:
        return [1.0]
    deviations = [math.sqrt(max(normal.worth_exploring, 1e-12)) for normal in logits]
    shares = []
    for a in range(count):
        share = 0.0
        for z in _NODES:
            utility = sigmoid(logits[a].mean + deviations[a] * z) - penalties[a]
            below = 1.0
            for b in range(count):
                if b != a:
                    below *= _below(utility + penalties[b], logits[b].mean, deviations[b])
            share += below
        shares.append(share / len(_NODES))
    total = sum(shares)
    shares = [share / total if total > 0 else 1 / count for share in shares]
    floor = min(max(EXPLORE_LEAST, EXPLORE_SHARE / count), 1 / count)
    mixed = [floor + (1 - count * floor) * share for share in shares]
    mixed[mixed.index(max(mixed))] += 1 - math.fsum(mixed)
    return mixed


def _below(rate: float, mean: float, deviation: float) -> float:
    """The probability that an arm's rate lies below one."""
    if rate <= 0:
        return 0.0
    if rate >= 1:
        return 1.0
    z = (math.log(rate / (1 - rate)) - mean) / deviation
    return 0.5 * math.erfc(-z / math.sqrt(2))


def _quantile(probability: float) -> float:
    """A quantile of the standard normal, by bisection; only while the module is loaded."""
    low, high = -9.0, 9.0
    for _ in range(60):
        middle = (low + high) / 2
        if 0.5 * math.erfc(-middle / math.sqrt(2)) < probability:
            low = middle
        else:
            high = middle
    return low


_NODES: Final = tuple(_quantile((i + 0.5) * _STRIP) for i in range(round(1 / _STRIP)))
Z_90: Final = _quantile(0.95)


def interval(logits: Normal) -> tuple[float, float]:
    """The 90 % interval of a rate whose logit is normal."""
    half = Z_90 * math.sqrt(logits.variance)
    return sigmoid(logits.mean - half), sigmoid(logits.mean + half)


def sensitivity(chosen: int, rates: Sequence[float], penalties: Sequence[float]) -> float | None:
    """How strong a hidden cause would have to be to overturn the choice; at least 1.

    The factor by which whatever the router knew, and the records do not, would have to multiply
    the odds of success: down for the chosen arm and up for another one, until that one is as
    good. 1.2 says that little is needed, 3 that much is. None with a single arm.

    Source: the marginal sensitivity model of Tan, JASA 101 (2006), as bounds of a mean; it is
    Rosenbaum's (2002) question asked of a comparison of rates.
    """
    others = [a for a in range(len(rates)) if a != chosen]
    if not others:
        return None

    def overturned(factor: float) -> bool:
        mine = _scaled(rates[chosen], 1 / factor) - penalties[chosen]
        return any(_scaled(rates[a], factor) - penalties[a] > mine for a in others)

    low, high = 1.0, SENSITIVITY_MOST
    if not overturned(high):
        return SENSITIVITY_MOST
    for _ in range(30):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if overturned(middle) else (middle, high)
    return low


def _scaled(rate: float, factor: float) -> float:
    return rate * factor / (1 - rate + rate * factor) if 0 < rate < 1 else rate


def mean_rates(logits: Sequence[Normal]) -> list[float]:
    return [rate_of(normal) for normal in logits]
