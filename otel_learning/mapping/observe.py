"""Span or log event -> observation. Pure: the same input gives the same observation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from otel_learning.mapping import values
from otel_learning.mapping.details import (
    EARLIEST_NS,
    LATEST_NS,
    clamped_times,
    copy_metadata,
    expand,
    name_failure,
    read_exception,
    read_mapping,
)
from otel_learning.mapping.outcome import class_in
from otel_learning.mapping.plan import MASKED, Plan, Planner, Traits
from otel_learning.mapping.privacy import mask
from otel_learning.mapping.profile import REVISION, Profile
from otel_learning.mapping.prompts import first_user_message
from otel_learning.mapping.roles import fails_as_call, role_of, tells
from otel_learning.observation import Facts, FactValue, Observation, Role

EVENTS_LIMIT: Final = 256
"""Events of one span that are looked at."""
RESOURCES_KEPT: Final = 64

_STATUS: Final = {StatusCode.UNSET: None, StatusCode.OK: "ok", StatusCode.ERROR: "error"}
_PRIVATE: Final = (
    "error_message", "feedback_comment", "solution_summary", "task_description", "prompt",
)  # fmt: skip
_FEEDBACK: Final = frozenset(
    ("feedback_accepted", "feedback_rating", "feedback_comment", "feedback_quality",
     "feedback_issue", "feedback_revoked")
)  # fmt: skip
_BESIDE_FEEDBACK: Final = frozenset(
    (*_FEEDBACK, "feedback_source", "feedback_visibility", "feedback_id", "task_id", "session_id",
     "user_hash", "environment", "namespace", "service_name", "quality_score", "response_id")
)  # fmt: skip


class Source(NamedTuple):
    """Which key of which profile a fact was read from; for `explain`."""

    fact: str
    key: str
    profile: str
    value: FactValue


class _Reading(NamedTuple):
    """A span, taken apart once."""

    span: ReadableSpan
    given: dict[str, Any]
    events: Sequence[Any]
    links: Sequence[Any]
    traits: Traits
    failed: bool


class Mapper:
    """Maps spans and log events by a fixed list of profiles.

    Args:
        profiles: in reading order, see `profile.load`.
        content: `none`, `task` or `prompt`, see the settings.
        hash_user: turns a user id into what may be stored; without it no user is stored.
    """

    def __init__(
        self,
        profiles: Sequence[Profile],
        content: str = "task",
        hash_user: Callable[[str], str] | None = None,
    ) -> None:
        self.profiles = tuple(profiles)
        self.planner = Planner(profiles)
        self._content = content
        self._hash_user = hash_user
        self._resource = [(fact, k) for p in profiles for fact, k in p.resource.items()]
        self._scope = tuple(key for p in profiles for key in p.scope)
        self._link_joins = any("link" in p.joins for p in profiles)
        self._origins: dict[int, tuple[Any, Facts]] = {}

    # ------------------------------------------------------------------ spans

    def span(self, span: ReadableSpan, sources: list[Source] | None = None) -> Observation | None:
        """The observation of a span; one of role `ancestor` where it has nothing to tell.

        None for a span below which nothing of interest can stand (a database call).
        `sources`, where given, is filled with the key behind every fact.
        """
        attributes = span.attributes
        given: dict[str, Any] = attributes.copy() if attributes else {}  # type: ignore[attr-defined]
        scope = span.instrumentation_scope
        scope_name = scope.name if scope is not None else ""
        plan = self.planner.plan(scope_name, given)
        if plan.containers:
            given = expand(given, plan.containers)
            plan = self.planner.plan(scope_name, given)
        # The public properties copy events and links even where there are none.
        events = (span._events or ()) if hasattr(span, "_events") else span.events
        links = (span._links or ()) if hasattr(span, "_links") else span.links
        traits = self.planner.traits(span.name)
        status = _STATUS[span.status.status_code]
        facts: Facts = dict(self._origin(span.resource))
        role: Role | None = None
        if not plan.blank or events or links or traits.role is not None:
            reading = _Reading(span, given, events, links, traits, status == "error")
            role = self._read(reading, plan, facts, sources)
            if sources is not None:
                sources += self._sources(scope_name, given)
        context = span.context
        parent = span.parent
        local_root = parent is None or parent.is_remote
        if plan.roots and any(given[key] is True for key in plan.roots):
            local_root = True
        start, end = span.start_time, span.end_time
        if not (start and end and EARLIEST_NS <= start <= end < LATEST_NS):
            start, end = clamped_times(start, end)
        ids = (
            context.trace_id.to_bytes(16, "big").hex(),
            context.span_id.to_bytes(8, "big").hex(),
            None if parent is None else parent.span_id.to_bytes(8, "big").hex(),
            local_root,
        )
        if role is None:
            if plan.leaf and not local_root:
                return None
            return Observation(*ids, "ancestor", start, end, status)
        self._protect(facts, MASKED if events or status == "error" else plan.masked)
        return Observation(
            *ids, role, start, end, status, scope_name or None, plan.profile, REVISION,
            span.dropped_attributes, facts,
        )  # fmt: skip

    def _read(
        self, reading: _Reading, plan: Plan, facts: Facts, sources: list[Source] | None
    ) -> Role | None:
        """Fills `facts` and returns the role, None where the span is not relevant."""
        span, given, events, links, traits, failed = reading
        for fact, key, convert in plan.single:
            value = convert(given[key])
            if value is not None:
                facts[fact] = value
        strong = not plan.strong.isdisjoint(facts)
        direct_task = not plan.defining.isdisjoint(facts)
        for fact, candidates in plan.several:
            for key, convert, _, is_strong, defining in candidates:
                value = convert(given[key])
                if value is not None:
                    facts[fact] = value
                    strong |= is_strong
                    direct_task |= defining
                    break
        if facts.get("success") is False:
            name_failure(given, plan, facts)
        if traits.feedback:
            self._read_named_feedback(given, facts)
        explicit: Role | None = None
        for key, roles in plan.roles:
            named = given[key]
            if isinstance(named, str):
                explicit = roles.get(named.strip('"').lower())
                if explicit is not None:
                    break
        explicit = explicit or traits.role
        if failed and explicit is None and fails_as_call(facts):
            explicit = "call"
        if events:
            strong |= self._read_events(events, facts, failed, sources)
        if links or not _FEEDBACK.isdisjoint(facts):
            self._read_target(span, links, facts)
            strong = strong or "feedback_target" in facts
        if not (strong or tells(explicit, facts)):
            return None
        self._complete(reading, plan, facts)
        return role_of(traits, explicit, facts, direct_task)

    def _complete(self, reading: _Reading, plan: Plan, facts: Facts) -> None:
        """What a relevant span tells beside its plain facts."""
        span, given = reading.span, reading.given
        if reading.failed and "error_message" not in facts:
            described = span.status.description
            message = values.free_text(described)
            if message:
                facts["error_message"] = message
            named = class_in(described)
            if named:
                facts.setdefault("error_class", named)
        if "quality_score" in facts:
            if "feedback_target" in facts:
                facts.setdefault("feedback_quality", facts.pop("quality_score"))
            else:  # an evaluation stands over the score of a thumb
                facts.pop("feedback_quality", None)
        user = facts.pop("user_hash", None)
        if user is not None and self._hash_user is not None:
            facts["user_hash"] = self._hash_user(str(user))
        uncached = facts.pop("uncached_input_tokens", None)
        if uncached is not None:
            written = facts.pop("cache_write_tokens", 0)
            cached = facts.get("cached_tokens", 0)
            facts["input_tokens"] = int(uncached) + int(cached) + int(written)
        alias = facts.pop("model_alias", None)
        if (
            alias is not None
            and "requested_model" in facts
            and facts.get("response_model") == alias
        ):
            del facts["response_model"]
        model = facts.get("requested_model") or facts.get("response_model")
        if model is not None:
            tier = self.planner.tier_of(str(model))
            if tier is not None:
                facts["tier_hint"] = tier
        if reading.traits.untimed:
            facts["untimed"] = True
        if plan.metadata:
            copy_metadata(given, plan.metadata, facts)
        if self._scope:
            parts = [found for key in self._scope if (found := values.text(given.get(key)))]
            if parts:
                facts["namespace"] = "/".join([str(facts.get("namespace", "")), *parts])
        if self._content == "prompt":
            prompt = first_user_message(given, reading.events)
            if prompt is not None:
                facts["prompt"] = prompt

    def _sources(self, scope: str, given: Mapping[str, Any]) -> list[Source]:
        """Which key each fact was read from."""
        sources = []
        for fact, candidates in self.planner.candidates(scope, tuple(given)).items():
            for key, convert, profile, _, _ in candidates:
                value = convert(given[key])
                if value is not None:
                    sources.append(Source(fact, key, profile, value))
                    break
        return sources

    def _read_events(
        self, events: Sequence[Any], facts: Facts, failed: bool, sources: list[Source] | None
    ) -> bool:
        """Reads what span events say; True where one of them makes the span relevant."""
        strong = False
        for event in list(events)[:EVENTS_LIMIT]:
            name = event.name
            attributes = event.attributes or {}
            if name == "exception":
                read_exception(event, attributes, facts, failed)
                continue
            planned = self.planner.event(name) if isinstance(name, str) else None
            if planned is None:
                continue
            profile, mapping = planned
            for fact, value, key in read_mapping(mapping, attributes, profile.normalised):
                if fact == "quality_score":
                    facts[fact] = value  # of several evaluations, the last one stands
                elif fact != "task_id":
                    facts.setdefault(fact, value)
                strong = True
                if sources is not None:
                    sources.append(Source(fact, f"event {name}: {key}", profile.name, value))
            if "fallback" in name:
                facts.setdefault("fallback_used", True)
                strong = True
        return strong

    def _read_named_feedback(self, given: Mapping[str, Any], facts: Facts) -> None:
        """A span called after feedback may use the short keys that feedback events use."""
        planned = self.planner.event("feedback")
        if planned is not None:
            profile, mapping = planned
            for fact, value, _ in read_mapping(mapping, given, profile.normalised):
                facts.setdefault(fact, value)

    def _read_target(self, span: ReadableSpan, links: Sequence[Any], facts: Facts) -> None:
        """A span with nothing but feedback is about the span it links to, or the task it names."""
        link = links[0].context if links else None
        if not _FEEDBACK.isdisjoint(facts) and facts.keys() <= _BESIDE_FEEDBACK:
            if link is not None:
                facts["feedback_kind"] = "span_id"
                facts["feedback_target"] = f"{link.trace_id:032x}:{link.span_id:016x}"
            elif "task_id" in facts and (span.parent is None or span.parent.is_remote):
                facts["feedback_kind"], facts["feedback_target"] = "task_id", facts["task_id"]
        elif link is not None and self._link_joins:
            facts.setdefault("join_key", f"trace:{link.trace_id:032x}")

    # -------------------------------------------------------------- log events

    def log_event(
        self,
        name: str,
        attributes: Mapping[str, Any],
        *,
        trace_id: int,
        span_id: int,
        time_ns: int | None,
        resource: Any = None,
        scope_name: str = "",
    ) -> Observation | None:
        """The observation of a log event; None where it is none that a profile lists.

        Its id is a hash of what it says, so that the same event, seen again, is the same.
        """
        planned = self.planner.event(name)
        if planned is None:
            return None
        profile, mapping = planned
        facts: Facts = {}
        for fact, value, _ in read_mapping(mapping, attributes, profile.normalised):
            facts.setdefault(fact, value)
        if "quality_score" in facts:
            facts["feedback_quality"] = facts.pop("quality_score")
        if _FEEDBACK.isdisjoint(facts):
            return None
        start, _ = clamped_times(time_ns, time_ns)
        trace = f"{trace_id:032x}" if trace_id else None
        parent = f"{span_id:016x}" if span_id else None
        target = _target(facts, trace, parent)
        if target is None:
            return None
        facts["feedback_kind"], facts["feedback_target"] = target
        facts = {**self._origin(resource), **facts}
        self._protect(facts, MASKED)
        said = repr((name, sorted(facts.items()), start))
        return Observation(
            trace_id=trace,
            span_id=hashlib.blake2b(said.encode(), digest_size=8).hexdigest(),
            parent_id=parent,
            local_root=False,
            role="feedback",
            start_ns=start,
            end_ns=start,
            producer=scope_name or None,
            profile=profile.name,
            revision=REVISION,
            facts=facts,
        )

    # ------------------------------------------------------------------ both

    def _origin(self, resource: Any) -> Facts:
        """What a resource says about everything of its process."""
        if resource is None:
            return {}
        known = self._origins.get(id(resource))
        if known is not None and known[0] is resource:
            return known[1]
        attributes = resource.attributes
        facts: Facts = {}
        for fact, keys in self._resource:
            for key in keys:
                value = values.conversion(fact, key)(attributes.get(key))
                if value is not None:
                    facts.setdefault(fact, value)
                    break
        if str(facts.get("service_name", "")).startswith("unknown_service"):
            del facts["service_name"]
        if len(self._origins) > RESOURCES_KEPT:
            self._origins.clear()
        # The resource is kept beside its id, so that the id cannot come to name another one.
        self._origins[id(resource)] = (resource, facts)
        return facts

    def _protect(self, facts: Facts, masked: Iterable[str]) -> None:
        if self._content == "none":
            for fact in _PRIVATE:
                facts.pop(fact, None)
        for fact in masked:
            value = facts.get(fact)
            if isinstance(value, str) and len(value) > 11:
                facts[fact] = mask(value)


def _target(facts: Facts, trace: str | None, parent: str | None) -> tuple[str, str] | None:
    """What feedback in a log event is about: a named task, its trace context, or another id."""
    task = facts.pop("task_id", None)
    response = facts.pop("response_id", None)
    session = facts.pop("session_id", None)
    if task is not None:
        return "task_id", str(task)
    if trace is not None:
        return ("span_id", f"{trace}:{parent}") if parent else ("trace_id", trace)
    if response is not None:
        return "response_id", str(response)
    return None if session is None else ("session_id", str(session))
