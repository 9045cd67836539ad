"""What stands out: sentences about what executions show, the most worthwhile first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_learning.errors import InputError
from otel_learning.server.dashboard import words
from otel_learning.server.dashboard.asked import ALL, NONE, Asked
from otel_learning.server.dashboard.memo import Memo
from otel_learning.server.dashboard.page import Cell, Note, Page, Section, Table
from otel_learning.server.dashboard.pages import common
from otel_learning.store import dashboard_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_learning.store.database import LearningDatabase

PATH: Final = "/insights"
QUESTION: Final = "What stands out?"
SHOWN: Final = 20
_KINDS: Final = {
    "change": "success changed", "cost_change": "cost changed", "failing": "fails",
    "anti_pattern": "does worse", "drift": "drifts", "costly": "dear",
    "under_explored": "seldom tried",
}  # fmt: skip
_memo: Final = Memo()


def build(database: LearningDatabase, asked: Asked, _: Mapping[str, str]) -> Page:
    """The page: what `otel-learning insights` finds, worked out beside the call."""
    if asked.environment in (ALL, NONE):
        raise InputError(f"environment={asked.environment!r} cannot be asked here",
                         "insights are of one named environment")  # fmt: skip
    with database.snapshot() as store:
        extent = dashboard_rows.extent(store)
    if not extent.executions:
        return common.nothing_yet(PATH, QUESTION)
    environment = asked.environment or None

    def work() -> Any:
        from otel_learning.learning.insights import find_insights

        return find_insights(database, environment=environment)

    answer = _memo.ask(database.path, (database.path, environment), work)
    choices = common.choices(extent)
    if answer is None:
        return Page(PATH, QUESTION, "It is being worked out; the page comes back by itself.", (),
                    "", choices, refresh_seconds=2)  # fmt: skip
    if answer.error is not None:
        raise answer.error
    found = answer.value
    about = f"environment {words.name(found.environment)}"
    if found.until is not None:
        about += f", up to {words.moment(found.until)}"
    about += (
        f"; {words.counted(found.looked_at, 'comparison')} over "
        f"{words.counted(found.executions, 'execution')}, worked out {words.moment(answer.made_at)}"
    )
    if not found.found:
        said = "Nothing stands out from chance." if found.looked_at else (
            "Nothing can be said: there are too few executions for any comparison. Not enough "
            "evidence."
        )  # fmt: skip
        return Page(PATH, QUESTION, said, (), about, choices)
    rows = []
    for one in found.found[:SHOWN]:
        example = one.evidence[0] if one.evidence else None
        rows.append([
            Cell(words.plain(one.sentence, 400)), Cell(_KINDS.get(one.kind, one.kind)),
            Cell(words.count(one.support)),
            Cell("show one" if example is not None else "",
                 None if example is None else f"/executions/{example}"),
        ])  # fmt: skip
    first = words.plain(found.found[0].sentence, 400)
    return Page(PATH, QUESTION, first, [
        Section("All of it", [
            Table("The most worthwhile first", ("What", "Kind", "Executions", "For example"), rows,
                  frozenset((2,))),
            Note("Of what is said, at most one in twenty is expected to be chance. Observational: "
                 "whoever chose may have had reasons."),
        ]),
    ], about, choices)  # fmt: skip
