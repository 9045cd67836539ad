"""How mature a repository's record is, by one table; what is not shown is not assumed. Pure.

A record is as mature as its weakest part: many successes in one afternoon, or a year of a few
tasks, show little. Rates and means count by the lower end of their interval, so a short record
earns nothing that a longer one might take away again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from otel_learning.learning.sequential import level_interval, rate_interval

if TYPE_CHECKING:
    from otel_learning.store.outcomes import Row

Maturity = Literal["new", "developing", "mature", "stable"]
Strictness = Literal["lenient", "standard", "strict"]


@dataclass(frozen=True, slots=True)
class Level:
    """One line of the table: what it takes, and what it asks for."""

    maturity: Maturity
    score: float
    """The lowest score of this level, 0..100."""
    success_low: float
    """The lower end of the success rate's interval, 0..1."""
    outcomes: float
    """Known outcomes."""
    age_days: float
    """Between the first execution and the last."""
    quality_low: float
    """The lower end of mean quality's interval, 0..100; only where quality is known."""
    coverage_reported: float
    """Percent; only where it is reported."""
    docs_reported: float
    """Percent; only where it is reported."""
    coverage_required: float
    """Test coverage asked for, percent."""
    max_complexity: int
    """The highest complexity of a change that is taken without a second look."""
    strictness: Strictness


LEVELS: Final = (
    Level("new", 0, 0.0, 0, 0, 0, 0, 0, 80, 10, "standard"),
    Level("developing", 30, 0.0, 20, 1, 0, 0, 0, 75, 15, "standard"),
    Level("mature", 60, 0.80, 60, 7, 60, 50, 40, 70, 20, "standard"),
    Level("stable", 80, 0.90, 150, 30, 75, 60, 60, 60, 25, "lenient"),
)
"""Every cut-off of maturity. The figures asked for stand against those of the success before."""
_TOP: Final = Level("stable", 100, 0.99, 1000, 180, 95, 90, 90, 60, 25, "lenient")
"""Where the score ends; it asks for nothing more."""

FAILING_BELOW: Final = 0.70
"""A record fails when the upper end of the recent success rate's interval lies below this."""
GREEN_FROM: Final = 0.85
"""It is green when the lower end lies at or above this."""
RECENT_OUTCOMES: Final = 100
RECENT_DAYS: Final = 30.0
"""What is recent: so many outcomes at most, in so many days before the last one."""
RECORD_DAYS: Final = 365.0
"""Older outcomes no longer speak for a repository."""
QUALITY_MIN: Final = 20
"""Quality scores from which their mean says something."""


@dataclass(slots=True)
class Record:
    """What is known of a repository."""

    executions: int = 0
    outcomes: int = 0
    successes: int = 0
    age_days: float = 0.0
    success_rate: float | None = None
    success_low: float = 0.0
    success_high: float = 1.0
    recent_outcomes: int = 0
    recent_low: float = 0.0
    recent_high: float = 1.0
    before_low: float = 0.0
    """The lower end of the success rate's interval before the recent outcomes."""
    quality_mean: float | None = None
    quality_low: float | None = None
    quality_change: tuple[float, float] | None = None
    """Interval of the mean of the later half less that of the earlier one."""
    coverage: float | None = None
    docs: float | None = None

    @property
    def failing(self) -> bool:
        return self.recent_high < FAILING_BELOW

    @property
    def declining(self) -> bool:
        return self.recent_high < self.before_low

    @property
    def green(self) -> bool:
        return self.recent_low >= GREEN_FROM

    @property
    def quality_falling(self) -> bool:
        return self.quality_change is not None and self.quality_change[1] < 0


def record_of(
    rows: Sequence[Row],
    *,
    first: datetime | None = None,
    coverage: float | None = None,
    docs: float | None = None,
) -> Record:
    """The record of executions whose values are success and quality, in the order of time.

    Args:
        rows: the newest ones.
        first: when the first one of all started; None is the first of these.
        coverage: reported, percent.
        docs: the same for documentation.
    """
    times = [row.started_at for row in rows if row.started_at is not None]
    found = Record(executions=len(rows), coverage=coverage, docs=docs)
    if not times:
        return found
    found.age_days = (max(times) - (first or min(times))).total_seconds() / 86_400
    known = _known(rows, 0, max(times) - timedelta(days=RECORD_DAYS))
    found.outcomes = len(known)
    if known:
        found.successes = int(sum(value for _, value in known))
        found.success_rate = found.successes / len(known)
        found.success_low, found.success_high = _rate(known)
        since = known[-1][0] - timedelta(days=RECENT_DAYS)
        recent = [one for one in known if one[0] >= since][-RECENT_OUTCOMES:]
        found.recent_outcomes = len(recent)
        found.recent_low, found.recent_high = _rate(recent)
        found.before_low, _ = _rate(known[: len(known) - len(recent)])
    _note_quality(found, _known(rows, 1, max(times) - timedelta(days=RECORD_DAYS)))
    return found


def _known(rows: Sequence[Row], place: int, since: datetime) -> list[tuple[datetime, float]]:
    found = [
        (at, value)
        for row in rows
        if (value := row.values[place]) is not None
        and (at := row.known_at[place]) is not None
        and at >= since
    ]
    return sorted(found)


def _rate(known: Sequence[tuple[datetime, float]]) -> tuple[float, float]:
    """The interval of a rate; it holds at every look, for a gate is asked at every change."""
    return rate_interval(int(sum(value for _, value in known)), len(known)) or (0.0, 1.0)


def _note_quality(found: Record, known: Sequence[tuple[datetime, float]]) -> None:
    if len(known) < QUALITY_MIN:
        return
    import numpy as np

    values = np.array([value for _, value in known])
    found.quality_mean = float(values.mean())
    interval = level_interval(values)
    # Values that never differ have no interval, and need none.
    low = found.quality_mean if interval is None and not values.std() else None
    found.quality_low = max(0.0, interval[0]) if interval is not None else low
    half = len(values) // 2
    earlier, later = values[:half], values[len(values) - half :]
    spread = float(np.sqrt((earlier.var(ddof=1) + later.var(ddof=1)) / half))
    change = float(later.mean() - earlier.mean())
    # Three standard errors, since it is looked at with every change.
    found.quality_change = (change - 3 * spread, change + 3 * spread)


# ----------------------------------------------------------------------------------- score


def score_of(record: Record) -> tuple[float, str]:
    """The score of a record, 0..100, and the part of it that keeps it from being more."""
    parts: dict[str, float | None] = {
        "success": record.success_low if record.outcomes else 0.0,
        "outcomes": float(record.outcomes),
        "age": record.age_days,
        "quality": record.quality_low,
        "coverage": record.coverage,
        "docs": record.docs,
    }
    scores = {name: _score(name, value) for name, value in parts.items() if value is not None}
    if record.quality_falling:
        scores["quality_falling"] = LEVELS[-1].score - 1.0
    weakest = min(scores, key=lambda name: scores[name])
    return scores[weakest], weakest


def level_of(score: float) -> Level:
    """The level of a score."""
    return next(level for level in reversed(LEVELS) if score >= level.score)


_COLUMN: Final = {
    "success": "success_low", "outcomes": "outcomes", "age": "age_days",
    "quality": "quality_low", "coverage": "coverage_reported", "docs": "docs_reported",
}  # fmt: skip


def _score(name: str, value: float) -> float:
    """Along the table, in straight lines between its cut-offs."""
    column = _COLUMN[name]
    lines: list[tuple[float, float]] = [
        (float(getattr(level, column)), level.score) for level in (*LEVELS, _TOP)
    ]
    cut, score = [line for line in lines if value >= line[0]][-1]
    further = [line for line in lines if line[0] > value]
    if not further:
        return _TOP.score
    next_cut, next_score = further[0]
    return score + (next_score - score) * (value - cut) / (next_cut - cut)
