"""Records of one task from several hosts come to what one host would have made of all spans."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from otel_learning.assembly.parts import Part, merged, one_run
from otel_learning.observation import Observation
from tests.assembly.building import assembled, call, seen, task

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMES = ("started_at", "ended_at")


def _part(observations: Iterable[Observation]) -> Part:
    """As a store gives it back."""
    found = assembled(*observations)
    rows: list[dict[str, Any]] = [found.execution, *found.attempts]
    for row in rows:
        for name in _TIMES:
            if row.get(name) is not None:
                row[name] = _EPOCH + timedelta(microseconds=row[name] // 1000)
    day = found.execution["started_at"].date() if found.execution["started_at"] else None
    return Part({**found.execution, "day": day}, found.attempts)


ROUTE = [seen("route", role="route", of="r", at=0, lasting=1, task_id="t-1", model_tier="fast",
              propensity=0.25, propensity_of="model_tier", repo="acme/shop")]  # fmt: skip
FAILED = [
    seen("try", role="agent", of="a", at=2, lasting=3, task_id="t-1", agent="coder"),
    call("c1", "cheap", under="try", of="a", at=2, status="error", error_class="TimeoutError",
         input_tokens=0, output_tokens=0),
]  # fmt: skip
WORKED = [
    task(of="w", at=6, lasting=4, success=True, task_type="bug_fix", quality_score=80.0),
    call("c2", "dear", of="w", at=7, input_tokens=10, output_tokens=5),
    call("c3", "dear", of="w", at=8, input_tokens=20, output_tokens=5),
]
SPLITS = {
    "route | work": [ROUTE, WORKED],
    "failed | work": [FAILED, WORKED],
    "route | failed | work": [ROUTE, FAILED, WORKED],
    "route and failed | work": [[*ROUTE, *FAILED], WORKED],
}
UNLIKE = frozenset(("recorded_at", "updated_at", "day", "duration_seconds"))
"""The duration is one span's own: of the part that saw the topmost span."""


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
def test_parts_come_to_the_whole(split: list[list[Observation]]) -> None:
    """Field by field, with attempts, in every order, and with a part given twice."""
    whole = _part(observation for part in split for observation in part)
    parts = [_part(part) for part in split]
    for order in itertools.permutations(parts):
        for given in (order, (*order, order[0])):
            found = merged(given)
            for name in whole.execution.keys() - UNLIKE:
                assert found.execution[name] == whole.execution[name], name
            assert found.attempts == whole.attempts


def test_order_never_matters() -> None:
    """Parts that contradict each other, too."""
    parts = [
        _part([task(of=name, at=at, success=success, repo=repo, model_tier=tier)])
        for name, at, success, repo, tier in (
            ("a", 0, True, "r-1", "fast"), ("b", 1, False, "r-2", "premium"),
            ("c", 1, None, "r-3", "fast"),
        )
    ]  # fmt: skip
    found = [merged(order) for order in itertools.permutations(parts)]

    assert all(one == found[0] for one in found)
    assert found[0].execution["model_tier"] == "fast"


def test_a_copy_counts_once() -> None:
    """A store that was copied holds the same calls; their cost is not doubled."""
    one = _part(WORKED)

    found = merged([one, _part(WORKED)])

    assert found.execution["actual_cost"] == one.execution["actual_cost"]
    assert found.execution["attempt_count"] == 2


def test_the_cost_of_a_part_that_is_not_known() -> None:
    """R4: with one unpriced call the cost of the whole is unknown."""
    other = [
        seen("more", role="agent", of="x", at=9, task_id="t-1"),
        call("c9", "nobody knows", under="more", of="x", at=9, input_tokens=1, output_tokens=1),
    ]

    found = merged([_part(WORKED), _part(other)]).execution

    assert (found["actual_cost"], found["cost_source"]) == (None, None)
    assert found["input_tokens"] == 31


@pytest.mark.parametrize(("gap", "together"), [(60.0, True), (3500.0, True), (3700.0, False)])
def test_which_parts_are_one_run(gap: float, together: bool) -> None:
    """As for spans: no longer silence than the window."""
    early = _part([task(of="a", at=0, lasting=10)]).execution
    late = _part([task(of="b", at=10 + gap, lasting=10)]).execution

    assert one_run(early, late, 3600.0) is together
    assert one_run(late, early, 3600.0) is together
    assert one_run(early, {**late, "started_at": None}, 3600.0)
