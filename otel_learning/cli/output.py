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

_WIDTH_PIPED: Final = 100_000
"""Columns where stdout is no terminal: a table that is piped must not be cut or folded."""


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
    """Writes a table; whole where stdout is piped, folded to the width of a terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    piped = not sys.stdout.isatty()
    console = Console(
        file=sys.stdout, width=_WIDTH_PIPED if piped else None, highlight=False, markup=False
    )
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    filled = [list(row) for row in rows]
    for position, name in enumerate(names):
        known = [row[position] for row in filled if row[position] is not None]
        numeric = bool(known) and all(_is_number(value) for value in known)
        table.add_column(
            Text(cell(name)), justify="right" if numeric else "left", overflow="fold",
            no_wrap=piped,
        )  # fmt: skip
    for row in filled:
        table.add_row(*(Text(cell(value)) for value in row))
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        print_text(line.rstrip())


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
