"""Experiments: which there are, and how each stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from otel_learning.server.dashboard import words
from otel_learning.server.dashboard.page import Cell, Note, Page, Section, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_learning.learning.definition import Experiment
    from otel_learning.server.dashboard.asked import Asked
    from otel_learning.store.database import LearningDatabase

PATH: Final = "/experiments"
QUESTION: Final = "What are we trying out?"


def build(database: LearningDatabase, _: Asked, __: Mapping[str, str]) -> Page:
    """The page: every experiment, the newest first."""
    from otel_learning.learning.findings import list_all

    with database.snapshot() as store:
        found = list(reversed(list_all(store)))
    if not found:
        return Page(PATH, QUESTION, "Nothing yet: there is no experiment.", [
            Section("How to begin", [
                Note("An experiment compares variants on live work, and may be looked at any "
                     "time:", "otel-learning experiment create NAME --variants A,B "
                     "--metric success --unit task_id"),
            ]),
        ])  # fmt: skip
    running = [one for one in found if one.state == "running"]
    ended = len(found) - len(running)
    answer = f"{words.counted(len(running), 'experiment')} running, {ended} ended."
    return Page(PATH, QUESTION, answer, [Section("All experiments", [_table(found)])])


def _table(found: list[Experiment]) -> Table:
    rows = []
    for one in found:
        definition = one.definition
        rows.append([
            Cell(words.plain(definition.name), f"{PATH}/{quote(definition.name, safe='')}"),
            Cell(one.state), Cell("none" if one.decision is None else words.plain(one.decision)),
            Cell(words.plain(", ".join(definition.variants), 120)),
            Cell(f"{definition.metric} ({definition.goal})"), Cell(definition.unit),
            Cell(words.clock(one.created_at)),
        ])  # fmt: skip
    return Table(
        "Experiments, the newest first",
        ("Name", "State", "Decision", "Variants", "Metric", "Unit", "Created (UTC)"),
        rows,
    )
