"""What a policy would have achieved, in worlds where it is known."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from otel_learning.learning.evidence import Environment, Place, environments
from otel_learning.learning.offpolicy import Value, arm_values, value
from otel_learning.store.evidence_rows import EvidenceRows
from tests.learning.worlds import World, add, empty

WORLDS = 200


def uneven(world: World, seed: int, rows: int) -> Environment:
    """A log of a router that prefers one arm, another one in each context, and logs by how much."""
    draw = random.Random(seed)
    told: dict[tuple[str, str, int], dict[str, Any]] = {}
    contexts = list(world.rates)
    for _ in range(rows):
        at = draw.randrange(len(contexts))
        context = contexts[at]
        chances = [0.7 if arm == at % len(world.arms) else 0.15 for arm in range(len(world.arms))]
        arm = draw.choices(range(len(world.arms)), chances)[0]
        success = draw.random() < world.rates[context][arm]
        add(told.setdefault((*context, arm), empty()), success, chances[arm])
    sums = [
        {"environment": "e", "task_type": t, "repo": r, "arm": world.arms[a], **of}
        for (t, r, a), of in sorted(told.items())
    ]
    return environments(EvidenceRows([], sums, [], None))["e"]


def policy(place: Place) -> Mapping[str, float]:
    """Mostly the first arm in some repositories, the last one in others."""
    return {"arm-0": 0.8, "arm-1": 0.2} if place[1] in ("repo-0", "repo-1") else {"arm-2": 1.0}


def test_intervals_hold_the_true_value() -> None:
    """Of 95 % intervals in 200 worlds, 92 % and more do; by each of the three estimates."""
    inside = {"ips": 0, "snips": 0, "dr": 0}
    errors = dict.fromkeys(inside, 0.0)
    for seed in range(WORLDS):
        world = World.drawn(seed, types=2, repos=4)
        evidence = uneven(world, seed, 800)
        index = {arm: i for i, arm in enumerate(world.arms)}
        # The mean over the tasks of the world, of which the log is a sample.
        truth = sum(
            share * rates[index[arm]]
            for place, rates in world.rates.items()
            for arm, share in policy(place).items()
        ) / len(world.rates)
        found = value(evidence, policy)
        assert isinstance(found, Value)
        assert found.support == 800
        for name in inside:
            estimate, error = getattr(found, name), getattr(found, f"{name}_error")
            inside[name] += abs(estimate - truth) <= 1.96 * error
            errors[name] += (estimate - truth) ** 2

    assert all(count >= 0.92 * WORLDS for count in inside.values()), inside
    assert errors["dr"] < errors["snips"] < errors["ips"]


def test_a_policy_that_the_log_does_not_hold_is_doubtful() -> None:
    """An arm that was open in some contexts only: its weights do not sum to all executions."""
    world = World.drawn(1, types=1, repos=4, arms=2)
    told: dict[tuple[str, str, int], dict[str, Any]] = {}
    draw = random.Random(1)
    for _ in range(400):
        context = draw.choice(list(world.rates))
        open_here = context[1] == "repo-0"
        arm = draw.randrange(2) if open_here else 0
        chance = 0.5 if open_here else 0.999
        add(told.setdefault((*context, arm), empty()), draw.random() < 0.5, chance)
    sums = [
        {"environment": "e", "task_type": t, "repo": r, "arm": f"arm-{a}", **of}
        for (t, r, a), of in sorted(told.items())
    ]
    found = arm_values(environments(EvidenceRows([], sums, [], None))["e"])

    assert not found["arm-0"].overlap_doubtful
    assert found["arm-1"].overlap_doubtful


def test_without_propensities_there_is_no_value() -> None:
    """None is estimated."""
    sums = [{"environment": "e", "task_type": "t", "repo": "r", "arm": "a",
             **empty(), "executions": 9, "known": 9, "v_known": 9, "v_squares": 9}]  # fmt: skip

    assert arm_values(environments(EvidenceRows([], sums, [], None))["e"]) == {}
