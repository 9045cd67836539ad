"""Embeds a store with a slow model and writes down each text that it has computed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from otel_learning.knowledge import embed as embedding
from otel_learning.knowledge.embedding import Vectors
from tests.knowledge.stores import OtherEmbedder

store, log, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])


class Logged(OtherEmbedder):
    def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = super().embed(texts)
        with log.open("a") as file:
            file.writelines(f"{text}\n" for text in texts)
        return vectors


embedding.BATCH_SECONDS = 0.1  # type: ignore[misc]
embedding.BATCH_MOST = 16  # type: ignore[misc]
report = embedding.embed(store, Logged(seconds_each=seconds), "other")
print(report.embedded, report.unchanged)
