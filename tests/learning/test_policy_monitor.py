"""The monitor: as quick as it can be, and hardly ever wrong, however often it looks."""

from __future__ import annotations

import random

from otel_learning.learning.policy_monitor import RUN_LENGTH, Promise, watch


def outcomes(seed: int, *parts: tuple[float, int]) -> list[float]:
    draw = random.Random(seed)
    return [float(draw.random() < rate) for rate, count in parts for _ in range(count)]


def test_a_kept_promise_is_hardly_ever_called_broken() -> None:
    """At the very edge of the promise, looked at after each of 2,000 outcomes, in 200 runs.

    The mean time between false alarms is at least RUN_LENGTH, so at most a fifth of the runs may
    have one.
    """
    promise = Promise("success", 0.8, 0.85)

    alarms = sum(watch(promise, outcomes(seed, (0.8, 2000))).broken for seed in range(200))

    assert alarms <= 200 * 2000 / RUN_LENGTH


def test_drift_after_a_long_good_time_is_seen_soon() -> None:
    """From 0.9 to 0.6 after 1,000 good outcomes: half of the alarms within 100."""
    promise = Promise("success", 0.87, 0.9)
    delays = []
    for seed in range(50):
        alarm = watch(promise, outcomes(seed, (0.9, 1000), (0.6, 1000))).alarmed_after
        assert alarm is not None
        if alarm > 1000:
            delays.append(alarm - 1000)

    assert len(delays) >= 48
    assert sorted(delays)[len(delays) // 2] < 100


def test_costs_that_double_are_seen() -> None:
    """A promise of at most 1 cent, and 2 cents a task."""
    draw = random.Random(2)
    promise = Promise("cost", 0.01, 0.009)

    kept = watch(promise, [0.009 * draw.lognormvariate(-0.05, 0.3) for _ in range(500)])
    broken = watch(promise, [0.02 * draw.lognormvariate(-0.05, 0.3) for _ in range(500)])

    assert not kept.broken
    assert broken.broken


def test_few_outcomes_are_no_drift() -> None:
    """Nine failures in a row give no alarm; nothing at all gives no mean."""
    promise = Promise("success", 0.9, 0.95)

    assert not watch(promise, [0.0] * 9).broken
    assert watch(promise, []).mean is None
    assert watch(promise, [0.0] * 60).broken


def test_an_alarm_stays() -> None:
    """What came good again later does not undo it; a person does."""
    promise = Promise("success", 0.9, 0.95)
    bad = outcomes(3, (0.2, 100))

    assert watch(promise, bad + [1.0] * 1000).alarmed_after == watch(promise, bad).alarmed_after
