"""When a person is asked for feedback."""

from __future__ import annotations

from typing import Any

import pytest

from otel_learning.learning.prompting import Asking, should_ask
from otel_learning.records import rating_of_answers


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"success": False, "interactive": False}, Asking(False, "no-terminal")),
        ({"success": False, "environ": {"CI": "true"}}, Asking(False, "ci")),
        ({"success": False, "environ": {"CI": "false"}}, Asking(True, "failed")),
        ({"success": False, "duration_seconds": 9.9}, Asking(False, "too-short")),
        ({"success": False, "ratings_last_hour": 6}, Asking(False, "asked-enough")),
        ({"success": False, "ratings_last_hour": 5}, Asking(True, "failed")),
        ({"duration_seconds": 121.0}, Asking(True, "took-long")),
        ({"duration_seconds": 120.0}, Asking(False, "nothing-unusual")),
        ({"swarm": True}, Asking(True, "swarm")),
        ({"auto_selected_model": True}, Asking(True, "auto-selected")),
        ({"duration_seconds": None}, Asking(False, "nothing-unusual")),
    ],
)
def test_when_to_ask(told: dict[str, Any], expected: Asking) -> None:
    """What forbids asking stands over what calls for it."""
    assert should_ask(**{"duration_seconds": 60.0, "success": True, **told}) == expected


def test_answers_as_a_rating() -> None:
    """A question without an answer says nothing, least of all no."""
    assert rating_of_answers() is None
    assert rating_of_answers(model_appropriate=True) == 5.0
    assert rating_of_answers(model_appropriate=True, speed_acceptable=False) == 3.0
    assert rating_of_answers(expectations_met=False) == 1.0
