"""Where does the money go: by repository, type, arm and day; what is known of it; what was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_learning.server.dashboard import words
from otel_learning.server.dashboard.asked import ARMS, Asked, period_before, scope_of
from otel_learning.server.dashboard.page import (
    Cell,
    Figure,
    Figures,
    Note,
    Page,
    Section,
    Table,
    Tiles,
)
from otel_learning.server.dashboard.pages import common
from otel_learning.store import dashboard_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_learning.server.dashboard.page import Block
    from otel_learning.store.dashboard_rows import DayPart
    from otel_learning.store.database import LearningDatabase

PATH: Final = "/costs"
QUESTION: Final = "Where does the money go?"
SHOWN: Final = 8
"""Bars of a chart; the table below has more."""
ROWS: Final = 30

_Group = tuple[str | None, dashboard_rows.Figures]


def build(database: LearningDatabase, asked: Asked, _: Mapping[str, str]) -> Page:
    """The page of a store for some filters."""
    with database.snapshot() as store:
        extent = dashboard_rows.extent(store)
        if not extent.executions:
            return common.nothing_yet(PATH, QUESTION)
        scope = scope_of(asked, extent)
        now = dashboard_rows.totals(store, scope)
        if not now.executions:
            return common.nothing_fits(asked, PATH, QUESTION, scope, extent)
        earlier = period_before(scope)
        before = None
        if earlier is not None and common.covered(earlier, extent):
            before = dashboard_rows.totals(store, earlier)
        colours = common.Colours(dashboard_rows.arms(store, asked.by))
        columns = ("repo", "task_type", asked.by)
        parts = dashboard_rows.groups(store, scope, columns, ROWS)
        by_day = dashboard_rows.cost_by_day(store, scope, asked.by)
    page = Page(PATH, QUESTION, "", (), common.basis(scope, now.executions),
                common.choices(extent))  # fmt: skip
    if not now.costs_known:
        return _with(page, "Nobody knows: no execution here has a known cost.", [
            Section("What to do", [
                Note("Costs come from spans that say them, or from tokens and the model's price. "
                     "This shows what is read from a span:", "otel-learning explain FILE"),
            ]),
        ])  # fmt: skip
    return _with(page, _answer(now, parts["repo"]), _sections(now, before, parts, by_day, asked,
                                                              colours))  # fmt: skip


def _with(page: Page, answer: str, sections: Sequence[Section]) -> Page:
    from dataclasses import replace

    return replace(page, answer=answer, sections=sections)


def _answer(now: dashboard_rows.Figures, repos: list[_Group]) -> str:
    said = f"{words.money(now.cost)} was spent"
    if now.costs_known < now.executions:
        said += (
            f", as far as is known ({words.share(now.costs_known / now.executions)} of executions)"
        )
    named = [(value, f) for value, f in repos if value is not None and f.cost > 0]
    if named and now.cost > 0:
        value, figures = named[0]
        said += f"; {words.share(figures.cost / now.cost)} of it in {words.plain(value or '')}"
    each = common.cost_per_success(now)
    if each is not None:
        said += f". A success cost {words.money(each)}"
    return said + "."


def _sections(
    now: dashboard_rows.Figures, before: dashboard_rows.Figures | None,
    parts: dict[str, list[_Group]], by_day: list[DayPart], asked: Asked, colours: common.Colours,
) -> list[Section]:  # fmt: skip
    unknown = now.executions - now.costs_known
    each, was = common.cost_per_success(now), None
    if before is not None:
        was = common.cost_per_success(before)
    tiles = Tiles([
        common.tile("Spent", words.money(now.cost),
                    f"mean {words.money(common.mean_cost(now))} of one",
                    common.change_of(now.cost, before.cost if before is not None else None)),
        common.tile("Cost per success", words.money(each), "failures included",
                    common.change_of(each, was)),
        common.tile("Spent on failures", words.money(now.failed_cost),
                    f"{words.share(now.failed_cost / now.cost)} of what was spent"
                    if now.cost else "nothing was spent"),
        common.tile("Cost known", words.share(now.costs_known / now.executions),
                    f"reported {words.share(now.reported / now.executions)}, priced from tokens "
                    f"{words.share(now.priced / now.executions)}, unknown "
                    f"{words.share(unknown / now.executions)}"),
    ])  # fmt: skip
    noun = ARMS[asked.by]
    charts_: list[Figure] = []
    day = _by_day(by_day, noun, colours)
    if day is not None:
        charts_.append(day)
    for column, title in (
        (asked.by, f"USD by {noun}"), ("repo", "USD by repository"),
        ("task_type", "USD by task type"),
    ):  # fmt: skip
        figure = _bars(parts[column], title, column, colours if column == asked.by else None)
        if figure is not None:
            charts_.append(figure)
    blocks: list[Block] = [Figures(charts_)] if charts_ else []
    return [
        Section("In short", [tiles]),
        Section("Where it goes", blocks),
        Section("In numbers", [
            _table(parts["repo"], "Repository", now, "repo", asked),
            _table(parts["task_type"], "Task type", now, "task_type", asked),
            _table(parts[asked.by], noun.capitalize(), now, None, asked, colours),
        ]),
    ]  # fmt: skip


def _by_day(by_day: list[DayPart], noun: str, colours: common.Colours) -> Figure | None:
    from otel_learning.server.dashboard import charts
    from otel_learning.server.dashboard.svg import drawn

    if not by_day:
        return None
    sums: dict[str | None, float] = {}
    for one in by_day:
        sums[one.part] = sums.get(one.part, 0.0) + one.amount
    kept = sorted(sums, key=lambda part: -sums[part])[: charts.ARMS_COLOURED]
    names = {part: words.label(part) for part in kept}
    amounts: dict[tuple[object, str], float] = {}
    for one in by_day:
        key = (one.day, names.get(one.part, "others"))
        amounts[key] = amounts.get(key, 0.0) + one.amount
    shades = [(names[part], colours.of(part)) for part in kept]
    if len(sums) > len(kept):
        shades.append(("others", charts.colour(None)))
    order = {name: i for i, (name, _) in enumerate(shades)}
    days = sorted({one.day for one in by_day})
    values = tuple(
        charts.AmountDay(d, amounts[d, name], name)
        for d in days
        for name in order
        if (d, name) in amounts
    )
    top = max(kept, key=lambda part: sums[part])
    return Figure(
        f"USD per day by {noun}",
        f"Most went to {words.name(top)}: {words.money(sums[top])} in all.",
        drawn(charts.amounts_by_day, charts.Parts(values, tuple(shades))),
        Table(f"USD per day by {noun} (UTC)", ("Day", *order),
              [[Cell(f"{d:%Y-%m-%d}"),
                *(Cell(words.money(amounts.get((d, name), 0.0))) for name in order)]
               for d in days], frozenset(range(1, len(order) + 1))),
    )  # fmt: skip


def _bars(
    groups: list[_Group], title: str, column: str, colours: common.Colours | None
) -> Figure | None:
    from otel_learning.server.dashboard import charts
    from otel_learning.server.dashboard.svg import drawn

    paid = [(value, f) for value, f in groups if f.costs_known][:SHOWN]
    if not paid:
        return None
    values = tuple(
        charts.Bar(words.label(value), f.cost, words.money(f.cost),
                   colours.of(value) if colours is not None else charts.ACCENT)
        for value, f in paid
    )  # fmt: skip
    return Figure(
        title,
        "; ".join(f"{words.name(value)} {words.money(f.cost)}" for value, f in paid) + ".",
        drawn(charts.bars, values),
        Table(title, (column, "USD", "Executions"),
              [[Cell(words.name(value)), Cell(words.money(f.cost)), Cell(words.count(f.executions))]
               for value, f in paid], frozenset((1, 2))),
    )  # fmt: skip


def _table(
    groups: list[_Group], head: str, now: dashboard_rows.Figures, column: str | None,
    asked: Asked, colours: common.Colours | None = None,
) -> Table:  # fmt: skip
    rows = []
    for value, f in groups:
        href = None
        if column is not None and not getattr(asked, column):
            href = f"{PATH}{asked.query(**{column: common.as_filter(value)})}"
        rate = common.rate(f)
        rows.append([
            Cell(words.name(value), href, arm=None if colours is None else colours.shown(value)),
            Cell(words.money(f.cost) if f.costs_known else "unknown"),
            Cell(words.share(f.cost / now.cost) if now.cost and f.costs_known else "unknown"),
            Cell(words.money(common.mean_cost(f))),
            Cell(words.money(common.cost_per_success(f)),
                 note="" if rate is None else f"success {common.rate_words(rate, f.known)}"),
            Cell(words.money(f.failed_cost) if f.costs_known else "unknown"),
            Cell(words.count(f.executions), note="" if f.costs_known == f.executions else
                 f"cost of {words.share(f.costs_known / f.executions)} known"),
        ])  # fmt: skip
    return Table(
        f"Cost by {head.lower()}",
        (head, "USD", "Share", "Of one", "Per success", "On failures", "Executions"),
        rows, frozenset(range(1, 7)),
    )  # fmt: skip
