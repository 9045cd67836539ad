"""The model calls of one execution: each once, in order, with what became of it. Pure.

Several instrumentations may see one call, a wrapper may stand around the calls it makes, and
some producers write a call's attributes over their caller's span. What remains is one `Call`
per request that the spans show.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal

from otel_learning.assembly.correlation import order
from otel_learning.assembly.lineage import Lineage
from otel_learning.observation import Facts, Observation

_FILTERED: Final = ("content_filter", "content-filter", "safety", "refusal", "guardrail_intervened")
_ROUTING_PURPOSE: Final = re.compile(r"rout|classif|triage")
_MERGED: Final = (
    "requested_model", "response_model", "provider", "response_id", "error_class",
    "error_message", "cost", "tier_hint", "finish", "attempt_reason",
)  # fmt: skip
_FRAMEWORKS: Final = frozenset(("strands-agents", "agent_framework", "litellm", "langchain"))
"""Values that stand where a provider should, but name the framework."""


@dataclass(frozen=True, slots=True)
class Call:
    """One model call; `facts` are those of all spans that saw it, merged."""

    observation: Observation
    facts: Facts
    success: bool | None
    router: bool
    reason: Literal["initial", "retry", "fallback"] = "initial"

    @property
    def model(self) -> str | None:
        found = self.facts.get("response_model") or self.facts.get("requested_model")
        return None if found is None else str(found)

    @property
    def requested_model(self) -> str | None:
        found = self.facts.get("requested_model") or self.facts.get("response_model")
        return None if found is None else str(found)

    @property
    def has_usage(self) -> bool:
        return "input_tokens" in self.facts or "output_tokens" in self.facts


def calls_of(observations: list[Observation], lineage: Lineage) -> list[Call]:
    """The calls of an execution, in order, each once."""
    if not any(o.role == "call" or "requested_model" in o.facts for o in observations):
        return []
    seen = [o for o in observations if o.role == "call"]
    written_over = [
        o for o in observations
        if o.role in ("task", "step") and "requested_model" in o.facts
        and ("response_id" in o.facts or "finish" in o.facts or "output_tokens" in o.facts)
    ]  # fmt: skip
    merged = _merge_same(seen, lineage)
    merged = _add_written_over(merged, written_over)
    merged = _drop_wrappers(merged, lineage)
    merged = _merge_twins(merged)
    calls = [
        Call(
            observation=observation,
            facts=facts,
            success=_success(observation, facts),
            router=_is_router(observation, lineage),
        )
        for observation, facts in _in_order(merged)
    ]
    return _with_reasons(calls)


_Seen = tuple[Observation, Facts]


def _merge_same(seen: list[Observation], lineage: Lineage) -> list[_Seen]:
    """One entry per response id: a call that two instrumentations saw counts once."""
    groups: dict[object, list[Observation]] = defaultdict(list)
    for observation in seen:
        response = observation.facts.get("response_id")
        groups[response if response is not None else observation.key].append(observation)
    merged = []
    for members in groups.values():
        # The outermost one saw the whole call; of siblings, the one with more to say.
        if len(members) > 1:
            members.sort(key=lambda o: (lineage.depth(o), -len(o.facts), order(o)))
        facts = dict(members[0].facts)
        for other in members[1:]:
            _fold(facts, other.facts)
        merged.append((members[0], facts))
    return merged


def _fold(facts: Facts, other: Facts) -> None:
    for name in _MERGED:
        if name in other:
            facts.setdefault(name, other[name])
    # One of the two may leave cached tokens out, or have seen only the start of a stream.
    for name in ("input_tokens", "output_tokens", "cached_tokens"):
        if name in other:
            facts[name] = max(int(facts.get(name, 0)), int(other[name]))


def _add_written_over(merged: list[_Seen], written_over: list[Observation]) -> list[_Seen]:
    """A call's attributes on its caller's own span: the call itself, unless a span of it exists.

    Each call overwrites what the one before left there, so at most the last one can be read.
    """
    for observation in written_over:
        below = [entry for entry in merged if _stands_directly_below(entry[0], observation)]
        if not below:
            merged = [*merged, (observation, dict(observation.facts))]
            continue
        response = observation.facts.get("response_id")
        same = [facts for _, facts in below if response and facts.get("response_id") == response]
        silent = [facts for _, facts in below if "response_id" not in facts]
        for facts in (same or silent)[-1:]:
            _fold(facts, observation.facts)
    return merged


def _stands_directly_below(call: Observation, observation: Observation) -> bool:
    return call.trace_id == observation.trace_id and call.parent_id == observation.span_id


def _drop_wrappers(merged: list[_Seen], lineage: Lineage) -> list[_Seen]:
    """One call around another: the same call where both succeeded, else a wrapper.

    A call that succeeded around one that did, is that one, seen further out. A call that
    failed around failed ones adds nothing but its message. Failures inside a success stay:
    they are the attempts before it.
    """
    by_key = {observation.key: (observation, facts) for observation, facts in merged}
    inner: dict[tuple[str | None, str], list[_Seen]] = defaultdict(list)
    for entry in merged:
        for above in lineage.above(entry[0]):
            if above.key in by_key:
                inner[above.key].append(entry)
                break
    dropped = set()
    # The innermost first, so that what it knows can travel all the way out.
    for key, members in sorted(
        inner.items(), key=lambda item: (-lineage.depth(by_key[item[0]][0]), str(item[0]))
    ):
        observation, facts = by_key[key]
        members.sort(key=lambda entry: order(entry[0]))
        good = [entry for entry in members if entry[0].status != "error"]
        if observation.status == "error" or len(good) > 1:
            if len(good) < 2:  # what a caller of several sums up is no one call's
                _fold(members[-1][1], facts)
            dropped.add(key)
        elif good:
            _fold(facts, good[0][1])
            dropped.add(good[0][0].key)
    return [entry for entry in merged if entry[0].key not in dropped]


def _merge_twins(merged: list[_Seen]) -> list[_Seen]:
    """Siblings of two instrumentations, one inside the other in time: one call, seen twice."""
    kept: list[_Seen] = []
    for entry in sorted(merged, key=lambda e: order(e[0])):
        twin = next((k for k in kept if _is_twin(k, entry)), None)
        if twin is None:
            kept.append(entry)
        else:
            _fold(twin[1], entry[1])
    return kept


def _is_twin(outer: _Seen, inner: _Seen) -> bool:
    a, b = outer[0], inner[0]
    if a.trace_id != b.trace_id or a.parent_id != b.parent_id:
        return False
    if not same_model(_named(outer[1]), _named(inner[1])):
        return False
    if _ends_a_stream(outer, inner):
        return True
    if a.producer == b.producer:
        return False
    if outer[1].get("response_id") and inner[1].get("response_id"):
        return False
    if None in (a.start_ns, a.end_ns, b.start_ns, b.end_ns):
        return False
    inside = (a.start_ns or 0) <= (b.start_ns or 0) and (b.end_ns or 0) <= (a.end_ns or 0)
    failed = (a.status == "error") == (b.status == "error")
    return inside and failed


def _ends_a_stream(outer: _Seen, inner: _Seen) -> bool:
    """A moment's span after a call without usage: what the call's stream came to in the end."""
    a, b = outer[0], inner[0]
    momentary = b.start_ns is not None and b.start_ns == b.end_ns
    return (
        momentary
        and a.end_ns is not None
        and (b.start_ns or 0) >= (a.start_ns or 0)
        and a.start_ns != a.end_ns
        and "output_tokens" not in outer[1]
        and "output_tokens" in inner[1]
    )


def _named(facts: Facts) -> str | None:
    found = facts.get("requested_model") or facts.get("response_model")
    return None if found is None else str(found)


def _in_order(merged: list[_Seen]) -> list[_Seen]:
    """By clock, except that numbered siblings stand in the order of their numbers (C6)."""
    # A call that failed inside another one's span came before what made that one succeed.
    ordered = sorted(merged, key=lambda entry: (entry[0].end_ns or 2**63, order(entry[0])))
    numbered: dict[tuple[str | None, str | None], list[int]] = defaultdict(list)
    for position, (observation, facts) in enumerate(ordered):
        if "attempt_number" in facts:
            numbered[(observation.trace_id, observation.parent_id)].append(position)
    for positions in numbered.values():
        entries = sorted(
            (ordered[p] for p in positions),
            key=lambda e: (int(e[1]["attempt_number"]), order(e[0])),
        )
        for position, entry in zip(positions, entries, strict=True):
            ordered[position] = entry
    return ordered


def _success(observation: Observation, facts: Facts) -> bool | None:
    finish = str(facts.get("finish", "")).lower()
    if any(word in finish for word in _FILTERED):
        return False
    if observation.role == "call":
        if observation.status == "error":
            return False
        if "success" in facts:
            return bool(facts["success"])
    if {"output_tokens", "response_id", "finish"} & facts.keys():
        return True
    return True if observation.status == "ok" else None


def _is_router(observation: Observation, lineage: Lineage) -> bool:
    """A call below a routing decision chose; it did not work on the task."""
    purpose = observation.facts.get("purpose")
    if purpose is not None:
        return bool(_ROUTING_PURPOSE.search(str(purpose).lower()))
    for above in lineage.above(observation):
        if above.role == "route":
            return True
        if above.role in ("agent", "task"):
            return False
    return False


def _with_reasons(calls: list[Call]) -> list[Call]:
    explained = []
    previous: Call | None = None
    for call in calls:
        if call.router:
            explained.append(call)
            continue
        stated = call.facts.get("attempt_reason")
        reason: Literal["initial", "retry", "fallback"] = "initial"
        if stated in ("initial", "retry", "fallback"):
            reason = stated  # type: ignore[assignment]
        elif previous is not None and previous.success is False:
            same = same_model(previous.requested_model, call.requested_model)
            reason = "retry" if same else "fallback"
        call = replace(call, reason=reason)
        explained.append(call)
        previous = call
    return explained


def same_model(a: str | None, b: str | None) -> bool:
    """Whether two names mean one model; where one is unknown, nothing says otherwise."""
    if a is None or b is None:
        return True
    return bare_model(a) == bare_model(b)


@lru_cache(maxsize=4096)
def bare_model(name: str) -> str:
    """A model's name without provider, date and `latest`."""
    bare = name.lower().rsplit("/", 1)[-1].rsplit(":", 1)[-1]
    return re.sub(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|latest)$", "", bare)


def provider_of(facts: Facts) -> str | None:
    """The provider, where what stands there is one."""
    found = facts.get("provider")
    if found is None or str(found).lower() in _FRAMEWORKS:
        return None
    return str(found)
