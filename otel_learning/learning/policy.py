"""Makes a policy from evidence: which arm in which context, with which probability. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from otel_learning.learning.advice import Question, advise
from otel_learning.learning.choice import EXPLORE_LEAST
from otel_learning.learning.evidence import Environment
from otel_learning.store.policy_rows import PolicyRow, Scope, band

BANDS: Final = 6
"""Parts that a number's range is cut into, as many executions in each."""
CONTEXT_LEAST: Final = 30
"""Known outcomes in a context without which its choice stays with the router."""
ARM_LEAST: Final = 5
"""Of which this many of the arm that is to be taken."""
SURE_LEAST: Final = 0.75
"""The probability of being the best that an arm needs to take a context over."""
STEP_SHARE: Final = 0.6
"""Of a context's tasks, what may change arms with one policy."""
STEP_NUMBER: Final = 20.0
"""Points that a threshold of complexity may move with one policy; of the range, in per cent."""
EXPLORE: Final = 0.1
"""Of a context's tasks, drawn evenly from all arms, so that the next evidence is randomised."""
_MOVED_LEAST: Final = 0.02
"""A smaller share of a context's tasks is no change."""

Context = tuple[str | None, ...]
"""Values of the scope's columns as text; of a number, which band."""
Shares = dict[str, float]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far one policy may go; docs/explanation/policies.md says why."""

    step_share: float = STEP_SHARE
    step_number: float = STEP_NUMBER
    context_least: int = CONTEXT_LEAST
    sure_least: float = SURE_LEAST
    explore: float = EXPLORE


@dataclass(frozen=True, slots=True)
class Rule:
    """What to draw from, in one context."""

    context: Context
    shares: Shares

    @property
    def arm(self) -> str:
        """The arm that most tasks go to."""
        return _main(self.shares)


@dataclass(frozen=True, slots=True)
class Change:
    """A context in which the policy differs from what is done now."""

    context: Context
    before: Shares
    after: Shares

    @property
    def moved(self) -> float:
        """The share of tasks that change arms."""
        return _distance(self.before, self.after)


@dataclass(frozen=True, slots=True)
class Made:
    """A policy as it is made, before it is judged."""

    rules: tuple[Rule, ...]
    changes: tuple[Change, ...]
    edges: tuple[float, ...]
    """Where one band of the number ends and the next begins."""
    basis: str
    default: str | None
    reasons: tuple[str, ...]
    expected: Mapping[Context, Mapping[str, tuple[float, float | None]]] = field(
        default_factory=dict
    )
    """Per context and arm: the success rate and the cost that the evidence lets one expect."""
    bands: Mapping[Context, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    """Between which the success rate lies with 90 %, by the same evidence."""
    dearest: float = 0.0
    """USD; the measure of cost in a utility."""


def edges_of(
    rows: Sequence[PolicyRow], wanted: Scope, in_force: Sequence[Mapping[str, Any]] = ()
) -> tuple[float, ...]:
    """Whole numbers that cut the number of a context into bands of as many executions each.

    Thresholds of the rules in force are among them, so that none moves by being looked at.
    """
    if wanted.number is None:
        return ()
    at = wanted.context.index(wanted.number)
    values = sorted(
        float(value) for row in rows
        if isinstance(value := row.context[at], int | float) and not math.isnan(value)
    )  # fmt: skip
    if not values:
        return ()
    cuts = {
        float(math.ceil(values[len(values) * part // BANDS])) for part in range(1, BANDS)
    } | {
        float(end) for rule in in_force for end in rule["when"].get(wanted.number) or ()
        if end is not None
    }  # fmt: skip
    return tuple(cut for cut in sorted(cuts) if values[0] < cut <= values[-1])


def context_of(row: PolicyRow, wanted: Scope, edges: Sequence[float]) -> Context:
    """Which context a row belongs to."""
    return tuple(
        band(value if isinstance(value, int | float) else None, edges)
        if name == wanted.number else None if value is None else str(value)
        for name, value in zip(wanted.context, row.context, strict=True)
    )  # fmt: skip


def make(
    environment: Environment,
    wanted: Scope,
    edges: tuple[float, ...],
    observed: Mapping[Context, Shares],
    sizes: Mapping[Context, float],
    in_force: Mapping[Context, Shares],
    *,
    cost_weight: float,
    bounds: Bounds,
) -> Made:
    """The policy that the evidence asks for, as far as one step may go.

    Args:
        environment: evidence from executions that may teach; its places are contexts.
        wanted: the decision, and the columns of a context.
        edges: between bands of the context's number.
        observed: per context, what the router chose lately.
        sizes: per context, how many executions there are.
        in_force: per context, what the policy in force draws from; empty where there is none.
        cost_weight: as in `recommend`.
        bounds: how far one policy may go.
    """
    whole = advise(environment, Question(cost_weight=cost_weight))
    priced = [c.expected_cost for c in whole.candidates if c.expected_cost is not None]
    dearest = max(priced, default=0.0)
    expected: dict[Context, dict[str, tuple[float, float | None]]] = {}
    bands: dict[Context, dict[str, tuple[float, float]]] = {}
    targets: dict[Context, Shares] = {}
    for context in sorted(observed, key=str):
        first, second = (*context, None)[:2]
        answer = advise(environment, Question(first, second, cost_weight=cost_weight))
        expected[context] = {
            c.arm: (c.success_rate if c.success_rate is not None else 0.5, c.expected_cost)
            for c in answer.candidates
        }
        bands[context] = {
            c.arm: (c.success_low, c.success_high)
            for c in answer.candidates
            if c.success_low is not None and c.success_high is not None
        }
        if None in context:
            continue
        sums = dict(zip(environment.arms, environment.sums((first, second)), strict=True))
        known = sum(each.known for each in sums.values())
        best = max(answer.propensities, key=lambda arm: (answer.propensities[arm], arm))
        if (
            answer.basis != "insufficient"
            and known >= bounds.context_least
            and sums[best].known >= ARM_LEAST
            and answer.propensities[best] >= bounds.sure_least
        ):
            targets[context] = _exploring(best, environment.arms, bounds.explore)
    if wanted.context == (wanted.number,):
        order = _by_cost(environment.arms, whole.candidates)
        targets = _thresholds(
            targets, observed, sizes, in_force, expected, order, edges, cost_weight, dearest, bounds
        )  # fmt: skip
    rules, changes = [], []
    for context in sorted(set(observed) | set(in_force), key=str):
        before = in_force.get(context, observed.get(context, {}))
        target = targets.get(context)
        if target is not None and context not in in_force and _main(target) == _main(before):
            target = None  # the router does so by itself
        after = None if target is None else _step(before, target, bounds.step_share)
        if after is not None and _distance(before, after) >= _MOVED_LEAST:
            changes.append(Change(context, before, after))
            rules.append(Rule(context, after))
        elif context in in_force:
            rules.append(Rule(context, in_force[context]))
    common: dict[str, float] = {}
    for context, shares in observed.items():
        for arm, share in shares.items():
            common[arm] = common.get(arm, 0.0) + share * sizes[context]
    default = max(common, key=lambda arm: (common[arm], arm)) if common else None
    return Made(
        tuple(rules),
        tuple(changes),
        edges,
        whole.basis,
        default,
        whole.reasons,
        expected,
        bands,
        dearest,
    )


def _exploring(best: str, arms: Sequence[str], explore: float) -> Shares:
    """Nearly all to one arm, and to each other one enough to learn from."""
    floor = min(max(EXPLORE_LEAST, explore / len(arms)), 1 / len(arms))
    return {arm: 1 - floor * (len(arms) - 1) if arm == best else floor for arm in arms}


def _step(before: Shares, target: Shares, most: float) -> Shares:
    """As far from `before` to `target` as a step may go."""
    distance = _distance(before, target)
    part = 1.0 if distance <= most else most / distance
    mixed = {
        arm: (1 - part) * before.get(arm, 0.0) + part * target.get(arm, 0.0)
        for arm in sorted({*before, *target})
    }
    rounded = {arm: round(share, 4) for arm, share in mixed.items() if share >= EXPLORE_LEAST}
    total = math.fsum(rounded.values())
    largest = max(rounded, key=lambda arm: (rounded[arm], arm))
    rounded[largest] = round(rounded[largest] + 1 - total, 6)
    return rounded


def _main(shares: Shares) -> str:
    return max(shares, key=lambda arm: (shares[arm], arm))


def _distance(before: Shares, after: Shares) -> float:
    """Total variation: the share of tasks that change arms."""
    arms = {*before, *after}
    return math.fsum(abs(before.get(a, 0.0) - after.get(a, 0.0)) for a in arms) / 2


# ------------------------------------------------------------------------------ thresholds


def _by_cost(arms: Sequence[str], candidates: Sequence[Any]) -> list[str]:
    costs = {c.arm: c.expected_cost for c in candidates}
    return sorted(arms, key=lambda a: (costs[a] is None, costs[a] or 0.0, a))


def _thresholds(
    targets: Mapping[Context, Shares], observed: Mapping[Context, Shares],
    sizes: Mapping[Context, float], in_force: Mapping[Context, Shares],
    expected: Mapping[Context, Mapping[str, tuple[float, float | None]]],
    order: Sequence[str], edges: Sequence[float], cost_weight: float, dearest: float,
    bounds: Bounds,
) -> dict[Context, Shares]:  # fmt: skip
    """For each band an arm, none cheaper than that of a lower band: thresholds, the best ones.

    An arm reaches a band only from within `step_number` points of a band that it has now. The
    sum of utilities, each by the band's executions, is largest; found by dynamic programming.
    """
    bands = sorted((c for c in observed if c[0] is not None), key=lambda c: int(c[0] or 0))
    if not bands:
        return {}
    middle = {c: _middle(int(c[0] or 0), edges) for c in bands}
    main = {c: _main(in_force.get(c) or observed[c]) for c in bands}
    span = max(edges[-1] - edges[0], 1.0) if edges else 1.0
    reach = bounds.step_number / 100 * (100.0 if span <= 100 else span)
    best: list[tuple[float, tuple[str, ...]]] = [(0.0, ())] * len(order)
    for context in bands:
        told = expected[context]
        gains = []
        for arm in order:
            near = (
                any(abs(middle[context] - middle[c]) <= reach and main[c] == arm for c in bands)
                or arm not in main.values()
            )
            free = context in targets or arm == main[context]
            rate, cost = told.get(arm, (0.0, None))
            spent = (cost if cost is not None else dearest) / dearest if dearest > 0 else 0.0
            gain = sizes[context] * (rate - cost_weight * spent)
            gains.append(gain if near and free else -math.inf)
        following: list[tuple[float, tuple[str, ...]]] = []
        so_far: tuple[float, tuple[str, ...]] = (-math.inf, ())
        for k in range(len(order)):
            so_far = max(so_far, best[k], key=lambda one: one[0])
            following.append((so_far[0] + gains[k], (*so_far[1], order[k])))
        best = following
    total, arms = max(best, key=lambda one: one[0])
    if total == -math.inf:
        return dict(targets)
    every = sorted(order)
    return {
        context: _exploring(arm, every, bounds.explore)
        for context, arm in zip(bands, arms, strict=True)
        if context in targets or arm != main[context]
    }


def _middle(number: int, edges: Sequence[float]) -> float:
    if not edges:
        return 0.0
    if number == 0:
        return edges[0]
    return edges[-1] if number >= len(edges) else (edges[number - 1] + edges[number]) / 2
