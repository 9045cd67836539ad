"""What fails, and what fixed it: errors over time, cells that fail, solutions, recent failures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_learning.knowledge.rates import interval
from otel_learning.server.dashboard import words
from otel_learning.server.dashboard.asked import Asked, scope_of
from otel_learning.server.dashboard.page import (
    Cell,
    Figure,
    Figures,
    Note,
    Page,
    Section,
    Table,
)
from otel_learning.server.dashboard.pages import common, fixes
from otel_learning.store import dashboard_rows
from otel_learning.store.filters import Filters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_learning.records import ExecutionRecord
    from otel_learning.server.dashboard.page import Block
    from otel_learning.store.dashboard_rows import Cell as FailingCell
    from otel_learning.store.dashboard_rows import DayPart, Scope
    from otel_learning.store.database import LearningDatabase
    from otel_learning.store.reader import Reader

PATH: Final = "/failures"
QUESTION: Final = "What fails, and what fixed it?"
KINDS_SHOWN: Final = 5
CELL_LEAST: Final = 5
CELLS: Final = 12
RECENT: Final = 10


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
        errors = dashboard_rows.errors_by_day(store, scope)
        cells = dashboard_rows.failing_cells(store, scope, CELL_LEAST, CELLS)
        recent = _recent(store, scope)
    found = fixes.find(database, extent)
    failed = now.known - now.successes
    kinds: dict[str | None, float] = {}
    for one in errors:
        kinds[one.part] = kinds.get(one.part, 0.0) + one.amount
    ordered = sorted(kinds, key=lambda kind: (-kinds[kind], kind is None, kind or ""))
    sections = []
    if failed:
        sections.append(Section("Kinds of errors", [
            Figures([f for f in (_by_day(errors, ordered, kinds), _bars(ordered, kinds, scope))
                     if f is not None]),
        ]))  # fmt: skip
        sections.append(Section("Where it fails", _cells(cells, scope)))
    sections.append(Section("What fixed it", fixes.blocks(found)))
    if failed:
        sections.append(Section("Recent failures", [_recent_table(recent)]))
    return Page(PATH, QUESTION, _answer(now, ordered, kinds), sections,
                common.basis(scope, now.executions), common.choices(extent))  # fmt: skip


def _answer(
    now: dashboard_rows.Figures, ordered: list[str | None], kinds: dict[str | None, float]
) -> str:
    if not now.known:
        return "Nobody knows: no outcome is known here. Not enough evidence."
    failed = now.known - now.successes
    if not failed:
        return f"Nothing failed among {words.counted(now.known, 'known outcome')}."
    rate = interval(failed, now.known)
    said = (
        f"{words.counted(failed, 'failure')} among {words.counted(now.known, 'known outcome')}, "
        f"{words.share(rate.rate)} ({words.between(rate.low, rate.high)})"
    )
    if ordered:
        kind = ordered[0]
        what = "for no stated reason" if kind is None else f"by {_kind(kind)}"
        said += f"; most often {what} ({words.share(kinds[kind] / failed)} of them)"
    return said + "."


def _kind(kind: str | None) -> str:
    return "(not said)" if kind is None else words.plain(kind).replace("_", " ")


def _by_day(
    errors: list[DayPart], ordered: list[str | None], kinds: dict[str | None, float]
) -> Figure | None:
    from otel_learning.server.dashboard import charts
    from otel_learning.server.dashboard.svg import drawn

    if not errors:
        return None
    kept = ordered[:KINDS_SHOWN]
    shades = [(_kind(kind), charts.colour(i)) for i, kind in enumerate(kept)]
    if len(ordered) > len(kept):
        shades.append(("others", charts.colour(None)))
    amounts: dict[Any, dict[str, float]] = {}
    for one in errors:
        name = _kind(one.part) if one.part in kept else "others"
        day = amounts.setdefault(one.day, {})
        day[name] = day.get(name, 0.0) + one.amount
    names = [name for name, _ in shades]
    values = tuple(
        charts.AmountDay(day, of[name], name)
        for day, of in sorted(amounts.items())
        for name in names
        if name in of
    )
    worst = max(amounts, key=lambda day: sum(amounts[day].values()))
    return Figure(
        "Failures per day by kind of error",
        f"Most failures on {worst:%-d %B %Y}: {sum(amounts[worst].values()):,.0f}.",
        drawn(charts.amounts_by_day, charts.Parts(values, tuple(shades), ",.0f")),
        Table("Failures per day (UTC)", ("Day", *names),
              [[Cell(f"{day:%Y-%m-%d}"), *(Cell(words.count(of.get(n, 0.0))) for n in names)]
               for day, of in sorted(amounts.items())], frozenset(range(1, len(names) + 1))),
    )  # fmt: skip


def _bars(ordered: list[str | None], kinds: dict[str | None, float], scope: Scope) -> Figure | None:
    from otel_learning.server.dashboard import charts
    from otel_learning.server.dashboard.svg import drawn

    if not ordered:
        return None
    total = sum(kinds.values())
    values = tuple(
        charts.Bar(_kind(kind), kinds[kind],
                   f"{kinds[kind]:,.0f}, {words.share(kinds[kind] / total)}",
                   charts.colour(i if i < KINDS_SHOWN else None))
        for i, kind in enumerate(ordered)
    )  # fmt: skip
    return Figure(
        "Failures by kind of error",
        "; ".join(f"{v.label} {v.said}" for v in values) + ".",
        drawn(charts.bars, values),
        Table("Failures by kind of error", ("Error", "Failures", "Share"),
              [[Cell(_kind(kind), common.list_href(scope, outcome="failure", error_type=kind)),
                Cell(words.count(kinds[kind])), Cell(words.share(kinds[kind] / total))]
               for kind in ordered], frozenset((1, 2))),
    )  # fmt: skip


def _cells(cells: list[FailingCell], scope: Scope) -> list[Block]:
    if not cells:
        return [Note(f"No repository, type and tier has {CELL_LEAST} known outcomes and a "
                     "failure: not enough evidence.")]  # fmt: skip
    rows = []
    for cell in cells:
        failed = cell.known - cell.successes
        rate = interval(failed, cell.known)
        here = common.list_href(scope, repo=cell.repo, task_type=cell.task_type,
                                model_tier=cell.model_tier, outcome="failure")  # fmt: skip
        rows.append([
            Cell(words.name(cell.repo), here),
            Cell(words.name(cell.task_type)), Cell(words.name(cell.model_tier)),
            Cell(words.count(failed), note=f"of {cell.known:,} known"),
            Cell(words.share(rate.rate), note=words.between(rate.low, rate.high),
                 span=(rate.low, rate.rate, rate.high)),
            Cell(_kind(cell.error_type)), Cell(words.money(cell.failed_cost)),
        ])  # fmt: skip
    return [Table(
        "Repository, task type and tier with most failures",
        ("Repository", "Task type", "Tier", "Failures", "Failure rate", "Most often", "Lost, USD"),
        rows, frozenset((3, 4, 6)),
    )]  # fmt: skip


def _recent(store: Reader, scope: Scope) -> list[ExecutionRecord]:
    filters: Filters = {"success": False, "since": scope.since, "until": scope.until}
    for name in ("environment", "repo", "task_type"):
        chosen = getattr(scope, name)
        if chosen is not None and chosen[0] is not None:
            filters[name] = chosen[0]
    found = store.executions(limit=RECENT, **filters)
    return [one for one in found if _within(one, scope)]


def _within(record: ExecutionRecord, scope: Scope) -> bool:
    """Whether a record lacks what is asked to be lacking; the reader's filters cannot say that."""
    return all(
        getattr(scope, name) is None or getattr(record, name) == getattr(scope, name)[0]
        for name in ("environment", "repo", "task_type")
    )


def _recent_table(recent: list[ExecutionRecord]) -> Table:
    rows = [
        [
            Cell(words.clock(one.started_at), f"/executions/{one.execution_id}"),
            Cell(words.plain(one.task_description or one.task_id or "(not described)", 90)),
            Cell(words.name(one.repo)), Cell(words.name(one.model_tier)),
            Cell(_kind(one.error_type), note=words.plain(one.error_message or "", 120)),
            Cell(words.money(one.actual_cost)),
        ]
        for one in recent
    ]  # fmt: skip
    heads = ("Started (UTC)", "Task", "Repository", "Tier", "Error", "Cost")
    return Table("The newest failures", heads, rows, frozenset((5,)))
