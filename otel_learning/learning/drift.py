"""How fast arms change: the half-life of evidence, learned from days that followed each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from otel_learning.store.evidence_rows import Row

HALF_LIVES_DAYS: Final = (90.0, 30.0, 14.0, 7.0, 3.0)
_GAIN_LEAST: Final = 3.0
"""Nats of log likelihood by which forgetting must foretell better than remembering all: odds of
about twenty to one, so that nothing is forgotten without need."""
_PRIOR: Final = 4.0
"""Outcomes that the rate of all arms together counts for, before an arm has any."""


def half_life_days(days: Sequence[Row]) -> float | None:
    """After how many days an execution counts half; None where forgetting foretells nothing.

    Each day's outcomes are foretold from those of earlier days, weighted by age; the half-life
    that foretells best is taken (prequential; Dawid, JRSS A 147, 1984).
    """
    series: dict[tuple[str | None, str], list[tuple[int, int, int]]] = {}
    for row in days:
        if row["known"]:
            key = (row["environment"], row["arm"])
            series.setdefault(key, []).append((row["day"], row["known"], row["successes"]))
    known = sum(n for days_of in series.values() for _, n, _ in days_of)
    if not known:
        return None
    middle = (sum(s for d in series.values() for *_, s in d) + 1) / (known + 2)
    kept = sum(_foretold(each, None, middle) for each in series.values())
    best, most = None, kept + _GAIN_LEAST
    for half_life in HALF_LIVES_DAYS:
        fit = sum(_foretold(each, half_life, middle) for each in series.values())
        if fit > most:
            best, most = half_life, fit
    return best


def _foretold(
    days: Sequence[tuple[int, int, int]], half_life: float | None, middle: float
) -> float:
    """Log likelihood of each day's outcomes, given those before."""
    fit, known, successes, before = 0.0, 0.0, 0.0, 0
    for day, n, s in sorted(days):
        if half_life is not None:
            kept = 0.5 ** ((day - before) / half_life)
            known, successes = known * kept, successes * kept
        rate = (successes + _PRIOR * middle) / (known + _PRIOR)
        fit += s * math.log(rate) + (n - s) * math.log(1 - rate)
        known, successes, before = known + n, successes + s, day
    return fit
