"""How policies do: in the shadow by what they would have drawn, in force by what they drew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from otel_learning.learning.policy_monitor import Promise, Watched, watch
from otel_learning.learning.policy_value import Chosen, effect
from otel_learning.policy_reader import matching
from otel_learning.store import policy_rows
from otel_learning.store.policies import Version
from otel_learning.store.policy_rows import PolicyRow, Scope
from otel_learning.store.reader import Reader


def scope_of(document: Mapping[str, Any]) -> Scope:
    """The decision and the contexts that a policy file is about."""
    return policy_rows.scope(document["decision"], document["context"])


def watched(store: Reader, version: Version) -> list[Watched]:
    """How a version that is in force keeps each of its promises."""
    scope = scope_of(version.document)
    rows = policy_rows.read(
        store, scope, version.document["environment"], policy_version=version.policy_version
    )
    return [
        watch(Promise(each["what"], each["limit"], each["expected"]), _told(rows, each["what"]))
        for each in version.proposal["promises"]
    ]


def _told(rows: Sequence[PolicyRow], what: str) -> list[float]:
    if what == "cost":
        return [row.cost for row in rows if row.cost is not None]
    return [float(row.success) for row in rows if row.success is not None]


def shadowed(store: Reader, version: Version) -> dict[str, Any]:
    """What a version would have changed since it is in the shadow, against what was done."""
    document = version.document
    scope = scope_of(document)
    rows = policy_rows.read(store, scope, document["environment"], since=version.state_since)
    found: dict[str, Any] = {"executions": len(rows)}
    for what in ("success", "cost"):
        told = [c for row in rows if (c := _chosen(row, scope, version, what)) is not None]
        found["effect" if what == "success" else "cost_effect"] = effect(told).as_dict()
    return found


def _chosen(row: PolicyRow, scope: Scope, version: Version, what: str) -> Chosen | None:
    reward = row.cost if what == "cost" else row.success
    if row.propensity is None or reward is None:
        return None
    context = dict(zip(scope.context, row.context, strict=True))
    rule = matching(version.document["rules"], context)
    told = matching(version.proposal["model"], context)
    place = 1 if what == "cost" else 0
    expected = {} if told is None else {
        arm: pair[place] or 0.0 for arm, pair in told["expected"].items()
    }  # fmt: skip
    return Chosen(
        row.propensity, row.arm, float(reward), None if rule is None else rule["propensities"],
        None, expected, row.weight,
    )  # fmt: skip
