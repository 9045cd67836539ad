"""Single details of a span or event: containers, exceptions, mapped keys, metadata, times."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from otel_learning.mapping import values
from otel_learning.mapping.plan import Plan
from otel_learning.mapping.privacy import mask
from otel_learning.mapping.profile import matches, normalise
from otel_learning.observation import Facts, FactValue

EVENT_KEYS_LIMIT: Final = 64
METADATA_LIMIT: Final = 2048
"""Characters of the metadata that one span may add."""
EARLIEST_NS: Final = 946_684_800_000_000_000
"""The year 2000: an earlier time is none (correlation rule C6)."""
LATEST_NS: Final = 4_102_444_800_000_000_000
"""The year 2100."""

_TELLING_FAILURES: Final = frozenset(
    ("timeout", "timed_out", "cancelled", "canceled", "aborted", "crashed", "rate_limited")
)


def expand(given: dict[str, Any], containers: tuple[tuple[str, str], ...]) -> dict[str, Any]:
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


def read_exception(event: Any, attributes: Mapping[str, Any], facts: Facts, failed: bool) -> None:
    found = values.text(attributes.get("exception.type"))
    message = values.free_text(attributes.get("exception.message"))
    if found:
        facts.setdefault("error_class", found.rsplit(".", 1)[-1])
    if message and (failed or "error_class" in facts):
        facts.setdefault("error_message", message)
    # When it happened tells whether the span recovered from it.
    if event.timestamp and EARLIEST_NS <= event.timestamp < LATEST_NS:
        facts["error_at_ns"] = event.timestamp


def read_mapping(
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


def name_failure(given: Mapping[str, Any], plan: Plan, facts: Facts) -> None:
    """An outcome such as `timeout` says what went wrong, not only that something did."""
    keys = [key for fact, key, _ in plan.single if fact == "success"]
    keys += [c.key for fact, several in plan.several if fact == "success" for c in several]
    for key in keys:
        word = str(given[key]).strip().lower().rsplit(".", 1)[-1].replace("-", "_")
        if word in _TELLING_FAILURES:
            facts["error_class"] = word
            return


def copy_metadata(given: Mapping[str, Any], keys: tuple[str, ...], facts: Facts) -> None:
    copied: dict[str, Any] = {}
    for key in keys:
        value = given.get(key)
        if isinstance(value, str):
            copied[key] = mask(value[:200])
        elif isinstance(value, int | float):
            copied[key] = value if value == value else None  # NaN is no JSON
    if copied:
        facts["metadata"] = json.dumps(copied, sort_keys=True)[:METADATA_LIMIT]


def clamped_times(start: int | None, end: int | None) -> tuple[int | None, int | None]:
    """Times outside 2000..2100 are none (C6); an end before its start is clamped."""
    if start is None or not EARLIEST_NS <= start < LATEST_NS:
        start = None
    if end is None or not EARLIEST_NS <= end < LATEST_NS:
        end = None
    if start is not None and end is not None and end < start:
        end = start
    return start, end
