"""Rule C5: feedback finds the run it is about, and opens none."""

from __future__ import annotations

import pytest

from otel_learning.assembly.correlation import Group
from otel_learning.observation import Observation
from tests.assembly.building import call, said, seen, span, task, together, trace


def _told(*observations: Observation, window: float = 60.0) -> dict[int, int]:
    """Run -> how much feedback it got."""
    found = together(*observations, window=window)
    return {group.run: len(group.feedback) for group in found.groups}


_TWO_RUNS = (task("first", of="one", at=0, lasting=10), task("again", of="two", at=500, lasting=10))


@pytest.mark.parametrize(
    ("when", "run"), [(20, 1), (400, 1), (511, 2), (9000, 2), (-50, 1), (5, 1), (505, 1)]
)
def test_the_run_last_ended_before_it(when: float, run: int) -> None:
    """C5: feedback is about the run that had ended last, else about the first one."""
    told = _told(*_TWO_RUNS, said("t-1", at=when))

    assert told == {1: int(run == 1), 2: int(run == 2)}


def test_feedback_opens_no_run() -> None:
    """C5: what is said about an unknown task is kept apart until the task is known."""
    found = together(said("nobody"))

    assert found.groups == []
    assert len(found.orphans) == 1


def test_feedback_bridges_no_runs() -> None:
    """C5: feedback in the silence between two runs does not make them one."""
    told = _told(*_TWO_RUNS, said("t-1", at=30), said("t-1", at=300))

    assert told == {1: 2, 2: 0}


def test_feedback_about_a_span() -> None:
    """C5: feedback that names a span is about the execution of that span."""
    found = together(
        task("x", "t-1", of="one"), task("y", "t-2", of="two"), call("a", "m", of="two", under="y"),
        said(f"{trace('two')}:{span('a')}", kind="span_id", at=200),
    )  # fmt: skip

    assert [(g.task_id, len(g.feedback)) for g in found.groups] == [("t-1", 0), ("t-2", 1)]


def test_feedback_about_an_unknown_span_of_a_known_trace() -> None:
    """C5: a span that left no observation still names its trace."""
    found = together(
        seen("run", role="agent", of="two", agent="a"),
        said(f"{trace('two')}:{span('not relevant')}", kind="span_id", at=200),
    )

    assert len(found.groups[0].feedback) == 1


def test_feedback_about_a_trace() -> None:
    """C5: feedback that names a trace is about its execution."""
    found = together(
        seen("run", role="agent", of="two", agent="a"), said(trace("two"), kind="trace_id", at=9)
    )

    assert len(found.groups[0].feedback) == 1


def test_feedback_prefers_its_own_environment() -> None:
    """C5: feedback from production is about production's task of that id."""
    found = together(
        task("live", of="one", environment="production"),
        task("try", of="two", environment="development", at=50),
        said("t-1", at=900, environment="production"),
    )

    told: dict[str, Group] = {group.scope: group for group in found.groups}
    assert len(told["production/"].feedback) == 1
    assert len(told["development/"].feedback) == 0


def test_feedback_from_elsewhere_still_finds_the_task() -> None:
    """C5: a feedback form without a resource of its own names the only task of that id."""
    found = together(task("live", environment="production"), said("t-1", at=900))

    assert len(found.groups[0].feedback) == 1
