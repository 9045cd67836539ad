"""Feedback that comes as log events."""

from __future__ import annotations

from typing import Any

import pytest

from otel_learning.observation import Observation
from tests.mapping.spans import BEGAN, TRACE, mapper


def _heard(
    attributes: dict[str, Any], *, name: str = "learning.feedback", trace: int = 0, span: int = 0
) -> Observation | None:
    return mapper().log_event(name, attributes, trace_id=trace, span_id=span, time_ns=BEGAN)


def _said(attributes: dict[str, Any], **more: Any) -> Observation:
    found = _heard(attributes, **more)
    if found is None:
        raise AssertionError("the event tells nothing")
    return found


@pytest.mark.parametrize(
    ("attributes", "trace", "span", "target"),
    [
        ({"learning.task.id": "t"}, TRACE, 5, ("task_id", "t")),
        ({}, TRACE, 5, ("span_id", f"{TRACE:032x}:{5:016x}")),
        ({}, TRACE, 0, ("trace_id", f"{TRACE:032x}")),
        ({"gen_ai.response.id": "r"}, 0, 0, ("response_id", "r")),
        ({"session.id": "s"}, 0, 0, ("session_id", "s")),
    ],
)
def test_what_it_is_about(
    attributes: dict[str, Any], trace: int, span: int, target: tuple[str, str]
) -> None:
    """Feedback is about the task it names, else its trace context, a response, a session."""
    found = _said({**attributes, "learning.feedback.accepted": True}, trace=trace, span=span)

    assert (found.facts["feedback_kind"], found.facts["feedback_target"]) == target
    assert found.role == "feedback"
    assert found.facts["feedback_accepted"] is True


def test_an_evaluation_is_a_quality() -> None:
    """`gen_ai.evaluation.result` tells how good it was: 0..1 counts times 100."""
    found = _said(
        {"gen_ai.evaluation.score.value": 0.8, "gen_ai.evaluation.name": "judge"},
        name="gen_ai.evaluation.result", trace=TRACE, span=5,
    )  # fmt: skip

    assert found.facts["feedback_quality"] == 80
    assert found.facts["feedback_source"] == "judge"


@pytest.mark.parametrize(
    ("name", "attributes"),
    [("chatter", {"learning.feedback.accepted": True}), ("learning.feedback", {}),
     ("learning.feedback", {"learning.feedback.rating": 9}), ("", {}), ("x" * 999, {})],
)  # fmt: skip
def test_other_events_are_none(name: str, attributes: dict[str, Any]) -> None:
    """An event that no profile lists, or that says nothing, leaves nothing."""
    assert _heard({"learning.task.id": "t", **attributes}, name=name) is None


def test_feedback_about_nothing_is_none() -> None:
    """Feedback that names no task, trace, response or session cannot be kept."""
    assert _heard({"learning.feedback.accepted": True}) is None


def test_the_same_event_is_the_same_feedback() -> None:
    """An event that arrives twice is one; one that says something else is another."""
    one = _said({"learning.task.id": "t", "learning.feedback.rating": 3})
    same = _said({"learning.task.id": "t", "learning.feedback.rating": 3})
    other = _said({"learning.task.id": "t", "learning.feedback.rating": 4})

    assert one.key == same.key
    assert one.key != other.key


def test_comments_are_masked() -> None:
    """What a person wrote is masked like every other text."""
    found = _said({
        "learning.task.id": "t", "learning.feedback.accepted": False,
        "learning.feedback.comment": "it printed password=hunter2",
    })  # fmt: skip

    assert "hunter2" not in repr(found.facts)
