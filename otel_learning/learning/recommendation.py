"""What advice looks like: the fields that programs read, and the words for people."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

Basis = Literal["randomised", "observational", "insufficient"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is expected of one arm in the context that was asked about; None is unknown."""

    arm: str
    success_rate: float | None
    """0..1."""
    success_low: float | None
    """The rate lies between `success_low` and `success_high` with 90 %."""
    success_high: float | None
    expected_cost: float | None
    """Mean, USD."""
    cost_low: float | None
    """One execution's cost lies between `cost_low` and `cost_high` with 90 %."""
    cost_high: float | None
    expected_duration_seconds: float | None
    support: int
    """Executions in this very context."""
    effective_support: float
    """How many equally weighted known outcomes teach as much."""
    outcomes_known: float | None
    """Share of those executions whose outcome is known."""
    dominated: bool
    """Whether another candidate is as successful and as cheap, and better in one of both."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Advice with its evidence; see docs/explanation/how-advice-is-made.md."""

    choice: str | None
    basis: Basis
    candidates: tuple[Candidate, ...]
    frontier: tuple[str, ...]
    """Arms that no other one dominates, the cheapest first."""
    propensities: dict[str, float]
    """Arm -> with which probability an exploring router should choose it; sums to 1."""
    reasons: tuple[str, ...]
    """Stable tokens of at most 48 characters without blanks."""
    snapshot_age_seconds: float | None
    """How old the view of the store is that this rests on; None where there is none."""
    sensitivity: float | None = None
    """By which factor a hidden cause must change odds of success to overturn the choice."""

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, as `otel-learning recommend --json` prints it."""
        found = asdict(self)
        return {**found, "candidates": [asdict(c) for c in self.candidates]}

    def explain(self) -> str:
        """The advice in plain words, some lines."""
        lines = [self._headline()]
        lines += [_candidate_line(c, self) for c in self.candidates]
        if self.basis == "observational":
            lines.append(
                "The router chose by its own lights and logged no probabilities, so an arm that "
                "got the easier tasks looks better than it is."
            )
            if self.sensitivity is not None:
                lines.append(
                    f"A hidden cause that changes the odds of success by a factor of "
                    f"{self.sensitivity:.2f} would overturn the choice."
                )
        if self.reasons:
            lines.append(f"Reasons: {', '.join(self.reasons)}.")
        return "\n".join(lines)

    def _headline(self) -> str:
        if self.basis == "insufficient":
            kept = f"the default {self.choice}" if self.choice is not None else "nothing"
            return f"Not enough evidence: {kept} is recommended."
        if self.choice is None:
            return "No candidate is within the limits given."
        return f"{self.choice} is recommended; the evidence is {self.basis}."


def _candidate_line(candidate: Candidate, answer: Recommendation) -> str:
    if candidate.success_rate is None or candidate.success_low is None:
        return f"  {candidate.arm}: no known outcome in {candidate.support} executions."
    high = candidate.success_high if candidate.success_high is not None else math.nan
    said = (
        f"  {candidate.arm}: succeeds in {candidate.success_rate:.0%} "
        f"({candidate.success_low:.0%} to {high:.0%})"
    )
    if candidate.expected_cost is not None:
        said += f", costs {candidate.expected_cost:.4g} USD"
        if candidate.cost_low is not None and candidate.cost_high is not None:
            said += f" (one: {candidate.cost_low:.3g} to {candidate.cost_high:.3g})"
    if candidate.expected_duration_seconds is not None:
        said += f", takes {candidate.expected_duration_seconds:.3g} s"
    said += f"; {candidate.support} executions here"
    if candidate.dominated:
        said += "; another is as good and as cheap"
    return said + "."
