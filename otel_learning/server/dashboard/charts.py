"""The charts of the pages: values in, a Vega-Lite chart out. Pure.

Few colours, labels where the lines are, intervals wherever there is one, amounts from zero on.
Days are those of UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple

import altair as alt

DAY_MS: Final = 86_400_000
TICKS: Final = (6, 3)
"""Days that are named on a wide and on a narrow axis."""
HEIGHT: Final = 200
ACCENT: Final = "var(--accent)"
INK: Final = "var(--ink)"
MUTED: Final = "var(--muted)"
BAD: Final = "var(--bad)"
CARD: Final = "var(--card)"


def colour(arm: int | None) -> str:
    """The colour of an arm by its number; those beyond the palette are grey."""
    return f"var(--arm-{arm})" if arm is not None and arm < ARMS_COLOURED else "var(--arm-rest)"


ARMS_COLOURED: Final = 6


def _ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def _data(rows: Sequence[dict[str, Any]]) -> alt.InlineData:
    return alt.InlineData(values=list(rows))


def _layers(*layers: Any, height: int) -> alt.TopLevelMixin:
    """Layers over each other; their number of pixels in height is that of the whole."""
    chart: alt.TopLevelMixin = alt.layer(*layers).properties(height=height)
    return chart


def _days_axis(days: Sequence[date], width: int, room: float = 0.0) -> alt.X:
    """An axis of days with a few of them named; `room` is left for words, as a share of it."""
    first, last = min(days), max(days)
    span = (last - first).days
    wanted = min(TICKS[width < 400], span + 1)
    step = max(1, -(-span // max(wanted - 1, 1)))
    ticks = [_ms(first + timedelta(n)) + DAY_MS // 2 for n in range(0, span + 1, step)]
    far = span > 330
    beyond = round(room * (span + 1) * DAY_MS)
    return alt.X(
        "middle:T",
        title=None,
        scale=alt.Scale(type="utc", domain=[_ms(first), _ms(last) + DAY_MS + beyond], nice=False),
        axis=alt.Axis(values=ticks, format="%b %Y" if far else "%-d %b", labelOverlap=True),
    )


class RateDay(NamedTuple):
    """A day's share with its interval."""

    day: date
    low: float
    value: float
    high: float


def rate_by_day(values: tuple[RateDay, ...], width: int) -> alt.TopLevelMixin:
    """A share per day: a line within the band of its intervals, 0 to 100 %."""
    rows = [
        {"middle": _ms(v.day) + DAY_MS // 2, "low": v.low, "value": v.value, "high": v.high}
        for v in values
    ]
    x = _days_axis([v.day for v in values], width)
    y = alt.Y(
        "value:Q", title=None, scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format=".0%", tickCount=5),
    )  # fmt: skip
    base = alt.Chart(_data(rows)).encode(x=x)
    few = len(values) <= 45
    layers: list[Any] = []
    if len(values) > 1:
        layers.append(base.mark_area(color=ACCENT, opacity=0.18).encode(
            y=alt.Y("low:Q", title=None), y2="high:Q"))  # fmt: skip
        layers.append(base.mark_line(color=ACCENT, strokeWidth=2).encode(y=y))
    else:
        layers.append(base.mark_rule(color=ACCENT, strokeWidth=2).encode(
            y=alt.Y("low:Q", title=None), y2="high:Q"))  # fmt: skip
    if few:
        layers.append(base.mark_circle(color=ACCENT, size=26, opacity=1).encode(y=y))
    return _layers(*layers, height=HEIGHT)


class AmountDay(NamedTuple):
    """A day's amount, of one part where there are several."""

    day: date
    amount: float
    part: str = ""


class Parts(NamedTuple):
    """Amounts per day, in parts with their colours."""

    values: tuple[AmountDay, ...]
    parts: tuple[tuple[str, str], ...] = ()
    """Name and colour, the lowest of a stack first."""
    format: str = ""
    """Of the axis; "" is USD."""


def amounts_by_day(values: Parts, width: int) -> alt.TopLevelMixin:
    """Bars from zero per day, stacked where there are parts; those of a day are given in order."""
    rows, tops = [], dict[date, float]()
    for v in values.values:
        base = tops.get(v.day, 0.0)
        tops[v.day] = base + v.amount
        rows.append({
            "start": _ms(v.day) + DAY_MS // 12, "end": _ms(v.day) + DAY_MS - DAY_MS // 12,
            "base": base, "top": tops[v.day], "part": v.part,
        })  # fmt: skip
    axis = _days_axis(list(tops), width)
    shown = values.format or ("$,.0f" if max(tops.values()) >= 10 else "$~g")
    encoded: dict[str, Any] = {
        "x": alt.X("start:T", title=None, scale=axis["scale"], axis=axis["axis"]),
        "x2": "end:T",
        "y": alt.Y("base:Q", title=None, scale=alt.Scale(zero=True),
                   axis=alt.Axis(format=shown, tickCount=5)),
        "y2": "top:Q",
    }  # fmt: skip
    if values.parts:
        encoded["color"] = alt.Color(
            "part:N", title=None, sort=[name for name, _ in values.parts],
            scale=alt.Scale(
                domain=[name for name, _ in values.parts], range=[c for _, c in values.parts]
            ),
            legend=alt.Legend(columns=6 if width > 600 else 3 if width > 400 else 2),
        )  # fmt: skip
    bars = alt.Chart(_data(rows)).mark_rect(color=ACCENT)
    return _layers(bars.encode(**encoded), height=HEIGHT)


class SpreadDay(NamedTuple):
    """A day's median and slow end, seconds."""

    day: date
    middle: float
    slow: float


def spread_by_day(values: tuple[SpreadDay, ...], width: int) -> alt.TopLevelMixin:
    """Two lines from zero, each named at its end: the median, and the 95th percentile."""
    x = _days_axis([v.day for v in values], width, 0.3 if width > 400 else 0.5)
    rows = [
        {"middle": _ms(v.day) + DAY_MS // 2, "seconds": seconds, "line": line}
        for v in values
        for line, seconds in (("median", v.middle), ("95 %", v.slow))
    ]
    last = values[-1]
    ends = [
        {"middle": _ms(last.day) + DAY_MS // 2, "seconds": s, "said": f"{n} {s:.3g} s"}
        for n, s in (("median", last.middle), ("95 %", last.slow))
    ]
    shade = alt.Color(
        "line:N", legend=None,
        scale=alt.Scale(domain=["median", "95 %"], range=[ACCENT, MUTED]),
    )  # fmt: skip
    y = alt.Y("seconds:Q", title=None, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=5))
    base = alt.Chart(_data(rows)).encode(x=x, y=y, color=shade)
    lines = base.mark_line(strokeWidth=2) if len(values) > 1 else base.mark_circle(size=50)
    named = alt.Chart(_data(ends)).mark_text(align="left", dx=8, baseline="middle")
    named = named.encode(x=x, y=y, text="said:N")
    return _layers(lines, named, height=HEIGHT)


class Place(NamedTuple):
    """Where an arm stands between cost and success."""

    arm: str
    cost: float
    low: float
    value: float
    high: float
    dominated: bool
    chosen: bool
    colour: str


def frontier(values: tuple[Place, ...], width: int) -> alt.TopLevelMixin:
    """Success against cost: a point with its interval per arm, a line along those none beats."""
    most = max((v.cost for v in values), default=0.0) or 1.0
    low = max(0.0, min(v.low for v in values) - 0.06)
    high = min(1.0, max(v.high for v in values) + 0.06)
    rows = [
        {**v._asdict(), "label": f"{v.arm}{' (beaten)' if v.dominated else ''}",
         "left": _crowded(v, values, most, high - low)}
        for v in values
    ]  # fmt: skip
    x = alt.X(
        "cost:Q", title="Expected cost of one execution, USD",
        scale=alt.Scale(domain=[0, most * (1.25 if width > 400 else 1.4)], nice=False),
        axis=alt.Axis(format="$~g", tickCount=6 if width > 400 else 3, grid=True),
    )  # fmt: skip
    y = alt.Y(
        "value:Q", title=None, scale=alt.Scale(domain=[low, high]),
        axis=alt.Axis(format=".0%", tickCount=6),
    )  # fmt: skip
    shade = alt.Color("colour:N", scale=None, legend=None)
    line = [row for row in rows if not row["dominated"]]
    base = alt.Chart(_data(rows)).encode(x=x)
    layers = [
        alt.Chart(_data(line)).mark_line(color=MUTED, strokeDash=[4, 3], strokeWidth=1.2)
        .encode(x=x, y=y, order=alt.Order("cost:Q")),
        base.mark_rule(strokeWidth=2).encode(
            y=alt.Y("low:Q", title=None), y2="high:Q", color=shade),
        base.mark_point(filled=True, size=110, opacity=1, strokeWidth=2).encode(
            y=y, stroke=shade,
            fill=alt.condition("datum.dominated", alt.value(CARD),
                               alt.Fill("colour:N", scale=None, legend=None))),
        base.transform_filter("!datum.left").mark_text(align="left", dx=11).encode(
            y=y, text="label:N"),
        base.transform_filter("datum.left").mark_text(align="right", dx=-11).encode(
            y=y, text="label:N"),
    ]  # fmt: skip
    return _layers(*layers, height=300)


def _crowded(one: Place, among: Sequence[Place], most: float, height: float) -> bool:
    """Whether another point lies where this one's name would stand."""
    return one.cost > 0.3 * most and any(
        0 <= other.cost - one.cost < 0.15 * most
        and abs(other.value - one.value) < 0.07 * height
        and (other.cost, other.arm) > (one.cost, one.arm)
        for other in among
    )


class Bar(NamedTuple):
    """An amount with its name, and how it is written."""

    label: str
    amount: float
    said: str
    colour: str = ACCENT


def bars(values: tuple[Bar, ...], width: int) -> alt.TopLevelMixin:
    """Amounts from zero, the name before and the figure behind each."""
    rows = [{**v._asdict(), "order": i} for i, v in enumerate(values)]
    most = max((v.amount for v in values), default=0.0) or 1.0
    room = 1.25 if width > 400 else 1.5
    x = alt.X("amount:Q", title=None, axis=None,
              scale=alt.Scale(domain=[0, most * room], nice=False))  # fmt: skip
    y = alt.Y("order:O", title=None, axis=None, scale=alt.Scale(paddingInner=0.55))
    names = alt.Chart(_data(rows)).mark_text(align="left", baseline="bottom", dy=-9, x=0)
    base = alt.Chart(_data(rows)).encode(x=x, y=y)
    return _layers(
        base.mark_bar(height=10, cornerRadius=2).encode(
            color=alt.Color("colour:N", scale=None, legend=None)),
        names.encode(y=y, text="label:N"),
        base.mark_text(align="left", dx=6, color=MUTED).encode(text="said:N"),
        height=max(60, 40 * len(values)),
    )  # fmt: skip


class Foretold(NamedTuple):
    """What was said, and how often it came: of one bin."""

    confidence: float
    low: float
    rate: float
    high: float


class Curve(NamedTuple):
    """A reliability curve."""

    bins: tuple[Foretold, ...]
    colour: str


def reliability(values: Curve, width: int) -> alt.TopLevelMixin:
    """Success against what the router said; on the diagonal it was right."""
    rows = [b._asdict() for b in values.bins]
    scale = alt.Scale(domain=[0, 1])
    x = alt.X("confidence:Q", title="What the router said", scale=scale,
              axis=alt.Axis(format=".0%", tickCount=5, grid=True))  # fmt: skip
    y = alt.Y("rate:Q", title=None, scale=scale, axis=alt.Axis(format=".0%", tickCount=5))
    diagonal = [{"confidence": 0, "rate": 0}, {"confidence": 1, "rate": 1}]
    base = alt.Chart(_data(rows)).encode(x=x)
    return _layers(
        alt.Chart(_data(diagonal)).mark_line(color=MUTED, strokeDash=[4, 3], strokeWidth=1)
        .encode(x=x, y=y),
        base.mark_rule(color=values.colour, strokeWidth=2).encode(
            y=alt.Y("low:Q", title=None), y2="high:Q"),
        base.mark_line(color=values.colour, strokeWidth=1.5).encode(y=y),
        base.mark_circle(color=values.colour, size=55, opacity=1).encode(y=y),
        height=240,
    )  # fmt: skip


class Span(NamedTuple):
    """A value between two ends, with its name."""

    label: str
    low: float | None
    value: float
    high: float | None
    said: str
    colour: str = ACCENT


class Spans(NamedTuple):
    """Values with intervals on one axis."""

    values: tuple[Span, ...]
    title: str
    mark: float | None = None
    """Where a line stands for no difference."""
    logarithmic: bool = False
    format: str = "~g"


def spans(values: Spans, width: int) -> alt.TopLevelMixin:
    """A point within its interval per line, the name above it."""
    rows = [{**v._asdict(), "order": i} for i, v in enumerate(values.values)]
    ends = [e for v in values.values for e in (v.low, v.value, v.high) if e is not None]
    if values.mark is not None:
        ends.append(values.mark)
    low, high = min(ends), max(ends)
    if values.logarithmic:
        scale = alt.Scale(type="log", domain=[low / 1.3, high * 1.3], nice=False)
    else:
        room = (high - low) * 0.12 or 0.1
        scale = alt.Scale(domain=[low - room, high + room], nice=False, zero=False)
    ticks = 6 if width > 400 else 4
    x = alt.X("value:Q", title=values.title, scale=scale,
              axis=alt.Axis(format=values.format, tickCount=ticks, grid=True))  # fmt: skip
    y = alt.Y("order:O", title=None, axis=None, scale=alt.Scale(paddingInner=0.5))
    shade = alt.Color("colour:N", scale=None, legend=None)
    base = alt.Chart(_data(rows)).encode(y=y)
    layers: list[Any] = []
    if values.mark is not None:
        layers.append(alt.Chart(_data([{"value": values.mark}])).mark_rule(
            color=MUTED, strokeDash=[4, 3]).encode(x=x))  # fmt: skip
    layers += [
        base.transform_filter("datum.low !== null").mark_rule(strokeWidth=2.5).encode(
            x=alt.X("low:Q", title=values.title), x2="high:Q", color=shade),
        base.mark_circle(size=80, opacity=1).encode(x=x, color=shade),
        base.mark_text(align="left", baseline="bottom", dy=-8, x=4).encode(text="said:N"),
    ]  # fmt: skip
    return _layers(*layers, height=46 * len(values.values) + 24)


class Step(NamedTuple):
    """An attempt on the way of an execution; seconds from its beginning."""

    label: str
    start: float
    end: float
    colour: str
    said: str


def timeline(values: tuple[Step, ...], width: int) -> alt.TopLevelMixin:
    """A bar per attempt, one below the other, from its start to its end."""
    last = max((v.end for v in values), default=1.0) or 1.0
    least = last / 250
    rows = [
        {**v._asdict(), "end": max(v.end, v.start + least), "order": i}
        for i, v in enumerate(values)
    ]
    x = alt.X("start:Q", title="Seconds since the first span",
              scale=alt.Scale(domain=[0, last * 1.02], nice=False),
              axis=alt.Axis(grid=True, tickCount=8 if width > 400 else 4))  # fmt: skip
    y = alt.Y("order:O", title=None, axis=None, scale=alt.Scale(paddingInner=0.5))
    base = alt.Chart(_data(rows)).encode(y=y)
    return _layers(
        base.mark_bar(height=12, cornerRadius=2).encode(
            x=x, x2="end:Q", color=alt.Color("colour:N", scale=None, legend=None)),
        base.mark_text(align="left", baseline="bottom", dy=-9, x=2).encode(text="said:N"),
        height=44 * len(values) + 20,
    )  # fmt: skip
