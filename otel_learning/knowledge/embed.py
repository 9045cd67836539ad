"""Brings the vectors of a store up to date: what has none gets one, batch by batch.

Each batch is computed while nobody holds the store, and stored in one transaction; a kill loses
the batch that it falls on and nothing else. Never in the export path.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from otel_learning.knowledge.embedding import Embedder, telling_words
from otel_learning.store import similarity
from otel_learning.store.database import LearningDatabase
from otel_learning.store.neighbours import embedding_models, recall
from otel_learning.store.vectors import Embedded, Model, VectorStore

BATCH_SECONDS: Final = 2.0
"""What a batch should take: so much work is lost by a kill at most, and so often a bar moves."""
BATCH_FIRST: Final = 32
BATCH_MOST: Final = 4096
RECALL_WANTED: Final = 0.98
RECALL_SAMPLE: Final = 50

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EmbedReport:
    """What was done, and what is left."""

    embedded: int
    """Texts that got a vector now."""
    unchanged: int
    """Texts that had one."""
    left: int
    """Texts that still have none, because the time was over."""
    model: str
    dimension: int
    candidates: int | None = None
    """How many texts a search compares exactly; None where it compares all."""
    recall: float | None = None
    """The share of the ten nearest that it finds with them, measured on this store."""
    asked: Model | None = None
    """The model, where there was nothing to do."""


def embed(
    path: Path,
    embedder: Embedder,
    setting: str,
    *,
    work_seconds: float | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> EmbedReport:
    """Gives every task description and solution summary a vector of this model.

    While a new model's vectors are computed, searches are answered by the old one's; once all are
    there, the new model takes its place. What was computed before a kill is not computed again.

    Args:
        path: the store.
        embedder: computes the vectors.
        setting: what the embedder was chosen by, so that a search can have it again.
        work_seconds: after that long no further batch is begun.
        progress: called with how many texts are done, and of how many.

    Raises:
        StoreLockedError: the store was not free in time; what is done is done.
        StoreError: it cannot be read or written.
        EmbeddingError: the model fails.
        InputError: the store has no table for vectors of that dimension.
    """
    store = VectorStore(path)
    until = None if work_seconds is None else time.monotonic() + work_seconds
    taken = store.take_in(embedder.model, setting, embedder.dimension)
    if taken.asked is not None:
        return _of_asked(taken.asked, taken.present)
    missing = list(taken.missing.items())
    done, size, gone = 0, BATCH_FIRST, 0
    progress(0, len(missing))
    while done < len(missing) and (until is None or time.monotonic() < until):
        batch = dict(missing[done : done + size])
        began = time.monotonic()
        gone += len(batch) - _one_batch(store, embedder, batch)
        seconds = time.monotonic() - began
        done += len(batch)
        progress(done, len(missing))
        size = _next_size(size, seconds)
    left = len(missing) - done
    report = EmbedReport(done - gone, taken.present, left, embedder.model, embedder.dimension)
    if left:
        return report
    store.finish(embedder.model)
    return _with_recall(path, store, report)


def _one_batch(store: VectorStore, embedder: Embedder, batch: dict[int, Any]) -> int:
    texts = store.texts(batch)
    if texts:
        vectors = embedder.embed(list(texts.values()))
        store.write(
            embedder.model,
            embedder.dimension,
            [
                Embedded(key, vector, telling_words(text))
                for (key, text), vector in zip(texts.items(), vectors, strict=True)
            ],
        )
    return len(texts)


def _next_size(size: int, seconds: float) -> int:
    """Twice or half as many, so that the next batch takes about as long as one should."""
    if seconds < BATCH_SECONDS / 2:
        return min(BATCH_MOST, size * 2)
    return max(1, size // 2) if seconds > BATCH_SECONDS * 2 else size


def _with_recall(path: Path, store: VectorStore, report: EmbedReport) -> EmbedReport:
    """Measures how many candidates a search in a large store needs, where that may have changed."""
    texts = report.embedded + report.unchanged
    if texts <= similarity.EXACT_TEXTS:
        return report
    database = LearningDatabase(path, create=False)
    model = next(m for m in embedding_models(database) if m.model == report.model)
    if model.measured_texts is not None and texts < 2 * model.measured_texts:
        return replace(
            report, candidates=similarity.candidates_for(texts, model), recall=model.recall
        )
    candidates = similarity.candidates_for(texts, model)
    while True:
        found = recall(database, model, sample=RECALL_SAMPLE, candidates=candidates)
        if found >= RECALL_WANTED or candidates >= texts:
            break
        candidates = min(texts, candidates * 2)
    store.measured(report.model, candidates, found, texts)
    return replace(report, candidates=candidates, recall=found)


def _of_asked(model: Model, texts: int) -> EmbedReport:
    large = texts > similarity.EXACT_TEXTS
    return EmbedReport(
        0, texts, 0, model.model, model.dimension,
        similarity.candidates_for(texts, model) if large else None,
        model.recall if large else None, model,
    )  # fmt: skip
