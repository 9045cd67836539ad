"""One version of a policy: what it changes, its gates, its rules."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from otel_learning.errors import InputError
from otel_learning.server.dashboard import words
from otel_learning.server.dashboard.page import Cell, Note, Page, Pairs, Section, Table
from otel_learning.server.dashboard.pages import common
from otel_learning.server.dashboard.pages.policies import context, effect, rules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_learning.server.dashboard.asked import Asked
    from otel_learning.store.database import LearningDatabase


def build(database: LearningDatabase, _: Asked, places: Mapping[str, str]) -> Page:
    """The page of the version of that name."""
    from otel_learning.store.policies import book

    try:
        with database.snapshot() as store:
            found = book(store).version(places["version"])
    except InputError as error:
        raise common.Gone(str(error.args[0]), error.hint or "") from error
    document, proposal = found.document, found.proposal
    evidence = document["evidence"]
    answer = (
        f"Change of success over all tasks: {effect(proposal['effect'], words.points)}; of cost: "
        f"{effect(proposal['cost_effect'], words.signed_money)} each."
    )
    return Page(
        f"/policies/{found.policy_version}", f"Policy {found.policy_version}: {found.state}",
        answer,
        [
            Section("What it changes", [_changes(proposal["changes"])]),
            Section("Its gates", [_gates(proposal["gates"])]),
            Section("Its rules", [rules(document["rules"], "Which arm where")]),
            Section("What it rests on", [Pairs([
                ("Decision", Cell(words.plain(str(document["decision"])))),
                ("Context", Cell(words.plain(", ".join(document["context"])))),
                ("Environment", Cell(words.name(document["environment"]))),
                ("Executions", Cell(words.count(evidence["executions"]))),
                ("Held out to judge it", Cell(words.count(evidence["held_out"]))),
                ("Basis", Cell(words.plain(str(evidence["basis"])))),
                ("Cost weight", Cell(f"{document['cost_weight']:g}")),
                ("Made", Cell(words.moment(found.made_at))),
                ("Expires", Cell(words.moment(datetime.fromisoformat(document["expires_at"])))),
            ])]),
        ],
        f"{found.state} since {words.moment(found.state_since)}",
    )  # fmt: skip


def _changes(changes: Sequence[Mapping[str, Any]]) -> Table | Note:
    if not changes:
        return Note("No context changes.")
    rows = []
    for change in changes:
        interval = (
            "not enough evidence" if change["low"] is None
            else f"{words.points(change['low']).removesuffix(' points')} to "
            f"{words.points(change['high'])}"
        )  # fmt: skip
        rows.append([
            Cell(context(change["context"])), Cell(words.plain(str(change["from"]))),
            Cell(words.plain(str(change["to"])),
                 note=f"{words.share(change['after'].get(change['to'], 0.0))} of tasks"),
            Cell("unknown" if change["effect"] is None else words.points(change["effect"]),
                 note=interval),
            Cell(words.signed_money(change["cost_effect"])), Cell(words.count(change["support"])),
        ])  # fmt: skip
    return Table(
        "Changes, with 95 % intervals of the change of success",
        ("Where", "From", "To", "Success", "Cost, USD", "Outcomes"), rows, frozenset((3, 4, 5)),
    )  # fmt: skip


def _gates(gates: Sequence[Mapping[str, Any]]) -> Table:
    return Table(
        "What speaks for and against it", ("Gate", "Passed?", "Why"),
        [[Cell(words.plain(str(gate["gate"]))),
          Cell("passed", tone="good") if gate["passed"] else Cell("not passed", tone="bad"),
          Cell(words.plain(str(gate["why"])))] for gate in gates],
    )  # fmt: skip
