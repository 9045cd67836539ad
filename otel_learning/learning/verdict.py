"""What the outcomes of an experiment say: a winner with its evidence, or why there is none. Pure.

Every pair of variants is tested at alpha / (variants - 1), and a variant wins when it is shown
to be better than every other one that is left. Whichever variants are equally good, or one the
best, some wrong one is named with a probability of at most alpha: it would have to win against
one fixed variant, and there are variants - 1 such pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from otel_learning.learning.exposures import Exposures, Outcome, pairs, values_of
from otel_learning.learning.sequential import (
    level_interval,
    log_evidence,
    log_share_evidence,
    mean_interval,
    rate_interval,
)

if TYPE_CHECKING:
    from otel_learning.learning.metrics import Metric

SHARES_ALPHA: Final = 0.001
"""How rarely sound shares are called wrong: the whole comparison falls with them."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One variant against another."""

    variant: str
    against: str
    pairs: int
    effect: float | None
    """Mean of `variant` less that of `against`, in the metric's unit, over the pairs."""
    low: float | None
    high: float | None
    """Its interval at the experiment's alpha, shared out among the comparisons."""
    p_value: float
    """Always valid in the sequential mode; of the one look in the fixed one."""
    better: str | None
    """The one that is shown to be better; None where neither is."""


@dataclass(frozen=True, slots=True)
class VariantFinding:
    """What is known of one variant."""

    variant: str
    arm: str | None
    exposures: int
    """Units that were given it."""
    support: int
    """Of these, with a known outcome."""
    unknown: int
    mean: float | None
    low: float | None
    high: float | None
    status: str
    """`in`, `behind` another one, `dropped`, or `best`."""
    followed: float | None
    """The share of its units that really had its arm, where that is known."""


@dataclass(slots=True)
class Verdict:
    """What the evidence says now."""

    decision: str | None
    reasons: list[str]
    variants: list[VariantFinding]
    comparisons: list[Comparison]
    warnings: list[str] = field(default_factory=list)
    guardrails: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the outcomes: the part of a definition that decides."""

    variants: tuple[str, ...]
    weights: tuple[float, ...]
    metric: Metric
    goal: str
    alpha: float
    horizon: int | None = None
    """Outcomes per variant for the one look; None is the sequential mode."""
    guardrails: tuple[tuple[Metric, float], ...] = ()
    """Metrics in which no variant may be worse than the first by more than this share."""
    effect: float | None = None
    """The smallest difference worth finding; smaller ones are no reason to go on."""
    dropped: frozenset[str] = frozenset()
    arms: dict[str, str] | None = None


def judge(asked: Question, exposed: Exposures) -> Verdict:
    """The verdict; `exposed.outcomes` are those of the metric, then of each guardrail."""
    outcomes = exposed.outcomes[0]
    if asked.horizon is not None:
        outcomes = {v: timeline[: asked.horizon] for v, timeline in outcomes.items()}
    compared = [
        _compare(asked, later, earlier, outcomes)
        for i, earlier in enumerate(asked.variants)
        for later in asked.variants[i + 1 :]
    ]
    behind = {
        c.against if c.better == c.variant else c.variant for c in compared if c.better is not None
    }
    left = [v for v in asked.variants if v not in asked.dropped]
    best = _best(left, compared)
    reasons: list[str] = []
    guardrails = [g for i in range(len(asked.guardrails)) for g in _guard(asked, exposed, i)]
    broken = [str(g["metric"]) for g in guardrails if g["broken"] and g["variant"] == best]
    short = asked.horizon is not None and any(len(outcomes[v]) < asked.horizon for v in left)
    decision = None if best is None or broken or short else best
    if short:
        reasons.append("horizon_not_reached")
    elif best is None:
        reasons.append(_why_not(asked, left, compared))
    else:
        reasons += [f"guardrail:{name}"[:48] for name in broken] or ["better_than_every_other"]
    return Verdict(
        decision,
        reasons,
        [_finding(asked, exposed, v, outcomes[v], decision, behind) for v in asked.variants],
        compared,
        [
            *_warnings(asked, exposed),
            *(f"guardrail_broken:{g['variant']}:{g['metric']}" for g in guardrails if g["broken"]),
        ],
        guardrails,
    )


def _compare(
    asked: Question, first: str, second: str, outcomes: dict[str, list[Outcome]]
) -> Comparison:
    level = asked.alpha / (len(asked.variants) - 1)
    if asked.horizon is not None:
        return _compare_once(asked, first, second, outcomes, level)
    ours, theirs = pairs(outcomes[first], outcomes[second])
    differences = ours - theirs
    evidence = log_evidence(differences, level)
    crossed = (evidence >= math.log(1 / level)).nonzero()[0]
    better = None
    if len(crossed):
        ahead = differences[: crossed[0] + 1].sum() > 0
        better = first if ahead == (asked.goal == "max") else second
    low, high = mean_interval(differences, level) or (None, None)
    effect = float(differences.mean()) if len(differences) else None
    p = min(1.0, math.exp(-float(evidence.max(initial=0.0))))
    return Comparison(first, second, len(differences), effect, low, high, p, better)


def _compare_once(
    asked: Question, first: str, second: str, outcomes: dict[str, list[Outcome]], level: float
) -> Comparison:
    from otel_learning.learning import fixed

    ours, theirs = values_of(outcomes[first]), values_of(outcomes[second])
    count = min(len(ours), len(theirs))
    if count < 2:
        return Comparison(first, second, count, None, None, None, 1.0, None)
    seen = fixed.look(ours, theirs, level, boolean=asked.metric.boolean)
    reached = asked.horizon is not None and count >= asked.horizon
    better = None
    if reached and seen.p_value < level:
        better = first if (seen.effect > 0) == (asked.goal == "max") else second
    return Comparison(first, second, count, *seen, better)


def _best(left: Sequence[str], compared: Sequence[Comparison]) -> str | None:
    won = {(c.better, c.against if c.better == c.variant else c.variant) for c in compared}
    for variant in left:
        others = [other for other in left if other != variant]
        if others and all((variant, other) in won for other in others):
            return variant
    return None


def _why_not(asked: Question, left: Sequence[str], compared: Sequence[Comparison]) -> str:
    """Why no variant is named; it may be that going on will not name one either."""
    between = [c for c in compared if c.variant in left and c.against in left]
    if any(not c.pairs for c in between):
        return "no_outcomes"
    if asked.effect and all(
        c.low is not None and c.high is not None and -asked.effect < c.low <= c.high < asked.effect
        for c in between
    ):
        return "difference_below_effect"
    return "no_difference_shown"


def _guard(asked: Question, exposed: Exposures, number: int) -> list[dict[str, Any]]:
    """Whether a variant is shown to be worse than the first by more than is allowed.

    At any look; asymptotic where something is allowed, or the metric is a number.
    """
    metric, allowed = asked.guardrails[number]
    outcomes = exposed.outcomes[number + 1]
    found = []
    for variant in asked.variants[1:]:
        ours, control = pairs(outcomes[variant], outcomes[asked.variants[0]])
        if metric.goal == "min":
            harm = ours - (1 + allowed) * control
        else:
            harm = (1 - allowed) * control - ours
        evidence = log_evidence(harm, asked.alpha)
        crossed = (evidence >= math.log(1 / asked.alpha)).nonzero()[0]
        broken = bool(len(crossed)) and bool(harm[: crossed[0] + 1].sum() > 0)
        found.append(
            {"metric": metric.name, "variant": variant, "allowed": allowed, "pairs": len(harm),
             "mean": float(ours.mean()) if len(ours) else None,
             "control_mean": float(control.mean()) if len(ours) else None, "broken": broken}
        )  # fmt: skip
    return found


def _finding(
    asked: Question,
    exposed: Exposures,
    variant: str,
    timeline: Sequence[Outcome],
    decision: str | None,
    behind: set[str],
) -> VariantFinding:
    values = values_of(timeline)
    n = len(values)
    if asked.horizon is not None:
        from otel_learning.learning import fixed

        found = fixed.interval(values, asked.alpha, boolean=asked.metric.boolean)
    elif asked.metric.boolean:
        found = rate_interval(int(values.sum()), n, asked.alpha)
    else:
        found = level_interval(values, asked.alpha)
    low, high = found or (None, None)
    if low is not None and asked.metric.low is not None:
        low = max(low, asked.metric.low)
    if high is not None and asked.metric.high is not None:
        high = min(high, asked.metric.high)
    status = "behind" if variant in behind else "in"
    if variant in asked.dropped:
        status = "dropped"
    elif variant == decision:
        status = "best"
    chosen = exposed.chosen[variant]
    return VariantFinding(
        variant,
        None if asked.arms is None else asked.arms[variant],
        exposed.units[variant],
        n,
        exposed.units[variant] - len(exposed.outcomes[0][variant]),
        float(values.mean()) if n else None,
        low,
        high,
        status,
        exposed.followed[variant] / chosen if chosen else None,
    )


def _warnings(asked: Question, exposed: Exposures) -> list[str]:
    """What makes the comparison doubtful, as stable tokens."""
    found = []
    if not asked.dropped:
        line = math.log(1 / SHARES_ALPHA)
        units = [exposed.units[v] for v in asked.variants]
        known = [len(exposed.outcomes[0][v]) for v in asked.variants]
        if log_share_evidence(units, asked.weights) >= line:
            found.append("sample_ratio_mismatch")
        elif min(units) and log_share_evidence(known, units) >= line:
            found.append("outcomes_missing_unevenly")
    if exposed.crossed:
        found.append(f"crossed_units:{exposed.crossed}")
    if exposed.strangers:
        found.append(f"unknown_variants:{exposed.strangers}")
    if exposed.unassigned:
        found.append(f"unassigned:{exposed.unassigned}")
    return found
