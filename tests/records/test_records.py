"""Records: their bounds, their round trips, and the two questions that they answer."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from otel_learning import (
    Attempt,
    ErrorType,
    ExecutionRecord,
    FeedbackRecord,
    QualityPolicy,
    SolutionRecord,
)

_WHEN = datetime(2026, 11, 22, 18, 0, 0, 123456, tzinfo=UTC)


def _full() -> ExecutionRecord:
    return ExecutionRecord(
        task_id="t", run=2, trace_ids=("a" * 32,), started_at=_WHEN, task_type="bug_fix",
        task_description="fix the door", repo="acme/shop", model_tier="fast", success=False,
        error_type=ErrorType.TIMEOUT, cost_estimate=0.1, actual_cost=0.2, cost_source="priced",
        solution_summary="oiled it", quality_score=40, metadata={"team": "blue", "n": [1, 2]},
    )  # fmt: skip


def test_the_text_of_a_task() -> None:
    """What stands for a task is its type, description and repository."""
    assert _full().calculate_embedding_content() == (
        "Task: bug_fix | Description: fix the door | Repository: acme/shop"
    )


def test_the_text_leaves_out_what_is_unknown() -> None:
    """What is not known leaves no empty label behind."""
    assert ExecutionRecord(repo="r").calculate_embedding_content() == "Repository: r"
    assert ExecutionRecord().calculate_embedding_content() == ""


def test_the_text_knows_no_outcome() -> None:
    """Two executions that differ only in what came of them have one text: no answer leaks."""
    before = ExecutionRecord(task_type="bug_fix", task_description="fix the door", repo="acme/shop")

    assert before.calculate_embedding_content() == _full().calculate_embedding_content()


def test_the_error_of_an_estimate() -> None:
    """Signed, absolute, and as a logarithm of the ratio."""
    found = _full().calculate_prediction_error()

    assert found.cost_error == pytest.approx(0.1)
    assert found.cost_error_abs == pytest.approx(0.1)
    assert found.cost_error_log == pytest.approx(math.log(2))


def test_an_estimate_that_was_too_high() -> None:
    """A task that cost less than was thought has a negative error."""
    found = ExecutionRecord(cost_estimate=0.4, actual_cost=0.1).calculate_prediction_error()

    assert found.cost_error == pytest.approx(-0.3)
    assert found.cost_error_abs == pytest.approx(0.3)
    assert found.cost_error_log == pytest.approx(math.log(0.25))


@pytest.mark.parametrize(("estimate", "actual"), [(None, 1.0), (1.0, None), (None, None)])
def test_no_error_without_both(estimate: float | None, actual: float | None) -> None:
    """R4: where one of the two is unknown, so is the error."""
    found = ExecutionRecord(cost_estimate=estimate, actual_cost=actual).calculate_prediction_error()

    assert (found.cost_error, found.cost_error_abs, found.cost_error_log) == (None, None, None)


@pytest.mark.parametrize(("estimate", "actual"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_no_ratio_with_zero(estimate: float, actual: float) -> None:
    """A free task has a difference and no ratio."""
    found = ExecutionRecord(cost_estimate=estimate, actual_cost=actual).calculate_prediction_error()

    assert found.cost_error == actual - estimate
    assert found.cost_error_log is None


@pytest.mark.parametrize(
    "record",
    [
        _full(),
        ExecutionRecord(),
        Attempt(execution_id=uuid4(), ordinal=1, started_at=_WHEN, error_type=ErrorType.NETWORK),
        FeedbackRecord(target_id="t", given_at=_WHEN, rating=4, comment="so-so"),
        SolutionRecord(task_context="c", solution_summary="s", success_rate=0.5),
        QualityPolicy(repo="r", project_maturity="new", coverage_threshold=80),
    ],
    ids=lambda record: type(record).__name__,
)
def test_there_and_back(record: Any) -> None:
    """A record written as JSON and read again is the same record."""
    written = json.dumps(record.to_dict())

    assert type(record).from_dict(json.loads(written)) == record


@given(
    st.builds(
        ExecutionRecord,
        task_id=st.none() | st.text(),
        trace_ids=st.lists(st.text(), max_size=3).map(tuple),
        started_at=st.none() | st.datetimes(timezones=st.just(UTC)),
        duration_seconds=st.none() | st.floats(0, 1e12),
        success=st.none() | st.booleans(),
        error_type=st.none() | st.sampled_from(ErrorType),
        actual_cost=st.none() | st.floats(0, 1e9),
        metadata=st.dictionaries(st.text(), st.integers() | st.text() | st.none(), max_size=3),
    )
)
def test_any_record_there_and_back(record: ExecutionRecord) -> None:
    """Any record survives the round trip exactly."""
    assert ExecutionRecord.from_dict(record.to_dict()) == record


@pytest.mark.parametrize(
    "wrong",
    [
        {"run": 0}, {"duration_seconds": -1}, {"file_count": -1}, {"routing_confidence": 1.1},
        {"complexity_score": 101}, {"propensity": -0.1}, {"propensity": 2},
        {"quality_score": 100.5}, {"actual_cost": -0.01}, {"cost_estimate": -1},
        {"input_tokens": -1}, {"attempt_count": -1}, {"user_rating": 0}, {"user_rating": 6},
        {"sampling_ratio": 1.5}, {"error_type": "bad luck"}, {"cost_source": "guessed"},
        {"no_such_field": 1}, {"success": "perhaps"},
    ],
    ids=str,
)  # fmt: skip
def test_bounds(wrong: dict[str, Any]) -> None:
    """A value outside what its column means is refused, and so is a column that is none."""
    with pytest.raises(ValidationError):
        ExecutionRecord(**wrong)


def test_feedback_is_about_something() -> None:
    """Feedback without a target, or with a rating that is none, is refused."""
    for wrong in ({"target_id": ""}, {"target_id": "t", "rating": 9}):
        with pytest.raises(ValidationError):
            FeedbackRecord(**wrong)


def test_records_do_not_change() -> None:
    """A record is what it is."""
    with pytest.raises(ValidationError):
        setattr(_full(), "repo", "other")  # noqa: B010


def test_families_of_errors() -> None:
    """The families are those of the contract, no more and no less."""
    assert {member.value for member in ErrorType} == {
        "timeout", "rate_limit", "network", "authentication", "validation", "content_filter",
        "quality_gate", "cancelled", "crash", "unknown",
    }  # fmt: skip
