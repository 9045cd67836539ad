"""Puts texts that mean the same together, around the most frequent ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from otel_learning.knowledge.embedding import words_of

SAME_MEANING: Final = 0.78
"""Inner product from which two summaries are one, where nothing below speaks against it: of the
light embedder, for which another inflection of a word in six costs 0.2."""
SAME_MEANING_MODEL: Final = 0.88
"""The same of a language model, whose vectors of any two sentences on one subject lie nearer."""
SIMILAR_TASK: Final = 0.6
"""Inner product from which two descriptions are of similar tasks."""
LEADERS_MOST: Final = 5_000

_NUMBER: Final = re.compile(r"\d+")
_TURNS: Final = frozenset(
    re.findall(
        r"\w+",
        "not no never without disable enable increase decrease raise lower add remove drop skip "
        "before after larger smaller large small more less fewer on off up down allow deny sync "
        "async start stop",
    )
)
"""Words by which a sentence says another thing while most of it stays the same."""


def groups(
    texts: Mapping[str, int],
    vectors: Mapping[str, NDArray[np.float32]],
    threshold: float,
    *,
    same_claim: bool,
) -> dict[str, str]:
    """Each text -> the leader of its group, which is a text itself.

    The most frequent texts lead; any other one joins the nearest leader that is near enough, so
    that no chain of small steps ties what has nothing in common.

    Args:
        texts: how often each text occurs.
        vectors: of length one; a text without one stands alone.
        threshold: the least inner product with a leader.
        same_claim: joins only texts with the same numbers and the same words that turn a meaning
            round.
    """
    ordered = sorted(texts, key=lambda text: (-texts[text], text))
    leader_of: dict[str, str] = {}
    leaders: list[str] = []
    plain: dict[tuple[str, ...], str] = {}
    matrix: NDArray[np.float32] | None = None
    for text in ordered:
        spelt = tuple(words_of(text)) or (text,)
        if spelt in plain:
            leader_of[text] = plain[spelt]
            continue
        vector = vectors.get(text)
        chosen = text
        if vector is not None and vector.any():
            if leaders and matrix is not None:
                chosen = _nearest(text, vector, leaders, matrix, threshold, same_claim) or text
            if chosen == text and len(leaders) < LEADERS_MOST:
                matrix = _with_row(matrix, vector, len(leaders))
                leaders.append(text)
        leader_of[text] = plain[spelt] = chosen
    return leader_of


def _nearest(
    text: str,
    vector: NDArray[np.float32],
    leaders: Sequence[str],
    matrix: NDArray[np.float32],
    threshold: float,
    same_claim: bool,
) -> str | None:
    alike = matrix[: len(leaders)] @ vector
    near = np.flatnonzero(alike >= threshold)
    order: list[int] = near[np.argsort(-alike[near], kind="stable")].tolist()
    for place in order:
        if not same_claim or _claim(leaders[place]) == _claim(text):
            return leaders[place]
    return None


def _with_row(
    matrix: NDArray[np.float32] | None, vector: NDArray[np.float32], used: int
) -> NDArray[np.float32]:
    """The matrix with a further row, in room that doubles."""
    if matrix is None:
        matrix = np.zeros((64, len(vector)), np.float32)
    elif used == len(matrix):
        matrix = np.vstack([matrix, np.zeros_like(matrix)])
    matrix[used] = vector
    return matrix


def _claim(text: str) -> tuple[frozenset[str], frozenset[str]]:
    turns = frozenset(stem for word in words_of(text) for stem in _stems(word) if stem in _TURNS)
    return frozenset(_NUMBER.findall(text)), turns


def _stems(word: str) -> tuple[str, ...]:
    """What an English verb may be a form of: raised and raises of raise, added of add."""
    return (word, *(word.removesuffix(end) for end in ("d", "ed", "s") if word.endswith(end)))
