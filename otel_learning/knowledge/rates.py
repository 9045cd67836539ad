"""Success rates as they are said: with their interval, never as a bare number."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final, NamedTuple

LEVEL: Final = 0.9
"""The interval's level, as in `recommend`."""


class Rate(NamedTuple):
    """A share of successes, and between what it may lie."""

    rate: float
    low: float
    high: float


def interval(successes: float, known: float, level: float = LEVEL) -> Rate:
    """The rate of successes among known outcomes, with its Wilson interval.

    Counts may be fractions, where older outcomes count less. Without any outcome the rate is not
    known, which the interval 0..1 says. Unlike the plain normal one this interval does not
    become a point at 0 or 1.

    Source: Wilson, Probable inference, the law of succession, and statistical inference (1927).
    """
    if known <= 0:
        return Rate(math.nan, 0.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share = successes / known
    middle = (share + z * z / (2 * known)) / (1 + z * z / known)
    half = z / (1 + z * z / known) * math.sqrt(share * (1 - share) / known + (z / (2 * known)) ** 2)
    return Rate(share, max(0.0, middle - half), min(1.0, middle + half))
