"""What a page consists of, before it is HTML: plain values that templates draw.

The pages of the server and those of the report are the same objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from otel_learning.server.dashboard.svg import Drawing


@dataclass(frozen=True, slots=True)
class Tile:
    """A headline figure."""

    label: str
    value: str
    detail: str = ""
    """Its interval and support."""
    change: str = ""
    """Against the period before."""
    tone: Literal["good", "bad", "even", ""] = ""
    """Whether the change is for the better; "" where nothing can be said."""


@dataclass(frozen=True, slots=True)
class Tiles:
    """Headline figures beside each other."""

    items: Sequence[Tile]
    kind: str = "tiles"


@dataclass(frozen=True, slots=True)
class Cell:
    """A table's cell."""

    text: str
    href: str | None = None
    note: str = ""
    """Said smaller below."""
    arm: int | None = None
    """Number of the arm whose colour stands before it."""
    span: tuple[float, float, float] | None = None
    """Low, value, high between 0 and 1, drawn as a bar with a point."""
    tone: Literal["good", "bad", "even", ""] = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of each row is its head."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: frozenset[int] = frozenset()
    """Columns that are set to the right."""
    kind: str = "table"


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with what it says in words, and its numbers as a table."""

    title: str
    """With the unit."""
    summary: str
    """What one would see; read aloud in the place of the picture."""
    drawing: Drawing
    data: Table
    size: Literal["half", "whole"] = "half"
    kind: str = "figure"


@dataclass(frozen=True, slots=True)
class Figures:
    """Charts beside each other, where there is room."""

    items: Sequence[Figure]
    kind: str = "figures"


@dataclass(frozen=True, slots=True)
class Note:
    """Something to know: that evidence is missing, or what to do."""

    text: str
    command: str | None = None
    """What to type."""
    tone: Literal["info", "warn"] = "info"
    kind: str = "note"


@dataclass(frozen=True, slots=True)
class Prose:
    """Paragraphs."""

    paragraphs: Sequence[str]
    quiet: bool = False
    """Set smaller, for what is of less weight."""
    kind: str = "prose"


@dataclass(frozen=True, slots=True)
class Points:
    """A list of sentences."""

    items: Sequence[Cell]
    kind: str = "points"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Names and values."""

    items: Sequence[tuple[str, Cell]]
    kind: str = "pairs"


@dataclass(frozen=True, slots=True)
class Pager:
    """The ways to the first and to the next rows of a long list."""

    first: str | None
    following: str | None
    kind: str = "pager"


Block = Tiles | Table | Figure | Figures | Note | Prose | Points | Pairs | Pager


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page, with its heading."""

    heading: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class Page:
    """A question, its answer, and what that rests on."""

    path: str
    question: str
    answer: str
    sections: Sequence[Section] = field(default_factory=tuple)
    basis: str = ""
    """Which executions it is about."""
    choices: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    """Column -> values that the store has, for the form."""
    refresh_seconds: int | None = None
    """When to ask again, where the answer is still being worked out."""
