"""One experiment: its variants with intervals, the comparisons, the trail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_learning.errors import InputError
from otel_learning.server.dashboard import words
from otel_learning.server.dashboard.page import (
    Cell,
    Figure,
    Note,
    Page,
    Pairs,
    Section,
    Table,
)
from otel_learning.server.dashboard.pages import common, reasons

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_learning.learning.findings import Finding
    from otel_learning.server.dashboard.asked import Asked
    from otel_learning.server.dashboard.page import Block
    from otel_learning.store.database import LearningDatabase

_MONEY: Final = ("actual_cost", "router_cost")
_SECONDS: Final = ("duration_seconds", "cpu_time_seconds")
_SHARES: Final = ("success", "accepted", "fallback_used")


def build(database: LearningDatabase, _: Asked, places: Mapping[str, str]) -> Page:
    """The page of the experiment of that name."""
    from otel_learning.learning.findings import show

    name = places["name"]
    try:
        found = show(database, name)
    except InputError as error:
        raise common.Gone(str(error.args[0]), error.hint or "") from error
    definition = found.experiment.definition
    say = _sayer(definition.metric)
    return Page(
        f"/experiments/{name}", f"Experiment {words.plain(definition.name)}", _answer(found),
        [
            Section("The variants", [*_variants(found, say)]),
            Section("Compared", [_comparisons(found, say)]),
            Section("How it was fixed", [_definition(found)]),
            Section("What happened", [_trail(found)]),
        ],
        f"{definition.metric} ({definition.goal}), environment "
        f"{words.name(found.environment)}, variants {found.assignment}",
    )  # fmt: skip


def _answer(found: Finding) -> str:
    experiment, verdict = found.experiment, found.verdict
    if experiment.decision is not None:
        return f"Decided: {words.plain(experiment.decision)}."
    if verdict.decision is not None:
        said = f"The evidence names {words.plain(verdict.decision)}."
        return f"{said} Nothing is decided yet." if experiment.state == "running" else said
    said = " ".join(text for _, text in reasons.in_words(verdict.reasons))
    return f"No decision: {said[:1].lower()}{said[1:]}" if said else "No decision."


def _sayer(metric: str) -> Callable[[float | None], str]:
    if metric in _SHARES:
        return words.share
    if metric in _MONEY:
        return words.money
    if metric in _SECONDS:
        return words.seconds
    return lambda value: words.UNKNOWN if value is None else f"{value:.4g}"


def _variants(found: Finding, say: Callable[[float | None], str]) -> list[Block]:
    from otel_learning.server.dashboard import charts
    from otel_learning.server.dashboard.svg import drawn

    variants = found.verdict.variants
    metric, alpha = found.experiment.definition.metric, found.experiment.definition.alpha
    colours = common.Colours([v.variant for v in variants])
    table = Table(
        f"Mean {metric} of each variant, with intervals of {words.share(1 - alpha)}",
        ("Variant", "Mean", "Interval", "Outcomes", "Units", "Stands"),
        [[Cell(words.plain(v.variant), arm=colours.number(v.variant),
               note="" if v.arm is None else words.plain(v.arm)),
          Cell(say(v.mean)),
          Cell("not enough evidence" if v.low is None else f"{say(v.low)} to {say(v.high)}"),
          Cell(words.count(v.support)), Cell(words.count(v.exposures)), Cell(v.status)]
         for v in variants], frozenset((1, 2, 3, 4)),
    )  # fmt: skip
    blocks: list[Block] = []
    known = [v for v in variants if v.mean is not None]
    if known:
        values = tuple(
            charts.Span(words.label(v.variant), v.low, v.mean or 0.0, v.high,
                        f"{words.label(v.variant)}: {say(v.mean)}", colours.of(v.variant))
            for v in known
        )  # fmt: skip
        shape = ".0%" if metric in _SHARES else "~g"
        blocks.append(Figure(
            f"Mean {metric} of each variant, with its interval",
            "; ".join(f"{words.plain(v.variant)} {say(v.mean)}" for v in known) + ".",
            drawn(charts.spans, charts.Spans(values, metric, None, False, shape), "whole"),
            table, "whole",
        ))  # fmt: skip
    blocks.append(table)
    for token, text in reasons.in_words(found.verdict.warnings):
        blocks.append(Note(f"{text} ({token})", tone="warn"))
    return blocks


def _comparisons(found: Finding, say: Callable[[float | None], str]) -> Table:
    shares = found.experiment.definition.metric in _SHARES

    def difference(value: float | None) -> str:
        if value is None:
            return words.UNKNOWN
        return words.points(value) if shares else say(value)

    rows = [
        [Cell(f"{words.plain(c.variant)} less {words.plain(c.against)}"),
         Cell(difference(c.effect)),
         Cell("not enough evidence" if c.low is None
              else f"{difference(c.low)} to {difference(c.high)}"),
         Cell(words.count(c.pairs)), Cell(f"{c.p_value:.3g}"),
         Cell("neither is shown to be" if c.better is None else words.plain(c.better))]
        for c in found.verdict.comparisons
    ]  # fmt: skip
    heads = ("Compared", "Difference", "Interval", "Pairs", "p", "Better")
    return Table("One variant against another", heads, rows, frozenset((1, 2, 3, 4)))


def _definition(found: Finding) -> Pairs:
    one = found.experiment.definition
    items: list[tuple[str, Cell]] = [
        ("State", Cell(found.experiment.state)),
        ("Created", Cell(words.moment(found.experiment.created_at))),
        ("Metric", Cell(f"{one.metric}, {one.goal}")), ("Unit", Cell(one.unit)),
        ("Mode", Cell(one.mode)), ("Alpha", Cell(f"{one.alpha:g}")),
        ("Variants", Cell(words.plain(", ".join(one.variants)))),
    ]  # fmt: skip
    plan = one.plan or {}
    if plan.get("sequential_support"):
        items.append(
            ("Planned", Cell(f"{plan['sequential_support']:,} outcomes per variant at most"))
        )
    if one.horizon is not None:
        items.append(("Looked at once", Cell(f"at {one.horizon:,} outcomes per variant")))
    return Pairs(items)


def _trail(found: Finding) -> Table:
    rows = [
        [Cell(words.clock(event["happened_at"])), Cell(str(event["event"])),
         Cell(words.plain(str(event["variant"] or ""))),
         Cell(words.plain(str(event["note"] or "")))]
        for event in found.experiment.trail
    ]  # fmt: skip
    return Table("The trail", ("When (UTC)", "What", "Variant", "Note"), rows)
