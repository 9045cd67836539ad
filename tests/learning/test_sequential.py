"""Tests and intervals that may be looked at after every outcome, against simulated truth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from otel_learning.learning import fixed
from otel_learning.learning.power import (
    deviation_of_rates,
    fixed_support,
    forecast,
    sequential_support,
)
from otel_learning.learning.sequential import (
    SCALE_PAIRS,
    TUNED_PAIRS,
    level_interval,
    log_evidence,
    log_share_evidence,
    mean_interval,
    rate_interval,
)

ALPHA = 0.05
WALL = math.log(1 / ALPHA)
RUNS = 2000
PAIRS = 500


def coins(rng: np.random.Generator, rate: float, n: int = PAIRS, runs: int = RUNS) -> Any:
    return (rng.random((runs, n)) < rate).astype(np.float64)


def peeking_z(first: Any, second: Any) -> float:
    """How often a z-test that is looked at after every pair says "different" at some time."""
    n = np.arange(1, first.shape[-1] + 1)
    a, b = np.cumsum(first, axis=-1) / n, np.cumsum(second, axis=-1) / n
    pooled = (a + b) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.abs(a - b) / np.sqrt(2 * pooled * (1 - pooled) / n)
    alarms = (z > 1.96) & (n >= 10)
    return float(alarms.any(axis=-1).mean())


def alarms(differences: Any) -> float:
    return float((log_evidence(differences) >= WALL).any(axis=-1).mean())


@pytest.mark.parametrize("rate", [0.5, 0.7, 0.95])
def test_looking_after_every_outcome_is_safe(rate: float) -> None:
    """2,000 A/A runs: at most alpha false alarms, where a z-test raises several times as many."""
    rng = np.random.default_rng(1)
    first, second = coins(rng, rate), coins(rng, rate)

    assert alarms(second - first) <= ALPHA
    assert peeking_z(first, second) > 0.2


@pytest.mark.parametrize("spread", [0.5, 1.3, 2.0])
def test_costs_with_long_tails_raise_no_more_alarms(spread: float) -> None:
    """The same for numbers whose largest values are a hundred times the usual ones."""
    rng = np.random.default_rng(2)
    first, second = (rng.lognormal(0, spread, (RUNS, PAIRS)) for _ in range(2))

    assert alarms(second - first) <= ALPHA


def test_the_bound_is_exact_for_fair_coins() -> None:
    """Without chance: the probability of an alarm within 2,000 differing pairs, by recursion."""
    pairs = 2000
    rho = TUNED_PAIRS / (2 * WALL + math.log(1 + 2 * WALL))
    sums = np.arange(-pairs, pairs + 1)
    law = np.zeros(2 * pairs + 1)
    law[pairs] = 1.0
    alarm = 0.0
    for n in range(1, pairs + 1):
        stepped = np.zeros_like(law)
        stepped[1:] += law[:-1] / 2
        stepped[:-1] += law[1:] / 2
        law = stepped
        if n >= SCALE_PAIRS:
            beyond = 0.5 * math.log(rho / (rho + n)) + sums**2 / (2 * (rho + n)) >= WALL
            alarm += float(law[beyond].sum())
            law[beyond] = 0.0

    assert 0.01 < alarm <= ALPHA


def test_the_recursion_above_is_about_this_code() -> None:
    """The formula that was added up is what `log_evidence` gives for pairs of +1 and -1."""
    rng = np.random.default_rng(3)
    steps = rng.choice([-1.0, 1.0], 300)
    n = np.arange(1, 301)
    rho = TUNED_PAIRS / (2 * WALL + math.log(1 + 2 * WALL))
    wanted = 0.5 * np.log(rho / (rho + n)) + np.cumsum(steps) ** 2 / (2 * (rho + n))
    wanted[: SCALE_PAIRS - 1] = 0

    assert np.allclose(log_evidence(steps), wanted)


def test_the_unit_of_a_metric_does_not_matter() -> None:
    """Costs in cents are as significant as in dollars, and equal outcomes add nothing."""
    rng = np.random.default_rng(4)
    differences = rng.normal(0.2, 1, 400)
    with_ties = np.insert(differences, 200, np.zeros(50))

    assert np.allclose(log_evidence(differences), log_evidence(100 * differences))
    assert log_evidence(with_ties)[-1] == pytest.approx(log_evidence(differences)[-1])


@pytest.mark.parametrize(("low", "high"), [(0.7, 0.8), (0.5, 0.6), (0.6, 0.8)])
def test_the_price_is_what_the_plan_says(low: float, high: float) -> None:
    """By the planned support the sequential test has found the effect with the power asked for."""
    spread, null = deviation_of_rates(low, high)
    planned = sequential_support(high - low, spread)
    once = fixed_support(high - low, spread, deviation_null=null)
    rng = np.random.default_rng(5)
    differences = coins(rng, high, planned) - coins(rng, low, planned)
    found = log_evidence(differences) >= WALL

    assert 0.8 <= found.any(axis=-1).mean() <= 0.9
    assert 1.5 < planned / once < 2.5
    # Half of such experiments end earlier than that, and few end on the wrong side.
    typical = sequential_support(high - low, spread, power=0.5)
    assert 0.45 <= found[:, :typical].any(axis=-1).mean() <= 0.65
    first = found.argmax(axis=-1)
    ahead = np.take_along_axis(np.cumsum(differences, axis=-1), first[:, None], -1)[:, 0]
    assert (found.any(axis=-1) & (ahead < 0)).mean() < 0.005


@pytest.mark.parametrize("low", [0.3, 0.7])
def test_one_look_has_the_power_of_the_theory_for_rates(low: float) -> None:
    """Fixed horizon: the share found is within 5 points of the 80 % that was planned for."""
    spread, null = deviation_of_rates(low, low + 0.15)
    n = fixed_support(0.15, spread, deviation_null=null)
    rng = np.random.default_rng(6)
    first, second = coins(rng, low, n), coins(rng, low + 0.15, n)
    found = [
        fixed.look(a, b, ALPHA, boolean=True).p_value < ALPHA
        for a, b in zip(first, second, strict=True)
    ]
    same = coins(rng, low, n)
    wrong = [
        fixed.look(a, b, ALPHA, boolean=True).p_value < ALPHA
        for a, b in zip(first, same, strict=True)
    ]

    assert abs(np.mean(found) - 0.8) < 0.05
    assert abs(np.mean(wrong) - ALPHA) < 0.02


def test_one_look_has_the_power_of_the_theory_for_numbers() -> None:
    """The same for a number: half a deviation's difference, Welch's t."""
    n = fixed_support(0.5, math.sqrt(2))
    rng = np.random.default_rng(7)
    looks = [
        fixed.look(rng.normal(0.5, 1, n), rng.normal(0, 1, n), ALPHA, boolean=False)
        for _ in range(RUNS)
    ]

    assert abs(np.mean([look.p_value < ALPHA for look in looks]) - 0.8) < 0.05
    assert abs(np.mean([look.low <= 0.5 <= look.high for look in looks]) - 0.95) < 0.02


@pytest.mark.parametrize("rate", [0.02, 0.5, 0.9])
def test_the_interval_of_a_rate_holds_at_every_look(rate: float) -> None:
    """The true rate is in the interval at all of 50 looks, in at least 95 % of runs."""
    rng = np.random.default_rng(8)
    won = np.cumsum(coins(rng, rate, 400, 300), axis=-1)
    missed = 0
    for run in won:
        for n in range(8, 401, 8):
            low, high = rate_interval(int(run[n - 1]), n) or (0.0, 1.0)
            if not low <= rate <= high:
                missed += 1
                break

    assert missed / 300 <= ALPHA


def test_the_interval_of_a_difference_holds_at_every_look() -> None:
    """The same for the difference of two rates, and for the mean of a number, to a point or two."""
    rng = np.random.default_rng(9)
    differences = coins(rng, 0.8, 400, 300) - coins(rng, 0.65, 400, 300)
    costs = rng.lognormal(0, 0.8, (300, 400))
    missed = {"difference": 0, "mean": 0}
    truth = {"difference": 0.15, "mean": math.exp(0.32)}
    for name, worlds, interval in (
        ("difference", differences, mean_interval), ("mean", costs, level_interval),
    ):  # fmt: skip
        for world in worlds:
            for n in range(20, 401, 20):
                found = interval(world[:n])
                if found is not None and not found[0] <= truth[name] <= found[1]:
                    missed[name] += 1
                    break

    assert missed["difference"] / 300 <= ALPHA
    assert missed["mean"] / 300 <= ALPHA + 0.03


def test_interval_and_evidence_agree() -> None:
    """The interval of a difference excludes 0 just where the evidence is significant."""
    rng = np.random.default_rng(10)
    seen = set()
    for _ in range(300):
        differences = rng.normal(0.2, 1, rng.integers(30, 400))
        found = mean_interval(differences)
        significant = bool(log_evidence(differences)[-1] >= WALL)
        excludes = found is not None and not found[0] <= 0 <= found[1]
        assert significant == excludes
        seen.add(significant)

    assert seen == {True, False}


def test_little_is_said_of_little() -> None:
    """Without values, or with a few, there is no interval; of one outcome a wide one."""
    assert rate_interval(0, 0) is None
    assert mean_interval(np.array([])) is None
    assert mean_interval(np.ones(SCALE_PAIRS - 1)) is None
    assert level_interval(np.ones(200)) is None
    low, high = rate_interval(1, 1) or (0.0, 0.0)
    assert 0 < low < 0.1 and high == 1


def test_a_level_far_from_zero_is_found_as_well() -> None:
    """What a metric's zero is does not widen the interval of its mean."""
    values = np.random.default_rng(11).normal(0, 1, 300)
    near, far = level_interval(values), level_interval(values + 1e6)

    assert near is not None and far is not None
    assert far[1] - far[0] == pytest.approx(near[1] - near[0], rel=1e-3)


def test_shares_of_variants_are_watched() -> None:
    """At every look of 2,000 sound runs at most one in a thousand is called wrong, or a few."""
    rng = np.random.default_rng(12)
    line = math.log(1000)
    wrong = 0
    for _ in range(500):
        first = np.cumsum(rng.random(2000) < 0.25)
        wrong += any(
            log_share_evidence([int(first[n - 1]), n - int(first[n - 1])], [1, 3]) >= line
            for n in range(50, 2001, 50)
        )

    assert wrong <= 2
    assert log_share_evidence([500, 500], [1, 1]) < 0
    assert log_share_evidence([600, 400], [1, 1]) > line
    assert log_share_evidence([250, 750], [1, 3]) < 0


def test_a_plan_says_why_it_has_none() -> None:
    """No record, no variance, no room: a reason in the place of a number."""

    def plan(**more: Any) -> Any:
        values: dict[str, Any] = {
            "boolean": True, "better_is_more": True, "mean": 0.7, "deviation": 0.46,
            "outcomes_per_day": 50.0, "effect": None, "variants": 2, "alpha": ALPHA, "power": 0.8,
            "smallest_share": 0.5, "sequential": True,
        }  # fmt: skip
        return forecast(**{**values, **more})

    assert plan(mean=None, deviation=None).reason == "no_history"
    assert plan(boolean=False, deviation=0.0).reason == "no_variance"
    assert plan(effect=2.0).reason == "effect_too_large"
    assert plan(effect=1e-6).reason == "effect_too_small"
    whole = plan()
    assert whole.reason is None and whole.effect == 0.1
    assert whole.fixed_support == 294
    assert whole.days == pytest.approx(whole.sequential_support / 0.5 / 50)
    assert plan(variants=5).sequential_support > whole.sequential_support
    assert plan(mean=0.97).fixed_support is not None  # no room above: the way down is planned
