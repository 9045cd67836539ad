"""Rule C6: parents and attempt numbers stand over clocks; impossible times are none."""

from __future__ import annotations

from tests.assembly.building import attempts, call, row, seen, task


def test_attempt_numbers_stand_over_clocks() -> None:
    """C6: of numbered attempts side by side the number tells the order, not a skewed clock."""
    found = attempts(
        task(),
        call("b", "m-2", at=1, attempt_number=2),
        call("a", "m-1", at=9, attempt_number=1, status="error"),
    )

    assert [attempt["requested_model"] for attempt in found] == ["m-1", "m-2"]
    assert [attempt["reason"] for attempt in found] == ["initial", "fallback"]


def test_clocks_order_the_rest() -> None:
    """C6: attempts without numbers stand in the order of time, whatever came first."""
    found = attempts(task(), call("late", "m-2", at=5), call("early", "m-1", at=1))

    assert [attempt["requested_model"] for attempt in found] == ["m-1", "m-2"]
    assert [attempt["ordinal"] for attempt in found] == [1, 2]


def test_a_failure_inside_a_success_comes_first() -> None:
    """C6: an attempt that lies inside the call that recovered was made before its answer."""
    found = attempts(
        task(),
        call("outer", "m-2", at=0, lasting=10),
        call("inner", "m-1", under="outer", at=1, lasting=1, status="error"),
    )

    assert [attempt["success"] for attempt in found] == [False, True]


def test_spans_without_times_are_read() -> None:
    """C6: a span whose clock was impossible tells what it tells; the times stay unknown."""
    found = row(task(at=None, repo="r"), call("a", "m", at=None))

    assert found["repo"] == "r"
    assert (found["started_at"], found["ended_at"], found["duration_seconds"]) == (None,) * 3


def test_duration_is_one_spans_own() -> None:
    """A duration is read from one clock; the spread over two hosts says nothing."""
    found = row(
        task(at=100, lasting=7), seen("elsewhere", under="task", at=-500, lasting=1, repo="r")
    )

    assert found["duration_seconds"] == 7
    assert found["ended_at"] - found["started_at"] == 607 * 10**9


def test_an_open_execution_has_no_duration() -> None:
    """While the topmost span is missing, how long the task took is not known."""
    assert row(call("a", "m", under="never came"))["duration_seconds"] is None


def test_a_stated_duration_stands() -> None:
    """A task that says how long it took is believed over its span."""
    assert row(task(lasting=1, duration_seconds=80.0))["duration_seconds"] == 80
