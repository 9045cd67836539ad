"""Search by meaning: brings the vectors up to date, embeds the query, and asks the store."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Unpack

from otel_learning.errors import EmbedderUnavailableError, StoreLockedError
from otel_learning.knowledge.embed import embed
from otel_learning.knowledge.embedding import telling_words
from otel_learning.knowledge.models import embedder_of
from otel_learning.records import ExecutionRecord
from otel_learning.store.database import LearningDatabase
from otel_learning.store.filters import Filters
from otel_learning.store.neighbours import embedding_models, similar
from otel_learning.store.reader import Reader
from otel_learning.store.similarity import Query
from otel_learning.store.spool import Spool
from otel_learning.store.vectors import Model

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Match:
    """An execution that was found, and how alike its task is."""

    execution: ExecutionRecord
    similarity: float
    """0..1; 1 is the same text."""
    vector_similarity: float
    """The inner product of the two vectors: the part of it that comes from the model."""
    word_share: float | None
    """The share of the query's words that the text has, rare ones counting more."""


def catch_up(database: LearningDatabase, setting: str, work_seconds: float) -> Model | None:
    """Embeds what is new, for so long at most; the model to ask, None in a store without texts.

    While another model is being replaced, the one that is complete is asked.
    """
    if Spool(database.path).list():
        database.drain()
    try:
        report = embed(database.path, embedder_of(setting), setting, work_seconds=work_seconds)
        if report.left:
            _logger.warning(
                "%d texts of %s have no vector yet and are not found: run otel-learning embed",
                report.left, database.path,
            )  # fmt: skip
        if report.asked is not None:
            return report.asked
    except StoreLockedError:
        # Whoever holds it may hold it for long; what has a vector can be found all the same.
        _logger.warning("%s is held by another program: what is new is not found", database.path)
    models = embedding_models(database)
    return models[0] if models else None


def search(
    reader: Reader,
    model: Model,
    text: str,
    /,
    *,
    limit: int = 10,
    exact: bool = False,
    **filters: Unpack[Filters],
) -> list[Match]:
    """The executions whose task is most like a text, among those whose vectors the store holds.

    Args:
        reader: a database or a snapshot of it.
        model: of `neighbours.embedding_models`.
        text: what to look for.
        limit: how many to return.
        exact: compares every text, also in a large store.
        filters: those of `LearningDatabase.executions`.

    Raises:
        EmbeddingError: the model cannot be loaded.
    """
    embedder = embedder_of(model.embedder)
    if embedder.model != model.model:
        raise EmbedderUnavailableError(
            f"the vectors are of {model.model}, and {model.embedder!r} is {embedder.model} by now",
            "run: otel-learning embed",
        )
    query = Query(embedder.embed([text])[0], telling_words(text))
    found = similar(reader, model, query, limit=limit, exact=exact, **filters)
    return [
        Match(record, one.similarity, one.vector_similarity, one.word_share)
        for record, one in found
    ]
