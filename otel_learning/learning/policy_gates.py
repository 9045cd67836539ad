"""What a proposed policy must pass before it may act by itself: pure functions.

Gates bind the machine. A person who has read them may apply a policy that failed one, and the
receipt says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from otel_learning.learning.policy import Made
from otel_learning.learning.policy_value import Estimated

SUPPORT_LEAST: Final = 100
"""Held-out outcomes that a policy is judged by, at least."""
OVERLAP_LEAST: Final = 30.0
"""Effective support of the policy itself among them, at least."""
CONFIDENCE: Final = 0.9
"""Of the interval that must lie above 0: one policy in twenty that gains nothing passes."""
COOL_DOWN: Final = timedelta(hours=24)
"""Between two changes of what is in force: outcomes and people have time to say something."""
COOL_DOWN_OUTCOMES: Final = 50
"""And so many outcomes of the policy in force, at least."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition, whether it holds, and the figures it was decided by."""

    gate: str
    passed: bool
    why: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Judged:
    """How the policy did on executions that did not teach it; effects on utility."""

    effect: Estimated
    """On all of them."""
    rolling: Estimated
    """On the newest ones."""
    frozen: Estimated
    """On the sample that never teaches."""


def gates(
    made: Made, judged: Judged, *, last_change: datetime | None, outcomes_since: int,
    now: datetime, cool_down: timedelta = COOL_DOWN, step_share: float,
) -> list[Gate]:  # fmt: skip
    """Every gate, passed or not, in the order in which they are shown."""
    moved = max((change.moved for change in made.changes), default=0.0)
    effect = judged.effect
    found = [
        Gate("changes", bool(made.changes), f"{len(made.changes)} contexts change"),
        Gate(
            "support", effect.support >= SUPPORT_LEAST,
            f"{effect.support} held-out outcomes, {SUPPORT_LEAST} are needed",
        ),
        Gate("randomised", made.basis == "randomised", f"the evidence is {made.basis}"),
        Gate(
            "overlap", effect.effective_support >= OVERLAP_LEAST,
            f"worth {effect.effective_support:.0f} outcomes of the policy itself, "
            f"{OVERLAP_LEAST:.0f} are needed",
        ),
        Gate(
            "outcomes", "outcomes-missing-unevenly" not in made.reasons,
            "outcomes are known of every arm alike"
            if "outcomes-missing-unevenly" not in made.reasons
            else "of some arms more outcomes are unknown than of others",
        ),
        Gate("gain", _above(effect), f"effect on utility {_said(effect)}; it must be above 0"),
        _holdout("rolling_holdout", judged.rolling, "the newest executions"),
        _holdout("frozen_holdout", judged.frozen, "the sample that never teaches"),
        Gate(
            "step", moved <= step_share + 1e-3,
            f"at most {moved:.0%} of a context's tasks change arms, {step_share:.0%} may",
        ),
        _cooled(last_change, outcomes_since, now, cool_down),
    ]  # fmt: skip
    return found


def _above(effect: Estimated) -> bool:
    return effect.low is not None and effect.low > 0


def _holdout(name: str, effect: Estimated, what: str) -> Gate:
    """No sample may speak against it: its estimate is not negative."""
    passed = effect.value is not None and effect.value >= 0
    return Gate(name, passed, f"on {what}: effect on utility {_said(effect)}")


def _cooled(
    last: datetime | None, outcomes: int, now: datetime, cool_down: timedelta
) -> Gate:  # fmt: skip
    if last is None:
        return Gate("cool_down", True, "nothing was changed before")
    waited = now - last
    hours, needed = waited.total_seconds() / 3600, cool_down.total_seconds() / 3600
    return Gate(
        "cool_down", waited >= cool_down and outcomes >= COOL_DOWN_OUTCOMES,
        f"{hours:.1f} h and {outcomes} outcomes since the last change, "
        f"{needed:.1f} h and {COOL_DOWN_OUTCOMES} are needed",
    )  # fmt: skip


def _said(effect: Estimated) -> str:
    if effect.value is None:
        return "unknown"
    if effect.low is None or effect.high is None:
        return f"{effect.value:+.4f}"
    return f"{effect.value:+.4f} ({effect.low:+.4f} to {effect.high:+.4f})"


def passed(found: Sequence[Gate]) -> bool:
    return all(gate.passed for gate in found)
