"""How much each source of feedback is worth: how well it agrees with outcomes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from otel_learning.learning.recommend import moment_utc
from otel_learning.learning.reliability import rate_interval
from otel_learning.store.feedback_votes import Vote, votes
from otel_learning.store.reader import Reader

PRIOR_WORDS: Final = 20.0
"""A source that nothing is known of counts as if it had agreed so often as all do on average."""
_PRIOR_AGREEMENT: Final = 0.8
"""Of all sources together, while few words can be compared."""


@dataclass(frozen=True, slots=True)
class Source:
    """One source of feedback."""

    source: str
    support: int
    """Words that are for or against a result."""
    compared: int
    """Those about an execution whose own outcome is known."""
    agreement: float | None
    """The share of those that agree with it."""
    low: float | None
    high: float | None
    """The 90 % interval of that share."""
    weight: float
    """What one word counts: 1 on average, 0 where it agrees no better than chance."""


def sources(db: Reader, *, as_of: datetime | None = None) -> list[Source]:
    """Every source, the most used first.

    Raises:
        StoreError: the store cannot be read.
    """
    return weigh(votes(db, moment_utc(as_of)))


def weigh(said: Iterable[Vote]) -> list[Source]:
    """The weights of sources as noisy raters (Dawid and Skene, 1979, with known outcomes).

    A source that agrees with outcomes with probability a says 2a - 1 of them; a is drawn to the
    mean of all by PRIOR_WORDS, so that few words change little.
    """
    support: dict[str, int] = defaultdict(int)
    compared: dict[str, int] = defaultdict(int)
    agreed: dict[str, int] = defaultdict(int)
    for vote in said:
        if vote.approves is None:
            continue
        support[vote.source] += 1
        if vote.success is not None:
            compared[vote.source] += 1
            agreed[vote.source] += vote.approves == vote.success
    total = sum(compared.values())
    mean = (sum(agreed.values()) + PRIOR_WORDS * _PRIOR_AGREEMENT) / (total + PRIOR_WORDS)
    informative = max(2 * mean - 1, 1e-6)
    found = []
    for source, count in support.items():
        n, k = compared[source], agreed[source]
        drawn = (k + PRIOR_WORDS * mean) / (n + PRIOR_WORDS)
        low, high = rate_interval(k, n) if n else (None, None)
        found.append(
            Source(
                source, count, n, k / n if n else None, low, high,
                max(0.0, 2 * drawn - 1) / informative,
            )
        )  # fmt: skip
    return sorted(found, key=lambda one: (-one.support, one.source))


def approval(said: Iterable[Vote], weights: Mapping[str, float]) -> float | None:
    """How far words speak for a result, 0..1, each by the weight of its source; None without any.

    Args:
        said: words about one execution.
        weights: source -> weight; one that is not named counts 1.
    """
    total = approving = 0.0
    for vote in said:
        if vote.approves is not None:
            weight = weights.get(vote.source, 1.0)
            total += weight
            approving += weight * vote.approves
    return approving / total if total else None
