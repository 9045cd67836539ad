"""Whether a confidence is what it says: reliability curve, Brier, ECE, and a correction.

Pure, and without a library, so that a router can apply a correction by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import NormalDist, fmean, stdev
from typing import Any, Final

Pairs = Sequence[tuple[float, bool]]
"""Confidence 0..1, and whether it succeeded."""

BINS_MOST: Final = 10
BIN_LEAST: Final = 20
"""Outcomes of one bin at least: with fewer its rate says nothing."""
ISOTONIC_LEAST: Final = 1_000
"""With fewer outcomes a step function follows chance (Niculescu-Mizil and Caruana, 2005)."""
CORRECTION_LEAST: Final = 100
_FOLDS: Final = 5
_SLOPE_SD, _SHIFT_SD = 0.5, 1.0
"""How far slope and shift of a logit are thought to lie from 1 and 0 before any outcome."""
_EDGE: Final = 1e-4
_Z90: Final = NormalDist().inv_cdf(0.95)


@dataclass(frozen=True, slots=True)
class Bin:
    """Outcomes of alike confidence."""

    confidence: float
    """Their mean."""
    rate: float
    low: float
    high: float
    """90 % interval of the rate."""
    support: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far confidence is from what came of it."""

    support: int
    mean_confidence: float
    success_rate: float
    brier: float
    """Mean squared error; 0.25 is what saying 0.5 always gives."""
    ece: float
    """Mean distance between confidence and rate over the bins, by their outcomes."""
    ece_by_chance: float
    """What a router that is right about its confidence would show with so many outcomes."""
    bins: list[Bin]


def reliability(pairs: Pairs) -> Reliability | None:
    """Figures of confidences against outcomes; None without any."""
    if not pairs:
        return None
    # By confidence alone: equal ones must not come into bins by their outcome.
    ordered = sorted(pairs, key=lambda pair: pair[0])
    n = len(ordered)
    count = max(1, min(BINS_MOST, n // BIN_LEAST))
    groups = [ordered[i * n // count : (i + 1) * n // count] for i in range(count)]
    bins, chance = [], 0.0
    for group in groups:
        rate = fmean(success for _, success in group)
        low, high = rate_interval(sum(success for _, success in group), len(group))
        bins.append(Bin(fmean(c for c, _ in group), rate, low, high, len(group)))
        # The mean of |X| for a normal X is sqrt(2 / pi) of its deviation.
        deviation = math.sqrt(sum(c * (1 - c) for c, _ in group))
        chance += math.sqrt(2 / math.pi) * deviation / n
    return Reliability(
        support=n,
        mean_confidence=fmean(c for c, _ in ordered),
        success_rate=fmean(success for _, success in ordered),
        brier=_brier(ordered),
        ece=sum(b.support * abs(b.rate - b.confidence) for b in bins) / n,
        ece_by_chance=chance,
        bins=bins,
    )


def rate_interval(successes: int, count: int) -> tuple[float, float]:
    """The 90 % interval of a rate (Wilson, 1927)."""
    z2 = _Z90 * _Z90
    middle = (successes + z2 / 2) / (count + z2)
    half = _Z90 / (count + z2) * math.sqrt(successes * (count - successes) / count + z2 / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def _brier(pairs: Pairs) -> float:
    return fmean((c - success) ** 2 for c, success in pairs)


# ------------------------------------------------------------------------------ correction


@dataclass(frozen=True, slots=True)
class Correction:
    """A function from the router's confidence to a better one."""

    method: str
    """`isotonic` or `platt`."""
    points: list[tuple[float, float]] | None
    """Of `isotonic`: confidence and corrected one; straight lines lie in between."""
    slope: float | None
    shift: float | None
    """Of `platt`: the corrected logit is `slope * logit + shift`."""
    support: int
    brier_gain: float
    """What it took off the Brier score of outcomes that it was not fitted to."""
    brier_gain_low: float
    """The gain is more than this with 95 %."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values; `corrected` takes them."""
        return asdict(self)


def corrected(correction: Correction | Mapping[str, Any] | None, confidence: float) -> float:
    """A router's confidence, corrected; as it is where there is no correction.

    Args:
        correction: of `calibrate`, or its JSON.
        confidence: 0..1.
    """
    if correction is None:
        return confidence
    found = correction.as_dict() if isinstance(correction, Correction) else correction
    if found["method"] == "platt":
        return _inverse(found["slope"] * _logit(confidence) + found["shift"])
    points = found["points"]
    if confidence <= points[0][0]:
        return float(points[0][1])
    for (x0, y0), (x1, y1) in pairwise(points):
        if confidence <= x1:
            share = (confidence - x0) / (x1 - x0) if x1 > x0 else 1.0
            return float(y0 + share * (y1 - y0))
    return float(points[-1][1])


def correction(pairs: Pairs) -> Correction | None:
    """A correction that held-out outcomes say is one; None where they do not.

    Isotonic from ISOTONIC_LEAST outcomes on, below that Platt's, drawn to changing nothing. It is
    fitted five times without a fifth of the outcomes, and judged by what it gains on those.
    """
    n = len(pairs)
    if n < CORRECTION_LEAST:
        return None
    gains = []
    for fold in range(_FOLDS):
        kept = [pair for i, pair in enumerate(pairs) if i % _FOLDS != fold]
        fitted = _fit(kept, n)
        for confidence, success in pairs[fold::_FOLDS]:
            better = corrected(fitted, confidence)
            gains.append((confidence - success) ** 2 - (better - success) ** 2)
    gain, error = fmean(gains), stdev(gains) / math.sqrt(n)
    low = gain - _Z90 * error
    if low <= 0:
        return None
    fitted = _fit(pairs, n)
    return Correction(**{**fitted, "support": n, "brier_gain": gain, "brier_gain_low": low})


def _fit(pairs: Pairs, n: int) -> dict[str, Any]:
    if n >= ISOTONIC_LEAST:
        return {"method": "isotonic", "points": _isotonic(pairs), "slope": None, "shift": None}
    slope, shift = _platt(pairs)
    return {"method": "platt", "points": None, "slope": slope, "shift": shift}


def _isotonic(pairs: Pairs) -> list[tuple[float, float]]:
    """Pool adjacent violators (Ayer et al., 1955): the rising steps nearest to the outcomes."""
    # Sum, count, lowest and highest confidence of each block.
    blocks: list[list[float]] = []
    for confidence, success in sorted(pairs):
        blocks.append([float(success), 1.0, confidence, confidence])
        while len(blocks) > 1 and (
            blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]
            or blocks[-2][3] == blocks[-1][2]
        ):
            last = blocks.pop()
            blocks[-1] = [
                blocks[-1][0] + last[0], blocks[-1][1] + last[1], blocks[-1][2], last[3],
            ]  # fmt: skip
    points: list[tuple[float, float]] = []
    value = 0.0
    for total, count, low, high in blocks:
        # No confidence is made 0 or 1: half an outcome of the other kind is always possible.
        edge = 0.5 / (count + 1)
        value = max(value, min(1 - edge, max(edge, total / count)))
        points += [(low, value)] if low == high else [(low, value), (high, value)]
    return points


def _platt(pairs: Pairs) -> tuple[float, float]:
    """Slope and shift of the logit (Platt, 1999), by Newton's steps, drawn to 1 and 0."""
    logits = [(_logit(c), float(success)) for c, success in pairs]
    slope, shift = 1.0, 0.0
    for _ in range(100):
        g0, g1 = -(slope - 1) / _SLOPE_SD**2, -shift / _SHIFT_SD**2
        h00, h01, h11 = 1 / _SLOPE_SD**2, 0.0, 1 / _SHIFT_SD**2
        for x, y in logits:
            p = _inverse(slope * x + shift)
            weight = p * (1 - p)
            g0, g1 = g0 + (y - p) * x, g1 + y - p
            h00, h01, h11 = h00 + weight * x * x, h01 + weight * x, h11 + weight
        det = h00 * h11 - h01 * h01
        step0, step1 = (h11 * g0 - h01 * g1) / det, (h00 * g1 - h01 * g0) / det
        # A whole step leaps too far where nearly every confidence is close to 0 or 1.
        length = min(1.0, 1.0 / max(abs(step0), abs(step1), 1e-12))
        slope, shift = slope + length * step0, shift + length * step1
        if abs(step0) + abs(step1) < 1e-9:
            break
    return slope, shift


def _logit(p: float) -> float:
    p = min(1 - _EDGE, max(_EDGE, p))
    return math.log(p / (1 - p))


def _inverse(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else 1 - 1 / (1 + math.exp(x))
