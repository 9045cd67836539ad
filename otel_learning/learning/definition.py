"""What an experiment compares, and how: fixed before its first outcome, and checked here."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, get_args

from otel_learning.errors import InputError
from otel_learning.learning.assignment import choose
from otel_learning.learning.metrics import Goal, metric_of
from otel_learning.store.outcomes import COLUMNS, UNITS

Mode = Literal["sequential", "fixed"]
_NAME: Final = re.compile(r"(?=.{1,100}\Z)[\w.:/@+\-]+(?: [\w.:/@+\-]+)*")
_VARIANTS_MAX: Final = 50


@dataclass(frozen=True, slots=True)
class Definition:
    """An experiment as it was fixed."""

    name: str
    variants: tuple[str, ...]
    """The first one is the control: what goes on where nothing is decided."""
    metric: str = "success"
    goal: Goal = "max"
    unit: str = "task_id"
    """The column of `executions` whose values are assigned; one of UNITS."""
    mode: Mode = "sequential"
    alpha: float = 0.05
    power: float = 0.8
    effect: float | None = None
    horizon: int | None = None
    """Known outcomes per variant at the one look of the fixed mode."""
    weights: tuple[float, ...] = ()
    by: str | None = None
    """Columns whose values the variants stand for, joined by slashes: what is an arm."""
    arms: tuple[str, ...] | None = None
    """The value of `by` that each variant stands for."""
    strata: tuple[str, ...] = ()
    """Columns within whose values variants are compared."""
    guardrails: tuple[tuple[str, float], ...] = ()
    """Metrics in which the winner may not be worse than the control by more than a share."""
    environment: str | None = None
    """None is the one with most of its executions."""
    task_type: str | None = None
    repo: str | None = None
    plan: dict[str, Any] | None = field(default=None, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """As JSON; `of` restores it."""
        return asdict(self)

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Definition:
        """The definition that `to_dict` gave; keys of a later release are left out."""
        values = {name: said[name] for name in cls.__dataclass_fields__ if name in said}
        for name in ("variants", "weights", "strata", "arms"):
            if values.get(name) is not None:
                values[name] = tuple(values[name])
        values["guardrails"] = tuple((str(m), float(a)) for m, a in values.get("guardrails", ()))
        return cls(**values)

    def assign(self, unit_id: str, dropped: frozenset[str] = frozenset()) -> str:
        """The variant of a unit, among those that are not dropped."""
        left = [
            (variant, weight)
            for variant, weight in zip(self.variants, self.weights, strict=True)
            if variant not in dropped
        ]
        return choose(self.name, unit_id, [v for v, _ in left], [w for _, w in left])

    def arm_of(self, variant: str) -> str | None:
        return None if self.arms is None else self.arms[self.variants.index(variant)]


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment with what has happened to it."""

    definition: Definition
    created_at: datetime
    state: str
    """running, stopped or decided."""
    decision: str | None
    """What was decided; None while nothing is."""
    ended_at: datetime | None
    dropped: tuple[tuple[str, datetime], ...]
    """Variants that were taken out, and when."""
    trail: tuple[dict[str, Any], ...]
    """Every event, in order, with its evidence."""

    def dropped_by(self, moment: datetime | None) -> frozenset[str]:
        """The variants that had been taken out by then; None is now."""
        return frozenset(v for v, at in self.dropped if moment is None or at <= moment)


def checked(found: Definition) -> Definition:
    """The definition, with every default that depends on another value filled in.

    Raises:
        InputError: a value is not what it takes; the message names it.
    """
    _check_names(found)
    metric = metric_of(found.metric)
    if found.goal not in get_args(Goal):
        raise InputError(f"goal={found.goal!r} is unknown", "max or min")
    if found.unit not in UNITS:
        raise InputError(f"unit={found.unit!r} cannot be assigned", f"one of {', '.join(UNITS)}")
    if found.mode not in get_args(Mode):
        raise InputError(f"mode={found.mode!r} is unknown", "sequential or fixed")
    for name in ("alpha", "power"):
        value = getattr(found, name)
        if not 0 < value < 1:
            raise InputError(f"{name}={value!r} is no share", "give it between 0 and 1")
    if found.effect is not None and not (found.effect > 0 and math.isfinite(found.effect)):
        raise InputError(f"effect={found.effect!r} is no difference", "a positive number")
    if found.horizon is not None and found.horizon < 2:
        raise InputError(f"horizon={found.horizon!r} is too short", "give 2 or more")
    for column in found.strata:
        _check_column("strata", column)
    guardrails = tuple((metric_of(name).name, allowed) for name, allowed in found.guardrails)
    for name, allowed in guardrails:
        if not 0 <= allowed < 10:
            raise InputError(f"the guardrail {name} allows {allowed!r}", "a share, as 0.1")
        if name == metric.name:
            raise InputError(f"{name!r} is the metric itself", "name another as a guardrail")
    return Definition.of(
        {
            **found.to_dict(),
            "metric": metric.name,
            "weights": _weights(found),
            "guardrails": guardrails,
        }
    )


def _check_names(found: Definition) -> None:
    if not _NAME.fullmatch(found.name):
        raise InputError(
            f"{found.name!r} is no name for an experiment",
            "up to 100 letters, digits, single blanks and . _ - : / @ +",
        )
    if not 2 <= len(found.variants) <= _VARIANTS_MAX:
        raise InputError(
            f"{len(found.variants)} variants cannot be compared", f"name 2 to {_VARIANTS_MAX}"
        )
    for variant in found.variants:
        if not _NAME.fullmatch(variant):
            raise InputError(f"{variant!r} is no name for a variant", "letters, digits, . _ - : /")
    if len(set(found.variants)) < len(found.variants):
        raise InputError(f"variants {', '.join(found.variants)} are not all different")
    if (found.by is None) != (found.arms is None):
        raise InputError("arms and the column they belong to go together", "give both, or neither")
    if found.by is not None and found.arms is not None:
        for column in found.by.split("/"):
            _check_column("by", column)
        parts = found.by.count("/") + 1
        for arm in found.arms:
            if arm.count("/") + 1 < parts:  # the name of a model may hold slashes itself
                raise InputError(f"the arm {arm!r} is no value of {found.by}", "one per column")
        if len(found.arms) != len(found.variants):
            raise InputError(f"{len(found.arms)} arms for {len(found.variants)} variants")


def _check_column(what: str, column: str) -> None:
    if column not in COLUMNS:
        raise InputError(f"{what}: there is no column {column!r}", f"one of {', '.join(COLUMNS)}")


def _weights(found: Definition) -> Sequence[float]:
    if not found.weights:
        return (1.0,) * len(found.variants)
    if len(found.weights) != len(found.variants):
        raise InputError(f"{len(found.weights)} weights for {len(found.variants)} variants")
    if not all(weight > 0 and math.isfinite(weight) for weight in found.weights):
        raise InputError(f"weights {found.weights} are not all positive")
    return found.weights
