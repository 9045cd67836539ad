"""`explain`: what was read from each span, and what decided each column of an execution. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from otel_learning.assembly.assemble import COLUMNS, assemble, evidence_of
from otel_learning.assembly.correlation import correlate
from otel_learning.assembly.evidence import Row
from otel_learning.mapping.observe import Mapper, Source
from otel_learning.mapping.outcome import error_type
from otel_learning.mapping.pricing import price
from otel_learning.mapping.profile import key_matches
from otel_learning.observation import Observation

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

Keys = dict[tuple[str, str], str]
"""(span id, fact) -> the key that it was read from."""

_RULES: Final = {
    "execution_id": "made of the scope, the task id or first trace, and the run",
    "task_id": "rules C1 to C3: the id that its spans name",
    "run": "rule C1: how often this task id was carried out before, and this time",
    "trace_ids": "the traces of its spans",
    "started_at": "its earliest span",
    "ended_at": "its latest span",
    "duration_seconds": "stated for the task, else the topmost span's own",
    "propensity_of": "stated, else model_tier",
    "model_tier": "stated by the route, else by the model's name",
    "model": "the last working attempt that succeeded",
    "requested_model": "the first working attempt, else the route",
    "provider": "the attempt that `model` is of",
    "agent": "the first agent that works and does not route",
    "success_source": "the rule that decided success",
    "error_type": "the outermost span that says something about the failure",
    "error_class": "the outermost span that says something about the failure",
    "error_message": "the outermost span that says something about the failure",
    "fallback_used": "stated, else seen in the order of the attempts",
    "cost_source": "the rule that decided actual_cost",
    "input_tokens": "the sum over its model calls",
    "output_tokens": "the sum over its model calls",
    "router_cost": "the sum over the router's model calls",
    "attempt_count": "its model calls, each counted once",
    "failed_attempt_count": "its working model calls that failed",
    "producer": "the topmost span's instrumentation scope",
    "profile": "the profile that read most of the topmost span",
    "complete": "whether its topmost span has been seen",
    "dropped_attributes": "what the SDK dropped from its spans",
    "metadata": "the keys that a profile lists",
}
_BY_STORE: Final = ("recorded_at", "updated_at")
_SPAN: Final = re.compile(r"span ([0-9a-f]{16})$")
_DECISIONS: Final = {
    "stated": "stated by a span of the task",
    "last_attempt": "no outcome is stated; the last working attempt decides",
    "unhandled_error": "no outcome is stated; the topmost span ended in an error",
    "root_status": "no outcome is stated; the topmost span's status is OK",
    "reported": "reported by the producer",
    "priced": "its tokens, by the price table of genai-prices",
}


def explain_spans(
    mapper: Mapper, spans: Iterable[ReadableSpan], window_seconds: float
) -> dict[str, Any]:
    """What each span told, and the executions that they make together."""
    told, observations = [], []
    keys: Keys = {}
    names: dict[str, str] = {}
    for span in spans:
        sources: list[Source] = []
        observation = mapper.span(span, sources)
        context = span.context
        span_id = f"{context.span_id:016x}" if context is not None else ""
        names[span_id] = span.name
        keys |= {(span_id, source.fact): source.key for source in sources}
        if observation is not None:
            observations.append(observation)
        told.append(_span(mapper, span, observation, sources))
    return {"spans": told, "executions": _executions(observations, window_seconds, keys, names)}


def explain_observations(
    observations: Sequence[Observation], window_seconds: float
) -> dict[str, Any]:
    """The same from what a store's ledger holds: facts, but no longer the keys behind them."""
    told = [
        {
            "trace_id": o.trace_id,
            "span_id": o.span_id,
            "name": None,
            "role": o.role,
            "facts": [
                {"fact": fact, "value": value, "key": None, "profile": o.profile}
                for fact, value in o.facts.items()
            ],
            "not_read": [],
        }
        for o in observations
    ]
    return {"spans": told, "executions": _executions(observations, window_seconds, {}, {})}


def _span(
    mapper: Mapper, span: ReadableSpan, observation: Observation | None, sources: list[Source]
) -> dict[str, Any]:
    context = span.context
    facts: list[dict[str, Any]] = [
        {"fact": s.fact, "value": s.value, "key": s.key, "profile": s.profile} for s in sources
    ]
    role = None
    if observation is not None:
        role = observation.role
        known = {fact["fact"] for fact in facts}
        facts = [
            # What is stored, after masking; a fact that the mapping dropped again is not.
            {**fact, "value": observation.facts.get(str(fact["fact"]), fact["value"])}
            for fact in facts
        ]
        facts += [
            {"fact": fact, "value": value, "key": None, "profile": None}
            for fact, value in observation.facts.items()
            if fact not in known
        ]
    return {
        "trace_id": f"{context.trace_id:032x}" if context is not None else None,
        "span_id": f"{context.span_id:016x}" if context is not None else None,
        "name": span.name,
        "role": role,
        "facts": facts,
        "not_read": _not_read(mapper, span, sources),
    }


def _not_read(mapper: Mapper, span: ReadableSpan, sources: list[Source]) -> list[str]:
    """Attribute keys that told nothing."""
    read = {source.key for source in sources}
    roles = {key for profile in mapper.profiles for key in profile.roles}
    copied = {key for profile in mapper.profiles for key in profile.metadata}

    def told(key: str) -> bool:
        inside = f"{key}."
        return (
            key in read
            or any(source.startswith(inside) for source in read)
            or any(key_matches(key, role) for role in roles)
            or key in copied
        )

    return [key for key in (span.attributes or {}) if not told(key)]


def _executions(
    observations: Sequence[Observation], window_seconds: float, keys: Keys, names: dict[str, str]
) -> list[dict[str, Any]]:
    explained = []
    for group in correlate(observations, window_seconds).groups:
        assembled = assemble(group, price, error_type)
        task_spans = [o.span_id for o in group.observations if "task_id" in o.facts]
        evidence = evidence_of(group, assembled.execution)
        if task_spans and group.task_id is not None:
            evidence["task_id"] = f"span {task_spans[0]}"
        explained.append(
            {
                "execution_id": assembled.execution["execution_id"],
                "task_id": assembled.execution["task_id"],
                "columns": _columns(assembled.execution, evidence, keys, names),
                "unknown": [
                    name
                    for name in COLUMNS
                    if assembled.execution.get(name) in (None, []) and name not in _BY_STORE
                ],
                "attempts": [
                    {**attempt, "started_at": _time(attempt["started_at"])}
                    for attempt in assembled.attempts
                ],
            }
        )
    return explained


def _columns(
    row: Row, evidence: dict[str, str], keys: Keys, names: dict[str, str]
) -> list[dict[str, Any]]:
    columns = []
    for column, value in row.items():
        if value in (None, []):
            continue
        said = evidence.get(column)
        if column in ("started_at", "ended_at"):
            value = _time(value)
        columns.append(
            {"column": column, "value": value, "from": _origin(column, said, keys, names)}
        )
    return columns


def _time(nanoseconds: int | None) -> datetime | None:
    return None if nanoseconds is None else datetime.fromtimestamp(nanoseconds / 1e9, UTC)


def _origin(column: str, said: str | None, keys: Keys, names: dict[str, str]) -> str:
    """In words, what decided a column: a span and its key, or a rule."""
    if said is None:
        return _RULES.get(column, "a rule of the assembly")
    of_span = _SPAN.search(said)
    if of_span is None:
        return _DECISIONS.get(said.removeprefix("rule "), said)
    span_id = of_span[1]
    name = f" ({names[span_id]})" if names.get(span_id) else ""
    key = keys.get((span_id, column))
    return f"{said}{name}" + (f", key {key}" if key else "")
