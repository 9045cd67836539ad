"""Who says whether a task succeeded, and what it is called when nobody does (rule R4)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.assembly.building import call, clock, row, seen, task


def _outcome(*observations: Any) -> tuple[bool | None, str | None]:
    found = row(*observations)
    return found["success"], found["success_source"]


@pytest.mark.parametrize("told", [True, False])
def test_a_statement_stands_over_everything(told: bool) -> None:
    """What the task says of itself stands over statuses and calls."""
    found = _outcome(
        task(status="error" if told else "ok", success=told),
        call("a", "m", status="error" if told else None),
    )

    assert found == (told, "stated")


def test_the_outermost_statement_is_the_tasks() -> None:
    """A step that succeeded inside a failed task does not make it a success."""
    found = _outcome(task(success=False), seen("step", under="task", success=True))

    assert found == (False, "stated")


def test_of_several_runs_the_last_statement_stands() -> None:
    """A task that failed at first and was carried out again succeeded in the end."""
    found = _outcome(
        task("first", of="one", at=0, success=False), task("again", of="two", at=200, success=True)
    )

    assert found == (True, "stated")


def test_a_tools_success_is_no_tasks() -> None:
    """A tool that says it worked says nothing about the task."""
    assert _outcome(task(), seen("tool", role="tool", under="task", success=True)) == (None, None)


def test_the_last_attempt_failed() -> None:
    """Where nobody said, a last working call that failed is a failure."""
    found = row(
        task(status="ok"),
        call("a", "m", at=1),
        call("b", "m", at=2, status="error", error_class="RateLimitError", error_message="slow"),
    )

    assert (found["success"], found["success_source"]) == (False, "last_attempt")
    assert (found["error_type"], found["error_class"]) == ("rate_limit", "RateLimitError")
    assert found["error_message"] == "slow"


def test_the_last_attempt_succeeded() -> None:
    """Where nobody said and no status does, a last working call that answered is a success."""
    found = _outcome(task(), call("a", "m", at=1, status="error"), call("b", "n", at=2))

    assert found == (True, "last_attempt")


def test_an_unhandled_error() -> None:
    """A topmost span in error, after a good call, is a failure that nothing recovered from."""
    found = row(
        task(status="error", error_class="ValueError", error_message="no plan"), call("a", "m")
    )

    assert (found["success"], found["success_source"]) == (False, "unhandled_error")
    assert (found["error_type"], found["error_class"]) == ("validation", "ValueError")


def test_an_error_before_a_good_call_is_recovered_from() -> None:
    """ERROR on the root is no failure where a call succeeded after the error."""
    found = _outcome(
        task(status="error", error_class="TimeoutError", error_at_ns=clock(2)),
        call("a", "m", at=1, status="error"),
        call("b", "m", at=3),
    )

    assert found == (True, "last_attempt")


def test_an_error_after_the_last_call_is_not() -> None:
    """An error that came after the last answer was not recovered from."""
    found = _outcome(
        task(status="error", error_class="TimeoutError", error_at_ns=clock(50)),
        call("a", "m", at=3),
    )

    assert found == (False, "unhandled_error")


def test_a_root_that_is_ok() -> None:
    """A status of OK was set by somebody: it counts where nothing else says more."""
    assert _outcome(task(status="ok", repo="r")) == (True, "root_status")


def test_unset_is_not_success() -> None:
    """A status that nobody set says nothing."""
    assert _outcome(task(repo="r")) == (None, None)


def test_an_open_execution_is_unknown() -> None:
    """While the topmost span is missing, the last attempt seen may not be the last."""
    assert _outcome(call("a", "m", under="never came", status="error")) == (None, None)


def test_an_open_execution_may_be_stated() -> None:
    """A statement counts at once."""
    assert _outcome(seen("step", under="never came", task_id="t", success=False)) == (
        False, "stated",
    )  # fmt: skip


def test_a_stated_error_without_a_status() -> None:
    """A topmost span that names an error, without a call, tells of a failure."""
    assert _outcome(task(error_class="TimeoutError")) == (False, "stated_error")


def test_a_success_keeps_no_error() -> None:
    """What a task recovered from is in its attempts, not in its error columns."""
    found = row(
        task(success=True), call("a", "m", status="error", error_class="X", error_message="y")
    )

    assert [found[c] for c in ("error_type", "error_class", "error_message")] == [None] * 3


def test_a_failure_has_a_family() -> None:
    """A failure of which nothing is known is of the family unknown, never of none."""
    assert row(task(success=False))["error_type"] == "unknown"


def test_a_fallback_is_told_by_its_attempts() -> None:
    """Another model after a failure is a fallback, whatever came of it."""
    found = row(task(), call("a", "m", at=1, status="error"), call("b", "n", at=2, status="error"))

    assert found["fallback_used"] is True


def test_a_retry_is_no_fallback() -> None:
    """The same model again is not a fallback."""
    found = row(task(), call("a", "m", at=1, status="error"), call("b", "m", at=2))

    assert found["fallback_used"] is False


def test_a_stated_fallback_counts() -> None:
    """A router's event that it fell back counts without its attempts."""
    assert row(task(fallback_from="m", fallback_to="n"))["fallback_used"] is True
    assert row(task(fallback_used=False))["fallback_used"] is False


def test_a_hidden_failure_leaves_it_open() -> None:
    """An error on a caller's span that no visible attempt accounts for may hide a fallback."""
    found = row(
        task(requested_model="m", response_id="r", output_tokens=1, error_at_ns=clock(1)),
    )

    assert found["fallback_used"] is None
