"""What a policy that was not in force would have achieved, from logged propensities.

A policy says with which probability each arm is chosen in a place. Three estimates of its mean
success, from the sums of `store.evidence_rows`:

* IPS weighs each outcome by policy/propensity: unbiased, and as noisy as the weights are.
* SNIPS divides by the sum of the weights: nearly unbiased, and never outside of 0..1.
* DR (doubly robust) corrects what the pooled rates foretell by the weighted errors of that: right
  where either is, and the least noisy where rates foretell anything.

Source: Horvitz & Thompson, JASA 47 (1952); Swaminathan & Joachims, NeurIPS 2015; Dudik, Langford
& Li, ICML 2011.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from otel_learning.learning.evidence import Environment, Place
from otel_learning.learning.pooling import rate_of

Policy = Callable[[Place], Mapping[str, float]]
"""Place (task type, repo as recorded, None where unknown) -> probability of each arm."""

_PULL: Final = 4.0
"""Outcomes that pooling adds to those of a cell, about; only for how far each moves its rate."""
OVERLAP_LEAST: Final = 0.75
"""Below this share of the weight that a policy should find, its arms were not open everywhere."""


@dataclass(frozen=True, slots=True)
class Value:
    """Mean success of a policy on the tasks that were logged."""

    ips: float
    ips_error: float
    """One standard error, as with the others."""
    snips: float
    snips_error: float
    dr: float
    dr_error: float
    effective_support: float
    """How many executions under the policy itself would teach as much (Kish)."""
    overlap: float
    """Sum of the weights over what it is on average, 1; far from 1: see `overlap_doubtful`."""
    support: int
    """Executions with a known outcome and a propensity."""

    @property
    def overlap_doubtful(self) -> bool:
        """Whether the log hardly holds what the policy does, or propensities are not what they say.

        Then no estimate is to be trusted.
        """
        return not OVERLAP_LEAST <= self.overlap <= 1 / OVERLAP_LEAST


def value(environment: Environment, policy: Policy) -> Value | None:
    """The value of a policy; None where no execution carries a propensity and an outcome.

    Args:
        environment: evidence by one choice of arms; propensities are those of that decision.
        policy: probabilities by place; an arm that is not named has none.
    """
    total = weight = weighted = squares = squares_success = 0.0
    support = 0
    terms = []
    for place, cell in environment.cells.items():
        here = sum(sums.open_known for sums in cell)
        if here <= 0:
            continue
        chances = policy(place)
        shares = [chances.get(arm, 0.0) for arm in environment.arms]
        rates = [rate_of(logits) for logits in environment.rates(environment.narrowed(place), "v")]
        foretold = sum(share * rate for share, rate in zip(shares, rates, strict=True))
        error = noise = 0.0
        for share, rate, sums in zip(shares, rates, cell, strict=True):
            # An outcome is nearer to a rate that it helped to find than the next one will be: a
            # residual is what it would be against the rate that the others give.
            left_out = 1 - 1 / (sums.known + _PULL)
            error += share / left_out * (sums.w_success - rate * sums.w_known)
            noise += (share / left_out) ** 2 * (
                sums.w_squares_success * (1 - 2 * rate) + rate**2 * sums.w_squares
            )
            weight += share * sums.w_known
            weighted += share * sums.w_success
            squares += share**2 * sums.w_squares
            squares_success += share**2 * sums.w_squares_success
        terms.append((here, foretold, error, noise))
        total += here
        support += round(here)
    if total <= 0:
        return None
    ips, dr = weighted / total, sum(n * f + e for n, f, e, _ in terms) / total
    snips = weighted / weight if weight > 0 else math.nan
    dr_squares = sum(n * (f - dr) ** 2 + 2 * (f - dr) * e + noise for n, f, e, noise in terms)
    return Value(
        ips, math.sqrt(max(squares_success - total * ips**2, 0.0)) / total,
        snips,
        math.sqrt(max(squares_success * (1 - 2 * snips) + snips**2 * squares, 0.0)) / weight
        if weight > 0 else math.nan,
        dr, math.sqrt(max(dr_squares, 0.0)) / total,
        weight**2 / squares if squares > 0 else 0.0, weight / total, support,
    )  # fmt: skip


def arm_values(environment: Environment) -> dict[str, Value]:
    """The value of choosing each arm always; empty where nothing carries a propensity."""

    def always(arm: str) -> Policy:
        return lambda _: {arm: 1.0}

    found = {arm: value(environment, always(arm)) for arm in environment.arms}
    return {arm: worth for arm, worth in found.items() if worth is not None}
