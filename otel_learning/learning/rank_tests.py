"""Tests of whether two groups differ, within strata, and the correction for testing many.

Large samples only: both are approximated by a normal distribution, with a correction that errs on
the side of saying nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Booleans = NDArray[np.bool_]
Numbers = NDArray[np.float64]
Codes = NDArray[np.int64]


class Difference(NamedTuple):
    """How two groups differ."""

    effect: float
    """Of the one group minus the other, over strata by how much each tells."""
    p_value: float
    """Two-sided; 1 where nothing can be said."""


NOTHING = Difference(0.0, 1.0)


def rates_differ(good: Booleans, group: Booleans, strata: Codes) -> Difference:
    """Whether successes are more frequent in a group than outside, each stratum compared alone.

    The effect is the Mantel-Haenszel difference of the two rates.

    Args:
        good: outcomes.
        group: which rows are of the group; the others are what it is compared with.
        strata: rows of different codes are not compared.

    Source: Mantel and Haenszel, JNCI 22 (1959), with the correction for continuity; Cochran,
    Biometrics 10 (1954); Greenland and Robins, Biometrics 41 (1985) for the difference.
    """
    size = int(strata.max()) + 1 if len(strata) else 0
    n = np.bincount(strata, minlength=size).astype(float)
    inside = np.bincount(strata[group], minlength=size).astype(float)
    successes = np.bincount(strata[good], minlength=size).astype(float)
    both = np.bincount(strata[good & group], minlength=size).astype(float)
    outside = n - inside
    use = (inside > 0) & (outside > 0)
    if not use.any():
        return NOTHING
    n, inside, outside = n[use], inside[use], outside[use]
    successes, both = successes[use], both[use]
    expected = inside * successes / n
    wide = n > 1
    variance = float(
        (inside * outside * successes * (n - successes))[wide] @ (1 / (n * n * (n - 1)))[wide]
    )
    weights = inside * outside / n
    effect = float(weights @ (both / inside - (successes - both) / outside) / weights.sum())
    if variance <= 0:
        return Difference(effect, 1.0)
    apart = max(0.0, abs(float((both - expected).sum())) - 0.5)
    return Difference(effect, _two_sided(apart / math.sqrt(variance)))


def amounts_differ(amounts: Numbers, group: Booleans, strata: Codes) -> Difference:
    """Whether amounts are larger in a group than outside, by their ranks within each stratum.

    The effect is the difference of the means, over strata by how much each tells.

    Source: van Elteren, Bull. Int. Stat. Inst. 37 (1960): the stratified rank test of Wilcoxon.
    """
    total = variance = weight_sum = effect = 0.0
    for code in np.unique(strata[group]):
        here = strata == code
        of_group, values = group[here], amounts[here]
        m, k = int(of_group.sum()), int((~of_group).sum())
        if not m or not k:
            continue
        ranks, ties = _ranks(values)
        n = m + k
        spread = m * k / 12 * ((n + 1) - ties / (n * (n - 1))) if n > 1 else 0.0
        share = 1 / (n + 1)
        total += share * (float(ranks[of_group].sum()) - m * (n + 1) / 2)
        variance += share * share * spread
        weight = m * k / n
        weight_sum += weight
        effect += weight * float(values[of_group].mean() - values[~of_group].mean())
    if variance <= 0 or weight_sum <= 0:
        return NOTHING
    return Difference(effect / weight_sum, _two_sided(abs(total) / math.sqrt(variance)))


def at_least_as_good(good: Booleans, group: Booleans, strata: Codes, margin: float) -> Difference:
    """Whether the group's success rate is not lower than outside by more than a margin.

    One-sided: a small p-value says that it is not.

    Source: Blackwelder, Controlled Clinical Trials 3 (1982), each stratum's variance by itself.
    """
    total = variance = weight_sum = 0.0
    for code in np.unique(strata[group]):
        here = strata == code
        ours, theirs = good[here & group], good[here & ~group]
        if not len(ours) or not len(theirs):
            continue
        weight = len(ours) * len(theirs) / (len(ours) + len(theirs))
        a, b = (ours.sum() + 0.5) / (len(ours) + 1), (theirs.sum() + 0.5) / (len(theirs) + 1)
        total += weight * float(ours.mean() - theirs.mean())
        variance += weight**2 * float(a * (1 - a) / len(ours) + b * (1 - b) / len(theirs))
        weight_sum += weight
    if weight_sum <= 0:
        return NOTHING
    effect = total / weight_sum
    z = (effect + margin) / (math.sqrt(variance) / weight_sum)
    return Difference(effect, 0.5 * math.erfc(z / math.sqrt(2)))


def largest_false(p_values: Sequence[float], share: float) -> float:
    """Up to which p-value findings may be said, so that no more than a share of them is false.

    Source: Benjamini and Hochberg, JRSS B 57 (1995); holds also for tests that agree with each
    other (Benjamini and Yekutieli, Annals of Statistics 29, 2001). Returns -1 where none may.
    """
    ordered = sorted(p_values)
    allowed = -1.0
    for rank, p in enumerate(ordered, start=1):
        if p <= share * rank / len(ordered):
            allowed = p
    return allowed


def _ranks(values: Numbers) -> tuple[Numbers, float]:
    """Ranks from 1, equal values sharing theirs; and the correction of the variance for ties."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[inverse], float((counts.astype(float) ** 3 - counts).sum())


def _two_sided(z: float) -> float:
    return math.erfc(z / math.sqrt(2))
