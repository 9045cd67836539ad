"""Solutions with their evidence: out of the table, or computed where the store is small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from otel_learning.server.dashboard import words
from otel_learning.server.dashboard.page import Cell, Note, Table
from otel_learning.store import dashboard_rows
from otel_learning.store.dashboard_rows import Learned

if TYPE_CHECKING:
    from datetime import datetime

    from otel_learning.server.dashboard.page import Block
    from otel_learning.store.dashboard_rows import Extent
    from otel_learning.store.database import LearningDatabase

SMALL: Final = 5_000
"""Executions in a store that solutions are computed from while one waits."""
SHOWN: Final = 15
_TONES: Final[dict[bool | None, Literal["good", "bad", ""]]] = {
    True: "good", False: "bad", None: "",
}  # fmt: skip


class Found(NamedTuple):
    """Solutions, and where they are from."""

    solutions: list[Learned]
    extracted_at: datetime | None
    """When the table was written; None where they were computed now."""
    lacking: str | None
    """Why there is nothing to show, and a command that helps, parted by a newline."""


def find(database: LearningDatabase, extent: Extent) -> Found:
    """What is known to have worked, the surest first."""
    if extent.executions > SMALL:
        found = dashboard_rows.solutions(database, SHOWN)
        if found:
            return Found(found, found[0].extracted_at, None)
        return Found([], None, "Solutions of a store of this size are extracted beforehand, with "
                               "its vectors:\notel-learning embed")  # fmt: skip
    try:
        from otel_learning.knowledge.library import library
    except ModuleNotFoundError:
        return Found(
            [], None, "Solutions need the extra learn:\npip install 'otel-learning[learn]'"
        )
    known = library(database).solutions[:SHOWN]
    learned = [
        Learned(
            s.solution_summary, s.error_type, s.rate.rate, s.rate.low, s.rate.high, s.support,
            list(s.repos), s.helped, s.last_used_at, s.last_used_at or _never(),
            s.evidence[0] if s.evidence else None,
        )
        for s in known
    ]  # fmt: skip
    return Found(learned, None, None)


def _never() -> datetime:
    from datetime import UTC, datetime

    return datetime(1970, 1, 1, tzinfo=UTC)


def blocks(found: Found) -> list[Block]:
    """The pairs of error and solution as a table, or why there are none."""
    if found.lacking is not None:
        text, _, command = found.lacking.partition("\n")
        return [Note(text, command)]
    if not found.solutions:
        return [Note("No solution has three known outcomes behind it: not enough evidence. "
                     "Solutions are what spans say worked (learning.outcome.solution_summary), and "
                     "changes of the route after which a failed task succeeded.")]  # fmt: skip
    rows = []
    for one in found.solutions:
        helped = {True: "better than without", False: "worse than without", None: "not shown"}
        rows.append([
            Cell("any" if one.error_type is None else one.error_type.replace("_", " ")),
            Cell(words.plain(one.summary, 200),
                 None if one.example is None else f"/executions/{one.example}"),
            Cell(words.share(one.rate), note=words.between(one.low, one.high),
                 span=(one.low, one.rate, one.high)),
            Cell(words.count(one.support)),
            Cell(helped[one.helped], tone=_TONES[one.helped]),
            Cell(words.plain(", ".join(one.repos), 80) or "(not named)"),
        ])  # fmt: skip
    made: list[Block] = [Table(
        "What worked after which error, in the environment with most executions, all time",
        ("After", "Solution", "Success", "Known outcomes", "Does it help?", "Repositories"),
        rows, frozenset((2, 3)),
    )]  # fmt: skip
    if found.extracted_at is not None:
        made.append(Note(f"As extracted {words.moment(found.extracted_at)}; this renews it:",
                         "otel-learning embed"))  # fmt: skip
    return made
