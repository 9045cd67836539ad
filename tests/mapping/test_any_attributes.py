"""Whatever a span holds, mapping never raises, and facts have the types that are declared."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.trace import StatusCode

from otel_learning.mapping import values
from otel_learning.mapping.privacy import mask
from otel_learning.mapping.profile import load, normalise
from otel_learning.observation import FACTS, Observation
from tests.mapping.spans import BEGAN, TRACE, a_span, context, event, mapper

_TYPES = {"text": str, "integer": int, "number": float, "boolean": bool}

_known_keys = sorted({
    key
    for profile in load()
    for table in (profile.fields, profile.details, *profile.events.values())
    for keys in table.values()
    for key in keys
    if "*" not in key
} | {key for profile in load() for key in (*profile.roles, *profile.containers)})  # fmt: skip

_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(_known_keys) | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
_scalars = (
    st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(
        ["success", "failed", "unknown", "chat", "LLM", "AGENT", "1.5", "nan", "1e999", "-1", "{",
         "[]", '"', "thumbs_up", "gpt-4o", "\ud800", "\x00", "sk-" + "a" * 30, "TimeoutError"]
    )
    | _json.map(json.dumps)
    | _json.map(repr)
)  # fmt: skip
_values = _scalars | st.lists(_scalars, max_size=3).map(tuple)
_attributes = st.dictionaries(
    st.sampled_from(_known_keys) | st.text(max_size=20), _values, max_size=8
)
_events = st.lists(
    st.tuples(
        st.sampled_from(["exception", "feedback", "router.fallback", "evaluation",
                         "gen_ai.evaluation.result", "learning.feedback", ""])
        | st.text(max_size=9),
        _attributes,
    ),
    max_size=3,
)  # fmt: skip
_often = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _check(observation: Observation | None) -> None:
    """Facts are known, of their type, finite, bounded and storable."""
    if observation is None:
        return
    for fact, value in observation.facts.items():
        assert fact in FACTS, fact
        assert type(value) is _TYPES[FACTS[fact]], (fact, value)
        if isinstance(value, float):
            assert math.isfinite(value)
        if isinstance(value, str):
            assert value
            assert len(value) <= 2048
            assert "\x00" not in value
            value.encode()
    assert observation.role != "ancestor" or not observation.facts
    observation.digest()


@_often
@given(
    _attributes,
    _events,
    st.text(max_size=12) | st.sampled_from(["router", "collect feedback", "raw_gen_ai_request"]),
    st.sampled_from(list(StatusCode)),
    st.sampled_from(["none", "task", "prompt"]),
    st.none() | st.integers(-(2**40), 2**62),
)
def test_spans(
    attributes: dict[str, Any], events: list[tuple[str, dict[str, Any]]], name: str,
    status: StatusCode, content: str, start: int | None,
) -> None:  # fmt: skip
    """Any span of any producer is mapped, or tells nothing; the same one always the same."""
    span = a_span(
        attributes, name=name, status=status, description=name, start=start,
        events=[event(called, held) for called, held in events], parent=context(7),
    )  # fmt: skip

    found = mapper(content=content).span(span)

    _check(found)
    assert mapper(content=content).span(span) == found


@_often
@given(st.sampled_from(["learning.feedback", "user.feedback", "evaluation"]), _attributes)
def test_log_events(name: str, attributes: dict[str, Any]) -> None:
    """Any log event is feedback, or tells nothing."""
    _check(mapper().log_event(name, attributes, trace_id=TRACE, span_id=1, time_ns=BEGAN))


@_often
@given(_json | _scalars, st.sampled_from(sorted(FACTS)), st.sampled_from(_known_keys))
def test_conversions(value: Any, fact: str, key: str) -> None:
    """Every conversion takes any value and gives the fact's type, or nothing."""
    found = values.conversion(fact, key)(value)

    assert found is None or type(found) is _TYPES[FACTS[fact]]


@_often
@given(_json | _scalars | st.text())
def test_containers(value: Any) -> None:
    """Taking a value apart ends, stays within its bounds, and leaves scalars."""
    found = values.flatten("k", value)

    assert len(found) <= values.CONTAINER_KEYS
    assert all(key.startswith("k.") for key in found)


@_often
@given(st.text(max_size=200))
def test_texts(text: str) -> None:
    """Masking and normalising end on any text, and masking twice changes nothing."""
    normalise(text)
    assert mask(mask(text)) == mask(text)
