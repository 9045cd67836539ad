"""Whether what a router foretold came true: costs, durations and confidence, per arm."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from statistics import median
from typing import Any, Final

from otel_learning.learning.recommend import arm_columns, moment_utc
from otel_learning.learning.reliability import Correction, Reliability, correction, reliability
from otel_learning.store import calibration_rows
from otel_learning.store.calibration_rows import Foretold
from otel_learning.store.reader import Reader

BAND: Final = 0.90
"""What a band holds of single outcomes."""
BAND_LEAST: Final = 19
"""With fewer outcomes no band of 90 % has ends (20 * 0.05 = 1)."""
DRIFT_LEAST: Final = 40
DRIFT_P: Final = 0.05


@dataclass(frozen=True, slots=True)
class Drift:
    """From some time on something is another than before."""

    what: str
    """`cost_ratio`, `duration` or `confidence`."""
    since: datetime | None
    before: float
    after: float
    """Medians of the ratio, or of the seconds; for `confidence` how much more often it succeeded
    than it said, -1..1."""
    p: float
    """The probability of seeing so much where nothing changes, corrected for all that was looked
    at."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is known of one arm; None where the records do not say."""

    arm: str
    environment: str | None
    support: int
    """Executions looked at."""
    cost_support: int
    """Those with an estimate and an actual cost."""
    cost_ratio: float | None
    """The median of actual cost by estimate: what to multiply an estimate with."""
    cost_low: float | None
    cost_high: float | None
    """The ratio of the next execution lies between these with 90 %."""
    duration_support: int
    duration_seconds: float | None
    duration_low: float | None
    duration_high: float | None
    """The median, and a 90 % band of the next execution's."""
    confidence: Reliability | None
    correction: Correction | None
    """Where held-out outcomes say that the confidence can be bettered."""
    drift: list[Drift]

    @property
    def brier(self) -> float | None:
        return None if self.confidence is None else self.confidence.brier

    @property
    def ece(self) -> float | None:
        return None if self.confidence is None else self.confidence.ece

    def as_dict(self) -> dict[str, Any]:
        """Plain values, with `brier` and `ece` at the top."""
        return {**asdict(self), "brier": self.brier, "ece": self.ece}


def calibrate(
    db: Reader,
    *,
    by: str | Sequence[str] = "model_tier",
    environment: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    as_of: datetime | None = None,
) -> list[Calibration]:
    """Estimates and confidence against what came of them, for each arm, the most used one first.

    It looks at the newest 100,000 executions of the environment.

    Args:
        db: a LearningDatabase or a snapshot of one.
        by: the column that tells arms apart, or several ("model_tier/pool_type").
        environment: which environment's executions; None is the one with most of them.
        since: only what started then or later.
        until: only what started before.
        as_of: only what had ended before.

    Raises:
        InputError: an argument is not what the call takes.
        StoreError: the store cannot be read.
    """
    columns = arm_columns(by)
    chosen, rows = calibration_rows.read(
        db, columns, environment, moment_utc(since, "since"), moment_utc(until, "until"),
        moment_utc(as_of),
    )  # fmt: skip
    arms: dict[str, list[Foretold]] = defaultdict(list)
    for row in rows:
        arms[row.arm].append(row)
    looked_at = 3 * len(arms)
    found = [_arm(arm, chosen, of, looked_at) for arm, of in arms.items()]
    return sorted(found, key=lambda one: (-one.support, one.arm))


def _arm(arm: str, environment: str | None, rows: list[Foretold], looked_at: int) -> Calibration:
    costs = [
        (row.started_at, math.log(row.actual_cost / row.cost_estimate))
        for row in rows
        if row.cost_estimate and row.actual_cost and min(row.cost_estimate, row.actual_cost) > 0
    ]
    durations = [
        (row.started_at, math.log(row.duration_seconds))
        for row in rows
        if row.duration_seconds and row.duration_seconds > 0
    ]
    said = [
        (row.started_at, row.confidence, row.success)
        for row in rows
        if row.confidence is not None and row.success is not None
    ]
    pairs = [(confidence, success) for _, confidence, success in said]
    cost_low, cost_high = band([value for _, value in costs])
    duration_low, duration_high = band([value for _, value in durations])
    drifts = [
        _drift("cost_ratio", costs, looked_at, lambda values: math.exp(median(values))),
        _drift("duration", durations, looked_at, lambda values: math.exp(median(values))),
        _drift(
            "confidence", [(at, success - confidence) for at, confidence, success in said],
            looked_at, lambda values: sum(values) / len(values),
        ),
    ]  # fmt: skip
    return Calibration(
        arm=arm,
        environment=environment,
        support=len(rows),
        cost_support=len(costs),
        cost_ratio=math.exp(median(value for _, value in costs)) if costs else None,
        cost_low=cost_low,
        cost_high=cost_high,
        duration_support=len(durations),
        duration_seconds=math.exp(median(value for _, value in durations)) if durations else None,
        duration_low=duration_low,
        duration_high=duration_high,
        confidence=reliability(pairs),
        correction=correction(pairs),
        drift=[one for one in drifts if one is not None],
    )


def band(logarithms: Sequence[float]) -> tuple[float | None, float | None]:
    """Ends of a band that holds the next outcome with 90 %, out of logarithms of past ones.

    Split-conformal (Vovk et al., 2005): of n alike outcomes and one more, each order is as likely
    as any other, so the ends are the values of rank 0.05 (n + 1) and 0.95 (n + 1). No shape is
    assumed; only that the next one is like these.
    """
    n = len(logarithms)
    if n < BAND_LEAST:
        return None, None
    ordered = sorted(logarithms)
    tail = (1 - BAND) / 2
    low = math.floor(tail * (n + 1) + 1e-9)
    high = math.ceil((1 - tail) * (n + 1) - 1e-9)
    return math.exp(ordered[low - 1]), math.exp(ordered[high - 1])


def _drift(
    what: str,
    series: list[tuple[datetime | None, float]],
    looked_at: int,
    level: Callable[[list[float]], float],
) -> Drift | None:
    values = [value for _, value in series]
    if len(values) < DRIFT_LEAST:
        return None
    place, p = change_point(values)
    p = min(1.0, p * looked_at)  # Bonferroni
    if p > DRIFT_P:
        return None
    return Drift(what, series[place][0], level(values[:place]), level(values[place:]), p)


def change_point(values: Sequence[float]) -> tuple[int, float]:
    """Where a series changed most clearly, and the probability of that where it did not.

    Pettitt's test (1979): by ranks, so that no shape is assumed and a few large values decide
    nothing.
    """
    n = len(values)
    ranks = _ranks(values)
    total, largest, place = 0.0, 0.0, 1
    for index in range(n - 1):
        total += 2 * ranks[index] - (n + 1)
        if abs(total) > largest:
            largest, place = abs(total), index + 1
    return place, min(1.0, 2 * math.exp(-6 * largest * largest / (n**3 + n**2)))


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for position in range(start, end + 1):
            ranks[order[position]] = (start + end) / 2 + 1
        start = end + 1
    return ranks
