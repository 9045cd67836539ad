"""Figures and times as people read them: one spelling for each, on every page."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

UNKNOWN: Final = "unknown"
TEXT_MOST: Final = 300
LABEL_MOST: Final = 28


def share(value: float | None) -> str:
    """A share as per cent: `87 %`, with one place below 1 % and above 99 %."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    percent = 100 * value
    if 0 < percent < 0.05:
        return "<0.1 %"
    if 99.95 <= percent < 100:
        return ">99.9 %"
    if percent not in (0.0, 100.0) and (abs(percent) < 1 or percent > 99):
        return f"{percent:.1f} %"
    return f"{percent:.0f} %"


def between(low: float | None, high: float | None) -> str:
    """An interval of shares: `85 to 89 %`."""
    if low is None or high is None:
        return UNKNOWN
    return f"{share(low).removesuffix(' %')} to {share(high)}"


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    value = round(100 * difference, 1)
    return f"{value:+.1f} points".replace("-", "\N{MINUS SIGN}")


def money(value: float | None) -> str:
    """USD with as many places as say something: `$1,204`, `$0.0375`."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    size = abs(value)
    if size == 0:
        return "$0"
    if size >= 1000:
        said = f"{size:,.0f}"
    elif size >= 1:
        said = f"{size:.2f}"
    elif size < 1e-6:
        said = f"{size:.1g}"
    else:
        said = f"{size:.{min(8, 2 - math.floor(math.log10(size)))}f}".rstrip("0")
    return f"\N{MINUS SIGN}${said}" if value < 0 else f"${said}"


def seconds(value: float | None) -> str:
    """A length of time: `0.8 s`, `42 s`, `3 min 20 s`, `2 h 5 min`."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value < 10:
        return f"{value:.2g} s" if value >= 0.01 or value == 0 else f"{1000 * value:.2g} ms"
    if value < 120:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 120:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"


def count(value: float) -> str:
    """A whole number with thousands set apart."""
    return f"{value:,.0f}"


def counted(value: int, one: str, more: str | None = None) -> str:
    """A number with its noun: `1 execution`, `12 executions`."""
    return f"{value:,} {one if value == 1 else more or one + 's'}"


def signed_money(value: float | None) -> str:
    """A difference of USD, with its sign."""
    return f"+{money(value)}" if value is not None and value > 0 else money(value)


def times(value: float | None) -> str:
    """A factor: `1.1 times`."""
    return UNKNOWN if value is None else f"{value:.3g}\N{MULTIPLICATION SIGN}"


def moment(value: datetime | None) -> str:
    """A time to the second, in UTC."""
    return UNKNOWN if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def clock(value: datetime | None) -> str:
    """The same where the column's head says UTC."""
    return UNKNOWN if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def name(value: str | None) -> str:
    """A value of a column; one that is not known is said to be so."""
    return "(not named)" if value is None else plain(value)


def plain(text: str, most: int = TEXT_MOST) -> str:
    """Text of a producer on one line: without control characters, and not longer than that."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    shown = " ".join(shown.split())
    return shown if len(shown) <= most else f"{shown[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


def label(value: str | None) -> str:
    """The same, short enough for a chart."""
    return "(not named)" if value is None else plain(value, LABEL_MOST)
