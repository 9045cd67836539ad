"""Short words for spans: `told({"task.id": "7"}).facts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, StatusCode

from otel_learning.mapping.observe import Mapper
from otel_learning.mapping.profile import load, parse
from otel_learning.observation import Facts, Observation

BEGAN: Final = 1_790_000_000 * 10**9
TRACE: Final = 0xABC
OTHER_TRACE: Final = 0xDEF


def context(span: int = 1, *, trace: int = TRACE, remote: bool = False) -> SpanContext:
    return SpanContext(trace, span, remote)


def a_span(
    attributes: Mapping[str, Any] | None = None,
    *,
    name: str = "step",
    scope: str = "",
    status: StatusCode = StatusCode.UNSET,
    description: str | None = None,
    events: Sequence[Event] = (),
    links: Sequence[Link] = (),
    resource: Mapping[str, Any] | None = None,
    parent: SpanContext | None = None,
    start: int | None = BEGAN,
    end: int | None = BEGAN + 10**9,
) -> ReadableSpan:
    return ReadableSpan(
        name=name,
        context=context(),
        parent=parent,
        resource=Resource(dict(resource or {})),
        attributes=dict(attributes or {}),
        events=events,
        links=links,
        status=Status(status, description),
        start_time=start,
        end_time=end,
        instrumentation_scope=InstrumentationScope(scope),
    )


@lru_cache(maxsize=32)
def mapper(profile: str = "", content: str = "task") -> Mapper:
    """The built-in profiles, below one of the user's own where it is given as TOML."""
    own = (parse(profile, "own", "own.toml"),) if profile else ()
    return Mapper((*own, *load()), content, hash_user=lambda user: f"hash of {user}")


def told(
    attributes: Mapping[str, Any] | None = None,
    *,
    profile: str = "",
    content: str = "task",
    **more: Any,
) -> Observation:
    """What a span tells; it must tell something."""
    found = mapper(profile, content).span(a_span(attributes, **more))
    if found is None:
        raise AssertionError("the span tells nothing at all")
    return found


def facts(attributes: Mapping[str, Any] | None = None, **more: Any) -> Facts:
    return told(attributes, **more).facts


def event(name: str, attributes: Mapping[str, Any] | None = None, at: int = BEGAN) -> Event:
    return Event(name, dict(attributes or {}), at)
