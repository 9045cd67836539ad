"""Each model call once, in order, with why it was made."""

from __future__ import annotations

import pytest

from otel_learning.assembly.assemble import Assembled
from tests.assembly.building import assembled, attempts, call, row, seen, task


def test_one_response_is_one_call() -> None:
    """A call that two instrumentations saw, by its response id, counts once."""
    found = row(
        task(),
        call("chat", "m", response_id="r-1", producer="x", input_tokens=10, output_tokens=5),
        call("http", "m", under="chat", response_id="r-1", producer="y",
             input_tokens=10, output_tokens=5),
    )  # fmt: skip

    assert found["attempt_count"] == 1
    assert (found["input_tokens"], found["output_tokens"]) == (10, 5)


def test_one_response_seen_side_by_side_is_one_call() -> None:
    """The same holds where the two spans are siblings, and each adds what the other lacks."""
    found = attempts(
        task(),
        call("a", "m", response_id="r-1", producer="x", at=1, input_tokens=10),
        call("b", "m", response_id="r-1", producer="y", at=1.1, provider="openai", cost=0.5),
    )

    assert len(found) == 1
    assert (found[0]["input_tokens"], found[0]["provider"], found[0]["cost"]) == (10, "openai", 0.5)


def test_twins_of_two_instrumentations() -> None:
    """Siblings of one model, one within the other's time, of two producers: one call."""
    found = row(
        task(),
        seen("outer", role="call", under="task", at=1, lasting=4, producer="x",
             requested_model="m", response_id="r", output_tokens=5),
        seen("inner", role="call", under="task", at=2, lasting=1, producer="y",
             requested_model="m", output_tokens=5),
    )  # fmt: skip

    assert (found["attempt_count"], found["output_tokens"]) == (1, 5)


def test_parallel_calls_are_not_twins() -> None:
    """Two calls of one producer at one time are two calls, even of one model."""
    found = row(
        task(),
        call("a", "m", at=1, lasting=4, producer="x", output_tokens=5),
        call("b", "m", at=2, lasting=1, producer="x", output_tokens=5),
    )

    assert (found["attempt_count"], found["output_tokens"]) == (2, 10)


def test_a_success_around_a_success_is_one_call() -> None:
    """A wrapper that stands around one good call is that call, seen further out."""
    found = attempts(
        task(),
        seen("wrapper", role="call", under="task", at=0, lasting=5, requested_model="m"),
        call("inner", "m", under="wrapper", at=1, output_tokens=7),
    )

    assert len(found) == 1
    assert found[0]["output_tokens"] == 7


def test_a_success_around_several_is_no_call() -> None:
    """A span around several good calls is their caller, not a call."""
    found = attempts(
        task(),
        seen("loop", role="call", under="task", lasting=9, requested_model="m", output_tokens=9),
        call("a", "m", under="loop", at=1, output_tokens=4),
        call("b", "m", under="loop", at=3, output_tokens=5),
    )

    assert [attempt["output_tokens"] for attempt in found] == [4, 5]


def test_a_failure_around_failures_is_a_wrapper() -> None:
    """A call that failed because all inside it failed adds its message, not an attempt."""
    found = attempts(
        task(),
        seen("wrapper", role="call", under="task", status="error", lasting=9,
             requested_model="m", error_message="all models failed"),
        call("a", "m", under="wrapper", at=1, status="error", error_class="TimeoutError"),
        call("b", "n", under="wrapper", at=3, status="error", error_class="RateLimitError"),
    )  # fmt: skip

    assert [a["error_type"] for a in found] == ["timeout", "rate_limit"]


def test_failures_inside_a_success_are_attempts() -> None:
    """What failed inside a call that recovered were the attempts before the answer."""
    found = attempts(
        task(),
        call("outer", "n", lasting=9, output_tokens=3),
        call("a", "m", under="outer", at=1, status="error"),
    )

    assert [(a["requested_model"], a["success"]) for a in found] == [("m", False), ("n", True)]


def test_the_end_of_a_stream_is_its_call() -> None:
    """A moment's span with the usage, after a call without any, is the same call."""
    found = attempts(
        task(),
        seen("start", role="call", under="task", at=1, lasting=3, producer="x",
             requested_model="m"),
        seen("end", role="call", under="task", at=2, lasting=0, producer="x", requested_model="m",
             output_tokens=12, input_tokens=2),
    )  # fmt: skip

    assert [a["output_tokens"] for a in found] == [12]


def test_a_call_written_over_its_caller() -> None:
    """A producer that writes a call on the caller's own span made one call, at least."""
    found = row(task(requested_model="m", response_id="r", output_tokens=4, input_tokens=2))

    assert (found["attempt_count"], found["output_tokens"], found["model"]) == (1, 4, "m")


def test_a_call_written_over_its_caller_and_seen_itself() -> None:
    """Where the call has a span too, the caller's copy of it is not another call."""
    found = row(
        task(requested_model="m", response_id="r", output_tokens=4, cost=0.2),
        call("a", "m", response_id="r", output_tokens=4),
    )

    assert (found["attempt_count"], found["output_tokens"]) == (1, 4)
    assert found["actual_cost"] == 0.2


def test_a_model_on_a_task_is_a_choice() -> None:
    """A model's name alone, without an answer, is what was chosen and no call."""
    found = row(task(requested_model="m"))

    assert found["attempt_count"] == 0


def test_router_calls_are_apart() -> None:
    """A call below a routing decision chose; it is counted, and never the task's model."""
    found = _with_router()

    assert [a["role"] for a in found.attempts] == ["router", "work"]
    execution = found.execution
    assert (execution["model"], execution["requested_model"]) == ("dear", "dear")
    assert execution["attempt_count"] == 2
    assert execution["failed_attempt_count"] == 0
    assert execution["router_cost"] == pytest.approx(15e-6)


def _with_router() -> Assembled:
    return assembled(
        task(),
        seen("route", role="route", under="task", at=1, model_tier="premium"),
        call("ask", "cheap", under="route", at=1, input_tokens=10, output_tokens=5),
        call("work", "dear", at=5, input_tokens=10, output_tokens=5),
    )


def test_a_failed_router_call_fails_no_attempt() -> None:
    """What failed while choosing did not fail at the task, and no fallback came of it."""
    found = row(
        task(),
        seen("route", role="route", under="task", at=1, model_tier="premium"),
        call("ask", "cheap", under="route", at=1, status="error"),
        call("work", "dear", at=5),
    )

    assert found["failed_attempt_count"] == 0
    assert found["fallback_used"] is False


def test_an_agent_below_a_router_works() -> None:
    """Calls of an agent that a routing span started are work: the nearer ancestor counts."""
    found = attempts(
        task(),
        seen("route", role="route", under="task", at=1, model_tier="fast"),
        seen("worker", role="agent", under="route", at=2, agent="coder"),
        call("a", "m", under="worker", at=3),
    )

    assert [a["role"] for a in found] == ["work"]


def test_a_stated_purpose_decides() -> None:
    """A call that says what it was for is believed."""
    found = attempts(
        task(), call("a", "m", at=1, purpose="routing"), call("b", "m", at=2, purpose="work")
    )

    assert [a["role"] for a in found] == ["router", "work"]


def test_reasons() -> None:
    """First, the same model again, another model: initial, retry, fallback."""
    found = attempts(
        task(),
        call("a", "m-1", at=1, status="error"),
        call("b", "m-1", at=2, status="error"),
        call("c", "m-2", at=3),
        call("d", "m-2", at=4),
    )

    assert [a["reason"] for a in found] == ["initial", "retry", "fallback", "initial"]


def test_a_dated_name_is_the_same_model() -> None:
    """A provider's prefix and a date in a model's name do not make a retry a fallback."""
    found = attempts(
        task(),
        call("a", "openai/gpt-4o", at=1, status="error"),
        call("b", "gpt-4o-2024-08-06", at=2),
    )

    assert found[1]["reason"] == "retry"


def test_a_stated_reason_stands() -> None:
    """A router that says why it called is believed over the order of attempts."""
    found = attempts(task(), call("a", "m", at=1), call("b", "m", at=2, attempt_reason="fallback"))

    assert found[1]["reason"] == "fallback"


def test_a_filtered_answer_is_a_failure() -> None:
    """An answer that a content filter stopped is no success, although the call returned."""
    found = attempts(task(), call("a", "m", finish="content_filter"))

    assert (found[0]["success"], found[0]["error_type"]) == (False, "content_filter")


def test_a_call_that_says_nothing_is_unknown() -> None:
    """A call without an answer, an error or a status has no known outcome."""
    found = attempts(task(), seen("a", role="call", under="task", requested_model="m"))

    assert found[0]["success"] is None


def test_attempts_need_a_calls_execution() -> None:
    """An execution in which no call is seen has no attempts, and a count of zero."""
    found = row(task(repo="r"))

    assert (found["attempt_count"], found["failed_attempt_count"]) == (0, 0)
    assert (found["input_tokens"], found["fallback_used"]) == (None, None)
