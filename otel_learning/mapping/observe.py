"""Span or log event -> observation. Pure: the same input gives the same observation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from otel_learning.mapping import values
from otel_learning.mapping.outcome import class_in
from otel_learning.mapping.plan import MASKED, Plan, Planner, Traits, is_router_name
from otel_learning.mapping.privacy import mask
from otel_learning.mapping.profile import REVISION, Profile, matches, normalise
from otel_learning.mapping.prompts import first_user_message
from otel_learning.observation import Facts, FactValue, Observation, Role

EVENTS_LIMIT: Final = 256
"""Events of one span that are looked at."""
EVENT_KEYS_LIMIT: Final = 64
METADATA_LIMIT: Final = 2048
"""Characters of the metadata that one span may add."""
RESOURCES_KEPT: Final = 64

_EARLIEST_NS: Final = 946_684_800_000_000_000  # 2000-01-01; correlation rule C6
_LATEST_NS: Final = 4_102_444_800_000_000_000  # 2100-01-01

_STATUS: Final = {StatusCode.UNSET: None, StatusCode.OK: "ok", StatusCode.ERROR: "error"}
_PRIVATE: Final = (
    "error_message", "feedback_comment", "solution_summary", "task_description", "prompt",
)  # fmt: skip
_ROUTING: Final = frozenset(
    ("model_tier", "routed_model", "selector", "routing_confidence", "propensity",
     "complexity_score")
)  # fmt: skip
_CALLING: Final = frozenset(("requested_model", "response_model", "response_id"))
_FAILED_CALL: Final = frozenset(("requested_model", "purpose"))
_ANSWERING: Final = frozenset(
    ("response_model", "response_id", "provider", "input_tokens", "output_tokens",
     "attempt_number", "finish")
)  # fmt: skip
_FEEDBACK: Final = frozenset(
    ("feedback_accepted", "feedback_rating", "feedback_comment", "feedback_quality",
     "feedback_issue", "feedback_revoked")
)  # fmt: skip
_BESIDE_FEEDBACK: Final = frozenset(
    (*_FEEDBACK, "feedback_source", "feedback_visibility", "feedback_id", "task_id", "session_id",
     "user_hash", "environment", "namespace", "service_name", "quality_score", "response_id")
)  # fmt: skip
_ABOUT_A_TASK: Final = frozenset(
    ("task_id", "task_type", "task_description", "repo", "quality_score", "model_tier", "success",
     "total_cost")
)  # fmt: skip
_TELLING_TOGETHER: Final = 3
"""A `request.id` alone is any request; with a type and a tier, it is a task by another name."""
_TELLING_FAILURES: Final = frozenset(
    ("timeout", "timed_out", "cancelled", "canceled", "aborted", "crashed", "rate_limited")
)


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
            given = _expand(given, plan.containers)
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
        if not (start and end and _EARLIEST_NS <= start <= end < _LATEST_NS):
            start, end = _times(start, end)
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
            _name_failure(given, plan, facts)
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
        if failed and explicit is None and facts.keys() >= _FAILED_CALL:
            explicit = "call"  # it has nothing of an answer, and yet it is one
        if events:
            strong |= self._read_events(events, facts, failed, sources)
        if links or not _FEEDBACK.isdisjoint(facts):
            self._read_target(span, links, facts)
            strong = strong or "feedback_target" in facts
        if not (
            strong
            or explicit in ("task", "route", "agent", "call")
            or _is_call(facts)
            or len(facts.keys() & _ABOUT_A_TASK) >= _TELLING_TOGETHER
        ):
            return None
        self._complete(reading, plan, facts)
        return _role(traits, explicit, facts, direct_task)

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
            _copy_metadata(given, plan.metadata, facts)
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
                _read_exception(event, attributes, facts, failed)
                continue
            planned = self.planner.event(name) if isinstance(name, str) else None
            if planned is None:
                continue
            profile, mapping = planned
            for fact, value, key in _read_mapping(mapping, attributes, profile.normalised):
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
            for fact, value, _ in _read_mapping(mapping, given, profile.normalised):
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
        for fact, value, _ in _read_mapping(mapping, attributes, profile.normalised):
            facts.setdefault(fact, value)
        if "quality_score" in facts:
            facts["feedback_quality"] = facts.pop("quality_score")
        if _FEEDBACK.isdisjoint(facts):
            return None
        start, _ = _times(time_ns, time_ns)
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


def _role(traits: Traits, explicit: Role | None, facts: Facts, direct_task: bool) -> Role:
    """What the span is: as its producer says, else by what it tells."""
    if "feedback_target" in facts:
        facts.pop("task_id", None)
        return "feedback"
    if explicit == "tool" or explicit == "task":
        return explicit
    if direct_task and "task_id" in facts:
        return "task"
    if explicit != "call" and not direct_task:
        agent = facts.get("agent")
        if traits.router or (isinstance(agent, str) and is_router_name(agent)):
            return "route"
    if explicit is not None:
        return explicit
    if _is_call(facts):
        return "call"
    if not _ROUTING.isdisjoint(facts):
        return "route" if "success" not in facts else "step"
    if "task_id" in facts and "pool_type" not in facts:
        return "task"
    return "step"


def _is_call(facts: Facts) -> bool:
    """A model alone is a choice; with an answer, its cost or its number, it is a call."""
    return not _CALLING.isdisjoint(facts) and not _ANSWERING.isdisjoint(facts)


def _expand(given: dict[str, Any], containers: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """The attributes, with what containers hold in the place of the containers."""
    expanded = dict(given)
    for key, inner in containers:
        value = expanded.get(key)
        if value is None or value == "":
            continue
        wanted = tuple(inner.split("|")) if inner else ()
        if wanted and isinstance(value, str) and not any(f'"{w}"' in value for w in wanted):
            continue
        found = values.flatten(key, value)
        del expanded[key]
        for name, item in found.items():
            if not wanted or name[len(key) + 1 :].split(".", 1)[0] in wanted:
                expanded.setdefault(name, item)
    return expanded


def _read_exception(event: Any, attributes: Mapping[str, Any], facts: Facts, failed: bool) -> None:
    found = values.text(attributes.get("exception.type"))
    message = values.free_text(attributes.get("exception.message"))
    if found:
        facts.setdefault("error_class", found.rsplit(".", 1)[-1])
    if message and (failed or "error_class" in facts):
        facts.setdefault("error_message", message)
    # When it happened tells whether the span recovered from it.
    if event.timestamp and _EARLIEST_NS <= event.timestamp < _LATEST_NS:
        facts["error_at_ns"] = event.timestamp


def _read_mapping(
    mapping: Mapping[str, tuple[str, ...]], attributes: Mapping[str, Any], normalised: bool
) -> list[tuple[str, FactValue, str]]:
    """The facts that an event's attributes hold, each with the alias it was found under."""
    if normalised:
        few = list(attributes.items())[:EVENT_KEYS_LIMIT]
        attributes = {normalise(str(key)): value for key, value in few}
    found = []
    for fact, aliases in mapping.items():
        for alias in aliases:
            hits = [alias] if "*" not in alias else [k for k in attributes if matches(k, alias)]
            read = (values.conversion(fact, key)(attributes.get(key)) for key in hits)
            value = next((v for v in read if v is not None), None)
            if value is not None:
                found.append((fact, value, alias))
                break
    return found


def _name_failure(given: Mapping[str, Any], plan: Plan, facts: Facts) -> None:
    """An outcome such as `timeout` says what went wrong, not only that something did."""
    keys = [key for fact, key, _ in plan.single if fact == "success"]
    keys += [c.key for fact, several in plan.several if fact == "success" for c in several]
    for key in keys:
        word = str(given[key]).strip().lower().rsplit(".", 1)[-1].replace("-", "_")
        if word in _TELLING_FAILURES:
            facts["error_class"] = word
            return


def _copy_metadata(given: Mapping[str, Any], keys: tuple[str, ...], facts: Facts) -> None:
    copied: dict[str, Any] = {}
    for key in keys:
        value = given.get(key)
        if isinstance(value, str):
            copied[key] = mask(value[:200])
        elif isinstance(value, int | float):
            copied[key] = value if value == value else None  # NaN is no JSON
    if copied:
        facts["metadata"] = json.dumps(copied, sort_keys=True)[:METADATA_LIMIT]


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


def _times(start: int | None, end: int | None) -> tuple[int | None, int | None]:
    """Times outside 2000..2100 are none (C6); an end before its start is clamped."""
    if start is None or not _EARLIEST_NS <= start < _LATEST_NS:
        start = None
    if end is None or not _EARLIEST_NS <= end < _LATEST_NS:
        end = None
    if start is not None and end is not None and end < start:
        end = start
    return start, end
