"""Words, drawings and the memory of answers: what pages are made of."""

from __future__ import annotations

import re
import threading
from datetime import date, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from otel_learning.server.dashboard import charts, svg, words
from otel_learning.server.dashboard.memo import Memo
from tests.dashboard.sites import CANARY

DAYS = tuple(
    charts.RateDay(date(2026, 1, 1) + timedelta(n), 0.5, 0.6 + n / 100, 0.9) for n in range(10)
)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (words.share(0.874), "87 %"),
        (words.share(0.004), "0.4 %"),
        (words.share(0.996), "99.6 %"),
        (words.share(1.0), "100 %"),
        (words.share(None), "unknown"),
        (words.between(0.85, 0.891), "85 to 89 %"),
        (words.points(-0.013), "\N{MINUS SIGN}1.3 points"),
        (words.money(37467.48), "$37,467"),
        (words.money(1.5), "$1.50"),
        (words.money(0.03746), "$0.0375"),
        (words.money(0.1), "$0.1"),
        (words.money(0.0), "$0"),
        (words.money(-0.02), "\N{MINUS SIGN}$0.02"),
        (words.money(None), "unknown"),
        (words.seconds(0.0042), "4.2 ms"),
        (words.seconds(8.04), "8 s"),
        (words.seconds(42.4), "42 s"),
        (words.seconds(200), "3 min 20 s"),
        (words.seconds(7500), "2 h 5 min"),
        (words.plain("a\x00b\n c\u202e"), "a b c"),
        (words.label("x" * 40), "x" * 27 + "\N{HORIZONTAL ELLIPSIS}"),
    ],
)
def test_figures_have_one_spelling(said: str, shown: str) -> None:
    assert said == shown


def test_a_chart_is_shapes_in_the_themes_colours() -> None:
    """Colours are variables; nothing in it that a strict policy refuses."""
    drawing = svg.drawn(charts.rate_by_day, DAYS)

    for picture in drawing:
        root = ElementTree.fromstring(picture)
        assert root.get("aria-hidden") == "true"
        for element in root.iter():
            assert not [n for n in element.attrib if n in ("style", "class") or n.startswith("on")]
            for name in ("fill", "stroke"):
                value = element.get(name)
                assert value is None or value in ("none", "transparent") or value.startswith("var(")
    assert "1 Jan" in drawing.wide


DAY = date(2026, 1, 1)
PLACES = tuple(
    charts.Place(name, cost, 0.2, rate, 0.9, beaten, not beaten, "var(--arm-0)")
    for name, cost, rate, beaten in (("a", 0.1, 0.5, False), ("b", 0.101, 0.5, True))
)
CHARTS: dict[str, tuple[svg.Draw, object]] = {
    "a rate": (charts.rate_by_day, DAYS),
    "a rate of one day": (charts.rate_by_day, DAYS[:1]),
    "amounts": (charts.amounts_by_day, charts.Parts((charts.AmountDay(DAY, 3.0),))),
    "parts of amounts": (
        charts.amounts_by_day,
        charts.Parts(
            (charts.AmountDay(DAY, 3.0, "x"), charts.AmountDay(DAY, 1.0, "y")),
            (("x", "var(--arm-0)"), ("y", "var(--arm-1)")), ",.0f",
        ),
    ),
    "spreads": (charts.spread_by_day, (charts.SpreadDay(DAY, 1.0, 9.0),)),
    "spreads of a year": (
        charts.spread_by_day,
        tuple(charts.SpreadDay(DAY + timedelta(n), 1.0, 9.0) for n in range(365)),
    ),
    "a frontier": (charts.frontier, PLACES),
    "bars": (charts.bars, (charts.Bar("x", 0.0, "$0"), charts.Bar("y", 2.0, "$2"))),
    "reliability": (
        charts.reliability,
        charts.Curve((charts.Foretold(0.5, 0.4, 0.5, 0.6),), "var(--arm-0)"),
    ),
    "intervals": (
        charts.spans,
        charts.Spans((charts.Span("x", None, 2.0, None, "x: 2"),), "times", 1.0, True),
    ),
    "a timeline": (charts.timeline, (charts.Step("m", 0.0, 0.0, "var(--bad)", "1. work"),)),
}  # fmt: skip


@pytest.mark.parametrize("width", [300, 470, 1000])
@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_is_valid(name: str, width: int) -> None:
    """What is drawn is valid Vega-Lite, checked here because drawing does not check it."""
    draw, values = CHARTS[name]
    made = draw(values, width)

    assert made.to_dict(validate=True)["layer"]
    picture = svg.drawn(draw, values, "whole" if width == 1000 else "half").wide
    assert not re.search(r"undefined|NaN|null|Infinity", picture)
    assert float(re.findall(r'^<svg[^>]* width="([0-9.]+)"', picture)[0]) <= 1010


def test_names_in_a_chart_are_text() -> None:
    """A hostile arm's name is shown, not run."""
    place = charts.Place(CANARY, 1.0, 0.2, 0.4, 0.6, False, True, "var(--arm-0)")
    picture = svg.drawn(charts.frontier, (place,), "whole").wide

    assert "<script" not in picture
    assert "&lt;script&gt;" in picture


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        "<foreignObject><body/></foreignObject>",
        '<a href="javascript:alert(1)"><text>x</text></a>',
        '<image href="http://example.com/x.png"/>',
        "<style>*{display:none}</style>",
        '<use href="http://example.com/#x"/>',
    ],
)
def test_what_is_not_a_shape_is_dropped(attack: str) -> None:
    """Were the renderer ever fooled, nothing of it would be passed on."""
    said = svg.clean(
        f'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)">{attack}<rect width="1"/></svg>'
    )

    assert "rect" in said
    assert not re.search(r"script|foreignObject|href|image|style|onload|use", said)


def test_a_picture_is_drawn_once() -> None:
    """The same values are the same picture, out of memory; others are others."""
    drawn = []

    def draw(values: object, width: int) -> object:
        drawn.append((values, width))
        return charts.rate_by_day(DAYS, width)

    first = svg.drawn(draw, "a")  # type: ignore[arg-type]
    assert svg.drawn(draw, "a") is not None  # type: ignore[arg-type]
    assert len(drawn) == 2  # one for a desk, one for a phone
    svg.drawn(draw, "b")  # type: ignore[arg-type]
    assert len(drawn) == 4
    assert first == svg.drawn(draw, "b")  # type: ignore[arg-type]


def test_an_answer_is_worked_out_once(tmp_path: Path) -> None:
    """Who asks meanwhile is told to come again; afterwards it is there; errors too."""
    memo, go, runs = Memo(), threading.Event(), []
    store = tmp_path / "store"
    store.write_text("x")

    def work() -> str:
        runs.append(1)
        assert go.wait(10)
        return "found"

    assert memo.ask(store, "q", work) is None
    go.set()
    found = memo.ask(store, "q", work)
    assert found is not None and found.value == "found"
    assert len(runs) == 1

    def fail() -> str:
        raise ValueError("broken")

    failed = memo.ask(store, "other", fail)
    assert failed is not None and isinstance(failed.error, ValueError)
