"""What a reader can be asked about texts that are alike: executions, models, and the recall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack
from uuid import UUID

from otel_learning.records import ExecutionRecord
from otel_learning.store import similarity, vectors
from otel_learning.store.day_keys import within
from otel_learning.store.filters import Filters, checked_limit, where
from otel_learning.store.reader import Reader, records

if TYPE_CHECKING:
    from datetime import date

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
        known = _by_id(con, {one.execution_id: one.day for one in found})
    return [(known[one.execution_id], one) for one in found if one.execution_id in known]


def embedding_models(reader: Reader) -> list[Model]:
    """The models that the store holds vectors of, the one that is asked first."""
    with reader._cursor() as con:
        return vectors.models(con)


def recall(reader: Reader, model: Model, *, sample: int, candidates: int) -> float:
    """What a search that compares so many texts finds of the ten nearest, on this store."""
    with reader._cursor() as con:
        return similarity.recall(con, model, sample, candidates)


def _by_id(con: duckdb.DuckDBPyConnection, days: dict[UUID, date]) -> dict[UUID, ExecutionRecord]:
    """Records of executions whose days are known, so that other row groups are skipped."""
    on, values = within(days.values())
    ids = [str(identity) for identity in days]
    query = f"SELECT * FROM executions WHERE {on} AND list_contains(?::UUID[], execution_id)"
    return {record.execution_id: record for record in records(con, query, [*values, ids])}
