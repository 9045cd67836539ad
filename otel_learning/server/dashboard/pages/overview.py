"""How are we doing: success, cost and latency, by day and against the period before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_learning.server.dashboard import words
from otel_learning.server.dashboard.asked import Asked, period_before, scope_of
from otel_learning.server.dashboard.page import Cell, Figure, Figures, Page, Section, Table, Tiles
from otel_learning.server.dashboard.pages import common
from otel_learning.store import dashboard_rows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from otel_learning.knowledge.rates import Rate
    from otel_learning.server.dashboard.page import Tile
    from otel_learning.store.database import LearningDatabase

PATH: Final = "/"
QUESTION: Final = "How are we doing?"


def build(database: LearningDatabase, asked: Asked, _: Mapping[str, str]) -> Page:
    """The page of a store for some filters."""
    with database.snapshot() as store:
        extent = dashboard_rows.extent(store)
        if not extent.executions:
            return common.nothing_yet(PATH, QUESTION)
        scope = scope_of(asked, extent)
        now = dashboard_rows.totals(store, scope)
        past = period_before(scope)
        before = dashboard_rows.totals(store, past) if past is not None else None
        by_day = dashboard_rows.days(store, scope)
    if not now.executions:
        return common.nothing_fits(asked, PATH, QUESTION, scope, extent)
    if before is not None and not before.executions:
        before = None
    whole = past is not None and common.covered(past, extent)
    rate = common.rate(now)
    earlier = common.rate(before) if before is not None else None
    sections = [
        Section("In short", [Tiles(_tiles(now, before, rate, earlier, whole))]),
        Section("By day", [Figures(_figures(by_day))]),
    ]
    return Page(PATH, QUESTION, _answer(now, rate, earlier), sections,
                common.basis(scope, now.executions), common.choices(extent))  # fmt: skip


def _answer(now: dashboard_rows.Figures, rate: Rate | None, earlier: Rate | None) -> str:
    if rate is None:
        return (
            f"Nobody knows: none of {words.counted(now.executions, 'execution')} has a known "
            "outcome. Not enough evidence."
        )
    if now.known < common.KNOWN_LEAST:
        return (
            f"{now.successes} of {words.counted(now.known, 'known outcome')} succeeded: not enough "
            "evidence for a rate."
        )
    said = (
        f"{words.share(rate.rate)} of known outcomes succeeded "
        f"({words.between(rate.low, rate.high)})"
    )
    if earlier is None:
        return f"{said}; there is no period before to compare with."
    if rate.low > earlier.high:
        return f"{said}: better than in the period before, by more than chance explains."
    if rate.high < earlier.low:
        return f"{said}: worse than in the period before, by more than chance explains."
    return f"{said}: no different from the period before, as far as chance lets one tell."


def _tiles(
    now: dashboard_rows.Figures, before: dashboard_rows.Figures | None, rate: Rate | None,
    earlier: Rate | None, whole: bool,
) -> list[Tile]:  # fmt: skip
    """Headline figures; amounts are compared only with a period that the store holds whole."""
    amounts = before if whole else None
    change, tone = "", ""
    if rate is not None and earlier is not None:
        change = words.points(rate.rate - earlier.rate)
        tone = "good" if rate.low > earlier.high else "bad" if rate.high < earlier.low else "even"
    cost = common.mean_cost(now)
    was = common.mean_cost(before) if before is not None else None
    known = now.known / now.executions
    return [
        common.tile(
            "Success", "unknown" if rate is None else words.share(rate.rate),
            "no outcome is known" if rate is None else
            f"{words.between(rate.low, rate.high)}, {words.counted(now.known, 'known outcome')}",
            change, tone,
        ),
        common.tile(
            "Cost of one", words.money(cost),
            f"mean of {words.counted(now.costs_known, 'known cost')}"
            if now.costs_known else "no cost is known",
            common.change_of(cost, was),
        ),
        common.tile(
            "Spent", words.money(now.cost) if now.costs_known else "unknown",
            f"known for {words.share(now.costs_known / now.executions)} of executions",
            common.change_of(now.cost, amounts.cost if amounts is not None else None),
        ),
        common.tile(
            "Time of one", words.seconds(now.middle_seconds),
            "no duration is known" if now.slow_seconds is None else
            f"median; 95 % within {words.seconds(now.slow_seconds)}",
            common.change_of(
                now.middle_seconds, before.middle_seconds if before is not None else None
            ),
        ),
        common.tile(
            "Executions", words.count(now.executions),
            f"outcome known for {words.share(known)}",
            common.change_of(now.executions, amounts.executions if amounts is not None else None),
        ),
        common.tile(
            "Fell back", words.share(now.fallbacks / now.executions),
            f"{words.counted(now.fallbacks, 'execution')} ended on another model",
            words.points(
                now.fallbacks / now.executions - before.fallbacks / before.executions
            ) if before is not None and before.executions else "",
        ),
    ]  # fmt: skip


def _figures(by_day: list[tuple[date, dashboard_rows.Figures]]) -> list[Figure]:
    from otel_learning.server.dashboard import charts
    from otel_learning.server.dashboard.svg import drawn

    found = []
    rates = [(day, rate) for day, f in by_day if (rate := common.rate(f)) is not None]
    if rates:
        days = tuple(charts.RateDay(day, r.low, r.rate, r.high) for day, r in rates)
        lowest = min(rates, key=lambda pair: pair[1].rate)
        found.append(Figure(
            "Success rate of known outcomes, per cent",
            f"Success per day with 90 % intervals, {len(days)} days; lowest "
            f"{words.share(lowest[1].rate)} on {lowest[0]:%-d %B %Y}, last "
            f"{words.share(rates[-1][1].rate)}.",
            drawn(charts.rate_by_day, days),
            Table("Success per day (UTC)", ("Day", "Success", "90 % interval", "Known outcomes"),
                  [[Cell(f"{day:%Y-%m-%d}"), Cell(words.share(r.rate)),
                    Cell(words.between(r.low, r.high)), Cell(words.count(f.known))]
                   for day, f in by_day if (r := common.rate(f)) is not None],
                  frozenset((1, 2, 3))),
        ))  # fmt: skip
    costs = [(day, f) for day, f in by_day if f.costs_known]
    if costs:
        dearest = max(costs, key=lambda pair: pair[1].cost)
        found.append(Figure(
            "Spent per day, USD",
            f"USD per day; most on {dearest[0]:%-d %B %Y}: {words.money(dearest[1].cost)}.",
            drawn(charts.amounts_by_day, charts.Parts(
                tuple(charts.AmountDay(day, f.cost) for day, f in costs))),
            Table("Cost per day (UTC)", ("Day", "USD", "USD per execution", "Known costs"),
                  [[Cell(f"{day:%Y-%m-%d}"), Cell(words.money(f.cost)),
                    Cell(words.money(common.mean_cost(f))), Cell(words.count(f.costs_known))]
                   for day, f in costs], frozenset((1, 2, 3))),
        ))  # fmt: skip
    spreads = [
        charts.SpreadDay(day, f.middle_seconds, f.slow_seconds)
        for day, f in by_day
        if f.middle_seconds is not None and f.slow_seconds is not None
    ]
    if spreads:
        found.append(Figure(
            "Time of one execution, seconds",
            f"Median and 95th percentile per day; last {words.seconds(spreads[-1].middle)} and "
            f"{words.seconds(spreads[-1].slow)}.",
            drawn(charts.spread_by_day, tuple(spreads)),
            Table("Durations per day (UTC)", ("Day", "Median", "95th percentile"),
                  [[Cell(f"{s.day:%Y-%m-%d}"), Cell(words.seconds(s.middle)),
                    Cell(words.seconds(s.slow))] for s in spreads], frozenset((1, 2))),
        ))  # fmt: skip
    found.append(Figure(
        "Executions per day",
        f"Executions per day over {len(by_day)} days.",
        drawn(charts.amounts_by_day, charts.Parts(
            tuple(charts.AmountDay(day, float(f.executions)) for day, f in by_day), (), ",.0f")),
        Table("Executions per day (UTC)", ("Day", "Executions", "Known outcomes", "Fell back"),
              [[Cell(f"{day:%Y-%m-%d}"), Cell(words.count(f.executions)),
                Cell(words.count(f.known)), Cell(words.count(f.fallbacks))]
               for day, f in by_day], frozenset((1, 2, 3))),
    ))  # fmt: skip
    return found
