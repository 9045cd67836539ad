"""Finds executions whose task is like a text: by meaning and by words, in SQL over the store.

In a small store every vector is compared. In a larger one the texts whose signs differ least
from the query's are candidates, and those that have its rare words; only they are compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from otel_learning.store import lease
from otel_learning.store.filters import Condition
from otel_learning.store.vectors import ONE, SIGNS, Model, models, signs_of, table_of, width_of

if TYPE_CHECKING:
    import duckdb

EXACT_TEXTS: Final = 10_000
"""Up to so many texts, all of them are compared; that takes as long as to choose among them."""
CANDIDATES_LEAST: Final = 200
WORDS_SHARE: Final = 0.5
"""The part of a similarity that the words make; the rest is the vectors'."""
COMMON_SHARE: Final = 0.05
COMMON_TEXTS: Final = 1_000
"""A word that more texts have than both of these is left out: it tells little, and costs most."""
POSTINGS_MOST: Final = 50_000
"""So many places of words are read for a question, those of its rarest words first."""
BY_WORDS: Final = 200
"""Candidates that have the query's words, whatever their vectors."""


@dataclass(frozen=True, slots=True)
class Query:
    """A text to be found, as one model sees it."""

    vector: NDArray[np.float32]
    words: Sequence[int] = field(default=())


class Found(NamedTuple):
    """An execution that was found."""

    execution_id: UUID
    similarity: float
    """0..1: the inner product of the vectors, and the share of the query's words, weighed."""
    vector_similarity: float
    word_share: float | None
    """How many of the query's words the text has, rare ones counting more; None where no word
    of the query tells anything."""


def candidates_for(texts: int, model: Model) -> int:
    """How many texts to compare exactly: as measured, and growing with the root of the store."""
    if model.candidates is not None and model.measured_texts:
        grown = math.sqrt(max(1.0, texts / model.measured_texts))
        return math.ceil(model.candidates * grown)
    return max(CANDIDATES_LEAST, 2 * math.isqrt(texts))


def find(
    con: duckdb.DuckDBPyConnection,
    model: Model,
    query: Query,
    condition: Condition,
    limit: int,
    *,
    exact: bool = False,
    candidates: int | None = None,
) -> list[Found]:
    """The executions most like the query among those that fit, the most similar first.

    Args:
        con: a connection that only reads.
        model: whose vectors are asked; the query's is of the same.
        query: what is looked for.
        condition: which executions fit; "TRUE" lets all.
        limit: how many to return.
        exact: compares every text, whatever the size of the store.
        candidates: compares so many, instead of as many as were measured to be enough.
    """
    fitting, within, values = "described_executions", "", list(condition.values)
    with_fitting = ""
    if condition.sql != "TRUE":
        fitting, within = "fitting", "text IN (SELECT text FROM fitting)"
        with_fitting = (
            "fitting AS MATERIALIZED (SELECT * FROM described_executions WHERE execution_id IN "
            f"(SELECT execution_id FROM executions WHERE {condition.sql})),"
        )
    table, width = table_of(model.dimension), width_of(model.dimension)
    total = _texts(con, table, with_fitting, values)
    asked = np.zeros(width, np.float32)
    asked[: len(query.vector)] = query.vector
    rare, weight = _rare(con, query.words, total)
    listed = ", ".join(f"({word}::UINTEGER, {value / weight:.9g})" for word, value in rare)
    lexical = (
        "lexical AS MATERIALIZED (SELECT text, sum(value) AS share FROM text_words "
        f"JOIN (VALUES {listed}) AS rare(word, value) USING (word) GROUP BY text),"
        if rare
        else "lexical AS (SELECT 0::UBIGINT AS text, 0.0 AS share LIMIT 0),"
    )
    # Another model's vectors are there only while one takes the other's place.
    of_model = "model = ?" if len(models(con)) > 1 else "? IS NOT NULL"
    if exact or total <= EXACT_TEXTS:
        places = f"SELECT rowid FROM {table} WHERE {of_model} AND {within or 'TRUE'}"
        chosen: list[Any] = [model.model]
    else:
        wanted = candidates or max(candidates_for(total, model), 10 * limit)
        distance = _distance(query.vector[None, :])
        places = (
            f"(SELECT rowid FROM {table} WHERE {of_model} AND {within or 'TRUE'} "
            f"ORDER BY {distance} LIMIT ?) UNION SELECT rowid FROM {table} WHERE {of_model} "
            f"AND text IN (SELECT text FROM lexical WHERE {within or 'TRUE'} "
            f"ORDER BY share DESC, text LIMIT {max(BY_WORDS, limit)})"
        )
        chosen = [model.model, wanted, model.model]
    share = WORDS_SHARE if rare else 0.0
    # Summaries of solutions have vectors too; no execution is described by them.
    rows = con.execute(
        f"""
WITH {with_fitting} {lexical}
compared AS (
    SELECT text, array_inner_product(vector::FLOAT[{width}], ?::FLOAT[{width}]) / {ONE} AS meant
    FROM {table} WHERE rowid IN ({places})
), scored AS (
    SELECT text, meant, coalesce(share, 0) AS share,
        {1 - share} * meant + {share} * coalesce(share, 0) AS similarity
    FROM compared LEFT JOIN lexical USING (text)
)
SELECT execution_id, similarity, meant, share
FROM {fitting} JOIN scored USING (text)
ORDER BY similarity DESC, updated_at DESC, execution_id LIMIT ?
""",
        [*values, asked.tolist(), *chosen, limit],
    ).fetchall()
    return [
        Found(identity, _rounded(similarity), _rounded(meant), _rounded(share) if rare else None)
        for identity, similarity, meant, share in rows
    ]


def recall(
    con: duckdb.DuckDBPyConnection, model: Model, sample: int, candidates: int, seed: int = 0
) -> float:
    """The share of the ten nearest texts that so many candidates find, on the store's own texts.

    Args:
        con: a connection that only reads.
        model: whose vectors are asked.
        sample: how many texts to look for, each as if it were a query.
        candidates: how many to compare.
        seed: which texts; the same store and seed give the same answer.
    """
    table, width = table_of(model.dimension), width_of(model.dimension)
    asked = con.execute(
        f"SELECT text, vector::FLOAT[{width}] FROM {table} WHERE model = ? "
        "ORDER BY hash(text + ?) LIMIT ?", [model.model, seed, sample],
    ).fetchall()  # fmt: skip
    hits = wanted = 0
    for _, stored in asked:
        vector = np.asarray(stored, np.float32)[: model.dimension] / np.float32(ONE)
        # The ten nearest lie beyond the text itself, as they do for a query that is new.
        nearest = _nearest(con, model, vector, None)
        hits += len(nearest & _nearest(con, model, vector, candidates))
        wanted += len(nearest)
    return hits / wanted if wanted else 1.0


def _nearest(
    con: duckdb.DuckDBPyConnection, model: Model, vector: NDArray[np.float32], limit: int | None
) -> set[int]:
    table, width = table_of(model.dimension), width_of(model.dimension)
    asked = np.zeros(width, np.float32)
    asked[: len(vector)] = vector
    within = ""
    if limit is not None:
        distance = _distance(vector[None, :])
        within = (
            f"AND rowid IN (SELECT rowid FROM {table} WHERE model = $model "
            f"ORDER BY {distance} LIMIT {limit})"
        )
    rows = con.execute(
        f"SELECT text FROM {table} WHERE model = $model {within} ORDER BY "
        f"array_inner_product(vector::FLOAT[{width}], $asked::FLOAT[{width}]) DESC, text LIMIT 11",
        {"model": model.model, "asked": asked.tolist()},
    ).fetchall()
    return {int(text) for (text,) in rows}


def _distance(vector: NDArray[np.float32]) -> str:
    """How many signs differ from the vector's, in SQL."""
    signs = signs_of(vector)[0]
    return " + ".join(f"bit_count(xor(s{i}, '{signs[i]}'::BIGINT))::SMALLINT" for i in range(SIGNS))


def _texts(con: duckdb.DuckDBPyConnection, table: str, with_fitting: str, values: list[Any]) -> int:
    """How many texts there are among those that fit."""
    if with_fitting:
        counted = f"WITH {with_fitting.rstrip(',')} SELECT count(DISTINCT text) FROM fitting"
    else:
        counted = f"SELECT count(*) FROM {table}"
    row = lease.one(con, counted, values)
    return int(row[0]) if row else 0


def _rare(
    con: duckdb.DuckDBPyConnection, words: Sequence[int], texts: int
) -> tuple[list[tuple[int, float]], float]:
    """The words that tell texts apart, each with its weight, and the sum of the weights.

    The weight is the inverse document frequency of BM25 (Robertson and Zaragoza, 2009), of all
    texts of the store. A word that no text has counts, so that a text is not taken for equal.
    """
    if not words:
        return [], 0.0
    # Joined with typed values, row groups without them are skipped; with IN they are not.
    listed = ", ".join(f"({int(word)}::UINTEGER)" for word in dict.fromkeys(words))
    counted = dict(
        con.execute(
            f"SELECT word, count(*) FROM text_words JOIN (VALUES {listed}) AS asked(word) "
            "USING (word) GROUP BY word"
        ).fetchall()
    )
    common = max(COMMON_TEXTS, COMMON_SHARE * texts)
    weights: dict[int, float] = {}
    places = 0
    for word in sorted(dict.fromkeys(words), key=lambda one: counted.get(one, 0)):
        has = counted.get(word, 0)
        places += has
        if has > common or (places > POSTINGS_MOST and weights):
            break
        weights[word] = math.log(1 + (max(texts, has) - has + 0.5) / (has + 0.5))
    known = [(word, value) for word, value in weights.items() if word in counted]
    return known, sum(weights.values())


def _rounded(value: float) -> float:
    return round(float(value), 6)
