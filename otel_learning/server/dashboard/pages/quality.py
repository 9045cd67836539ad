"""How much checking each repository's record asks for, which kinds of work are risky, and why."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

from otel_learning.errors import InputError
from otel_learning.server.dashboard import words
from otel_learning.server.dashboard.asked import ALL, NONE, Asked
from otel_learning.server.dashboard.memo import Memo
from otel_learning.server.dashboard.page import Cell, Note, Page, Section, Table
from otel_learning.server.dashboard.pages import common
from otel_learning.store import dashboard_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_learning.learning.quality import Quality
    from otel_learning.learning.risk import Area
    from otel_learning.store.database import LearningDatabase

PATH: Final = "/quality"
QUESTION: Final = "How much checking is asked for?"
REPOSITORIES_MOST: Final = 20
"""Those with most executions; each one's record is read."""
_FLOWS: Final = {
    "full": "check everything", "standard": "check as usual", "accelerated": "check less",
    "streamlined": "check little", "escalated": "ask a person",
}  # fmt: skip
_LIMITS: Final = {
    "success": "its success rate", "outcomes": "too few known outcomes", "age": "its age",
    "days": "its age", "quality": "its quality scores", "coverage": "its coverage",
    "docs": "its docs", "quality_falling": "falling quality scores",
}  # fmt: skip
_TONES: Final = {"high": "bad", "medium": "even", "low": "good"}
_memo: Final = Memo()


def build(database: LearningDatabase, asked: Asked, _: Mapping[str, str]) -> Page:
    """The page: what `otel-learning quality` says of repositories, worked out beside the call."""
    if asked.environment in (ALL, NONE) or asked.repo == NONE:
        raise InputError("quality is asked for a named environment and repository",
                         "leave the filter out for the environment of most executions")  # fmt: skip
    with database.snapshot() as store:
        extent = dashboard_rows.extent(store)
    choices = common.choices(extent)
    if not extent.executions:
        return common.nothing_yet(PATH, QUESTION)
    known = [repo for repo in choices.get("repo", ()) if repo is not None]
    if not known:
        return Page(PATH, QUESTION, "Nothing can be said: no execution names its repository.",
                    [Section("What to do", [
                        Note("Set the attribute learning.task.repo on any span of a task; "
                             "otel-learning explain shows what was read from spans.")])],
                    "", choices)  # fmt: skip
    chosen = [asked.repo] if asked.repo and asked.repo != ALL else known[:REPOSITORIES_MOST]
    environment = asked.environment or None

    def work() -> list[Quality]:
        from otel_learning.learning.quality import examine

        with database.snapshot() as moment:
            return [examine(moment, repo, environment=environment) for repo in chosen]

    answer = _memo.ask(database.path, (database.path, environment, tuple(chosen)), work)
    if answer is None:
        return Page(PATH, QUESTION, "It is being worked out; the page comes back by itself.", (),
                    "", choices, refresh_seconds=2)  # fmt: skip
    if answer.error is not None:
        raise answer.error
    return _page(answer.value, asked, len(known), choices)


def _page(found: Sequence[Quality], asked: Asked, known: int, choices: Any) -> Page:
    blocks: list[Any] = [_table(found, asked)]
    if len(found) < known and len(found) > 1:
        blocks.append(Note(f"The {len(found)} repositories with most executions, of {known:,}; "
                           "the filter shows any other."))  # fmt: skip
    blocks.append(Note(
        "A score is that of the weakest part of a record, each at the lower end of its interval: "
        "95 %, however often one looks. A short record never earns less checking. As a gate:",
        f"otel-learning quality {shlex.quote(words.plain(found[0].repo))} --gate",
    ))  # fmt: skip
    sections = [Section("Repositories", blocks)]
    if len(found) == 1 and found[0].areas:
        sections.append(Section("Kinds of work, the riskiest first", [
            _areas(found[0].areas),
            Note("Risk is the upper end of the failure rate's interval, times one plus the share "
                 "of the last 30 days' work, times what a failure weighs: what is little known is "
                 "risky."),
        ]))  # fmt: skip
    return Page(PATH, QUESTION, _answer(found), sections, _basis(found), choices)


def _answer(found: Sequence[Quality]) -> str:
    if len(found) == 1:
        [one] = found
        name = words.plain(one.repo)
        if not one.record.executions:
            return f"Nothing is known of {name} here. Not enough evidence."
        said = (f"{name} is {one.maturity}: {_FLOWS[one.flow]}, and ask for "
                f"{one.coverage_required:g} % coverage")  # fmt: skip
        if one.flow == "escalated":
            return f"{said}; its record {'fails' if one.record.failing else 'declines'}."
        return f"{said}; it is held back by {_limit(one)}."
    escalated = [one for one in found if one.flow == "escalated"]
    trusted = [one for one in found if one.maturity in ("mature", "stable")]
    all_ = words.counted(len(found), "repository", "repositories")
    said = f"{len(trusted)} of {all_}" if trusted else f"No one of {all_}"
    said += " has earned less checking"
    if escalated:
        said += f"; {words.plain(escalated[0].repo)} asks for a person"
        said += f", and {len(escalated) - 1} more" if len(escalated) > 1 else ""
    return said + "."


def _limit(one: Quality) -> str:
    for reason in one.reasons:
        name, _, part = reason.partition(":")
        if name == "limited_by":
            return _LIMITS.get(part, words.plain(part))
    return "having no record"


def _unmet(one: Quality) -> str:
    """Why the gate is not met."""
    if one.gate_met:
        return ""
    if one.flow == "escalated":
        return f"the record {'fails' if one.record.failing else 'declines'}"
    return "coverage unknown" if one.record.coverage is None else "coverage too low"


def _basis(found: Sequence[Quality]) -> str:
    names = sorted({words.name(one.environment) for one in found})
    looked_at = sum(one.record.executions for one in found)
    return (f"{words.counted(looked_at, 'execution')}, environment "
            f"{', '.join(names)}; the newest 20,000 of each repository, outcomes of 365 days"
            )  # fmt: skip


def _table(found: Sequence[Quality], asked: Asked) -> Table:
    rows = []
    for one in found:
        record = one.record
        span = None
        if record.success_rate is not None:
            span = (record.success_low, record.success_rate, record.success_high)
        rows.append([
            Cell(words.plain(one.repo, 80), f"{PATH}{asked.query(repo=one.repo)}"),
            Cell(one.maturity, note=f"score {one.score:g} of 100"),
            Cell(words.share(record.success_rate), note=words.between(
                record.success_low, record.success_high) if span else "", span=span),
            Cell(words.count(record.outcomes)),
            Cell(f"{one.coverage_required:g} %", note="unknown now" if record.coverage is None
                 else f"{record.coverage:g} % now"),
            Cell(_FLOWS[one.flow], tone="bad" if one.flow == "escalated" else ""),
            Cell("met" if one.gate_met else "not met", note=_unmet(one),
                 tone="good" if one.gate_met else "bad"),
            Cell(_limit(one)),
        ])  # fmt: skip
    return Table(
        "What each record asks for",
        ("Repository", "Maturity", "Success rate", "Known outcomes", "Coverage asked for",
         "What to do", "Gate", "Held back by"),
        rows, frozenset((3,)),
    )  # fmt: skip


def _areas(areas: Sequence[Area]) -> Table:
    rows = []
    for one in areas:
        tone = _TONES.get(one.risk, "")
        rows.append([
            Cell(words.plain(one.area) or words.name(None)),
            Cell(one.risk, tone=tone),  # type: ignore[arg-type]
            Cell(words.share(one.failure_rate), note=f"at most {words.share(one.failure_high)}"),
            Cell(words.count(one.support)), Cell(words.share(one.churn)),
            Cell(one.impact), Cell(f"{one.coverage_required:g} %"),
        ])  # fmt: skip
    return Table(
        "Kinds of work",
        ("Kind of task", "Risk", "Failures", "Known outcomes", "Share of recent work",
         "A failure weighs", "Coverage asked for"),
        rows, frozenset((3, 4)),
    )  # fmt: skip
