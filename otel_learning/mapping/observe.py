"""Span or log event -> observation. Pure: the same input gives the same observation.

What to read from a span is planned once per instrumentation scope and tuple of attribute keys;
after that a span costs a few dictionary look-ups.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from otel_learning.mapping import values
from otel_learning.mapping.outcome import class_in
from otel_learning.mapping.privacy import mask
from otel_learning.mapping.profile import REVISION, Profile, key_matches, matches, normalise
from otel_learning.observation import FactValue, Facts, Observation, Role

PLANS_LIMIT: Final = 8192
"""Plans kept; a producer that puts counters into keys must not fill the memory."""
KEYS_LIMIT: Final = 1024
"""Attribute keys of one span that are looked at."""
EVENTS_LIMIT: Final = 256
LINKS_LIMIT: Final = 32
METADATA_LIMIT: Final = 2048

_EARLIEST_NS: Final = 946_684_800_000_000_000  # 2000-01-01; correlation rule C6
_LATEST_NS: Final = 4_102_444_800_000_000_000  # 2100-01-01

_MASKED: Final = frozenset(
    ("task_description", "prompt", "error_message", "feedback_comment", "solution_summary",
     "task_type", "repo", "selector", "agent", "pool_type", "feedback_source", "error_class",
     "swarm_topology", "session_id", "model_tier", "routed_model", "task_id")
)  # fmt: skip
_PRIVATE: Final = ("error_message", "feedback_comment", "solution_summary", "task_description")
_DEFINING: Final = ("task_type", "task_description", "success")
_ROUTING: Final = frozenset(
    ("model_tier", "routed_model", "selector", "routing_confidence", "propensity",
     "complexity_score")
)  # fmt: skip
_CALLING: Final = frozenset(("requested_model", "response_model", "response_id"))
_STATUS: Final = {StatusCode.UNSET: None, StatusCode.OK: "ok", StatusCode.ERROR: "error"}
_ANSWERING: Final = frozenset(
    ("response_model", "response_id", "provider", "input_tokens", "output_tokens",
     "attempt_number", "finish")
)  # fmt: skip
_FEEDBACK: Final = frozenset(
    ("feedback_accepted", "feedback_rating", "feedback_comment", "feedback_quality")
)
_BESIDE_FEEDBACK: Final = frozenset(
    (*_FEEDBACK, "feedback_source", "task_id", "session_id", "user_hash", "environment",
     "namespace", "service_name", "quality_score", "response_id")
)  # fmt: skip
_ROUTER_NAME: Final = re.compile(
    r"(?:^|[^a-z])(?:rout(?:e|er|ing)|triage|(?:model|tier)[ _.-]?select(?:or|ion)|"
    r"select[ _.-]?(?:model|tier)|classify[ _.-]?(?:task|complexity|request|intent|tier)|"
    r"(?:task|complexity|request|intent|tier)[ _.-]?classif(?:ier|ication))(?:[^a-z]|$)"
)


class Source(NamedTuple):
    """Which key of which profile a fact was read from; for `explain`."""

    fact: str
    key: str
    profile: str
    value: FactValue


class _Candidate(NamedTuple):
    key: str
    convert: values.Convert
    profile: str
    strong: bool
    defining: bool
    """True where the key says on the span itself what the task is, or how it ended."""


class _Traits(NamedTuple):
    """What a span's name alone says."""

    role: Role | None
    router: bool
    feedback: bool
    untimed: bool


@dataclass(slots=True)
class _Plan:
    facts: tuple[tuple[str, tuple[_Candidate, ...]], ...]
    roles: tuple[tuple[str, Mapping[str, Role]], ...]
    containers: tuple[tuple[str, str], ...]
    metadata: tuple[str, ...]
    leaf: bool
    profile: str | None
    masked: tuple[str, ...]
    """Facts that these keys may give and that may hold a secret."""
    roots: tuple[str, ...]
    """Keys that say that the span is topmost whatever its parent."""
    blank: bool
    """True where no fact, role or container can come from these keys."""


class _Reading(NamedTuple):
    """A span, taken apart once."""

    span: ReadableSpan
    given: dict[str, Any]
    events: Sequence[Any]
    links: Sequence[Any]
    traits: _Traits
    failed: bool


class Mapper:
    """Maps spans and log events by a fixed list of profiles.

    Args:
        profiles: in reading order, see `profile.load`.
        content: `none`, `task` or `prompt`, see the settings.
        hash_user: turns a user id into what may be stored.
    """

    def __init__(
        self,
        profiles: Sequence[Profile],
        content: str = "task",
        hash_user: Callable[[str], str] | None = None,
    ) -> None:
        self.profiles = tuple(profiles)
        self._content = content
        self._hash_user = hash_user
        self._plans: dict[str, dict[tuple[str, ...], _Plan]] = {}
        self._planned = 0
        self._origins: dict[int, tuple[Any, Facts]] = {}
        self._roles = [
            (key, mapping) for profile in profiles for key, mapping in profile.roles.items()
        ]
        self._names = [
            (pattern, role) for profile in profiles for pattern, role in profile.names.items()
        ]
        self._containers = {
            key: inner for profile in reversed(self.profiles)
            for key, inner in profile.containers.items()
        }  # fmt: skip
        self._context = tuple(prefix for profile in profiles for prefix in profile.context)
        self._ignore = tuple(pattern for profile in profiles for pattern in profile.ignore)
        self._roots = frozenset(key for profile in profiles for key in profile.roots)
        self._event_plans: dict[str, tuple[Profile, Mapping[str, tuple[str, ...]]] | None] = {}
        self._leaves = frozenset(key for profile in profiles for key in profile.leaves)
        self._metadata = tuple(key for profile in profiles for key in profile.metadata)
        self._joins = tuple(key for profile in profiles for key in profile.joins)
        self._scope = tuple(key for profile in profiles for key in profile.scope)
        self._link_joins = "link" in self._joins
        self._untimed = tuple(name for profile in profiles for name in profile.untimed)
        self._tiers = [
            (pattern, tier)
            for profile in profiles
            for tier, patterns in profile.tiers.items()
            for pattern in patterns
        ]
        self.tier_of = lru_cache(maxsize=1024)(self._tier_of)
        self._traits = lru_cache(maxsize=4096)(self._read_name)

    # ------------------------------------------------------------------ spans

    def span(
        self, span: ReadableSpan, sources: list[Source] | None = None
    ) -> Observation | None:
        """The observation of a span; one of role `ancestor` where it has nothing to tell.

        None for a span below which nothing of interest can stand (a database call).
        `sources`, where given, is filled with the key behind every fact.
        """
        attributes = span.attributes
        given: dict[str, Any] = attributes.copy() if attributes else {}  # type: ignore[attr-defined]
        scope = span.instrumentation_scope
        scope_name = scope.name if scope is not None else ""
        plan = self._plan(scope_name, given)
        if plan.containers:
            given = self._expand(given, plan.containers)
            plan = self._plan(scope_name, given)
        # The public properties copy events and links even where there are none.
        events = (span._events or ()) if hasattr(span, "_events") else span.events
        links = (span._links or ()) if hasattr(span, "_links") else span.links
        traits = self._traits(span.name)
        status = _STATUS[span.status.status_code]
        facts: Facts = dict(self._origin(span.resource))
        role: Role | None = None
        if not plan.blank or events or links or traits.role is not None:
            reading = _Reading(span, given, events, links, traits, status == "error")
            role = self._read(reading, plan, facts, sources)
        context = span.context
        parent = span.parent
        local_root = parent is None or parent.is_remote
        if plan.roots and any(given[key] is True for key in plan.roots):
            local_root = True
        start, end = span.start_time, span.end_time
        if not (start and end and _EARLIEST_NS <= start <= end < _LATEST_NS):
            start, end = _times(start, end)
        ids = (
            f"{context.trace_id:032x}",
            f"{context.span_id:016x}",
            None if parent is None else f"{parent.span_id:016x}",
            local_root,
        )
        if role is None:
            if plan.leaf and not local_root:
                return None
            return Observation(*ids, "ancestor", start, end, status)
        self._protect(facts, _MASKED if events else plan.masked)
        return Observation(
            *ids, role, start, end, status, scope_name or None, plan.profile, REVISION,
            span.dropped_attributes, facts,
        )  # fmt: skip

    def _read(
        self, reading: _Reading, plan: _Plan, facts: Facts, sources: list[Source] | None
    ) -> Role | None:
        """Fills `facts` and returns the role, None where the span is not relevant."""
        span, given, events, links, traits, failed = reading
        strong = False
        direct_task = False
        for fact, candidates in plan.facts:
            for key, convert, profile, is_strong, defining in candidates:
                value = convert(given[key])
                if value is None:
                    continue
                facts[fact] = value
                if is_strong:
                    strong = True
                if defining:
                    direct_task = True
                if value is False and fact == "success":
                    named = _failure_word(given[key])
                    if named is not None:
                        facts["error_class"] = named
                if sources is not None:
                    sources.append(Source(fact, key, profile, value))
                break
        if traits.feedback:
            self._read_named_feedback(given, facts)
        explicit: Role | None = None
        for key, mapping in plan.roles:
            value = given[key]
            if isinstance(value, str):
                explicit = mapping.get(value.strip('"').lower())
                if explicit is not None:
                    break
        explicit = explicit or traits.role
        if events:
            strong |= self._read_events(events, facts, failed, sources)
        if links or not _FEEDBACK.isdisjoint(facts):
            self._read_links(span, links, facts)
            strong = strong or "feedback_target" in facts
        if not (strong or explicit in ("task", "route", "agent", "call") or _is_call(facts)):
            return None
        if failed and "error_message" not in facts:
            described = span.status.description
            if described:
                message = values.free_text(described)
                if message:
                    facts["error_message"] = message
                named = class_in(described)
                if named:
                    facts.setdefault("error_class", named)
        if "user_hash" in facts:
            self._hash(facts)
        uncached = facts.pop("uncached_input_tokens", None)
        if uncached is not None:
            written = facts.pop("cache_write_tokens", 0)
            facts["input_tokens"] = int(uncached) + int(facts.get("cached_tokens", 0)) + int(written)
        alias = facts.pop("model_alias", None)
        if alias is not None and "requested_model" in facts and facts.get("response_model") == alias:
            del facts["response_model"]
        model = facts.get("requested_model") or facts.get("response_model")
        if model is not None:
            tier = self.tier_of(str(model))
            if tier is not None:
                facts["tier_hint"] = tier
        if traits.untimed:
            facts["untimed"] = True
        if plan.metadata:
            self._copy_metadata(given, plan.metadata, facts)
        if self._scope:
            self._extend_scope(given, facts)
        return self._role(traits, explicit, facts, direct_task)

    def _role(
        self, traits: _Traits, explicit: Role | None, facts: Facts, direct_task: bool
    ) -> Role:
        if "feedback_target" in facts:
            facts.pop("task_id", None)
            return "feedback"
        if explicit == "tool" or explicit == "task":
            return explicit
        if direct_task and "task_id" in facts:
            return "task"
        if explicit != "call":
            agent = facts.get("agent")
            routes = traits.router or (isinstance(agent, str) and is_router_name(agent))
            if routes and not direct_task:
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

    def _expand(
        self, given: dict[str, Any], containers: tuple[tuple[str, str], ...]
    ) -> dict[str, Any]:
        expanded = given
        for key, inner in containers:
            value = expanded.get(key)
            if value is None or value == "":
                continue
            wanted = tuple(inner.split("|")) if inner else ()
            if wanted and isinstance(value, str) and not any(f'"{w}"' in value for w in wanted):
                continue
            found = values.flatten(key, value)
            if wanted:
                found = {
                    name: item for name, item in found.items()
                    if name[len(key) + 1 :].split(".", 1)[0] in wanted
                }  # fmt: skip
            if expanded is given:
                expanded = dict(given)
            del expanded[key]
            for name, item in found.items():
                expanded.setdefault(name, item)
        return expanded

    def _read_events(
        self, events: Sequence[Any], facts: Facts, failed: bool, sources: list[Source] | None
    ) -> bool:
        strong = False
        evaluations: list[float] = []
        for event in list(events)[:EVENTS_LIMIT]:
            name = event.name
            attributes = event.attributes or {}
            if name == "exception":
                # The last exception is the one that ended the span, or the one before a recovery.
                found = values.text(attributes.get("exception.type"))
                message = values.free_text(attributes.get("exception.message"))
                if found:
                    facts.setdefault("error_class", found.rsplit(".", 1)[-1])
                if message and (failed or "error_class" in facts):
                    facts.setdefault("error_message", message)
                if event.timestamp and _EARLIEST_NS <= event.timestamp < _LATEST_NS:
                    facts["error_at_ns"] = event.timestamp
                continue
            planned = self._event_plan(name)
            if planned is None:
                continue
            profile, mapping = planned
            for fact, value, key in _read_mapping(mapping, attributes, profile.normalised):
                if fact == "quality_score":
                    evaluations.append(float(value))
                elif fact != "task_id":
                    facts.setdefault(fact, value)
                strong = True
                if sources is not None:
                    sources.append(Source(fact, f"event {name}: {key}", profile.name, value))
            if "fallback" in name:
                facts.setdefault("fallback_used", True)
                strong = True
        if evaluations:
            facts.setdefault("quality_score", evaluations[-1])
        return strong

    def _read_named_feedback(self, given: Mapping[str, Any], facts: Facts) -> None:
        """A span called after feedback may use the short keys that feedback events use."""
        planned = self._event_plan("feedback")
        if planned is not None:
            profile, mapping = planned
            for fact, value, _ in _read_mapping(mapping, given, profile.normalised):
                facts.setdefault(fact, value)

    def _read_links(self, span: ReadableSpan, links: Sequence[Any], facts: Facts) -> None:
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
        identity: str = "",
    ) -> Observation | None:
        """The observation of a log event; None where the event is none that a profile lists.

        `identity` makes the observation's own id: the same event, seen again, is the same.
        """
        facts: Facts = {}
        planned = self._event_plan(name)
        if planned is None:
            return None
        profile, mapping = planned
        profile_name = profile.name
        for fact, value, _ in _read_mapping(mapping, attributes, profile.normalised):
            facts.setdefault(fact, value)
        if not facts:
            return None
        if "quality_score" in facts:
            facts["feedback_quality"] = facts.pop("quality_score")
        start, _ = _times(time_ns, time_ns)
        trace = f"{trace_id:032x}" if trace_id else None
        parent = f"{span_id:016x}" if span_id else None
        task = facts.pop("task_id", None)
        response = facts.pop("response_id", None)
        session = facts.pop("session_id", None)
        if task is not None:
            facts["feedback_kind"], facts["feedback_target"] = "task_id", task
        elif trace is not None:
            facts["feedback_kind"] = "span_id" if parent else "trace_id"
            facts["feedback_target"] = f"{trace}:{parent}" if parent else trace
        elif response is not None:
            facts["feedback_kind"], facts["feedback_target"] = "response_id", response
        elif session is not None:
            facts["feedback_kind"], facts["feedback_target"] = "session_id", session
        else:
            return None
        facts = {**self._origin(resource), **facts}
        self._protect(facts, _MASKED)
        about = repr((name, sorted(facts.items()), start, identity))
        return Observation(
            trace_id=trace,
            span_id=hashlib.blake2b(about.encode(), digest_size=8).hexdigest(),
            parent_id=parent,
            local_root=False,
            role="feedback",
            start_ns=start,
            end_ns=start,
            producer=scope_name or None,
            profile=profile_name,
            revision=REVISION,
            facts=facts,
        )

    # ------------------------------------------------------------------ helpers

    def _event_plan(
        self, name: str
    ) -> tuple[Profile, Mapping[str, tuple[str, ...]]] | None:
        """The first profile that lists an event of this name, and what it reads from it."""
        if name in self._event_plans:
            return self._event_plans[name]
        found = None
        if isinstance(name, str) and len(name) < 200:
            normal = normalise(name)
            for profile in self.profiles:
                for pattern, mapping in profile.events.items():
                    if matches(normal if profile.normalised else name, pattern):
                        found = (profile, mapping)
                        break
                if found is not None:
                    break
        if len(self._event_plans) > PLANS_LIMIT:
            self._event_plans.clear()
        self._event_plans[name] = found
        return found

    def _plan(self, scope: str, given: Mapping[str, Any]) -> _Plan:
        plans = self._plans.get(scope)
        if plans is None:
            plans = self._plans[scope] = {}
        keys = tuple(given)
        plan = plans.get(keys)
        if plan is None:
            if self._planned >= PLANS_LIMIT:
                self._plans = {scope: (plans := {})}
                self._planned = 0
            plan = plans[keys] = self._make_plan(scope, keys)
            self._planned += 1
        return plan

    def _make_plan(self, scope: str, all_keys: tuple[str, ...]) -> _Plan:
        keys = [key for key in all_keys if isinstance(key, str) and len(key) < 256][:KEYS_LIMIT]
        present = set(keys)
        hidden = {
            key
            for profile in self.profiles
            if profile.hides and any(matches(scope, name) for name in profile.scopes)
            for key in profile.hides
        }
        if hidden:
            keys = [key for key in keys if key not in hidden]
            present = set(keys)
        containers = tuple(
            (key, inner) for key in keys if (inner := self._container(key)) is not None
        )
        found: dict[str, list[_Candidate]] = {}
        weight: dict[str, int] = {}
        normal = {key: normalise(key, self._context) for key in keys}
        readable = [
            key for key in keys if not any(matches(normal[key], p) for p in self._ignore)
        ]
        for profile in self.profiles:
            if profile.requires and not any(
                key_matches(key, alias) for alias in profile.requires for key in keys
            ):
                continue
            for table, strong in ((profile.fields, True), (profile.details, False)):
                for fact, patterns in table.items():
                    for pattern in patterns:
                        if profile.normalised:
                            hits = [key for key in readable if matches(normal[key], pattern)]
                        elif "*" in pattern:
                            hits = [key for key in keys if key_matches(key, pattern)]
                        else:
                            hits = [pattern] if pattern in present else []
                        for key in hits:
                            defining = fact in _DEFINING and not normal[key].startswith("ctx.")
                            convert = values.conversion(fact, key)
                            known = found.setdefault(fact, [])
                            if all(candidate.key != key for candidate in known):
                                known.append(
                                    _Candidate(key, convert, profile.name, strong, defining)
                                )
                                weight[profile.name] = weight.get(profile.name, 0) + 1
        if self._content != "prompt":
            found.pop("prompt", None)
        roles = tuple((key, mapping) for key, mapping in self._roles if key in present)
        for join in self._joins:
            if join in present:
                found.setdefault("join_key", []).append(
                    _Candidate(join, values.text, "joins", False, False)
                )
        scoped = next((p.name for p in self.profiles if any(matches(scope, s) for s in p.scopes)),
                      None)  # fmt: skip
        heaviest = max(weight, key=lambda name: weight[name]) if weight else None
        return _Plan(
            facts=tuple((fact, tuple(candidates)) for fact, candidates in found.items()),
            roles=roles,
            containers=containers,
            metadata=tuple(key for key in self._metadata if key in present),
            leaf=not self._leaves.isdisjoint(present),
            profile=scoped or heaviest,
            masked=tuple(fact for fact in found if fact in _MASKED),
            roots=tuple(key for key in keys if key in self._roots),
            blank=not found and not roles and not containers,
        )

    def _container(self, key: str) -> str | None:
        exact = self._containers.get(key)
        if exact is not None:
            return exact
        return next(
            (inner for pattern, inner in self._containers.items()
             if "*" in pattern and key_matches(key, pattern)), None,
        )  # fmt: skip

    def _read_name(self, name: str) -> _Traits:
        return _Traits(
            role=next((role for pattern, role in self._names if matches(name, pattern)), None),
            router=is_router_name(name),
            feedback="feedback" in name.lower(),
            untimed=any(matches(name, pattern) for pattern in self._untimed),
        )

    def _tier_of(self, model: str) -> str | None:
        """The tier that the table gives a model, None where it lists none."""
        bare = model.lower().rsplit("/", 1)[-1]
        return next((tier for pattern, tier in self._tiers if matches(bare, pattern)), None)

    def _origin(self, resource: Any) -> Facts:
        """What a resource says about every span of its process."""
        if resource is None:
            return {}
        known = self._origins.get(id(resource))
        if known is not None and known[0] is resource:
            return known[1]
        attributes = resource.attributes
        facts: Facts = {}
        for profile in self.profiles:
            for fact, keys in profile.resource.items():
                for key in keys:
                    value = values.conversion(fact, key)(attributes.get(key))
                    if value is not None:
                        facts.setdefault(fact, value)
                        break
        if str(facts.get("service_name", "")).startswith("unknown_service"):
            del facts["service_name"]
        if len(self._origins) > 64:
            self._origins.clear()
        # The resource is kept beside its id, so that the id cannot come to name another one.
        self._origins[id(resource)] = (resource, facts)
        return facts

    def _extend_scope(self, given: Mapping[str, Any], facts: Facts) -> None:
        parts = [found for key in self._scope if (found := values.text(given.get(key)))]
        if parts:
            facts["namespace"] = "/".join([str(facts.get("namespace", "")), *parts])

    def _copy_metadata(
        self, given: Mapping[str, Any], keys: tuple[str, ...], facts: Facts
    ) -> None:
        copied = {
            key: (mask(value[:200]) if isinstance(value, str) else value)
            for key in keys
            if isinstance(value := given[key], str | int | float | bool)
        }
        if copied:
            facts["metadata"] = json.dumps(copied, sort_keys=True)[:METADATA_LIMIT]

    def _hash(self, facts: Facts) -> None:
        user = facts.pop("user_hash")
        if self._hash_user is not None:
            facts["user_hash"] = self._hash_user(str(user))

    def _protect(self, facts: Facts, masked: Iterable[str]) -> None:
        if self._content == "none":
            for fact in _PRIVATE:
                facts.pop(fact, None)
        for fact in masked:
            value = facts.get(fact)
            if isinstance(value, str) and len(value) > 11:
                facts[fact] = mask(value)


def _is_call(facts: Facts) -> bool:
    """A model alone is a choice; with an answer, its cost or its number, it is a call."""
    return not _CALLING.isdisjoint(facts) and not _ANSWERING.isdisjoint(facts)


_TELLING_FAILURES: Final = frozenset(
    ("timeout", "timed_out", "cancelled", "canceled", "aborted", "crashed", "rate_limited")
)


def _failure_word(value: Any) -> str | None:
    """A stated outcome that says what went wrong, not only that something did."""
    word = str(value).strip().lower().rsplit(".", 1)[-1].replace("-", "_")
    return word if word in _TELLING_FAILURES else None


def _read_mapping(
    mapping: Mapping[str, tuple[str, ...]], attributes: Mapping[str, Any], normalised: bool
) -> list[tuple[str, FactValue, str]]:
    """The facts that an event's attributes hold, each with the key it was found under."""
    if normalised:
        attributes = {normalise(str(key)): value for key, value in list(attributes.items())[:64]}
    found = []
    for fact, keys in mapping.items():
        for alias in keys:
            hits = [alias] if "*" not in alias else [k for k in attributes if matches(k, alias)]
            value = next(
                (v for key in hits
                 if (v := values.conversion(fact, key)(attributes.get(key))) is not None), None,
            )  # fmt: skip
            if value is not None:
                found.append((fact, value, alias))
                break
    return found


@lru_cache(maxsize=4096)
def is_router_name(name: str) -> bool:
    """Whether a span's or an agent's name says that it decides where work goes."""
    return bool(_ROUTER_NAME.search(name.lower()))


def _times(start: int | None, end: int | None) -> tuple[int | None, int | None]:
    if start is None or not _EARLIEST_NS <= start < _LATEST_NS:
        start = None
    if end is None or not _EARLIEST_NS <= end < _LATEST_NS:
        end = None
    if start is not None and end is not None and end < start:
        end = start
    return start, end
