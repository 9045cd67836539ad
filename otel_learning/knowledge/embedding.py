"""Texts as vectors: what an embedder is, and the light one that needs no model."""

from __future__ import annotations

import hashlib
import math
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vectors: TypeAlias = NDArray[np.float32]
"""Shape (texts, dimension); each row of length 1, or all 0 where a text says nothing."""


class Embedder(Protocol):
    """Turns texts into vectors whose inner product says how alike the texts are."""

    @property
    def model(self) -> str:
        """What made the vectors, with its version; vectors of two models are never compared."""
        ...

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row per text, in their order; an empty sequence gives shape (0, dimension).

        Raises:
            EmbeddingError: the model cannot be loaded, or fails.
        """
        ...


class HashedEmbedder:
    """The light default: words and parts of words, each at a random place of the unit sphere.

    A text's features are its words and their 3- and 4-grams; a feature weighs the square root of
    how often it occurs, a word without a meaning of its own a fifth of that. Every feature has a
    fixed vector of +1 and -1, the bits of its BLAKE2b digest, and a text is their weighted sum:
    a random projection, which keeps inner products up to about 1/sqrt(dimension). Weights are
    whole numbers, so the sum is exact and the same text has the same vector on every platform.

    It compares spelling, not meaning: "car" and "automobile" have nothing in common.

    Source: Achlioptas, Database-friendly random projections (2003); Weinberger et al., Feature
    hashing for large scale multitask learning (arXiv:0902.2206).
    """

    model: Final = "hashed-ngrams-512-v1"
    dimension: Final = 512

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row per text; of a long one the first 8,000 characters count."""
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for first in range(0, len(texts), _BATCH):
            batch = [features(text) for text in texts[first : first + _BATCH]]
            signs, place = _signs(batch, self.dimension)
            for row, found in enumerate(batch, start=first):
                if found:
                    places = [place[feature] for feature in found]
                    weights = np.fromiter(found.values(), np.float32, len(found))
                    vectors[row] = _of_length_one(weights @ signs[places])
        return vectors


def features(text: str) -> Mapping[str, int]:
    """What a text is made of: word or part of a word -> its weight in 64ths."""
    words = Counter(words_of(text))
    found: Counter[str] = Counter()
    for word, times in words.items():
        weight = _UNIT * math.sqrt(times) * (_EMPTY_WEIGHT if word in _EMPTY else 1.0)
        found[f"word {word}"] = round(weight)
        parts = _parts(word)
        # All parts of a word together weigh as much as the word.
        each = max(1, round(weight / math.sqrt(len(parts))))
        for part in parts:
            found[f"part {part}"] += each
    return found


def words_of(text: str) -> list[str]:
    """The words of a text in their order, in small letters; a camelCase name is several."""
    return _WORD.findall(_HUMP.sub(" ", text[:_LONGEST]).lower())


def telling_words(text: str) -> list[int]:
    """The CRC-32 of each word that has a meaning of its own, once; what full text is asked by."""
    words = dict.fromkeys(word for word in words_of(text) if word not in _EMPTY)
    return [zlib.crc32(word.encode("utf-8", "replace")) for word in words]


def _parts(word: str) -> list[str]:
    edged = f"<{word[:_LONGEST_WORD]}>"
    return [edged[i : i + n] for n in (3, 4) for i in range(max(1, len(edged) - n + 1))]


def _signs(
    batch: Sequence[Mapping[str, int]], dimension: int
) -> tuple[NDArray[np.float32], dict[str, int]]:
    """A row of +1 and -1 for every feature of the batch, and which row is whose."""
    place: dict[str, int] = {}
    for found in batch:
        for feature in found:
            place.setdefault(feature, len(place))
    size = dimension // 8
    digests = b"".join(
        hashlib.blake2b(feature.encode("utf-8", "replace"), digest_size=size).digest()
        for feature in place
    )
    bits = np.unpackbits(np.frombuffer(digests, np.uint8).reshape(-1, size), axis=1)
    return bits.astype(np.float32) * 2 - 1, place


def _of_length_one(total: NDArray[np.float32]) -> NDArray[np.float32]:
    length = math.sqrt(float(np.dot(total.astype(np.float64), total)))
    return (total / length if length else total).astype(np.float32)


_BATCH: Final = 256
_UNIT: Final = 64
_LONGEST: Final = 8_000
"""Characters. Sums of so few features stay below 2**24, where float32 is exact."""
_LONGEST_WORD: Final = 64
_WORD: Final = re.compile(r"[^\W_]+")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
"""Where a camelCase name falls into words."""
_EMPTY_WEIGHT: Final = 0.2
_EMPTY: Final = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be but by can for from had has have he her his how i if in into is it "
        "its of on or our she so than that the their them then there these they this to was we "
        "were what when which while who will with would you your",
    )
)
