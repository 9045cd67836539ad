"""How risky the kinds of work in a repository are, and which coverage each asks for. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

from otel_learning.learning.sequential import rate_interval

if TYPE_CHECKING:
    from otel_learning.store.outcomes import Row

Risk = Literal["high", "medium", "low"]

IMPACTS: Final = {"critical": 2.0, "high": 1.5, "medium": 1.0, "low": 0.5}
"""What a failure weighs, by what is reported; `medium` where nothing is."""
CUT_OFFS: Final[dict[Risk, tuple[float, float]]] = {
    "high": (0.5, 90.0), "medium": (0.2, 75.0), "low": (0.0, 0.0),
}  # fmt: skip
"""Risk -> from which value it begins, and the coverage it asks for, percent; a low one asks for
what the repository does."""
CHURN_DAYS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Area:
    """One kind of work in a repository."""

    area: str
    """The `task_type`; "" where none is named."""
    executions: int
    support: int
    failure_rate: float | None
    failure_high: float
    """The upper end of its interval: what is not known may fail."""
    churn: float
    """Its share of the repository's executions in the last CHURN_DAYS days, 0..1."""
    impact: str
    value: float
    """failure_high * (1 + churn) * the impact's weight."""
    risk: Risk
    coverage_required: float


def areas_of(
    rows: Sequence[Row], impacts: Mapping[str | None, str], coverage_required: float
) -> list[Area]:
    """The kinds of work, the riskiest first.

    Args:
        rows: executions whose first value is success and whose first group is the kind.
        impacts: kind -> one of IMPACTS, where it is reported.
        coverage_required: what the repository as a whole asks for, percent.
    """
    times = [row.started_at for row in rows if row.started_at is not None]
    since = max(times) - timedelta(days=CHURN_DAYS) if times else None
    recent = [r for r in rows if since is None or r.started_at is None or r.started_at >= since]
    found = []
    for kind in sorted({row.groups[0] for row in rows}, key=lambda k: k or ""):
        mine = [row for row in rows if row.groups[0] == kind]
        known = [value for row in mine if (value := row.values[0]) is not None]
        failures = sum(1 for value in known if not value)
        _, high = rate_interval(failures, len(known)) or (0.0, 1.0)
        churn = sum(row.groups[0] == kind for row in recent) / len(recent) if recent else 0.0
        impact = impacts.get(kind, "medium")
        value = high * (1 + churn) * IMPACTS[impact]
        risk = next(name for name, (cut, _) in CUT_OFFS.items() if value >= cut)
        found.append(
            Area(
                kind or "", len(mine), len(known), failures / len(known) if known else None, high,
                churn, impact, value, risk, max(coverage_required, CUT_OFFS[risk][1]),
            )
        )  # fmt: skip
    return sorted(found, key=lambda area: (-area.value, area.area))
