"""How policies are shown: changes and gates in tables, or as the JSON that programs read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from otel_learning.cli.output import print_table, print_text

if TYPE_CHECKING:
    from otel_learning.learning.policy_evidence import Proposal
    from otel_learning.store.policies import Version


def proposed(version: str | None, found: Proposal | None) -> dict[str, Any]:
    """A proposal as JSON; of no evidence too."""
    if found is None:
        why = "no execution tells of this decision"
        return {"policy_version": None, "changes": [],
                "gates": [{"gate": "support", "passed": False, "why": why}]}  # fmt: skip
    return _answer(version, found.document, found.as_dict())


def stored(version: Version) -> dict[str, Any]:
    """A version that was written down, as JSON."""
    return {
        **_answer(version.policy_version, version.document, version.proposal),
        "state": version.state,
    }


def _answer(
    version: str | None, document: Mapping[str, Any], proposal: Mapping[str, Any]
) -> dict[str, Any]:
    shown = ("changes", "gates", "effect", "utility", "cost_effect", "promises", "reasons")
    named = ("decision", "context", "environment", "cost_weight", "default", "parent", "evidence",
             "expires_at", "rules")  # fmt: skip
    return {
        "policy_version": version,
        **{name: proposal[name] for name in shown},
        "policy": {name: document[name] for name in named},
    }


def print_proposal(answer: Mapping[str, Any]) -> None:
    """Prints what a policy would change, and its gates."""
    version = answer["policy_version"]
    policy = answer.get("policy")
    if policy is None:
        print_text("Nothing can be proposed.")
    else:
        evidence = policy["evidence"]
        print_text(
            f"Policy {version}: {policy['decision']} by {', '.join(policy['context'])} in "
            f"{policy['environment'] or 'no named environment'}, from {evidence['executions']} "
            f"executions ({evidence['basis']}), judged by {evidence['held_out']} that did not "
            "teach it."
        )
        print_text()
    if answer["changes"]:
        print_table(
            ["context", "from", "to", "share", "success", "95 %", "", "cost USD", "outcomes"],
            [_change(change) for change in answer["changes"]],
        )
        print_text()
        print_text(f"All tasks: success {_effect(answer['effect'])}, "
                   f"cost {_effect(answer['cost_effect'])} USD.")  # fmt: skip
    else:
        print_text("No context changes.")
    print_text()
    print_table(
        ["", "gate", "why"],
        [("ok" if g["passed"] else "NO", g["gate"], g["why"]) for g in answer["gates"]],
    )


def _change(change: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        context(change["context"]), change["from"], change["to"],
        f"{change['after'].get(change['to'], 0.0):.0%}", _signed(change["effect"]),
        _signed(change["low"]), _signed(change["high"]), _signed(change["cost_effect"]),
        change["support"],
    )  # fmt: skip


def context(values: Mapping[str, Any]) -> str:
    """A context in words: `task_type bug_fix`, `complexity_score 22 to 40`."""
    return ", ".join(f"{name} {_value(value)}" for name, value in values.items()) or "all"


def _value(value: Any) -> str:
    if not isinstance(value, list):
        return "unknown" if value is None else str(value)
    low, high = value
    if low is None:
        return "any" if high is None else f"below {high:g}"
    return f"from {low:g}" if high is None else f"{low:g} to {high:g}"


def _signed(number: float | None) -> str | None:
    return None if number is None else f"{number:+.4g}"


def _effect(effect: Mapping[str, Any]) -> str:
    if effect["value"] is None:
        return "unknown"
    if effect["low"] is None:
        return f"{effect['value']:+.4g}"
    return f"{effect['value']:+.4g} ({effect['low']:+.4g} to {effect['high']:+.4g})"


def print_status(answer: Mapping[str, Any]) -> None:
    """Prints what is in force and in the shadow, and what happened."""
    print_text(f"mode      {answer['mode']}{' (kill switch on)' if answer['switched_off'] else ''}")
    file = answer["file"]
    said = file["path"] if file["in_place"] else f"{file['path']} is not what is in force"
    print_text(f"file      {said}" if file["policy_version"] or not file["in_place"] else
               "file      none")  # fmt: skip
    for name in ("active", "shadow"):
        version = answer[name]
        if version is None:
            print_text(f"{name:<9} none")
            continue
        print_text(f"{name:<9} policy {version['policy_version']} since {version['since']}")
        if name == "shadow":
            print_text(f"          success {_effect(version['effect'])} on "
                       f"{version['executions']} executions")  # fmt: skip
            continue
        for rule in version["rules"]:
            print_text(f"          {context(rule['when'])}: {rule['arm']} "
                       f"{rule['propensities'][rule['arm']]:.0%}")  # fmt: skip
        for promise in version["promises"]:
            mean = "no outcome yet" if promise["mean"] is None else f"{promise['mean']:.4g}"
            kept = "BROKEN" if promise["broken"] else "kept"
            side = "at most" if promise["what"] == "cost" else "at least"
            print_text(f"          promise {kept}: {promise['what']} {side} "
                       f"{promise['limit']:.4g}, {mean} in {promise['outcomes']}")  # fmt: skip
    if answer["history"]:
        print_text()
        print_table(
            ["version", "event", "at", "by", "why"],
            [(e["policy_version"], e["event"], e["at"], e["actor"], e["why"])
             for e in answer["history"]],
        )  # fmt: skip
