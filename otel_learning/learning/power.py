"""How many outcomes an experiment needs, and how long that takes: said before it begins."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Final

from otel_learning.learning.sequential import TUNED_PAIRS, _bisect, _rho

EFFECT_BOOLEAN: Final = 0.10
"""The smallest difference worth finding in a rate, unless it is said: ten points."""
EFFECT_NUMBER: Final = 0.20
"""The same for a number, as a share of its mean."""
SUPPORT_MAX: Final = 100_000_000
"""More outcomes than this per variant are no plan."""
_NORMAL: Final = NormalDist()


@dataclass(frozen=True, slots=True)
class Plan:
    """What an experiment is expected to need, from the record before it."""

    effect: float
    """The smallest difference that it should find, in the metric's unit."""
    baseline: float | None
    """The metric's mean in the record; None where there is none."""
    fixed_support: int | None
    """Known outcomes per variant with which one look finds it with the power asked for."""
    sequential_support: int | None
    """The same where one may look at any time."""
    sequential_typical: int | None
    """Where half of such experiments have ended by then."""
    outcomes_per_day: float | None
    """Known outcomes, or units with one, a day in the record."""
    days: float | None
    """Until every variant has the support of the mode chosen, at that rate."""
    reason: str | None = None
    """Why there is no more to say."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def fixed_support(
    effect: float,
    deviation: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    deviation_null: float | None = None,
) -> int:
    """Outcomes per variant for a two-sided test with one look.

    Args:
        effect: the difference to be found.
        deviation: the standard deviation of a paired difference where there is that difference.
        alpha: the share of false alarms.
        power: the share of differences found.
        deviation_null: the same deviation where there is none; else `deviation`.

    Source:
        Fleiss, Levin, Paik: Statistical Methods for Rates and Proportions (2003), 4.14, without
        the correction for continuity.
    """
    null = deviation if deviation_null is None else deviation_null
    z = null * _NORMAL.inv_cdf(1 - alpha / 2) + deviation * _NORMAL.inv_cdf(power)
    return max(2, math.ceil((z / effect) ** 2))


def sequential_support(
    effect: float,
    deviation: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    tuned_pairs: int = TUNED_PAIRS,
) -> int:
    """Outcomes per variant by which the sequential test has found a difference, with `power`.

    From the law of the sum after n pairs alone, so a little more than it really takes: some
    tests end earlier and would have turned back.
    """
    square = deviation**2 + effect**2
    rho = float(_rho(square, alpha, tuned_pairs))

    def enough(pairs: float) -> bool:
        v = pairs * square
        wall = math.sqrt(2 * (rho + v) * (math.log(1 / alpha) + 0.5 * math.log((rho + v) / rho)))
        return pairs * effect - _NORMAL.inv_cdf(power) * math.sqrt(pairs) * deviation >= wall

    return math.ceil(_bisect(enough, 1.0, 2.0 * SUPPORT_MAX))


def deviation_of_rates(low: float, high: float) -> tuple[float, float]:
    """The deviation of the difference of two boolean outcomes; with these rates, and pooled."""
    pooled = (low + high) / 2
    return (
        math.sqrt(low * (1 - low) + high * (1 - high)),
        math.sqrt(2 * pooled * (1 - pooled)),
    )


def forecast(
    *,
    boolean: bool,
    better_is_more: bool,
    mean: float | None,
    deviation: float | None,
    outcomes_per_day: float | None,
    effect: float | None,
    variants: int,
    alpha: float,
    power: float,
    smallest_share: float,
    sequential: bool,
) -> Plan:
    """The plan of an experiment whose metric has this mean and deviation in the record.

    Args:
        boolean: whether the metric is 0 or 1.
        better_is_more: which way the difference would go.
        mean: of the metric; None where nothing is known.
        deviation: its standard deviation.
        outcomes_per_day: known outcomes, over all variants.
        effect: what should be found; None is EFFECT_BOOLEAN, or EFFECT_NUMBER of the mean.
        variants: how many; each is compared with every other, and alpha is shared out.
        alpha: the share of false alarms.
        power: the share of such differences found.
        smallest_share: the share of units that the variant with the smallest weight gets.
        sequential: whether one may look at any time.
    """
    if effect is None and (boolean or mean is not None):
        effect = EFFECT_BOOLEAN if boolean else EFFECT_NUMBER * abs(mean or 0.0)
    if mean is None or deviation is None or not effect:
        return Plan(effect or 0.0, mean, None, None, None, outcomes_per_day, None, "no_history")
    level = alpha / (variants - 1)
    if boolean:
        wanted = mean + effect if better_is_more else mean - effect
        if not 0 <= wanted <= 1:  # there is no such room: plan for finding the opposite
            wanted = mean - effect if better_is_more else mean + effect
        if not 0 <= wanted <= 1:
            return Plan(effect, mean, None, None, None, outcomes_per_day, None, "effect_too_large")
        spread, null = deviation_of_rates(mean, wanted)
    else:
        spread = null = math.sqrt(2) * deviation
    if not spread:
        return Plan(effect, mean, None, None, None, outcomes_per_day, None, "no_variance")
    once = fixed_support(effect, spread, alpha=level, power=power, deviation_null=null)
    always = sequential_support(effect, spread, alpha=level, power=power)
    typical = sequential_support(effect, spread, alpha=level, power=0.5)
    if max(once, always) > SUPPORT_MAX:
        return Plan(effect, mean, None, None, None, outcomes_per_day, None, "effect_too_small")
    needed = (always if sequential else once) / smallest_share
    days = needed / outcomes_per_day if outcomes_per_day else None
    return Plan(effect, mean, once, always, typical, outcomes_per_day, days)
