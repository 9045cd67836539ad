"""Which unit was given which variant, and what came of it: rows in, timelines out. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from otel_learning.store.outcomes import Row

    Floats = NDArray[np.float64]
else:
    Floats = Any

_EVER: Final = datetime.min.replace(tzinfo=UTC)


class Outcome(NamedTuple):
    """One unit's value of one metric."""

    known_at: datetime
    unit: str
    value: float
    stratum: tuple[str | None, ...]


@dataclass(slots=True)
class Exposures:
    """All units of an experiment, by variant."""

    units: Counter[str]
    """Variant -> units that were given it."""
    outcomes: list[dict[str, list[Outcome]]]
    """Of each metric: variant -> what became known, in the order of time, one per unit."""
    followed: Counter[str] = field(default_factory=Counter)
    """Variant -> units whose first execution really had the variant's arm."""
    chosen: Counter[str] = field(default_factory=Counter)
    """Variant -> units of which it is known what was chosen."""
    crossed: int = 0
    """Units that were given more than one variant; they count for none."""
    strangers: int = 0
    """Executions whose variant the experiment does not have."""
    unassigned: int = 0
    """Executions without a variant, and without an id to assign one by."""


def expose(
    rows: Sequence[Row],
    variants: Sequence[str],
    assigned: Callable[[str, datetime | None], str],
    *,
    metrics: int,
    strata: int,
    arms: dict[str, str] | None = None,
) -> Exposures:
    """Gathers executions by unit; a unit's first known value counts, and no later one.

    Executions of one unit are not independent of each other, so more than one of them would make
    any test too sure of itself.

    Args:
        rows: in the order of time; their groups are the strata, then the columns of the arm.
        variants: the experiment's.
        assigned: the variant of a unit at a time, where the execution names none.
        metrics: how many values each row has.
        strata: how many of the groups are strata.
        arms: variant -> arm, as the columns of the arm joined by slashes.
    """
    of_unit: dict[str, list[tuple[Row, str]]] = {}
    found = Exposures(Counter(), [{v: [] for v in variants} for _ in range(metrics)])
    known = set(variants)
    for row in rows:
        variant = row.variant
        if variant is None and row.unit is not None:
            variant = assigned(row.unit, row.started_at)
        if variant is None:
            found.unassigned += 1
        elif variant not in known:
            found.strangers += 1
        else:
            # Without an id the execution stands for itself.
            unit = f"u{row.unit}" if row.unit is not None else f"e{row.execution_id}"
            of_unit.setdefault(unit, []).append((row, variant))
    for unit, given in of_unit.items():
        variant = given[0][1]
        if any(other != variant for _, other in given):
            found.crossed += 1
            continue
        found.units[variant] += 1
        _note_arm(found, variant, given[0][0], strata, arms)
        for metric, by_variant in enumerate(found.outcomes):
            values = [
                Outcome(row.known_at[metric] or _EVER, unit, value, row.groups[:strata])
                for row, _ in given
                if (value := row.values[metric]) is not None
            ]
            if values:
                by_variant[variant].append(min(values, key=lambda o: (o.known_at, o.value)))
    for by_variant in found.outcomes:
        for timeline in by_variant.values():
            timeline.sort(key=lambda outcome: (outcome.known_at, outcome.unit))
    return found


def _note_arm(
    found: Exposures, variant: str, row: Row, strata: int, arms: dict[str, str] | None
) -> None:
    if arms is None or None in (columns := row.groups[strata:]):
        return
    found.chosen[variant] += 1
    found.followed[variant] += "/".join(map(str, columns)) == arms[variant]


def values_of(timeline: Sequence[Outcome]) -> Floats:
    """The values alone, in the order of time."""
    import numpy as np

    return np.array([outcome.value for outcome in timeline], dtype=np.float64)


def pairs(first: Sequence[Outcome], second: Sequence[Outcome]) -> tuple[Floats, Floats]:
    """The k-th outcome of one with the k-th of the other, in the order in which pairs are whole.

    Within each stratum, so that what differs between strata does not blur the comparison.
    """
    import numpy as np

    by_stratum: dict[tuple[str | None, ...], tuple[list[Outcome], list[Outcome]]] = {}
    for side, timeline in enumerate((first, second)):
        for outcome in timeline:
            by_stratum.setdefault(outcome.stratum, ([], []))[side].append(outcome)
    paired = [
        (max(a.known_at, b.known_at), a.unit, a.value, b.value)
        for one, other in by_stratum.values()
        for a, b in zip(one, other, strict=False)
    ]
    paired.sort(key=lambda pair: pair[:2])
    both = np.array([pair[2:] for pair in paired], dtype=np.float64).reshape(-1, 2)
    return both[:, 0], both[:, 1]
