"""From rows of the store to a proposal: what teaches, what judges, and what it comes to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from otel_learning.learning import policy, policy_gates
from otel_learning.learning.drift import half_life_days
from otel_learning.learning.evidence import environments
from otel_learning.learning.policy import Bounds, Change, Context, Made, Shares
from otel_learning.learning.policy_document import comparable, file_rules, in_force_of, when
from otel_learning.learning.policy_gates import Gate, Judged
from otel_learning.learning.policy_value import Chosen, Estimated, effect, value
from otel_learning.policy_reader import FORMAT
from otel_learning.store import policy_rows
from otel_learning.store.policy_rows import PolicyRow, Scope
from otel_learning.store.reader import Reader

ROLLING_SHARE: Final = 0.3
"""Of the executions, the newest, that judge and do not teach."""
EXPIRES_AFTER: Final = timedelta(days=30)
"""A policy that nobody renewed is no longer followed."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a policy is asked for."""

    scope: Scope
    environment: str | None = None
    """None: the one with most executions."""
    cost_weight: float = 0.05
    default: str | None = None
    bounds: Bounds = field(default_factory=Bounds)
    cool_down: timedelta = policy_gates.COOL_DOWN
    expires_after: timedelta = EXPIRES_AFTER


@dataclass(frozen=True, slots=True)
class Proposal:
    """A policy that could be put in force, what it would change, and what speaks against it."""

    document: dict[str, Any]
    """The policy file, without its version."""
    changes: list[dict[str, Any]]
    gates: list[Gate]
    effect: Estimated
    """Of the success rate, on all held-out executions."""
    utility: Estimated
    cost_effect: Estimated
    promises: list[dict[str, Any]]
    """What the policy is held to while it is in force."""
    reasons: tuple[str, ...]
    model: list[dict[str, Any]]
    """Per context, what is expected of each arm: later outcomes are judged with the same model."""

    def as_dict(self) -> dict[str, Any]:
        """What is written down beside the policy file."""
        return {
            "changes": self.changes,
            "gates": [gate.as_dict() for gate in self.gates],
            "effect": self.effect.as_dict(),
            "utility": self.utility.as_dict(),
            "cost_effect": self.cost_effect.as_dict(),
            "promises": self.promises,
            "reasons": list(self.reasons),
            "model": self.model,
        }


def propose(
    store: Reader, wanted: Wanted, active: Mapping[str, Any] | None,
    *, last_change: datetime | None, now: datetime,
) -> Proposal | None:  # fmt: skip
    """The policy that the evidence asks for; None where no execution tells of the decision.

    Args:
        store: what is read.
        wanted: what is asked for.
        active: the policy file that is in force.
        last_change: when what is in force changed last.
        now: only executions that had ended before count.
    """
    scope = wanted.scope
    environment = wanted.environment
    if environment is None:
        known = policy_rows.environments(store, scope, now)
        if not known:
            return None
        environment = known[0]
    rows = policy_rows.read(store, scope, environment, as_of=now)
    if not rows:
        return None
    begin_us = rows[math.floor(len(rows) * (1 - ROLLING_SHARE))].at_us
    if begin_us == rows[0].at_us:
        begin_us = rows[-1].at_us + 1  # all at one time: none is newer than the others
    teaching = [row for row in rows if row.at_us < begin_us and not row.frozen]
    rules_in_force = comparable(active, scope, environment)
    edges = policy.edges_of(teaching, scope, rules_in_force)
    source = policy_rows.training(scope, edges)
    boundary = datetime.fromtimestamp(begin_us / 1e6, UTC)
    evidence = environments(store.evidence(scope.by, boundary, half_life_days, source))
    if environment not in evidence:
        return None
    sizes: Counter[Context] = Counter()
    chosen: dict[Context, Counter[str]] = {}
    for row in rows:
        context = policy.context_of(row, scope, edges)
        sizes[context] += 1
        if row.at_us >= begin_us:
            chosen.setdefault(context, Counter())[row.arm] += 1
    observed = {context: _shares(chosen.get(context), rows, context, scope, edges)
                for context in sizes}  # fmt: skip
    in_force = in_force_of(rules_in_force, sizes, scope, edges)
    made = policy.make(
        evidence[environment], scope, edges, observed, dict(sizes), in_force,
        cost_weight=wanted.cost_weight, bounds=wanted.bounds,
    )  # fmt: skip
    held = [row for row in rows if row.frozen or row.at_us >= begin_us]
    return _judged(
        made, held, rows, begin_us, sizes, in_force, wanted, environment, active, last_change, now
    )


def _judged(
    made: Made, held: Sequence[PolicyRow], rows: Sequence[PolicyRow], begin_us: int,
    sizes: Mapping[Context, int], in_force: Mapping[Context, Shares], wanted: Wanted,
    environment: str | None, active: Mapping[str, Any] | None, last_change: datetime | None,
    now: datetime,
) -> Proposal:  # fmt: skip
    scope = wanted.scope
    target = {rule.context: rule.shares for rule in made.rules}
    told: dict[str, list[tuple[Context, PolicyRow, Chosen]]] = {}
    for what in ("utility", "success", "cost"):
        expected = _expected(made, what, wanted.cost_weight)
        told[what] = []
        for row in held:
            context = policy.context_of(row, scope, made.edges)
            one = chosen(row, context, what, made, expected, target, in_force, wanted.cost_weight)
            if one is not None:
                told[what].append((context, row, one))
    judged = Judged(
        effect((c for _, _, c in told["utility"]), policy_gates.CONFIDENCE),
        effect(c for _, row, c in told["utility"] if row.at_us >= begin_us),
        effect(c for _, row, c in told["utility"] if row.frozen),
    )
    by_context: dict[str, dict[Context, list[Chosen]]] = {"success": {}, "cost": {}}
    for what, parts in by_context.items():
        for context, _, one in told[what]:
            if context in target:
                parts.setdefault(context, []).append(one)
    since = 0
    if active is not None:
        version = active["policy_version"]
        since = sum(r.policy_version == version and r.success is not None for r in rows)
    found = policy_gates.gates(
        made, judged, last_change=last_change, outcomes_since=since, now=now,
        cool_down=wanted.cool_down, step_share=wanted.bounds.step_share,
    )  # fmt: skip
    changes = []
    for change in made.changes:
        success = effect(by_context["success"].get(change.context, ()))
        cost = effect(by_context["cost"].get(change.context, ()))
        before = max(change.before, key=lambda a: (change.before[a], a)) if change.before else None
        changes.append({
            "context": when(change.context, scope, made.edges),
            "from": before,
            "to": max(change.after, key=lambda a: (change.after[a], a)),
            **_told(success, change, made),
            "cost_effect": cost.value, "cost_low": cost.low, "cost_high": cost.high,
            "support": success.support, "effective_support": success.effective_support,
            "before": change.before, "after": change.after,
        })  # fmt: skip
    document = {
        "format": FORMAT,
        "policy_version": None,
        "made_at": now.isoformat(),
        "expires_at": (now + wanted.expires_after).isoformat(),
        "decision": scope.decision,
        "context": list(scope.context),
        "environment": environment,
        "cost_weight": wanted.cost_weight,
        "default": wanted.default if wanted.default is not None else made.default,
        "parent": active["policy_version"] if active is not None else None,
        "evidence": {
            "basis": made.basis,
            "executions": len(rows),
            "held_out": len(held),
            "from": _time(rows[0].at_us),
            "to": _time(rows[-1].at_us),
        },
        "rules": file_rules(made, scope, sizes),
    }
    return Proposal(
        document, changes, found, effect(c for _, _, c in told["success"]), judged.effect,
        effect(c for _, _, c in told["cost"]),
        _promises(
            value(c for part in by_context["success"].values() for c in part),
            value(c for part in by_context["cost"].values() for c in part),
        ),
        made.reasons,
        [
            {"when": when(context, scope, made.edges), "expected": dict(expected)}
            for context, expected in made.expected.items()
        ],
    )  # fmt: skip


def _expected(
    made: Made, what: str, cost_weight: float
) -> dict[Context, dict[str, float]]:  # fmt: skip
    """Per context and arm, what the evidence lets one expect of a reward."""
    return {
        context: {
            arm: _reward(what, rate, spent, made, cost_weight)
            for arm, (rate, spent) in arms.items()
        }
        for context, arms in made.expected.items()
    }


def _reward(
    what: str, rate: float, spent: float | None, made: Made, cost_weight: float
) -> float:  # fmt: skip
    if what == "success":
        return rate
    if what == "cost":
        return spent or 0.0
    scale = cost_weight / made.dearest if made.dearest > 0 else 0.0
    return rate - scale * (spent if spent is not None else made.dearest)


def chosen(
    row: PolicyRow, context: Context, what: str, made: Made,
    expected: Mapping[Context, Mapping[str, float]], target: Mapping[Context, Shares],
    in_force: Mapping[Context, Shares], cost_weight: float,
) -> Chosen | None:  # fmt: skip
    """A row as policies are judged by it; None where its outcome or its chance is unknown."""
    if row.propensity is None or (row.cost if what == "cost" else row.success) is None:
        return None
    cost = row.cost
    if cost is None:
        known = made.expected.get(context, {}).get(row.arm)
        cost = known[1] if known is not None else None
    return Chosen(
        row.propensity, row.arm,
        _reward(what, float(bool(row.success)), cost, made, cost_weight),
        target.get(context), in_force.get(context), expected.get(context, {}), row.weight,
    )  # fmt: skip


def _told(success: Estimated, change: Change, made: Made) -> dict[str, Any]:
    """The effect in a context: as held-out choices tell it, else as the evidence lets expect.

    Without propensities nothing held out can tell; then the rates' own 90 % intervals bound it.
    """
    if success.value is not None:
        return {"effect": success.value, "low": success.low, "high": success.high,
                "effect_from": "held-out"}  # fmt: skip
    rates, bands = made.expected.get(change.context, {}), made.bands.get(change.context, {})
    moved = {
        arm: change.after.get(arm, 0.0) - change.before.get(arm, 0.0)
        for arm in {*change.before, *change.after}
    }
    if not all(arm in rates and arm in bands for arm in moved):
        return {"effect": None, "low": None, "high": None, "effect_from": None}
    return {
        "effect": math.fsum(share * rates[arm][0] for arm, share in moved.items()),
        "low": math.fsum(share * bands[arm][share < 0] for arm, share in moved.items()),
        "high": math.fsum(share * bands[arm][share > 0] for arm, share in moved.items()),
        "effect_from": "model",
    }


def _promises(success: Estimated, cost: Estimated) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if success.value is not None and success.low is not None:
        found.append({"what": "success", "expected": success.value, "limit": success.low})
    if cost.value is not None and cost.high is not None and cost.high > 0:
        found.append({"what": "cost", "expected": cost.value, "limit": cost.high})
    return found


def _shares(
    lately: Counter[str] | None, rows: Sequence[PolicyRow], context: Context, scope: Scope,
    edges: Sequence[float],
) -> Shares:  # fmt: skip
    """What was chosen lately in a context; all that is known, where that is nothing."""
    counted = lately
    if not counted:
        counted = Counter(
            row.arm for row in rows if policy.context_of(row, scope, edges) == context
        )
    total = sum(counted.values())
    return {arm: count / total for arm, count in sorted(counted.items())}


def _time(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat()
