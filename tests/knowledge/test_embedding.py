"""Embedders: what every one of them keeps, and what the light one is."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_learning.knowledge.embedding import Embedder, HashedEmbedder, features

TEXTS = [
    "Fix the flaky retry test in the payment client",
    "The test of retries in the payment client is flaky",
    "Write a migration that adds an index to the orders table",
    "fixFlakyRetryTest",
    "日本語の説明",
]


def test_rows_are_of_length_one_and_in_order() -> None:
    """Every text has its row; what is asked alone is what is asked among others."""
    embedder: Embedder = HashedEmbedder()
    vectors = embedder.embed(TEXTS)

    assert vectors.shape == (len(TEXTS), embedder.dimension)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    for row, text in zip(vectors, TEXTS, strict=True):
        assert np.array_equal(row, embedder.embed([text])[0])


def test_alike_texts_have_alike_vectors() -> None:
    """The same task in other words is nearer than another task; a name falls into its words."""
    same, other, name = HashedEmbedder().embed(TEXTS)[1:4] @ HashedEmbedder().embed(TEXTS)[0]

    assert same > 0.6
    assert name > 0.4
    assert other < 0.25


def test_what_says_nothing_has_no_direction() -> None:
    """An empty text, or one of signs alone, is a row of zeros; no text is an empty array."""
    embedder = HashedEmbedder()

    assert not embedder.embed(["", " \n", "?!"]).any()
    assert embedder.embed([]).shape == (0, embedder.dimension)


def test_vectors_are_what_they_were() -> None:
    """A released model id never gives other vectors: whoever changes it changes its version."""
    assert HashedEmbedder.model == "hashed-ngrams-512-v1"
    vectors = HashedEmbedder().embed(TEXTS)

    assert hashlib.sha256(vectors.astype("<f4").tobytes()).hexdigest()[:16] == GOLDEN


def test_another_process_computes_the_same() -> None:
    """Python's own hash differs from process to process; vectors do not."""
    program = (
        "import hashlib, sys; from otel_learning.knowledge.embedding import HashedEmbedder;"
        "print(hashlib.sha256(HashedEmbedder().embed(sys.argv[1:]).tobytes()).hexdigest())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program, *TEXTS], env={"PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip

    assert said == {hashlib.sha256(HashedEmbedder().embed(TEXTS).tobytes()).hexdigest() + "\n"}


@given(st.text())
def test_any_text_has_a_vector(text: str) -> None:
    """Whatever characters a text has, its row is of length one or zero."""
    length = float(np.linalg.norm(HashedEmbedder().embed([text])[0]))

    assert length == pytest.approx(1, abs=1e-5) if features(text) else length == 0


def test_sums_stay_exact() -> None:
    """The longest text's weights add up to less than float32 can count."""
    varied = "".join(f"{i:x} " for i in range(4_000))

    assert sum(features(varied).values()) < 2**24
    assert sum(features("Ab" * 9_000).values()) < 2**24


GOLDEN = "f421e35533ab02cf"
