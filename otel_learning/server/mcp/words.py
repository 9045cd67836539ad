"""Says which given words a store does not know, and which ones are like them."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from otel_learning.store.vocabulary import values_of

if TYPE_CHECKING:
    from otel_learning.store.reader import Reader

_ALIKE_MOST: Final = 3
_LOOKED_AT: Final = 1000
"""Values of a column that are compared; the most frequent ones."""


class Words:
    """The words of one store."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def unknown(self, **given: str | None) -> list[str]:
        """A note for each column whose given value no execution has.

        An answer to a question about a word that nobody uses looks like knowledge.
        """
        notes = []
        for column, value in given.items():
            if value is None or self._reader.count_executions(**{column: value}):  # type: ignore[arg-type]
                continue
            known = values_of(self._reader, column, _LOOKED_AT)
            near = alike(value, known)
            if near:
                hint = f"did you mean {' or '.join(map(repr, near))}?"
            elif known:
                hint = f"it knows {', '.join(map(repr, known[:_ALIKE_MOST]))}, ..."
            else:
                hint = f"no execution has a {column}"
            notes.append(f"No execution has the {column} {value!r}: {hint}")
        return notes


def alike(word: str, known: list[str]) -> list[str]:
    """Known words that somebody who writes this one may mean; pure."""
    wanted = _plain(word)
    plain: dict[str, str] = {}
    for one in known:
        plain.setdefault(_plain(one), one)
    inside = [
        one for short, one in plain.items() if wanted and (wanted in short or short in wanted)
    ]
    near = [plain[short] for short in get_close_matches(wanted, plain, _ALIKE_MOST, 0.6)]
    return list(dict.fromkeys([*inside, *near]))[:_ALIKE_MOST]


def _plain(word: str) -> str:
    return "".join(c for c in word.lower() if c.isalnum())
