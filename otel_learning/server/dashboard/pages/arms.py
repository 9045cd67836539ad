"""Which arm for which task: the frontier, the candidates, and what is recommended, with reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_learning.errors import InputError, StoreError
from otel_learning.server.dashboard import words
from otel_learning.server.dashboard.asked import ALL, ARMS, NONE, Asked
from otel_learning.server.dashboard.page import (
    Cell,
    Figure,
    Note,
    Page,
    Points,
    Prose,
    Section,
    Table,
)
from otel_learning.server.dashboard.pages import common, reasons
from otel_learning.store import dashboard_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_learning.learning.recommendation import Candidate, Recommendation
    from otel_learning.server.dashboard.page import Block
    from otel_learning.store.database import LearningDatabase

PATH: Final = "/arms"
QUESTION: Final = "Which arm for which task?"


def build(database: LearningDatabase, asked: Asked, _: Mapping[str, str]) -> Page:
    """The page: the same figures as `otel-learning recommend`, of the same memory."""
    from otel_learning.learning.recommend import recommend

    for name in ("environment", "repo", "task_type"):
        value = getattr(asked, name)
        if value == NONE or (value == ALL and name == "environment"):
            raise InputError(
                f"{name}={value!r} cannot be asked here",
                "advice is of one environment, and of named repositories and task types",
            )
    with database.snapshot() as store:
        extent = dashboard_rows.extent(store)
        if not extent.executions:
            return common.nothing_yet(PATH, QUESTION)
        colours = common.Colours(dashboard_rows.arms(store, asked.by))
    # Outside the snapshot: the memory opens the store by itself, and mostly it need not.
    advice = recommend(
        database.path, task_type=_given(asked.task_type), repo=_given(asked.repo),
        environment=_given(asked.environment), by=asked.by, cost_weight=asked.cost_weight,
    )  # fmt: skip
    for failure in ("store-locked", "store-missing", "store-unreadable", "evidence-failed"):
        if failure in advice.reasons:
            raise StoreError(f"the evidence could not be read: {failure}", "try again")
    return Page(
        PATH, QUESTION, _answer(advice, asked), _sections(advice, asked, colours),
        _basis(advice, asked), common.choices(extent),
    )  # fmt: skip


def _given(said: str) -> str | None:
    return None if said in ("", ALL) else said


def _basis(advice: Recommendation, asked: Asked) -> str:
    about = [f"{ARMS[asked.by]}s compared"]
    about.append(f"task type {words.plain(asked.task_type)}" if _given(asked.task_type)
                 else "all task types")  # fmt: skip
    about.append(f"repository {words.plain(asked.repo)}" if _given(asked.repo)
                 else "all repositories")  # fmt: skip
    known = [reason for reason in advice.reasons if reason.startswith("environment=")]
    if known:
        about.append(f"environment {words.plain(known[0].partition('=')[2])}")
    elif asked.environment:
        about.append(f"environment {words.plain(asked.environment)}")
    about.append("all time")
    return ", ".join(about)


def _answer(advice: Recommendation, asked: Asked) -> str:
    noun = ARMS[asked.by]
    chosen = next((c for c in advice.candidates if c.arm == advice.choice), None)
    if advice.basis == "insufficient" or chosen is None or chosen.success_rate is None:
        return f"Not enough evidence to recommend a {noun}."
    assert chosen.success_low is not None
    said = (
        f"{words.plain(chosen.arm)} is recommended: it succeeds in "
        f"{words.share(chosen.success_rate)} "
        f"({words.between(chosen.success_low, chosen.success_high)})"
    )
    if chosen.expected_cost is not None:
        said += f" at {words.money(chosen.expected_cost)}"
    return f"{said}. The evidence is {advice.basis}."


def _sections(advice: Recommendation, asked: Asked, colours: common.Colours) -> list[Section]:
    noun = ARMS[asked.by]
    found: list[Section] = []
    places = [c for c in advice.candidates
              if c.success_rate is not None and c.expected_cost is not None]  # fmt: skip
    blocks: list[Block] = []
    if places:
        blocks.append(_frontier(places, advice, colours))
    elif advice.candidates:
        blocks.append(
            Note("No arm has both a known outcome and a known cost: there is no frontier to draw.")
        )
    if advice.candidates:
        blocks.append(_table(advice, colours, noun))
    else:
        attribute = "model" if asked.by == "requested_model" else asked.by
        blocks.append(
            Note(f"No execution names a {noun}. A router can say it with an attribute:",
                 f"learning.route.{attribute}")
        )  # fmt: skip
    found.append(Section("Success against cost", blocks))
    found.append(Section("Why", [*_why(advice, asked)]))
    return found


def _frontier(places: list[Candidate], advice: Recommendation, colours: common.Colours) -> Figure:
    from otel_learning.server.dashboard import charts
    from otel_learning.server.dashboard.svg import drawn

    values = tuple(
        charts.Place(
            words.label(c.arm), c.expected_cost or 0.0, c.success_low or 0.0, c.success_rate or 0.0,
            c.success_high or 0.0, c.dominated, c.arm == advice.choice, colours.of(c.arm),
        )
        for c in places
    )  # fmt: skip
    beaten = [words.plain(c.arm) for c in places if c.dominated]
    line = ", ".join(words.plain(arm) for arm in advice.frontier)
    summary = f"On the frontier, the cheapest first: {line}."
    if beaten:
        summary += f" Beaten by another in success and cost: {', '.join(beaten)}."
    return Figure(
        "Success rate and expected cost of each arm, with 90 % intervals", summary,
        drawn(charts.frontier, values, "whole"), _places_table(places, colours), "whole",
    )  # fmt: skip


def _places_table(places: list[Candidate], colours: common.Colours) -> Table:
    return Table(
        "Places of the arms", ("Arm", "Expected cost, USD", "Success", "90 % interval"),
        [[Cell(words.plain(c.arm), arm=colours.shown(c.arm)), Cell(words.money(c.expected_cost)),
          Cell(words.share(c.success_rate)), Cell(words.between(c.success_low, c.success_high))]
         for c in places], frozenset((1, 2, 3)),
    )  # fmt: skip


def _table(advice: Recommendation, colours: common.Colours, noun: str) -> Table:
    rows = []
    for c in advice.candidates:
        rate = (
            Cell("unknown", note="no known outcome") if c.success_rate is None
            else Cell(
                words.share(c.success_rate), note=words.between(c.success_low, c.success_high),
                span=(c.success_low or 0.0, c.success_rate, c.success_high or 0.0),
            )
        )  # fmt: skip
        cost = Cell(
            words.money(c.expected_cost),
            note="" if c.cost_low is None else
            f"one: {words.money(c.cost_low)} to {words.money(c.cost_high)}",
        )  # fmt: skip
        said = []
        if c.arm == advice.choice and advice.basis != "insufficient":
            said.append("recommended")
        if c.dominated:
            said.append("another is as good and as cheap")
        rows.append([
            Cell(words.plain(c.arm), arm=colours.shown(c.arm), note=", ".join(said)),
            rate, cost, Cell(words.seconds(c.expected_duration_seconds)),
            Cell(words.count(c.support), note=f"worth {c.effective_support:,.0f} alike"),
            Cell(words.share(c.outcomes_known)),
            Cell(words.share(advice.propensities.get(c.arm))),
        ])  # fmt: skip
    return Table(
        f"What is known of each {noun} in this context",
        (noun.capitalize(), "Success", "Cost of one, USD", "Time of one", "Executions here",
         "Outcome known", "To explore"),
        rows, frozenset((1, 2, 3, 4, 5, 6)),
    )  # fmt: skip


def _why(advice: Recommendation, asked: Asked) -> list[Block]:
    said = [
        f"Chosen is the arm with the largest success rate less {asked.cost_weight:g} times its "
        "share of the dearest arm's cost: the success that one would give up to save that whole "
        "cost. Raise the cost weight to let cost count for more.",
    ]
    if advice.basis == "randomised":
        said.append("Randomised: the router logged with which probability it chose, and the rates "
                    "are corrected by it.")  # fmt: skip
    elif advice.basis == "observational":
        said.append("Observational: the router chose by its own lights and logged no "
                    "probabilities, so an arm that got the easier tasks looks better than it "
                    "is.")  # fmt: skip
        if advice.sensitivity is not None:
            said.append(f"A hidden cause that changes the odds of success by a factor of "
                        f"{advice.sensitivity:.2f} would overturn the choice.")  # fmt: skip
    said.append("To explore: the share of tasks that a router should give each arm, so that the "
                "next evidence is better.")  # fmt: skip
    blocks: list[Block] = [Prose(said)]
    plain = reasons.in_words(advice.reasons)
    if plain:
        blocks.append(Points([Cell(text, note=token) for token, text in plain]))
    return blocks
