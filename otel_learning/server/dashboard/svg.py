"""Charts as inline SVG: rendered by vl-convert, made safe and themeable, kept by their content.

No colour of a chart is a colour: each is a variable of the style sheet, so that one picture
follows the light and the dark theme, and a printed page.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple
from xml.etree import ElementTree

from markupsafe import Markup

if TYPE_CHECKING:
    import altair

KEPT_MOST: Final = 512
"""Pictures that are kept; of some 10 to 40 KB each."""
WIDTHS: Final[dict[Literal["half", "whole"], tuple[int, int]]] = {
    "half": (470, 300), "whole": (1000, 300),
}  # fmt: skip
"""Pixels on a desk and on a phone: text of a picture that is shrunk cannot be read."""
FONT: Final = "system-ui, sans-serif"
CONFIG: Final[dict[str, Any]] = {
    "aria": False,  # the figure around it says in words what it shows
    "background": None,
    "font": FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--muted)", "titleColor": "var(--muted)", "gridColor": "var(--line)",
        "domainColor": "var(--line)", "tickColor": "var(--line)", "labelFontSize": 12,
        "titleFontSize": 12, "titleFontWeight": "normal", "labelPadding": 6, "tickSize": 4,
        "labelLimit": 170,
    },
    "axisY": {"domain": False, "ticks": False},
    "axisX": {"grid": False},
    "legend": {
        "labelColor": "var(--ink)", "titleColor": "var(--muted)", "labelFontSize": 12,
        "titleFontSize": 12, "titleFontWeight": "normal", "orient": "top", "symbolType": "square",
        "symbolStrokeWidth": 0, "columnPadding": 14, "labelLimit": 150,
    },
    "text": {"color": "var(--ink)", "fontSize": 12},
    "rule": {"color": "var(--muted)"},
}  # fmt: skip

_SVG: Final = "http://www.w3.org/2000/svg"
_KEPT_TAGS: Final = frozenset(
    f"{{{_SVG}}}{tag}"
    for tag in ("svg", "g", "path", "rect", "line", "circle", "text", "tspan", "defs", "clipPath")
)
_DROPPED: Final = ("style", "class", "cursor", "pointer-events", "aria-", "role", "id")


class Drawing(NamedTuple):
    """One chart, for a desk and for a phone."""

    wide: Markup
    narrow: Markup


Draw = Callable[[Any, int], "altair.TopLevelMixin"]
"""Makes a chart of values, for a width in pixels."""


class _Kept:
    """Pictures by the hash of what they show, the least used ones dropped first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[str, Markup] = OrderedDict()

    def get(self, key: str, make: Callable[[], Markup]) -> Markup:
        with self._lock:
            found = self._found.get(key)
            if found is not None:
                self._found.move_to_end(key)
                return found
        made = make()
        with self._lock:
            self._found[key] = made
            while len(self._found) > KEPT_MOST:
                self._found.popitem(last=False)
        return made

    def clear(self) -> None:
        with self._lock:
            self._found.clear()


_kept: Final = _Kept()


def drawn(draw: Draw, values: Any, size: Literal["half", "whole"] = "half") -> Drawing:
    """A chart of some values, out of memory where the same was drawn before.

    Args:
        draw: makes the chart; the same values give the same one.
        values: what `repr` tells apart wherever the picture differs.
        size: beside another one, or alone.
    """
    wide, narrow = (_picture(draw, values, width) for width in WIDTHS[size])
    return Drawing(wide, narrow)


def _picture(draw: Draw, values: Any, width: int) -> Markup:
    said = f"{draw.__module__}.{draw.__qualname__}|{width}|{values!r}"
    key = hashlib.sha256(said.encode("utf-8", "backslashreplace")).hexdigest()
    return _kept.get(key, lambda: _rendered(draw, values, width))


def _rendered(draw: Draw, values: Any, width: int) -> Markup:
    import vl_convert
    from altair.utils.schemapi import debug_mode

    # That our charts are valid is a test; to check it at every drawing takes as long as the rest.
    with debug_mode(False):
        spec = draw(values, width).to_dict(validate=False)
    spec["config"] = CONFIG
    spec.setdefault("width", width)
    spec.setdefault("autosize", {"type": "fit", "contains": "padding"})
    return clean(vl_convert.vegalite_to_svg(spec))


def clean(svg: str) -> Markup:
    """An SVG with shapes and text alone, and nothing that a strict policy would refuse.

    Names in it come from spans. The renderer escapes them; this parses the result and writes it
    anew from a list of tags, so that what comes out is safe whatever went in.
    """
    root = ElementTree.fromstring(svg)
    _keep(root)
    root.attrib.pop("version", None)
    root.set("focusable", "false")
    root.set("aria-hidden", "true")
    text = ElementTree.tostring(root, encoding="unicode")
    return Markup(text.replace("ns0:", "").replace(":ns0", ""))


def _keep(element: ElementTree.Element) -> None:
    for name in list(element.attrib):
        if name.startswith((*_DROPPED, "on", "{")):
            del element.attrib[name]
    for child in list(element):
        if child.tag in _KEPT_TAGS:
            _keep(child)
        else:
            element.remove(child)


def forget() -> None:
    """Lets go of every picture; the next page draws its own anew."""
    _kept.clear()


def load() -> None:
    """Loads the renderer by drawing something; it takes about a second."""
    import altair as alt

    def point(_: Any, __: int) -> alt.TopLevelMixin:
        data = alt.InlineData(values=[{"a": 1}])
        chart: alt.TopLevelMixin = alt.Chart(data).mark_point().encode(x="a:Q")
        return chart

    drawn(point, 0)
