"""What commands print: a table for people, JSON for programs. The only writer of stdout."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

_FOLDED_ROWS: Final = 1_000
"""Rows that are folded to the terminal's width; folding costs, and nobody reads more."""


def print_json(value: Any) -> None:
    """Writes a value as JSON that any parser takes, ended by a newline."""
    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False, indent=2) + "\n")


def print_rows(names: Sequence[str], rows: Iterable[Sequence[Any]], *, as_json: bool) -> None:
    """Writes rows as a table, or as a list of objects."""
    if as_json:
        unique = unique_names(names)
        print_json([dict(zip(unique, row, strict=True)) for row in rows])
    else:
        print_table(names, rows)


def print_pairs(pairs: Mapping[str, Any]) -> None:
    """Writes names and values, one pair a line, values aligned."""
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        print_text(f"{name:<{width}}  {cell(value)}".rstrip())


def print_text(line: str = "") -> None:
    sys.stdout.write(line + "\n")


def print_table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a table: whole where stdout is piped, folded to the width of a terminal."""
    filled = [list(row) for row in rows]
    known = [[row[i] for row in filled if row[i] is not None] for i in range(len(names))]
    numeric = [bool(values) and all(_is_number(value) for value in values) for values in known]
    cells = [[cell(value) for value in row] for row in filled]
    heads = [cell(name) for name in names]
    if sys.stdout.isatty() and len(cells) <= _FOLDED_ROWS:
        _print_folded(heads, cells, numeric)
    else:
        _print_whole(heads, cells, numeric)


def _print_whole(heads: list[str], cells: list[list[str]], numeric: list[bool]) -> None:
    widths = [
        max(_width(head), *(_width(row[i]) for row in cells)) if cells else _width(head)
        for i, head in enumerate(heads)
    ]

    def line(texts: list[str]) -> str:
        padded = []
        for text, width, right in zip(texts, widths, numeric, strict=True):
            blank = " " * (width - _width(text))
            padded.append(blank + text if right else text + blank)
        return "   ".join(padded).rstrip()

    print_text(line(heads))
    print_text("─" * (sum(widths) + 3 * (len(widths) - 1)))
    for row in cells:
        print_text(line(row))


def _print_folded(heads: list[str], cells: list[list[str]], numeric: list[bool]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for head, right in zip(heads, numeric, strict=True):
        table.add_column(Text(head), justify="right" if right else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(text) for text in row))
    Console(file=sys.stdout, highlight=False, markup=False).print(table)


def _width(text: str) -> int:
    """Columns of a terminal that a text takes; some scripts' characters take two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cell(value: Any) -> str:
    """A value as one line of text; control characters, which could steer a terminal, escaped."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, Mapping | list | tuple | set):
        text = json.dumps(plain(value), ensure_ascii=False)
    else:
        text = str(plain(value))
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def plain(value: Any) -> Any:
    """A value as JSON knows it: times in ISO 8601, ids and paths as text, NaN as null."""
    if value is None or isinstance(value, bool | int | str):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return plain(float(value)) if value.as_tuple().exponent else int(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, UUID | PurePath):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    return str(value)


def unique_names(names: Sequence[str]) -> list[str]:
    """Column names with a number after those that stand twice: an object has each key once."""
    seen: set[str] = set()
    unique = []
    for name in names:
        candidate, number = name, 1
        while candidate in seen:
            candidate, number = f"{name}_{number}", number + 1
        seen.add(candidate)
        unique.append(candidate)
    return unique


def size(count: int) -> str:
    """Bytes as people read them."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{int(amount)} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError("the loop always returns")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _float(value: float) -> str:
    return str(value) if not math.isfinite(value) else f"{value:.6g}"
