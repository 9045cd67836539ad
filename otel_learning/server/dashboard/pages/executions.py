"""The list of executions: filters, newest first, page by page."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from otel_learning.errors import InputError
from otel_learning.server.dashboard import words
from otel_learning.server.dashboard.asked import ALL, NONE, Asked
from otel_learning.server.dashboard.page import Cell, Note, Page, Pager, Section, Table
from otel_learning.server.dashboard.pages import common
from otel_learning.store import dashboard_rows
from otel_learning.store.filters import Filters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_learning.records import ExecutionRecord
    from otel_learning.store.database import LearningDatabase

PATH: Final = "/executions"
QUESTION: Final = "Which executions were there?"
ROWS: Final = 50
_EQUAL: Final = ("environment", "repo", "task_type", "model_tier", "error_type", "task_id")


def build(database: LearningDatabase, asked: Asked, _: Mapping[str, str]) -> Page:
    """The page of a place in the list."""
    filters = _filters(asked)
    with database.snapshot() as store:
        extent = dashboard_rows.extent(store)
        if not extent.executions:
            return common.nothing_yet(PATH, QUESTION)
        page = store.executions_page(limit=ROWS, after=asked.after or None, **filters)
        count = store.count_executions(**filters)
    choices = common.choices(extent)
    if not page.executions:
        return Page(PATH, QUESTION, "None fits these filters.", [
            Section("What to do", [Note(common.extent_words(extent)),
                                   Pager(f"{PATH}", None)]),
        ], "", choices)  # fmt: skip
    following = f"{PATH}{asked.query(after=page.next)}" if page.next is not None else None
    first = f"{PATH}{asked.query(after='')}" if asked.after else None
    answer = f"{words.counted(count, 'execution')}, the newest first."
    return Page(PATH, QUESTION, answer, [
        Section("Executions", [table(page.executions, "Executions, the newest first"),
                               Pager(first, following)]),
    ], _basis(asked), choices)  # fmt: skip


def _basis(asked: Asked) -> str:
    given = [f"{name.replace('_', ' ')} {words.plain(getattr(asked, name))}" for name in
             (*_EQUAL, "outcome") if getattr(asked, name) not in ("", ALL)]  # fmt: skip
    if asked.since is not None:
        given.append(f"from {asked.since}")
    if asked.until is not None:
        given.append(f"to {asked.until}")
    return ", ".join(given) if given else "all of them"


def _filters(asked: Asked) -> Filters:
    found: Filters = {}
    for name in _EQUAL:
        value = getattr(asked, name)
        if value == NONE:
            raise InputError(f"{name}={value!r} cannot be asked here",
                             "the list is asked for by a value that executions have")  # fmt: skip
        if value not in ("", ALL):
            found[name] = value
    if asked.outcome:
        found["success"] = "unknown" if asked.outcome == "unknown" else asked.outcome == "success"
    if asked.since is not None:
        found["since"] = datetime.combine(asked.since, time(), UTC)
    if asked.until is not None:
        found["until"] = datetime.combine(asked.until + timedelta(days=1), time(), UTC)
    return found


def outcome(record: ExecutionRecord) -> Cell:
    """Success, failure or unknown, with the kind of error."""
    if record.success is None:
        return Cell("unknown")
    if record.success:
        return Cell("success", tone="good")
    return Cell("failure", tone="bad", note="" if record.error_type is None
                else record.error_type.replace("_", " "))  # fmt: skip


def table(records: Sequence[ExecutionRecord], caption: str) -> Table:
    """Executions as rows, each with a link to its own page."""
    rows = []
    for one in records:
        described = one.task_description or one.task_id or str(one.execution_id)
        tries = words.counted(one.attempt_count, "call")
        if one.fallback_used:
            tries += ", fell back"
        rows.append([
            Cell(words.plain(described, 90), f"{PATH}/{one.execution_id}",
                 note=f"{words.name(one.task_type)}, {words.name(one.repo)}"),
            outcome(one), Cell(words.name(one.model_tier), note=words.plain(one.model or "", 60)),
            Cell(words.money(one.actual_cost)),
            Cell(words.seconds(one.duration_seconds), note=tries),
            Cell(words.clock(one.started_at)),
        ])  # fmt: skip
    return Table(caption, ("Task", "Outcome", "Tier", "Cost", "Time", "Started (UTC)"), rows,
                 frozenset((3, 4)))  # fmt: skip
