"""Evidence: what the executions of one environment say about each arm in a context.

A tree from global to fine: all executions, then a task type (or a repo), then a repo within a
task type. Each level is drawn to the one above by `pooling`, as strongly as the data ask for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Final, Literal

from otel_learning.learning.pooling import (
    CONTEXTS_MOST,
    Amounts,
    Context,
    Normal,
    Outcomes,
    Pooling,
    apart,
    learn,
    logit,
)
from otel_learning.store.evidence_rows import SHAPES, TAILS, EvidenceRows, Row

Weights = Literal["v", "w"]
"""`v`: each execution counts once, by its age and sampling; `w`: also by 1/propensity."""
Place = tuple[str | None, str | None]
"""Task type and repo that were asked for; None is all."""
Shape = Literal["", "task_type", "repo", "task_type/repo"]

_ROOT: Final = Pooling(((1e-6, 1.0, 1.0),))
"""Arms differ from their common mean by about one logit, before anything is known."""
_ROOT_COST: Final = Pooling(((1e-6, 4.0, 1.0),))
_MEANS_PULL: Final = 10.0
"""Executions that a mean of the level above counts for, where it is drawn to without a model."""


@dataclass(slots=True)
class Sums:
    """Sums over the executions of one arm in one context; see `store.evidence_rows`."""

    executions: float = 0.0
    known: float = 0.0
    randomised: float = 0.0
    balance: float = 0.0
    open_known: float = 0.0
    """Of executions with a logged propensity and a known outcome."""
    w_squares_success: float = 0.0
    costs: float = 0.0
    durations: float = 0.0
    duration_weight: float = 0.0
    duration_sum: float = 0.0
    quality_weight: float = 0.0
    quality_sum: float = 0.0
    v_known: float = 0.0
    v_squares: float = 0.0
    v_success: float = 0.0
    v_cost: float = 0.0
    v_paid: float = 0.0
    v_cost_sum: float = 0.0
    v_log: float = 0.0
    v_log_squares: float = 0.0
    w_known: float = 0.0
    w_squares: float = 0.0
    w_success: float = 0.0
    w_cost: float = 0.0
    w_paid: float = 0.0
    w_cost_sum: float = 0.0
    w_log: float = 0.0
    w_log_squares: float = 0.0

    def add(self, row: Row) -> None:
        for name in _SUM_NAMES:
            value = row[name]
            if value is not None:
                setattr(self, name, getattr(self, name) + value)

    def of(self, weights: Weights, name: str) -> float:
        return float(getattr(self, f"{weights}_{name}"))

    def effective(self, weights: Weights) -> float:
        """How many equally weighted known outcomes teach as much (Kish 1965)."""
        squares = self.of(weights, "squares")
        return self.of(weights, "known") ** 2 / squares if squares > 0 else 0.0


_SUM_NAMES: Final = tuple(f.name for f in fields(Sums))

Cells = dict[Place, list[Sums]]


@dataclass(slots=True)
class Estimate:
    """What is expected of one arm in a context."""

    rate: Normal
    """The logit of its success rate."""
    cost: float | None
    """Mean, USD."""
    cost_low: float | None
    cost_high: float | None
    duration_seconds: float | None


@dataclass(slots=True)
class Environment:
    """All evidence of one environment: sums, and the levels of the tree as they are asked for."""

    name: str | None
    arms: list[str]
    root: list[Sums]
    cells: Cells
    """Sums per (task type, repo) as they occur; None is unknown there."""
    spreads: dict[tuple[str, str], tuple[float, float, float]]
    """(arm, shape) -> logarithms between which one cost lies about its mean; and of how many."""
    _squares: dict[tuple[Place, Shape], list[float]] = field(default_factory=dict)
    _places: dict[Shape, Cells] = field(default_factory=dict)
    _poolings: dict[tuple[str, Shape, Weights], Pooling] = field(default_factory=dict)
    _levels: dict[tuple[str, Place, Weights], list[Normal]] = field(default_factory=dict)

    @property
    def executions(self) -> float:
        return sum(sums.executions for sums in self.root)

    def sums(self, place: Place) -> list[Sums]:
        """Sums per arm of all executions in a place; zeros where there are none."""
        shape = shape_of(place)
        if not shape:
            return self.root
        found = self._at(shape).get(place)
        return found if found is not None else [Sums() for _ in self.arms]

    def narrowed(self, place: Place) -> Place:
        """The part of a place that says more than the level above: seen, and not all there is."""
        task_type, repo = place
        if task_type is not None and not self._tells((task_type, None), (None, None)):
            task_type = None
        above = (task_type, None)
        if repo is not None and not self._tells((task_type, repo), above):
            repo = None
        return task_type, repo

    def _tells(self, place: Place, above: Place) -> bool:
        here = sum(sums.executions for sums in self.sums(place))
        return 0 < here < sum(sums.executions for sums in self.sums(above))

    # ----------------------------------------------------------------------- the tree

    def rates(self, place: Place, weights: Weights) -> list[Normal]:
        """Logits of the success rate of each arm, in a narrowed place."""
        return self._level("rate", place, weights)

    def estimates(self, place: Place, weights: Weights) -> list[Estimate]:
        """What is expected of each arm in a narrowed place."""
        rates = self._level("rate", place, weights)
        costs = self._level("cost", place, weights)
        return [
            Estimate(rates[a], *self._cost(a, place, weights, costs[a]), self._duration(a, place))
            for a in range(len(self.arms))
        ]

    def prepare(self, shape: Shape, weights: Weights) -> None:
        """Learns what an answer for a place of this shape needs, before it is asked for."""
        for what in ("rate", "cost"):
            if shape == "task_type/repo":
                self._pooling(what, "task_type", weights)
            if shape:
                self._pooling(what, shape, weights)

    def _level(self, what: str, place: Place, weights: Weights) -> list[Normal]:
        key = (what, place, weights)
        found = self._levels.get(key)
        if found is None:
            shape = shape_of(place)
            if not shape:
                found = self._root_level(what, weights)
            else:
                parent = self._level(what, _above(place), weights)
                context = self._context(what, place, weights)
                found = self._pooling(what, shape, weights).posterior(parent, context)
            self._levels[key] = found
        return found

    def _root_level(self, what: str, weights: Weights) -> list[Normal]:
        context = Context(self._told(what, "", self.root, weights))
        if what == "rate":
            known = sum(s.of(weights, "known") for s in self.root)
            successes = sum(s.of(weights, "success") for s in self.root)
            effective = sum(s.effective(weights) for s in self.root)
            middle = (successes + 0.5) / (known + 1)
            common = Normal(logit(middle), 1 / (effective * middle * (1 - middle) + 0.25))
            return _ROOT.posterior([common] * len(self.arms), context)
        paid = sum(s.of(weights, "paid") for s in self.root)
        log = sum(s.of(weights, "log") for s in self.root)
        return _ROOT_COST.posterior([Normal(log / paid if paid else 0.0, 4.0)] * len(self.arms),
                                    context)  # fmt: skip

    def _pooling(self, what: str, shape: Shape, weights: Weights) -> Pooling:
        key = (what, shape, weights)
        found = self._poolings.get(key)
        if found is None:
            cells = self._at(shape)
            known = {place: sums for place, sums in cells.items() if self.narrowed(place) == place}
            most = sorted(known, key=lambda p: (-_rows(known[p]), str(p)))[:CONTEXTS_MOST]
            found = learn(
                [
                    (
                        self._level(what, _above(place), weights),
                        self._context(what, place, weights),
                    )
                    for place in most
                ]
            )
            self._poolings[key] = found
        return found

    def _context(self, what: str, place: Place, weights: Weights) -> Context:
        """What a place says, and how far it may lie from the level above."""
        here, above = self.sums(place), self.sums(_above(place))
        *squares, all_squares = self._squares_below(_above(place), shape_of(place))
        shared = apart(_rows(here), _rows(above), all_squares)
        singles = [
            apart(mine.executions, all_.executions, square)
            for mine, all_, square in zip(here, above, squares, strict=True)
        ]
        shares = [
            mine.executions / all_.executions if all_.executions else 0.0
            for mine, all_ in zip(here, above, strict=True)
        ]
        share = _rows(here) / _rows(above) if _rows(above) else 0.0
        told = self._told(what, shape_of(place), here, weights)
        return Context(told, shared, singles, shares, share)

    def _squares_below(self, above: Place, shape: Shape) -> list[float]:
        """Sums of squared executions of the places below one: per arm, and of all arms."""
        found = self._squares.get((above, shape))
        if found is None:
            found = [0.0] * (len(self.arms) + 1)
            for place, sums in self._at(shape).items():
                if _above(place) == above:
                    counts = [s.executions for s in sums]
                    for i, count in enumerate([*counts, sum(counts)]):
                        found[i] += count * count
            self._squares[above, shape] = found
        return found

    def _told(
        self, what: str, shape: Shape, sums: Sequence[Sums], weights: Weights
    ) -> list[Outcomes | Amounts]:
        """What sums say of each arm; scaled so that weighted rows count what they are worth."""
        told: list[Outcomes | Amounts] = []
        for a, here in enumerate(sums):
            squares = self.root[a].of(weights, "squares")
            scale = self.root[a].of(weights, "known") / squares if squares > 0 else 1.0
            if what == "rate":
                told.append(
                    Outcomes(here.of(weights, "known") * scale, here.of(weights, "success") * scale)
                )
                continue
            paid = here.of(weights, "paid")
            mean = here.of(weights, "log") / paid if paid > 0 else 0.0
            told.append(Amounts(paid * scale, mean, self._noise(a, shape, weights)))
        return told

    # ---------------------------------------------------------------- cost and duration

    def _noise(self, arm: int, shape: Shape, weights: Weights) -> float:
        """Variance of the logarithm of one cost within the contexts of a shape."""
        key = (f"noise {arm}", shape, weights)
        found = self._levels.get((key[0], (shape, None), weights))
        if found is None:
            groups = [self.root] if not shape else list(self._at(shape).values())
            squares, count = 0.0, 0.0
            for group in groups:
                sums = group[arm]
                paid = sums.of(weights, "paid")
                if paid > 0:
                    log = sums.of(weights, "log")
                    squares += max(sums.of(weights, "log_squares") - log * log / paid, 0.0)
                    count += paid * (1 - 1 / max(_count(sums, weights), 1.0))
            # As if ten costs more had been seen that spread by a factor of about two.
            noise = (squares + 10 * 0.5) / (count + 10)
            found = self._levels[key[0], (shape, None), weights] = [Normal(noise, 0.0)]
        return found[0].mean

    def _cost(
        self, arm: int, place: Place, weights: Weights, log: Normal
    ) -> tuple[float | None, float | None, float | None]:
        """Mean cost in a place, and between what one cost lies with 90 %."""
        root = self.root[arm]
        known, paid = root.of(weights, "cost"), root.of(weights, "paid")
        if known <= 0:
            return None, None, None
        here = self.sums(place)[arm]
        share = (_MEANS_PULL * paid / known + here.of(weights, "paid")) / (
            _MEANS_PULL + here.of(weights, "cost")
        )
        if paid <= 0 or share <= 0:
            return 0.0, 0.0, 0.0
        shape = shape_of(place)
        at_root = self._level("cost", (None, None), weights)[arm].mean
        # What a mean is above the exponential of the mean logarithm (Duan, JASA 78, 1983), less
        # what of that lies between contexts.
        smear = root.of(weights, "cost_sum") / paid / math.exp(at_root)
        narrower = self._noise(arm, "", weights) - self._noise(arm, shape, weights)
        mean = share * math.exp(log.mean) * smear * math.exp(-max(narrower, 0.0) / 2)
        low, high = self._spread(arm, shape, weights)
        middle = math.exp(log.mean)
        # Where some executions cost nothing, the band's lower end is among those.
        return mean, (middle * math.exp(low) if share > 0.95 else 0.0), middle * math.exp(high)

    def _spread(self, arm: int, shape: Shape, weights: Weights) -> tuple[float, float]:
        low, high, count = self.spreads.get((self.arms[arm], shape), (0.0, 0.0, 0.0))
        if count >= 20:
            return low, high
        # Too few for quantiles: as if logarithms were normal, with room for not knowing better.
        half = 1.645 * math.sqrt(self._noise(arm, shape, weights) * (1 + 2 / max(count, 1)))
        return min(low, -half), max(high, half)

    def _duration(self, arm: int, place: Place) -> float | None:
        here, root = self.sums(place)[arm], self.root[arm]
        if root.duration_weight <= 0:
            return None
        mean = root.duration_sum / root.duration_weight
        return (here.duration_sum + _MEANS_PULL * mean) / (here.duration_weight + _MEANS_PULL)

    # -------------------------------------------------------------------------- places

    def _at(self, shape: Shape) -> Cells:
        """Sums of every place of a shape."""
        found = self._places.get(shape)
        if found is None:
            found = {}
            for (task_type, repo), sums in self.cells.items():
                if "task_type" in shape and task_type is None:
                    continue
                if "repo" in shape and repo is None:
                    continue
                place = (task_type if "task_type" in shape else None,
                         repo if "repo" in shape else None)  # fmt: skip
                into = found.setdefault(place, [Sums() for _ in self.arms])
                for total, part in zip(into, sums, strict=True):
                    _add(total, part)
            self._places[shape] = found
        return found


def environments(rows: EvidenceRows) -> dict[str | None, Environment]:
    """The evidence of each environment; None is where none is known."""
    found: dict[str | None, Environment] = {}
    names: dict[str | None, set[str]] = {}
    for row in rows.sums:
        names.setdefault(row["environment"], set()).add(row["arm"])
    for name, arms in names.items():
        ordered = sorted(arms)
        found[name] = Environment(name, ordered, [Sums() for _ in ordered], {}, {})
    for row in rows.sums:
        environment = found[row["environment"]]
        at = environment.arms.index(row["arm"])
        environment.root[at].add(row)
        place = (row["task_type"], row["repo"])
        cell = environment.cells.setdefault(place, [Sums() for _ in environment.arms])
        cell[at].add(row)
    for row in rows.spreads:
        spreads = found[row["environment"]].spreads
        for i, shape in enumerate(SHAPES):
            band = _band(row[f"shape{i}"], row["costs"])
            spreads[row["arm"], shape] = (*band, row["costs"])
    return found


def _band(quantiles: Sequence[float], count: int) -> tuple[float, float]:
    """The ends that the next value lies between with 90 %: split-conformal ranks of `count`."""
    low = (0.05 * (count + 1) - 1) / max(count - 1, 1)
    return _at_share(quantiles, low), _at_share(quantiles, 1 - low)


def _at_share(quantiles: Sequence[float], share: float) -> float:
    """The quantile at a share, between those that are known."""
    for i in range(1, len(TAILS)):
        if share <= TAILS[i]:
            part = max(0.0, (share - TAILS[i - 1]) / (TAILS[i] - TAILS[i - 1]))
            return quantiles[i - 1] + part * (quantiles[i] - quantiles[i - 1])
    return quantiles[-1]


def shape_of(place: Place) -> Shape:
    task_type, repo = place
    if task_type is None:
        return "" if repo is None else "repo"
    return "task_type" if repo is None else "task_type/repo"


def _above(place: Place) -> Place:
    task_type, repo = place
    return (task_type, None) if repo is not None else (None, None)


def _add(total: Sums, part: Sums) -> None:
    for name in _SUM_NAMES:
        setattr(total, name, getattr(total, name) + getattr(part, name))


def _rows(cell: Iterable[Sums]) -> float:
    return sum(sums.executions for sums in cell)


def _count(sums: Sums, weights: Weights) -> float:
    return sums.costs if weights == "v" else min(sums.costs, sums.effective("w") or 1.0)
