"""What pages share: how a scope is said, rates with intervals, colours of arms, empty stores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from otel_learning.knowledge.rates import Rate, interval
from otel_learning.server.dashboard import words
from otel_learning.server.dashboard.asked import NONE, Asked, period_words
from otel_learning.server.dashboard.page import Cell, Note, Page, Points, Section, Tile
from otel_learning.store.dashboard_rows import Extent, Figures, Scope

_DAY: Final = timedelta(days=1)
KNOWN_LEAST: Final = 5
"""Known outcomes without which no rate is called an answer; as `recommend` has it."""


class Gone(Exception):
    """What was asked for is not in the store."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


def nothing_yet(path: str, question: str) -> Page:
    """A page of a store without executions: what to do next."""
    return Page(
        path, question, "Nothing can be said yet: the store holds no execution.",
        [Section("How to fill it", [
            Note("See it work, offline, with executions of a small orchestrator:",
                 "otel-learning demo"),
            Note("Switch it on where your orchestrator runs; its code stays as it is:",
                 "OTEL_TRACES_EXPORTER=learning opentelemetry-instrument python app.py"),
            Note("Bring in traces that you have, as OTLP JSON lines:",
                 "otel-learning import traces.jsonl"),
            Note("Spans are sent, and nothing arrives? This says why:", "otel-learning doctor"),
        ])],
    )  # fmt: skip


def nothing_fits(asked: Asked, path: str, question: str, scope: Scope, extent: Extent) -> Page:
    """A page where executions are there, and none fits the filters."""
    all_time = f"{path}{asked.query(period='all', since=None, until=None, after='')}"
    ways = [Cell("Look at all time, with the same filters", all_time),
            Cell("Look without filters", path)]  # fmt: skip
    return Page(
        path, question, "Nothing can be said: no execution fits these filters.",
        [Section("What to do", [Note(extent_words(extent)), Points(ways)])],
        basis(scope, 0), choices(extent),
    )  # fmt: skip


def choices(extent: Extent) -> dict[str, list[str | None]]:
    """Values for the form's lists."""
    return {name: [value for value, _ in found] for name, found in extent.choices.items()}


def basis(scope: Scope, executions: int | None = None) -> str:
    """Which executions a page is about, in words."""
    parts = [period_words(scope) + " (UTC)"] if scope.since or scope.until else ["all time"]
    if scope.environment is None:
        parts.append("all environments")
    elif scope.environment[0] is None:
        parts.append("executions without an environment")
    else:
        parts.append(f"environment {words.plain(scope.environment[0])}")
    for column, noun in (("repo", "repository"), ("task_type", "task type")):
        chosen = getattr(scope, column)
        if chosen is not None:
            value = chosen[0]
            parts.append(f"no {noun}" if value is None else f"{noun} {words.plain(value)}")
    said = ", ".join(parts)
    return said if executions is None else f"{words.counted(executions, 'execution')}: {said}"


def covered(scope: Scope, extent: Extent) -> bool:
    """Whether the store holds a period from its beginning: a sum over less is no measure."""
    return (
        extent.first is not None and scope.since is not None and extent.first < scope.since + _DAY
    )


def rate(figures: Figures) -> Rate | None:
    """The success rate with its 90 % interval; None without a known outcome."""
    return interval(figures.successes, figures.known) if figures.known else None


def rate_words(found: Rate | None, known: int) -> str:
    """A rate with its interval: `87 % (85 to 89 %)`."""
    if found is None:
        return "unknown"
    said = f"{words.share(found.rate)} ({words.between(found.low, found.high)})"
    return said if known >= KNOWN_LEAST else f"{said}, not enough evidence"


def mean_cost(figures: Figures) -> float | None:
    return figures.cost / figures.costs_known if figures.costs_known else None


def cost_per_success(figures: Figures) -> float | None:
    """USD spent, failures included, for each success; None where either is not known."""
    if not figures.successes or not figures.costs_known:
        return None
    return figures.cost / figures.successes


def change_of(now: float | None, before: float | None) -> str:
    """A relative change: `+12 %`; "" where it cannot be said."""
    if now is None or not before or not math.isfinite(now):
        return ""
    return f"{100 * (now / before - 1):+.0f} %".replace("-", "\N{MINUS SIGN}")


def tile(label: str, value: str, detail: str = "", change: str = "", tone: str = "") -> Tile:
    assert tone in ("good", "bad", "even", "")
    return Tile(label, value, detail, change, tone)  # type: ignore[arg-type]


class Colours:
    """Numbers of arms, the same on every page: by name among all arms of the store."""

    def __init__(self, arms: Sequence[str]) -> None:
        self._numbers = {arm: number for number, arm in enumerate(arms)}

    def number(self, arm: str | None) -> int | None:
        return None if arm is None else self._numbers.get(arm)

    def shown(self, arm: str | None) -> int:
        """The same for a table's cell; an arm without a number has the colour of the rest."""
        found = self.number(arm)
        return 99 if found is None else found

    def of(self, arm: str | None) -> str:
        from otel_learning.server.dashboard.charts import colour

        return colour(self.number(arm))


def as_filter(value: str | None) -> str:
    """A value of a column as an address asks for it."""
    return NONE if value is None else value


def day_words(moment: datetime | None) -> str:
    return words.UNKNOWN if moment is None else f"{moment:%-d %B %Y}"


def extent_words(extent: Extent) -> str:
    return (
        f"The store holds {words.counted(extent.executions, 'execution')} from "
        f"{day_words(extent.first)} to {day_words(extent.newest)}."
    )


def list_href(scope: Scope, **more: str | None) -> str | None:
    """The list of the executions of a scope; None where that cannot be asked for.

    The list is asked for by values; executions that have none cannot be told it.
    """
    given: dict[str, Any] = {}
    for column in ("environment", "repo", "task_type"):
        chosen = getattr(scope, column)
        if chosen is not None:
            given[column] = chosen[0]
    given |= more
    if None in given.values():
        return None
    if scope.since is not None:
        given["since"] = scope.since.date()
    if scope.until is not None:
        given["until"] = (scope.until - timedelta(days=1)).date()
    return f"/executions{Asked(**given).query()}"
