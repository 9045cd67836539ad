"""Gates: each says yes and no for its own reason alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from otel_learning.learning.policy import Change, Made
from otel_learning.learning.policy_gates import Judged, gates
from otel_learning.learning.policy_value import Estimated

NOW = datetime(2026, 9, 1, tzinfo=UTC)
GOOD = Estimated(0.05, 0.02, 0.08, 500, 200.0)
MADE = Made(
    (), (Change(("bug_fix",), {"a": 1.0}, {"a": 0.4, "b": 0.6}),), (), "randomised", "a", ()
)
JUDGED = Judged(GOOD, GOOD, GOOD)


def failed(
    made: Made = MADE, judged: Judged = JUDGED, last: datetime | None = None, outcomes: int = 0,
    step: float = 0.6,
) -> set[str]:  # fmt: skip
    found = gates(made, judged, last_change=last, outcomes_since=outcomes, now=NOW, step_share=step)
    assert all(gate.why for gate in found)
    return {gate.gate for gate in found if not gate.passed}


def test_what_is_good_in_every_way_passes() -> None:
    assert failed() == set()


@pytest.mark.parametrize(
    ("made", "judged", "expected"),
    [
        (replace(MADE, changes=()), JUDGED, {"changes"}),
        (replace(MADE, basis="observational"), JUDGED, {"randomised"}),
        (replace(MADE, reasons=("outcomes-missing-unevenly",)), JUDGED, {"outcomes"}),
        (MADE, replace(JUDGED, effect=replace(GOOD, support=99)), {"support"}),
        (MADE, replace(JUDGED, effect=replace(GOOD, effective_support=29.0)), {"overlap"}),
        (MADE, replace(JUDGED, effect=replace(GOOD, low=-0.001)), {"gain"}),
        (MADE, replace(JUDGED, rolling=replace(GOOD, value=-0.001)), {"rolling_holdout"}),
        (MADE, replace(JUDGED, frozen=replace(GOOD, value=None)), {"frozen_holdout"}),
    ],
)
def test_each_gate_for_its_own_reason(made: Made, judged: Judged, expected: set[str]) -> None:
    assert failed(made, judged) == expected


def test_a_step_that_is_too_long() -> None:
    assert failed(step=0.5) == {"step"}


def test_cooling_down_takes_time_and_outcomes() -> None:
    """Both: a day, and fifty outcomes of what is in force."""
    assert failed(last=NOW - timedelta(hours=23), outcomes=500) == {"cool_down"}
    assert failed(last=NOW - timedelta(hours=25), outcomes=49) == {"cool_down"}
    assert failed(last=NOW - timedelta(hours=25), outcomes=50) == set()
