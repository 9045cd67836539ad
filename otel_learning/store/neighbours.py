"""What a reader can be asked about texts that are alike: executions, models, and the recall."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Unpack
from uuid import UUID

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from otel_learning.records import ExecutionRecord
from otel_learning.store import similarity, vectors
from otel_learning.store.filters import Filters, checked_limit, where
from otel_learning.store.reader import Reader, records

if TYPE_CHECKING:
    import duckdb

    from otel_learning.store.similarity import Found, Query
    from otel_learning.store.vectors import Model


def similar(
    reader: Reader,
    model: Model,
    query: Query,
    /,
    *,
    limit: int,
    exact: bool = False,
    **filters: Unpack[Filters],
) -> list[tuple[ExecutionRecord, Found]]:
    """The executions most like a query that a model has seen; see `similarity.find`."""
    condition = where(filters)
    checked_limit(limit)
    with reader._cursor() as con:
        found = similarity.find(con, model, query, condition, limit, exact=exact)
        known = _by_id(con, [one.execution_id for one in found])
    return [(known[one.execution_id], one) for one in found if one.execution_id in known]


def embedding_models(reader: Reader) -> list[Model]:
    """The models that the store holds vectors of, the one that is asked first."""
    with reader._cursor() as con:
        return vectors.models(con)


def up_to_date(reader: Reader, model: str) -> Model | None:
    """That model, where it is the one that is asked and every text has its vector; else None."""
    with reader._cursor() as con:
        return vectors.up_to_date(con, model)


def recall(reader: Reader, model: Model, *, sample: int, candidates: int) -> float:
    """What a search that compares so many texts finds of the ten nearest, on this store."""
    with reader._cursor() as con:
        return similarity.recall(con, model, sample, candidates)


def _by_id(con: duckdb.DuckDBPyConnection, ids: list[UUID]) -> dict[UUID, ExecutionRecord]:
    wanted = [[str(identity) for identity in ids]]
    found = records(con, _SETTLED, wanted)
    if len(found) < len(ids):
        found += records(con, _STILL_OPEN, wanted)
    return {record.execution_id: record for record in found}


def stored_vectors(
    reader: Reader, model: Model, texts: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    """The vectors that the store holds of these texts; those that have none are left out."""
    table, width = vectors.table_of(model.dimension), vectors.width_of(model.dimension)
    wanted = pa.table({"said": pa.array(list(texts), pa.string())})
    with reader._cursor() as con:
        con.register("wanted_texts", wanted)
        try:
            found = con.execute(
                f"SELECT said, vector FROM wanted_texts JOIN {table} "
                "ON text = md5_number_upper(said) WHERE model = ?", [model.model],
            ).fetchnumpy()  # fmt: skip
        finally:
            con.unregister("wanted_texts")
    if not len(found["said"]):
        return {}
    numbers = np.stack(list(found["vector"])).reshape(-1, width)
    rows = numbers[:, : model.dimension].astype(np.float32) / np.float32(vectors.ONE)
    return dict(zip(found["said"], rows, strict=True))


_SETTLED: Final = """
SELECT * EXCLUDE (evaluated_quality, day) REPLACE (
    coalesce(evaluated_quality, quality_score) AS quality_score,
    coalesce(feedback_count, 0) AS feedback_count
), TRUE AS settled
FROM settled_executions WHERE rowid IN (
    SELECT rowid FROM settled_executions
    WHERE execution_id IN (SELECT unnest(?::UUID[]))
)
"""
"""What the view says of them. Asked by place, since a join with the ids alone would read sixty
columns of whatever lies beside them: three times as long in a store of a million."""
_STILL_OPEN: Final = """
SELECT * FROM executions WHERE NOT settled AND execution_id IN (SELECT unnest(?::UUID[]))
"""
