"""The first user message of a call, for `CONTENT=prompt` alone.

Pure. Producers write messages as JSON in one attribute, as one attribute per message, or as
span events; this reads the first text that a user said, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_learning.mapping import values

_WHOLE: Final = ("gen_ai.input.messages", "gen_ai.prompt", "traceloop.entity.input", "input.value",
                 "langfuse.observation.input", "mlflow.spanInputs", "pydantic_ai.all_messages",
                 "all_messages_events", "gcp.vertex.agent.llm_request")  # fmt: skip
_INDEXED: Final = (
    ("llm.input_messages.{}.message.role", "llm.input_messages.{}.message.content"),
    ("gen_ai.prompt.{}.role", "gen_ai.prompt.{}.content"),
)
_WRAPPERS: Final = (
    "content", "parts", "text", "messages", "message", "kwargs", "args", "contents",
)  # fmt: skip
_MESSAGES_LOOKED_AT: Final = 8
_DEPTH: Final = 6


def first_user_message(given: Mapping[str, Any], events: Sequence[Any]) -> str | None:
    """At most 500 characters of what a user said first; None where nobody did."""
    for role_key, content_key in _INDEXED:
        for position in range(_MESSAGES_LOOKED_AT):
            if given.get(role_key.format(position)) == "user":
                return values.free_text(_text_in(given.get(content_key.format(position))))
    for key in _WHOLE:
        value = given.get(key)
        if isinstance(value, str) and value:
            return values.free_text(_text_in(value))
    for event in events:
        if event.name == "gen_ai.user.message":
            return values.free_text(_text_in((event.attributes or {}).get("content")))
    return None


def _text_in(value: Any, depth: int = _DEPTH) -> str | None:
    """The first text of a message that a user sent, however it is wrapped."""
    if depth == 0:
        return None
    if isinstance(value, str):
        if value[:1] in "[{" and value:
            try:
                return _text_in(json.loads(value[: values.CONTAINER_LIMIT]), depth - 1)
            except (ValueError, RecursionError):
                return None if value[:1] == "{" else value
        return value
    if isinstance(value, Mapping):
        if value.get("role", "user") not in ("user", "human"):
            return None
        for key in (
            "content",
            "parts",
            "text",
            "messages",
            "message",
            "kwargs",
            "args",
            "contents",
        ):
            found = _text_in(value[key], depth - 1) if key in value else None
            if found:
                return found
        return None
    if isinstance(value, list | tuple):
        for item in value[:_MESSAGES_LOOKED_AT]:
            found = _text_in(item, depth - 1)
            if found:
                return found
    return None
