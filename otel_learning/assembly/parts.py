"""One execution out of the parts that several stores hold of it. Pure.

A task whose spans reach more than one receiver is an execution in each of their stores, under one
id. From the records alone, in any order and with any part given twice, the same one comes out.
What needs all spans at once stays what the part says that saw the topmost span.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from otel_learning.assembly.attempts import same_model
from otel_learning.assembly.evidence import Row

_ROUTE: Final = (
    "model_tier", "pool_type", "swarm_topology", "selector", "routing_confidence",
    "complexity_score", "policy_version", "experiment", "variant", "cost_estimate",
)  # fmt: skip
"""What the router chose: what was said first stands."""
_ERROR: Final = ("error_type", "error_class", "error_message")
_TOGETHER: Final = (
    ("propensity", "propensity_of"), ("success", "success_source"), _ERROR, ("producer", "profile"),
)  # fmt: skip
"""What is taken from one part, or from none."""
_LATEST: Final = datetime.max.replace(tzinfo=UTC)


class Part(NamedTuple):
    """What one store holds of an execution: the rows of it and of its attempts."""

    execution: Row
    attempts: list[Row]


def one_run(low: Row, high: Row, window_seconds: float) -> bool:
    """Whether two parts under one id are of one run: no longer silence lies between them (C1)."""
    starts = [row["started_at"] for row in (low, high)]
    ends = [row["ended_at"] or row["started_at"] for row in (low, high)]
    if None in starts:
        return True
    gap: timedelta = max(starts) - min(ends)
    return gap.total_seconds() <= window_seconds


def merged(parts: Sequence[Part]) -> Part:
    """The execution that the parts make together.

    * The task's own words come from the part that saw the topmost span, else the earliest.
    * The route is what was said first.
    * A stated outcome stands before one that the last attempt, the latest of all, shows.
    * Attempts are those of all parts, each span once; tokens and costs are their sums.
    """
    parts = list({_what(part): part for part in sorted(parts, key=_leading)}.values())
    leading = sorted(parts, key=_leading)
    by_time = sorted(parts, key=_by_time)
    attempts = _attempts(by_time)
    row: Row = dict(leading[0].execution)
    for column in row:
        row[column] = _first(leading, column)
    for column in _ROUTE:
        row[column] = _first(by_time, column)
    sure = sorted(leading, key=_how_sure)
    orders = {"propensity": by_time, "success": sure, "error_type": sure}
    for columns in _TOGETHER:
        order = orders.get(columns[0], leading)
        chosen = next((p for p in order if p.execution[columns[0]] is not None), order[0])
        for column in columns:
            row[column] = chosen.execution[column]
    if row["success"]:
        for column in _ERROR:  # what failed in another part was mended
            row[column] = sure[0].execution[column]
    row["trace_ids"] = list(dict.fromkeys(t for p in by_time for t in p.execution["trace_ids"]))
    row["started_at"] = _least(p.execution["started_at"] for p in parts)
    row["ended_at"] = _most(p.execution["ended_at"] for p in parts)
    row["recorded_at"] = _least(p.execution["recorded_at"] for p in parts)
    row["updated_at"] = _most(p.execution["updated_at"] for p in parts)
    row["day"] = by_time[0].execution["day"]
    row["run"] = _least(p.execution["run"] for p in parts)
    row["complete"] = any(p.execution["complete"] for p in parts)
    row["dropped_attributes"] = _sum(p.execution["dropped_attributes"] for p in parts)
    seen = {p.execution["fallback_used"] for p in parts}
    taken = any(attempt["reason"] == "fallback" for attempt in attempts)
    row["fallback_used"] = taken or True in seen or (False if False in seen else None)
    row["metadata"] = _metadata(leading)
    _decide_models(row, by_time, attempts)
    _decide_cost(row, parts, attempts)
    return Part(row, attempts)


def _decide_models(row: Row, by_time: Sequence[Part], attempts: Sequence[Row]) -> None:
    work = [attempt for attempt in attempts if attempt["role"] == "work"]
    good = [a for a in work if a["success"] is not False and a["model"] is not None]
    if good:
        row["model"], row["provider"] = good[-1]["model"], good[-1]["provider"]
    asked = next((a["requested_model"] for a in work if a["requested_model"]), None)
    row["requested_model"] = asked or _first(by_time, "requested_model")


def _decide_cost(row: Row, parts: Sequence[Part], attempts: Sequence[Row]) -> None:
    row["attempt_count"] = len(attempts)
    row["failed_attempt_count"] = len(
        [a for a in attempts if a["role"] == "work" and a["success"] is False]
    )
    calling = _without_copies([part for part in parts if part.attempts])
    if not calling:
        return
    for column in ("input_tokens", "output_tokens"):
        row[column] = _sum(part.execution[column] for part in calling)
    row["router_cost"] = _sum(part.execution["router_cost"] for part in calling)
    # A part without calls that names a cost names that of the whole task.
    stated = [p for p in parts if not p.attempts and p.execution["actual_cost"] is not None]
    if stated:
        row["actual_cost"] = stated[0].execution["actual_cost"]
        row["cost_source"] = stated[0].execution["cost_source"]
        return
    costs = [part.execution["actual_cost"] for part in calling]
    known = None not in costs
    row["actual_cost"] = sum(costs) if known else None
    sources = {part.execution["cost_source"] for part in calling}
    row["cost_source"] = ("priced" if "priced" in sources else "reported") if known else None


def _attempts(by_time: Sequence[Part]) -> list[Row]:
    best: dict[tuple[Any, Any], Row] = {}
    for part in by_time:
        for attempt in part.attempts:
            key = (attempt["trace_id"], attempt["span_id"])
            if key not in best or _told(attempt) > _told(best[key]):
                best[key] = attempt
    ordered = sorted(
        best.values(),
        key=lambda a: (a["started_at"] or _LATEST, a["trace_id"] or "", a["ordinal"] or 0),
    )
    return _with_reasons([{**a, "ordinal": place} for place, a in enumerate(ordered, start=1)])


def _with_reasons(attempts: list[Row]) -> list[Row]:
    """What its own store took for a first call may follow one that failed elsewhere."""
    previous: Row | None = None
    for attempt in attempts:
        if attempt["role"] != "work":
            continue
        if attempt["reason"] == "initial" and previous and previous["success"] is False:
            same = same_model(previous["requested_model"], attempt["requested_model"])
            attempt["reason"] = "retry" if same else "fallback"
        previous = attempt
    return attempts


def _without_copies(parts: Sequence[Part]) -> list[Part]:
    """Leaves out parts of which another one has every call: a store may have been copied."""
    kept: list[Part] = []
    for part in sorted(parts, key=lambda p: (-len(p.attempts), _leading(p))):
        calls = _calls(part)
        if not any(calls <= _calls(other) for other in kept):
            kept.append(part)
    return kept


def _calls(part: Part) -> frozenset[tuple[Any, Any]]:
    return frozenset((attempt["trace_id"], attempt["span_id"]) for attempt in part.attempts)


def _what(part: Part) -> tuple[Any, ...]:
    row = part.execution
    return tuple(row["trace_ids"] or ()), row["started_at"], row["ended_at"], _calls(part)


def _leading(part: Part) -> tuple[Any, ...]:
    return (not part.execution["complete"], *_by_time(part))


def _by_time(part: Part) -> tuple[Any, ...]:
    row = part.execution
    traces = row["trace_ids"] or [""]
    return row["started_at"] or _LATEST, -_told(row), traces[0], str(row["success"])


def _how_sure(part: Part) -> tuple[Any, ...]:
    row = part.execution
    if row["success"] is None:
        return (3,)
    if row["success_source"] == "last_attempt":
        return 2, -(row["ended_at"].timestamp() if row["ended_at"] else 0.0)
    return (0 if row["success_source"] == "stated" else 1,)


def _told(row: Row) -> int:
    return sum(value is not None for value in row.values())


def _first(parts: Iterable[Part], column: str) -> Any:
    return next((p.execution[column] for p in parts if p.execution[column] is not None), None)


def _metadata(leading: Sequence[Part]) -> str | None:
    said: dict[str, Any] = {}
    for part in reversed(leading):
        if part.execution["metadata"] is not None:
            said.update(json.loads(part.execution["metadata"]))
    return json.dumps(said, sort_keys=True) if said else None


def _least(values: Iterable[Any]) -> Any:
    return min((value for value in values if value is not None), default=None)


def _most(values: Iterable[Any]) -> Any:
    return max((value for value in values if value is not None), default=None)


def _sum(values: Iterable[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
