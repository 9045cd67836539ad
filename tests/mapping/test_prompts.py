"""The first user message, however its producer wrote it down."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_learning.mapping.prompts import first_user_message
from tests.mapping.spans import event

_WORDS = "fix the door"


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.input.messages": json.dumps([{"role": "user", "content": _WORDS}])},
        {"gen_ai.input.messages": json.dumps(
            [{"role": "system", "content": "be kind"},
             {"role": "user", "parts": [{"type": "text", "content": _WORDS}]}])},
        {"llm.input_messages.0.message.role": "system",
         "llm.input_messages.0.message.content": "be kind",
         "llm.input_messages.1.message.role": "user",
         "llm.input_messages.1.message.content": _WORDS},
        {"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": _WORDS},
        {"input.value": _WORDS},
        {"input.value": json.dumps({"messages": [{"role": "user", "content": _WORDS}]})},
        {"traceloop.entity.input": json.dumps({"args": [_WORDS], "kwargs": {}})},
    ],
)  # fmt: skip
def test_each_way_of_writing(attributes: dict[str, Any]) -> None:
    """Whole, indexed, or nested: the words that a user said first are found."""
    assert first_user_message(attributes, []) == _WORDS


def test_messages_in_events() -> None:
    """Older producers write messages as span events."""
    said = event("gen_ai.user.message", {"content": _WORDS})

    assert first_user_message({}, [said]) == _WORDS


@pytest.mark.parametrize(
    "attributes",
    [{}, {"input.value": ""}, {"input.value": "{broken"}, {"input.value": "{}"},
     {"gen_ai.input.messages": json.dumps([{"role": "assistant", "content": "hello"}])},
     {"gen_ai.input.messages": "[" * 5000}],
)  # fmt: skip
def test_nobody_said_anything(attributes: dict[str, Any]) -> None:
    """Where no user said anything, there is no message."""
    found = first_user_message(attributes, [])

    assert found is None or set(found) == {"["}


def test_the_message_is_cut() -> None:
    """At most 500 characters are kept."""
    assert len(first_user_message({"input.value": "word " * 999}, []) or "") <= 500
