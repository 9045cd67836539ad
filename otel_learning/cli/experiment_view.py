"""How an experiment is shown to people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_learning.learning.definition import Experiment
    from otel_learning.learning.findings import Finding


def created(made: Experiment) -> dict[str, Any]:
    """What `create` answers: the definition and the plan."""
    definition = made.definition.to_dict()
    return {
        "name": definition.pop("name"),
        "state": made.state,
        **{name: list(v) if isinstance(v, tuple) else v for name, v in definition.items()},
    }


def print_finding(found: Finding) -> None:
    """Writes state, decision and reasons, then variants and comparisons as tables."""
    from otel_learning.cli.exits import say
    from otel_learning.cli.output import print_pairs, print_table, print_text

    answer = found.to_dict()
    for warning in answer["warnings"]:
        say(f"warning: {warning}")
    shown = {
        "experiment": answer["name"],
        "state": answer["state"],
        "decision": answer["decision"] or "none yet",
        "because": ", ".join(answer["reasons"]),
        "metric": f"{answer['metric']} ({answer['goal']})",
        "environment": answer["environment"] or "not named",
        "assignment": answer["assignment"],
    }
    plan = answer["plan"] or {}
    if found.experiment.definition.mode == "fixed":
        shown["looked at once"] = f"{found.experiment.definition.horizon} outcomes per variant"
    elif plan.get("sequential_support"):
        shown["planned"] = f"{plan['sequential_support']} outcomes per variant at most"
    print_pairs(shown)
    print_text()
    head = ["variant", "status", "units", "support", "mean", "low", "high"]
    print_table(
        head,
        [
            (v.variant, v.status, v.exposures, v.support, v.mean, v.low, v.high)
            for v in found.verdict.variants
        ],
    )
    print_text()
    print_table(
        ["compared", "pairs", "difference", "low", "high", "p"],
        [
            (f"{c.variant} - {c.against}", c.pairs, c.effect, c.low, c.high, c.p_value)
            for c in found.verdict.comparisons
        ],
    )
    if found.verdict.guardrails:
        print_text()
        print_table(
            ["guardrail", "variant", "allowed", "mean", "control", "broken"],
            [tuple(g[k] for k in ("metric", "variant", "allowed", "mean", "control_mean", "broken"))
             for g in found.verdict.guardrails],
        )  # fmt: skip
