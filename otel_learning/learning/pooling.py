"""Partial pooling: figures of small groups are drawn to what the larger ones say.

The model of one level of the tree: the value of arm `a` in context `c` is, on a scale without
bounds (logits of a rate, logarithms of a cost),

    value[a, c] = parent[a] + shift[c] + own[a, c],
    shift ~ N(0, shared^2), own ~ N(0, single^2).

`shift` is what makes a context harder or dearer for every arm, `own` is what suits one arm in
particular. That they are two numbers matters for choosing: difficulty differs much between
repositories and the order of the arms little, and who pools each arm by itself takes differences
in difficulty for differences between arms. How strongly each is pooled is learned: both
deviations are averaged over a grid, weighted by their marginal likelihood (Laplace) and a
half-normal prior, which pools strongly while there are few rows.

Plain Python: a context has a handful of arms, for which arrays would be slower, and the base
install stays without numpy.

Source: Gelman & Hill, Data Analysis Using Regression and Multilevel Models (2007), ch. 12 to 14;
Breslow & Clayton, JASA 88 (1993) for the Laplace approximation; Gelman, Bayesian Analysis 1
(2006) for the prior.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

DEVIATIONS: Final = (0.03, 0.1, 0.2, 0.35, 0.6, 1.0, 1.6)
"""Grid of both deviations, in logits or in natural logarithms."""
PRIOR_SHARED: Final = 0.7
"""Scale of the half-normal prior of what all arms share; weakly informative."""
PRIOR_SINGLE: Final = 0.5
"""The same of what one arm has alone: interactions are smaller than main effects, as a rule."""
CONTEXTS_MOST: Final = 300
"""Contexts that the deviations are learned from: those with most rows. More teach no more."""
_LEAST: Final = 1e-4
"""Keeps variances from being zero, by which is divided."""
_NEGLIGIBLE: Final = 0.003
_STEPS: Final = 12
_EFFECT_MOST: Final = 10.0


class Normal(NamedTuple):
    """A normal posterior of a logit or a logarithm."""

    mean: float
    variance: float
    worth_exploring: float = 0.0
    """The part that trying an arm here would settle for many: what all arms share, no trial
    tells apart; what is particular to a context counts by its share of the executions."""


class Likelihood(Protocol):
    """What the rows of one arm in one context say about its value."""

    def slope(self, value: float) -> tuple[float, float]:
        """First derivative of the log likelihood, and minus the second."""

    def tilt(self, value: float) -> float:
        """Third derivative of the log likelihood."""

    def log(self, value: float) -> float:
        """The log likelihood, up to a constant."""


class Outcomes(NamedTuple):
    """Known outcomes and successes among them, or effective numbers of weighted ones."""

    known: float
    successes: float

    def slope(self, value: float) -> tuple[float, float]:
        rate = sigmoid(value)
        return self.successes - self.known * rate, self.known * rate * (1 - rate)

    def tilt(self, value: float) -> float:
        rate = sigmoid(value)
        return self.known * rate * (1 - rate) * (2 * rate - 1)

    def log(self, value: float) -> float:
        return self.successes * value - self.known * _softplus(value)


class Amounts(NamedTuple):
    """The mean of so many logarithms, and the variance of a single one."""

    number: float
    mean: float
    noise: float

    def slope(self, value: float) -> tuple[float, float]:
        precision = self.number / self.noise
        return precision * (self.mean - value), precision

    def tilt(self, value: float) -> float:
        return 0.0

    def log(self, value: float) -> float:
        return -0.5 * self.number / self.noise * (self.mean - value) ** 2


class Context(NamedTuple):
    """What the rows of one context say: one likelihood per arm, always in the same order."""

    arms: Sequence[Likelihood]
    shared_scale: float = 1.0
    single_scales: Sequence[float] | None = None
    """By how much the variances of its deviations differ from the level's: see `apart`."""
    shares: Sequence[float] | None = None
    """Which share of the level above's rows are its own, per arm: it errs with those."""
    share: float = 1.0
    """Which share of the level above's rows, of all arms, are its own."""


def apart(here: float, above: float, squares: float) -> float:
    """How far a context lies from the level above, as a multiple of the contexts' variance.

    The level above is the mean over all its rows, so a context with a share s of them is part of
    what it is compared with: Var(x_c - sum s_j x_j) = (1 - 2 s_c + sum s_j^2) Var(x). The only
    context of its parent does not deviate at all; a small one beside a large one does, by more.

    Args:
        here: rows of the context.
        above: rows of all contexts of its parent.
        squares: the sum of their squares, context by context.
    """
    return max(1 - 2 * here / above + squares / above**2, 0.0) if above > 0 else 1.0


class Pooling(NamedTuple):
    """Which deviations are how probable, as learned from many contexts."""

    grid: tuple[tuple[float, float, float], ...]
    """(variance of the shift, variance of one arm's own, probability)."""

    def posterior(self, parent: Sequence[Normal], context: Context) -> list[Normal]:
        """Each arm's value in a context, given those of the level above."""
        parts = [
            (weight, _posterior(parent, context, shared, single)[1])
            for shared, single, weight in self.grid
        ]
        found = []
        for arm in range(len(parent)):
            mean = sum(weight * part[arm].mean for weight, part in parts)
            between = sum(weight * (part[arm].mean - mean) ** 2 for weight, part in parts)
            within = sum(weight * part[arm].variance for weight, part in parts)
            explore = sum(weight * part[arm].worth_exploring for weight, part in parts)
            found.append(Normal(mean, within + between, explore + context.share * between))
        return found


def learn(contexts: Sequence[tuple[Sequence[Normal], Context]]) -> Pooling:
    """How much contexts differ from their parents, in common and arm by arm. Deterministic.

    Args:
        contexts: those that it is learned from, each with the level above, one value per arm.
    """
    log_weights = {}
    for shared in DEVIATIONS:
        for single in DEVIATIONS:
            evidence = 0.0
            for parent, context in contexts:
                evidence += _posterior(parent, context, shared**2, single**2)[0]
            # Lets the router's own threads go on: this may run beside them.
            time.sleep(0)
            prior = -((shared / PRIOR_SHARED) ** 2 + (single / PRIOR_SINGLE) ** 2) / 2
            log_weights[shared, single] = (
                evidence + prior + math.log(_width(shared)) + math.log(_width(single))
            )
    most = max(log_weights.values())
    weights = {at: math.exp(log - most) for at, log in log_weights.items()}
    kept = {at: weight for at, weight in weights.items() if weight > _NEGLIGIBLE}
    total = sum(kept.values())
    return Pooling(
        tuple((shared**2, single**2, weight / total) for (shared, single), weight in kept.items())
    )


def _width(deviation: float) -> float:
    """The stretch of the uneven grid that one point stands for."""
    at = DEVIATIONS.index(deviation)
    low, high = DEVIATIONS[max(at - 1, 0)], DEVIATIONS[min(at + 1, len(DEVIATIONS) - 1)]
    return (high - low) / 2


def _posterior(
    parent: Sequence[Normal], context: Context, shared: float, single: float
) -> tuple[float, list[Normal]]:
    """Log evidence and posterior, given both variances.

    Newton's method; each step in closed form, because the precision of a context is a diagonal
    and one shared direction.
    """
    arms, told = range(len(parent)), context.arms
    effects = [0.0] * len(parent)
    shift, own = 0.0, effects
    shared *= max(context.shared_scale, _LEAST)
    scales = context.single_scales or [1.0] * len(parent)
    singles = [single * max(scale, _LEAST) for scale in scales]
    for _ in range(_STEPS):
        slopes = [told[a].slope(parent[a].mean + effects[a]) for a in arms]
        kept = [1 / (1 + singles[a] * slopes[a][1]) for a in arms]
        gains = [precision * k for (_, precision), k in zip(slopes, kept, strict=True)]
        pulls = [gains[a] * effects[a] + slopes[a][0] * kept[a] for a in arms]
        shift = shared * sum(pulls) / (1 + shared * sum(gains))
        own = [singles[a] * (pulls[a] - gains[a] * shift) for a in arms]
        moved = [max(-_EFFECT_MOST, min(_EFFECT_MOST, shift + own[a])) for a in arms]
        change = max(abs(new - old) for new, old in zip(moved, effects, strict=True))
        effects = moved
        if change < 1e-4:
            break
    slopes = [told[a].slope(parent[a].mean + effects[a]) for a in arms]
    kept = [1 / (1 + singles[a] * slopes[a][1]) for a in arms]
    gains = [precision * k for (_, precision), k in zip(slopes, kept, strict=True)]
    spread = 1 + shared * sum(gains)
    evidence = -0.5 * (
        math.log(spread)
        - sum(math.log(k) for k in kept)
        + shift**2 / shared
        + sum(own[a] ** 2 / singles[a] for a in arms)
    )
    evidence += sum(told[a].log(parent[a].mean + effects[a]) for a in arms)
    shares = context.shares or [0.0] * len(parent)
    found = []
    for a in arms:
        # What is drawn to errs along with the rows that are in both: twice the covariance.
        both = 1 + 2 * kept[a] * shares[a]
        local = singles[a] * kept[a] * both
        shift_variance = kept[a] ** 2 * shared / spread * (1 + 2 * shares[a] / spread)
        variance = local + shift_variance + kept[a] ** 2 * parent[a].variance
        # From the mode to the mean: the likelihood's third derivative tilts the posterior.
        tilt = 0.5 * variance**2 * told[a].tilt(parent[a].mean + effects[a])
        explore = context.share * local + kept[a] ** 2 * parent[a].worth_exploring
        found.append(Normal(parent[a].mean + effects[a] + tilt, variance, explore))
    return evidence, found


# --------------------------------------------------------------------------------- scales


def sigmoid(value: float) -> float:
    if value >= 0:
        return 1 / (1 + math.exp(-value))
    e = math.exp(value)
    return e / (1 + e)


def logit(rate: float) -> float:
    return math.log(rate / (1 - rate))


def _softplus(value: float) -> float:
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))


# Gauss-Hermite nodes and weights for a standard normal (9 points; Abramowitz & Stegun 25.10).
_HERMITE: Final = (
    (0.0, 0.4063492063492064), (1.0232556637891326, 0.24409750289493908),
    (2.0768479786778302, 0.04991640676521788), (3.2054290028564703, 0.0027891413212317686),
    (4.512745863399783, 2.234584400774664e-05),
)  # fmt: skip


def rate_of(logits: Normal) -> float:
    """The mean of a rate whose logit is normal."""
    deviation = math.sqrt(logits.variance)
    return sum(
        weight * (sigmoid(logits.mean + deviation * node) + sigmoid(logits.mean - deviation * node))
        / (1 if node else 2)
        for node, weight in _HERMITE
    )  # fmt: skip
