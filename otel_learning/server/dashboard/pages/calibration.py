"""Is our router calibrated: what it said against what came, estimates against costs, per arm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_learning.errors import InputError
from otel_learning.server.dashboard import words
from otel_learning.server.dashboard.asked import ALL, ARMS, NONE, Asked, environment_of
from otel_learning.server.dashboard.page import (
    Cell,
    Figure,
    Figures,
    Note,
    Page,
    Points,
    Section,
    Table,
)
from otel_learning.server.dashboard.pages import common
from otel_learning.store import dashboard_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_learning.learning.calibration import Calibration
    from otel_learning.server.dashboard.page import Block
    from otel_learning.store.database import LearningDatabase

PATH: Final = "/calibration"
QUESTION: Final = "Is our router calibrated?"
NEWEST: Final = 10_000
"""Executions that are looked at: what a router said long ago says little of it now, and more
than these take longer than somebody waits."""
CURVES: Final = 4
OFF: Final = 2.0
"""Times the error by chance from which a confidence is called wrong."""


def build(database: LearningDatabase, asked: Asked, _: Mapping[str, str]) -> Page:
    """The page: the figures of `otel-learning calibration`, of the newest executions."""
    from otel_learning.learning.calibration import calibrate

    if asked.environment in (ALL, NONE):
        raise InputError(f"environment={asked.environment!r} cannot be asked here",
                         "a router is judged in one named environment")  # fmt: skip
    with database.snapshot() as store:
        extent = dashboard_rows.extent(store)
        if not extent.executions:
            return common.nothing_yet(PATH, QUESTION)
        scope = dashboard_rows.Scope(environment_of(asked, extent))
        since = dashboard_rows.start_of_newest(store, scope, NEWEST)
        colours = common.Colours(dashboard_rows.arms(store, asked.by))
        found = calibrate(store, by=asked.by, environment=asked.environment or None, since=since)
    looked_at = sum(one.support for one in found)
    about = common.basis(scope, looked_at)
    if since is not None:
        about += f", the newest, since {words.moment(since)}"
    choices = common.choices(extent)
    if not found:
        noun = ARMS[asked.by]
        return Page(PATH, QUESTION, f"Nothing can be said: no execution names a {noun}.", (),
                    about, choices)  # fmt: skip
    return Page(PATH, QUESTION, _answer(found), _sections(found, colours, ARMS[asked.by]), about,
                choices)  # fmt: skip


def _answer(found: list[Calibration]) -> str:
    said = [one for one in found if one.confidence is not None]
    if not said:
        return (
            "Nobody knows: no execution has both the router's confidence and an outcome. Not "
            "enough evidence."
        )
    wrong = [one for one in said if one.confidence is not None
             and one.confidence.ece > OFF * one.confidence.ece_by_chance]  # fmt: skip
    few = sum(one.confidence.support for one in said if one.confidence is not None)
    if few < 20:
        return f"Only {words.counted(few, 'outcome')} can be compared: not enough evidence."
    if not wrong:
        return "Yes: where it says how sure it is, no more is wrong than chance explains."
    worst = max(wrong, key=lambda one: one.ece or 0.0)
    assert worst.confidence is not None
    way = (
        "too sure" if worst.confidence.mean_confidence > worst.confidence.success_rate
        else "too modest"
    )  # fmt: skip
    return (
        f"No: for {words.plain(worst.arm)} it is {way}. It said "
        f"{words.share(worst.confidence.mean_confidence)} on average, and "
        f"{words.share(worst.confidence.success_rate)} succeeded."
    )


def _sections(found: list[Calibration], colours: common.Colours, noun: str) -> list[Section]:
    curves = [_curve(one, colours) for one in found if one.confidence is not None][:CURVES]
    confidence: list[Block] = [Figures(curves)] if curves else [
        Note("No execution carries the router's confidence. A router says it with:",
             "learning.route.confidence")
    ]  # fmt: skip
    if curves:
        confidence.append(_confidence(found, colours, noun))
    costs = [one for one in found if one.cost_ratio is not None]
    cost_blocks: list[Block] = []
    if costs:
        cost_blocks = [_ratios(costs, colours), _costs(costs, colours, noun)]
    else:
        cost_blocks = [Note("No execution has both an estimate and an actual cost. A router says "
                            "its estimate with:", "learning.route.cost_estimate")]  # fmt: skip
    sections = [
        Section("Confidence against success", confidence),
        Section("Cost against its estimate", cost_blocks),
    ]
    changes = _changes(found)
    if changes:
        sections.append(Section("What has changed", [Points(changes)]))
    return sections


def _curve(one: Calibration, colours: common.Colours) -> Figure:
    from otel_learning.server.dashboard import charts
    from otel_learning.server.dashboard.svg import drawn

    assert one.confidence is not None
    bins = one.confidence.bins
    curve = charts.Curve(
        tuple(charts.Foretold(b.confidence, b.low, b.rate, b.high) for b in bins),
        colours.of(one.arm),
    )
    return Figure(
        f"{words.label(one.arm)}: success where the router said so, per cent",
        f"{len(bins)} groups of alike confidence; on the dashed line the router is right. "
        + " ".join(f"Said {words.share(b.confidence)}, came {words.share(b.rate)}." for b in bins),
        drawn(charts.reliability, curve),
        Table(f"Confidence of {words.label(one.arm)}",
              ("Said", "Came", "90 % interval", "Outcomes"),
              [[Cell(words.share(b.confidence)), Cell(words.share(b.rate)),
                Cell(words.between(b.low, b.high)), Cell(words.count(b.support))] for b in bins],
              frozenset((1, 2, 3))),
    )  # fmt: skip


def _confidence(found: list[Calibration], colours: common.Colours, noun: str) -> Table:
    rows = []
    for one in found:
        said = one.confidence
        if said is None:
            continue
        off = said.ece > OFF * said.ece_by_chance
        rows.append([
            Cell(words.plain(one.arm), arm=colours.shown(one.arm)),
            Cell(words.share(said.mean_confidence)), Cell(words.share(said.success_rate)),
            Cell(f"{said.brier:.3f}"),
            Cell(f"{said.ece:.3f}", note=f"{said.ece_by_chance:.3f} by chance",
                 tone="bad" if off else ""),
            Cell(words.count(said.support)),
        ])  # fmt: skip
    return Table(
        "Brier score: mean squared error, 0.25 is what saying 50 % always gives. ECE: how far "
        "confidence is from the rate, on average",
        (noun.capitalize(), "Said", "Came", "Brier", "ECE", "Outcomes"), rows,
        frozenset(range(1, 6)),
    )  # fmt: skip


def _ratios(costs: list[Calibration], colours: common.Colours) -> Figure:
    from otel_learning.server.dashboard import charts
    from otel_learning.server.dashboard.svg import drawn

    shown = costs[:8]
    values = tuple(
        charts.Span(
            words.label(one.arm), one.cost_low, one.cost_ratio or 1.0, one.cost_high,
            f"{words.label(one.arm)}: {words.times(one.cost_ratio)}", colours.of(one.arm),
        )
        for one in shown
    )  # fmt: skip
    return Figure(
        "Actual cost as a multiple of its estimate, with 90 % bands",
        " ".join(f"{words.plain(one.arm)} costs {words.times(one.cost_ratio)} its estimate."
                 for one in shown),
        drawn(charts.spans, charts.Spans(values, "Actual / estimate", 1.0, True), "whole"),
        _costs(shown, colours, "arm"), "whole",
    )  # fmt: skip


def _costs(costs: list[Calibration], colours: common.Colours, noun: str) -> Table:
    rows = []
    for one in costs:
        band = (
            "not enough evidence" if one.cost_low is None
            else f"{words.times(one.cost_low)} to {words.times(one.cost_high)}"
        )  # fmt: skip
        time_band = (
            "not enough evidence" if one.duration_low is None
            else f"{words.seconds(one.duration_low)} to {words.seconds(one.duration_high)}"
        )  # fmt: skip
        rows.append([
            Cell(words.plain(one.arm), arm=colours.shown(one.arm)),
            Cell(words.times(one.cost_ratio)), Cell(band), Cell(words.count(one.cost_support)),
            Cell(words.seconds(one.duration_seconds)), Cell(time_band),
        ])  # fmt: skip
    return Table(
        "Median of actual cost by estimate, and the band of the next one",
        (noun.capitalize(), "Actual / estimate", "90 % band", "Costs compared", "Median time",
         "90 % band of time"),
        rows, frozenset(range(1, 6)),
    )  # fmt: skip


def _changes(found: list[Calibration]) -> list[Cell]:
    changes = []
    for one in found:
        for drift in one.drift:
            what = {"cost_ratio": "cost against its estimate", "duration": "time",
                    "confidence": "success against confidence"}[drift.what]  # fmt: skip
            show = {"cost_ratio": words.times, "duration": words.seconds,
                    "confidence": words.points}[drift.what]  # fmt: skip
            changes.append(Cell(
                f"{words.plain(one.arm)}: {what} changed about {common.day_words(drift.since)}, "
                f"from {show(drift.before)} to {show(drift.after)} (p {drift.p:.2g})."
            ))  # fmt: skip
        if one.correction is not None:
            changes.append(Cell(
                f"{words.plain(one.arm)}: a correction ({one.correction.method}) takes "
                f"{one.correction.brier_gain:.3f} off the Brier score of held-out outcomes; "
                "otel-learning calibration --json has it for your router."
            ))  # fmt: skip
    return changes
