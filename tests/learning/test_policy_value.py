"""What a policy would have achieved, in worlds of which the truth is known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from otel_learning.learning import offpolicy
from otel_learning.learning.evidence import Environment, Sums
from otel_learning.learning.policy import Bounds, Context, Shares, make
from otel_learning.learning.policy_value import NOTHING, Chosen, Estimated, effect, student, value
from otel_learning.store.policy_rows import scope
from tests.learning.worlds import World

EVEN = {"a": 0.5, "b": 0.5}


def log(
    draw: random.Random, rows: int, rates: dict[str, float], logged: dict[str, float]
) -> list[tuple[str, float, float]]:
    """(arm, propensity, reward) of a router that draws with these chances."""
    arms, chances = list(logged), list(logged.values())
    drawn = draw.choices(arms, chances, k=rows)
    return [(arm, logged[arm], float(draw.random() < rates[arm])) for arm in drawn]


def test_intervals_of_proposed_policies_cover_their_true_value() -> None:
    """In 500 worlds a policy is made from one log and judged on another, by the code of `propose`.

    At nominal 95 % at least 92 % of the intervals cover the truth, of the value and of the
    effect; worlds differ in rates, in contexts and in how the router explored.
    """
    covered = {"value": 0, "effect": 0}
    proposed = 0
    world = 0
    while proposed < 500:
        world += 1
        found = _world(world)
        if found is None:
            continue
        proposed += 1
        for name, (estimated, truth) in found.items():
            assert estimated.low is not None and estimated.high is not None
            covered[name] += estimated.low <= truth <= estimated.high

    assert covered["value"] >= 0.92 * proposed, covered
    assert covered["effect"] >= 0.92 * proposed, covered
    assert world < 1000


def _world(seed: int) -> dict[str, tuple[Estimated, float]] | None:
    """A world's estimates with their truths; None where no change is proposed in it."""
    draw = random.Random(seed)
    known = World.drawn(seed, arms=3, types=4, repos=1)
    contexts = [task_type for task_type, _ in known.rates]
    explore = draw.uniform(0.1, 0.4)
    logged = {
        c: _explored(known.arms, draw.randrange(3), explore) for c in contexts
    }  # fmt: skip
    sizes = [1 / (1 + i) for i in range(len(contexts))]
    rates = {c: dict(zip(known.arms, known.rates[c, "repo-0"], strict=True)) for c in contexts}
    evidence = _evidence(draw, known, contexts, sizes, rates, logged, 600)
    observed: dict[Context, Shares] = {(c,): logged[c] for c in contexts}
    made = make(
        evidence, scope("model_tier", "task_type"), (), observed,
        {(c,): size for c, size in zip(contexts, sizes, strict=True)}, {},
        cost_weight=0.05, bounds=Bounds(),
    )  # fmt: skip
    if not made.changes:
        return None
    target = {rule.context[0]: rule.shares for rule in made.rules}
    rows = []
    for c in draw.choices(contexts, sizes, k=400):
        for arm, propensity, reward in log(draw, 1, rates[c], logged[c]):
            expected = {a: told[0] for a, told in made.expected[c,].items()}
            rows.append(Chosen(propensity, arm, reward, target.get(c), None, expected))

    def truth(shares: Callable[[str], dict[str, float]]) -> float:
        return math.fsum(
            size * math.fsum(share * rates[c][arm] for arm, share in shares(c).items())
            for c, size in zip(contexts, sizes, strict=True)
        ) / sum(sizes)  # fmt: skip

    worth, before = truth(lambda c: target.get(c, logged[c])), truth(lambda c: logged[c])
    return {"value": (value(rows), worth), "effect": (effect(rows), worth - before)}


def _explored(arms: list[str], best: int, explore: float) -> dict[str, float]:
    return {
        arm: 1 - explore if i == best else explore / (len(arms) - 1) for i, arm in enumerate(arms)
    }


def _evidence(
    draw: random.Random, known: World, contexts: list[str], sizes: list[float],
    rates: dict[str, dict[str, float]], logged: dict[str, dict[str, float]], rows: int,
) -> Environment:  # fmt: skip
    from otel_learning.learning.evidence import environments
    from otel_learning.store.evidence_rows import EvidenceRows
    from tests.learning.worlds import add, empty

    told: dict[tuple[str, str], dict[str, float]] = {}
    for c in draw.choices(contexts, sizes, k=rows):
        ((arm, propensity, reward),) = log(draw, 1, rates[c], logged[c])
        add(told.setdefault((c, arm), empty()), bool(reward), propensity)
    sums = [
        {"environment": "e", "task_type": c, "repo": None, "arm": arm, **each}
        for (c, arm), each in sorted(told.items())
    ]
    return environments(EvidenceRows([], sums, [], None))["e"]


def test_the_estimate_is_unbiased_whatever_the_model_says() -> None:
    """A model that is wrong by half widens the interval, and moves the mean by nothing."""
    rates = {"a": 0.3, "b": 0.8}
    wrong, right = {"a": 0.8, "b": 0.3}, rates
    means: dict[str, list[float]] = {"wrong": [], "right": []}
    widths: dict[str, list[float]] = {"wrong": [], "right": []}
    for seed in range(200):
        logged = log(random.Random(seed), 300, rates, {"a": 0.8, "b": 0.2})
        for name, model in (("wrong", wrong), ("right", right)):
            found = value([Chosen(p, a, y, {"b": 1.0}, None, model) for a, p, y in logged])
            assert found.value is not None and found.low is not None and found.high is not None
            means[name].append(found.value)
            widths[name].append(found.high - found.low)

    for name in means:
        assert abs(sum(means[name]) / 200 - 0.8) < 0.02, name
    assert sum(widths["right"]) < 0.8 * sum(widths["wrong"])


def test_without_a_model_it_is_the_ips_of_offpolicy() -> None:
    """Two modules, one estimator: rows here, sums there."""
    logged = log(random.Random(3), 500, {"a": 0.4, "b": 0.7}, {"a": 0.7, "b": 0.3})
    target = {"a": 0.1, "b": 0.9}

    mine = value([Chosen(p, a, y, target, None, {}) for a, p, y in logged])

    sums = {arm: Sums() for arm in ("a", "b")}
    for arm, p, y in logged:
        each = sums[arm]
        each.open_known += 1
        each.w_known += 1 / p
        each.w_squares += 1 / p**2
        each.w_success += y / p
        each.w_squares_success += y / p**2
        each.v_known += 1
        each.v_success += y
        each.v_squares += 1
        each.executions += 1
        each.known += 1
    cell = [sums["a"], sums["b"]]
    environment = Environment("e", ["a", "b"], cell, {(None, None): cell}, {})
    theirs = offpolicy.value(environment, lambda _: target)
    assert theirs is not None
    assert mine.value == pytest.approx(theirs.ips)


def test_what_both_policies_do_alike_makes_no_noise() -> None:
    """The effect of changing nothing is 0, with no interval about it."""
    logged = log(random.Random(1), 50, {"a": 0.4, "b": 0.7}, EVEN)

    alike = effect([Chosen(p, a, y, EVEN, EVEN, {}) for a, p, y in logged])
    left = effect([Chosen(p, a, y, None, None, {}) for a, p, y in logged])

    assert (alike.value, alike.low, alike.high) == (0.0, 0.0, 0.0)
    assert (left.value, left.low, left.high) == (0.0, 0.0, 0.0)


def test_nothing_is_estimated_from_nothing() -> None:
    """No row, no number; one row, no interval."""
    assert effect([]) == NOTHING
    one = value([Chosen(0.5, "a", 1.0, EVEN, None, {})])
    assert one.value is not None and one.low is None


@pytest.mark.parametrize("freedom, probability, known", [
    (5, 0.975, 2.5706), (10, 0.975, 2.2281), (30, 0.975, 2.0423), (10, 0.95, 1.8125),
])  # fmt: skip
def test_quantiles_of_student(freedom: int, probability: float, known: float) -> None:
    """As the tables have them."""
    assert student(probability, freedom) == pytest.approx(known, rel=5e-3)
