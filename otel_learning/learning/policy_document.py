"""A policy's rules as the file has them, and back: contexts, bands of a number, thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from otel_learning.learning.policy import Context, Made, Shares
from otel_learning.store.policy_rows import Scope


def when(context: Context, wanted: Scope, edges: Sequence[float]) -> dict[str, Any]:
    """A context as the file has it: values by column, and `[low, high)` of a number."""
    found: dict[str, Any] = {}
    for name, value in zip(wanted.context, context, strict=True):
        if name == wanted.number and value is not None:
            number = int(value)
            found[name] = [
                edges[number - 1] if number > 0 else None,
                edges[number] if number < len(edges) else None,
            ]
        else:
            found[name] = value
    return found


def file_rules(made: Made, wanted: Scope, sizes: Mapping[Context, float]) -> list[dict[str, Any]]:
    """The file's rules; neighbouring bands with the same probabilities are one."""
    rules: list[dict[str, Any]] = []
    entry: dict[str, Any]
    for rule in sorted(made.rules, key=lambda r: _order(r.context, wanted)):
        entry = {
            "when": when(rule.context, wanted, made.edges),
            "arm": rule.arm,
            "propensities": rule.shares,
            "support": sizes.get(rule.context, 0),
        }
        if rules and wanted.number and _joins(rules[-1], entry, wanted.number):
            rules[-1]["when"][wanted.number][1] = entry["when"][wanted.number][1]
            rules[-1]["support"] += entry["support"]
        else:
            rules.append(entry)
    return rules


def _order(context: Context, wanted: Scope) -> tuple[Any, ...]:
    """Other columns first, so that the bands of each stand in a row."""
    return tuple(
        sorted(
            (name == wanted.number, int(value or 0) if name == wanted.number else str(value))
            for name, value in zip(wanted.context, context, strict=True)
        )
    )


def _joins(before: Mapping[str, Any], after: Mapping[str, Any], number: str) -> bool:
    left, right = before["when"], after["when"]
    return (
        before["propensities"] == after["propensities"]
        and all(left[name] == right[name] for name in left if name != number)
        and isinstance(left[number], list) and isinstance(right[number], list)
        and left[number][1] is not None and left[number][1] == right[number][0]
    )  # fmt: skip


def comparable(
    active: Mapping[str, Any] | None, scope: Scope, environment: str | None
) -> list[Mapping[str, Any]]:
    """The rules in force, where they are about the same decision in the same contexts."""
    if (
        active is None
        or active["decision"] != scope.decision
        or list(active.get("context", ())) != list(scope.context)
        or active.get("environment") != environment
    ):
        return []
    return list(active["rules"])


def in_force_of(
    rules: Sequence[Mapping[str, Any]], sizes: Mapping[Context, int], scope: Scope,
    edges: Sequence[float],
) -> dict[Context, Shares]:  # fmt: skip
    """Per context, what the rules in force draw from; contexts without one are left out."""
    found: dict[Context, Shares] = {}
    for context in sizes:
        for rule in rules:
            if _fits(rule["when"], when(context, scope, edges)):
                found[context] = dict(rule["propensities"])
                break
    if scope.number is None:
        # A context without recent executions keeps its rule.
        for rule in rules:
            values = tuple(rule["when"].get(name) for name in scope.context)
            found.setdefault(values, dict(rule["propensities"]))
    return found


def _fits(rule: Mapping[str, Any], context: Mapping[str, Any]) -> bool:
    for name, wanted in rule.items():
        have = context.get(name)
        if isinstance(wanted, list):
            if not isinstance(have, list):
                return False
            if (wanted[0] is not None and (have[0] is None or have[0] < wanted[0])) or (
                wanted[1] is not None and (have[1] is None or have[1] > wanted[1])
            ):
                return False
        elif have != wanted:
            return False
    return True
