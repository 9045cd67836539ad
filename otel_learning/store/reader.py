"""Questions to a store, whatever connection they are put over."""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack
from uuid import UUID

from otel_learning.errors import InputError, StoreError
from otel_learning.observation import Facts, Observation
from otel_learning.records import (
    Attempt,
    ExecutionDetail,
    ExecutionRecord,
    FeedbackRecord,
    FeedbackVisibility,
    Page,
)
from otel_learning.store import evidence_rows
from otel_learning.store.day_keys import bounds
from otel_learning.store.filters import (
    NEWEST_FIRST,
    ROWS_DEFAULT,
    Condition,
    Filters,
    checked_id,
    checked_limit,
    cursor_at,
    where,
)
from otel_learning.store.ledger import Ledger

if TYPE_CHECKING:
    import duckdb

_FETCH_ROWS: Final = 2000
"""Rows that are turned into Python values without a pause for other threads."""

_SEEN: Final[dict[FeedbackVisibility, tuple[str, ...]]] = {
    "private": ("private", "team", "public"), "team": ("team", "public"), "public": ("public",),
}  # fmt: skip
"""Who looks -> which feedback is shown."""
_FEW: Final = 200
"""More rows than are expected under one id."""

Answer = tuple[list[str], list[tuple[Any, ...]]]
"""Column names and rows."""


class QueryError(StoreError):
    """DuckDB refuses a query; its words are in the message."""


class Reader(ABC):
    """What can be asked of a store; a subclass says over which connection."""

    path: Path

    @abstractmethod
    def _cursor(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A connection that only reads, for the time of one call."""

    def query(self, query: str, params: Sequence[Any] | dict[str, Any] | None = None) -> Answer:
        """Column names and rows of a query that only reads.

        Raises:
            QueryError: DuckDB refuses the query; its words are in the message.
        """
        with self._cursor() as con:
            return _answer(con, query, params)

    def sql(
        self, query: str, params: Sequence[Any] | dict[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """The rows of a query that only reads; values are bound by `?` or `$name`."""
        return self.query(query, params)[1]

    # ------------------------------------------------------------------ executions

    def executions(
        self, *, limit: int = ROWS_DEFAULT, **filters: Unpack[Filters]
    ) -> list[ExecutionRecord]:
        """Executions that fit every filter given, newest first; [] if none does.

        The filters are those of `otel_learning.store.filters.Filters`: task_id, execution_id,
        trace_id, session_id, user_hash, environment, service_name, repo, task_type, model_tier,
        model, requested_model, provider, pool_type, swarm_topology, agent, experiment, variant,
        error_type, success (True, False or "unknown"), min_cost and max_cost (USD, inclusive),
        since (inclusive) and until (exclusive) by `started_at`, complete, settled.

        Raises:
            InputError: a filter is unknown, or a value is not what it takes.
        """
        condition = where(filters)
        checked_limit(limit)
        with self._cursor() as con:
            return _executions(con, condition, limit)

    def executions_page(
        self,
        *,
        limit: int = ROWS_DEFAULT,
        after: str | None = None,
        **filters: Unpack[Filters],
    ) -> Page:
        """At most `limit` executions that fit, newest first, from behind the place `after`.

        `after` is the `next` of the page before; None begins. What arrives between two pages
        moves nothing: an execution that is there all the time is on one page, once. Only one
        whose own `started_at` is corrected meanwhile may be met again, or passed by.

        Raises:
            InputError: as `executions`, or `after` is no place that a page has named.
        """
        condition = where(filters, after)
        checked_limit(limit)
        with self._cursor() as con:
            found = _executions(con, condition, limit + 1)
        page = found[:limit]
        more = len(found) > limit
        return Page(page, cursor_at(page[-1].started_at, page[-1].execution_id) if more else None)

    def count_executions(self, **filters: Unpack[Filters]) -> int:
        """How many executions fit every filter given; the filters are those of `executions`."""
        condition = where(filters)
        with self._cursor() as con:
            sql, values = _located(con, condition)
            _, rows = _answer(con, f"SELECT count(*) FROM executions WHERE {sql}", values)
        return int(rows[0][0])

    def execution(
        self,
        execution_id: UUID | str | None = None,
        *,
        task_id: str | None = None,
        trace_id: str | None = None,
    ) -> ExecutionDetail | None:
        """One execution with its attempts and feedback; None if there is none.

        Of several runs of a task, or several tasks in a trace, the one that started last.
        Feedback that was taken back is left out.

        Raises:
            InputError: not exactly one id is given, or it is malformed.
        """
        given = Filters(execution_id=execution_id, task_id=task_id, trace_id=trace_id)
        if sum(value is not None for value in given.values()) != 1:
            raise InputError("execution() takes one id", "an execution_id, a task_id or a trace_id")
        condition = where(given)
        with self._cursor() as con:
            found = _executions(con, condition, 1)
            if not found:
                return None
            return ExecutionDetail(
                execution=found[0],
                attempts=_attempts_within(con, found[0]),
                feedback=_feedback(con, str(found[0].execution_id))
                if found[0].feedback_count
                else [],
            )

    def attempts(self, execution_id: UUID | str) -> list[Attempt]:
        """The model calls of one execution, in order; [] if there is no such execution."""
        identity = checked_id(execution_id)
        with self._cursor() as con:
            return _attempts(con, identity)

    def feedback(
        self,
        *,
        target_id: str | None = None,
        execution_id: UUID | str | None = None,
        visibility: FeedbackVisibility = "private",
        revoked: bool = False,
        limit: int = ROWS_DEFAULT,
    ) -> list[FeedbackRecord]:
        """What was said, the newest first.

        Args:
            target_id: only what was said under this id.
            execution_id: only what was resolved to this execution.
            visibility: who looks: `private` sees all, `team` what is for the team or the public,
                `public` only that.
            revoked: also what was taken back.
            limit: at most so many.

        Raises:
            InputError: an id is malformed, or the limit is no number of rows.
        """
        checked_limit(limit)
        identity = None if execution_id is None else checked_id(execution_id)
        with self._cursor() as con:
            rows = _dicts(
                con,
                f"SELECT {', '.join(FeedbackRecord.model_fields)} FROM feedback WHERE "
                "($target IS NULL OR target_id = $target) AND "
                "($execution IS NULL OR execution_id = CAST($execution AS UUID)) AND "
                "(visibility = ANY ($seen)) AND ($revoked OR NOT revoked) "
                "ORDER BY coalesce(given_at, recorded_at) DESC, feedback_id LIMIT $most",
                {"target": target_id, "execution": identity, "seen": list(_SEEN[visibility]),
                 "revoked": revoked, "most": limit},
            )  # fmt: skip
        return [FeedbackRecord(**row) for row in rows]

    def observations(
        self, *, task_id: str | None = None, trace_ids: Sequence[str] = ()
    ) -> list[Observation]:
        """What the ledger still holds about a task or traces, and all that is tied to them."""
        facts: list[Facts] = [{"task_id": task_id}] if task_id is not None else []
        seeds = [Observation(trace, "", None, False, "step", None, None) for trace in trace_ids]
        seeds += [Observation(None, "", None, False, "step", None, None, facts=f) for f in facts]
        with self._cursor() as con:
            return Ledger(self.path).connected(con, seeds).observations

    # -------------------------------------------------------------------- learning

    def evidence(
        self,
        by: Sequence[str],
        as_of: datetime | None,
        half_life_days: Callable[[list[evidence_rows.Row]], float | None],
        source: str = "executions",
    ) -> evidence_rows.EvidenceRows:
        """Sums over executions by arm and context; what `recommend` rests on.

        The arguments are those of `otel_learning.store.evidence_rows.read`.

        Raises:
            QueryError: DuckDB cannot compute them.
        """
        import duckdb

        with self._cursor() as con:
            try:
                return evidence_rows.read(con, by, as_of, half_life_days, source)
            except duckdb.Error as error:
                raise QueryError(str(error)) from error

    def described(
        self, by: Sequence[str], environment: str | None, as_of: datetime | None, limit: int
    ) -> list[evidence_rows.Row]:
        """The newest executions with a description and an outcome; see `evidence_rows`.

        Raises:
            QueryError: DuckDB cannot find them.
        """
        import duckdb

        with self._cursor() as con:
            try:
                return evidence_rows.described(con, by, environment, as_of, limit)
            except duckdb.Error as error:
                raise QueryError(str(error)) from error

    # ----------------------------------------------------------------------- views

    def tier_performance(self, **equal: Any) -> list[dict[str, Any]]:
        """Rows of the view `tier_performance` that have these values in these columns."""
        return self._view("tier_performance", equal)

    def pool_performance(self, **equal: Any) -> list[dict[str, Any]]:
        """Rows of the view `pool_performance` that have these values in these columns."""
        return self._view("pool_performance", equal)

    def solution_patterns(self, *, min_support: int = 1) -> list[dict[str, Any]]:
        """Rows of the view `solution_patterns` with at least that many executions."""
        with self._cursor() as con:
            return _dicts(
                con, "SELECT * FROM solution_patterns WHERE executions >= ? "
                "ORDER BY executions DESC, solution_summary", [min_support],
            )  # fmt: skip

    def _view(self, view: str, equal: dict[str, Any]) -> list[dict[str, Any]]:
        with self._cursor() as con:
            names, _ = _answer(con, f"SELECT * FROM {view} LIMIT 0")
            for column in equal:
                if column not in names:
                    raise InputError(
                        f"{view} has no column {column!r}", f"one of {', '.join(names)}"
                    )
            fits = " AND ".join(f"{column} = ?" for column in equal) or "TRUE"
            query = f"SELECT * FROM {view} WHERE {fits} ORDER BY 1, 2, 3"
            return _dicts(con, query, list(equal.values()))


class Snapshot(Reader):
    """A store as it is at one moment; `LearningDatabase.snapshot` opens and ends it.

    Threads may ask at the same time: every call has a DuckDB cursor of its own.
    """

    def __init__(self, path: Path, connection: duckdb.DuckDBPyConnection) -> None:
        self.path = path
        # A cursor does not inherit what was set for the connection alone.
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        self._connection = connection
        self._changed = threading.Condition()
        self._running = 0
        self._ended = False

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._changed:
            if self._ended:
                raise StoreError(
                    f"the snapshot of {self.path} has ended", "ask inside its with block"
                )
            cursor = self._connection.cursor()
            self._running += 1
        try:
            with closing(cursor):
                yield cursor
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _end(self) -> None:
        """Takes no further call and waits for those that run: a cursor keeps the file open."""
        with self._changed:
            self._ended = True
            self._changed.wait_for(lambda: not self._running)


# --------------------------------------------------------------------- over a connection


def _answer(
    con: duckdb.DuckDBPyConnection,
    query: str,
    params: Sequence[Any] | dict[str, Any] | None = None,
) -> Answer:
    import duckdb

    try:
        con.execute(query, params) if params is not None else con.execute(query)
        names = [column[0] for column in con.description or []]
        rows: list[tuple[Any, ...]] = []
        # By and by: fetchall() would keep the interpreter, and an event loop, for all of them.
        while some := con.fetchmany(_FETCH_ROWS):
            rows += some
        return names, rows
    except duckdb.Error as error:
        raise QueryError(str(error)) from error


def _dicts(
    con: duckdb.DuckDBPyConnection, query: str, params: Sequence[Any] | dict[str, Any]
) -> list[dict[str, Any]]:
    names, rows = _answer(con, query, params)
    return [dict(zip(names, row, strict=True)) for row in rows]


def _located(con: duckdb.DuckDBPyConnection, condition: Condition) -> tuple[str, list[Any]]:
    """The condition, with the days on which all that fits is found, where they are known."""
    if condition.key is None:
        return condition.sql, condition.values
    days, values = bounds(con, condition.key)
    return f"{days} AND {condition.sql}", [*values, *condition.values]


def _executions(
    con: duckdb.DuckDBPyConnection, condition: Condition, limit: int
) -> list[ExecutionRecord]:
    sql, values = _located(con, condition)
    if condition.few:
        # To have DuckDB order the few costs more than to find them.
        found = _dicts(con, f"SELECT * FROM executions WHERE {sql} LIMIT ?", [*values, _FEW])
        if len(found) < _FEW:
            return [_record(row) for row in sorted(found, key=_newest_first)[:limit]]
    else:
        # To sort whole rows costs several times what it costs to find where the last one lies.
        _, last = _answer(
            con, f"SELECT started_at FROM executions WHERE {sql} "
            "ORDER BY started_at DESC NULLS LAST LIMIT 1 OFFSET ?", [*values, limit - 1],
        )  # fmt: skip
        if last and last[0][0] is not None:
            sql, values = f"{sql} AND started_at >= ?", [*values, last[0][0]]
    query = f"SELECT * FROM executions WHERE {sql} ORDER BY {NEWEST_FIRST} LIMIT ?"
    return records(con, query, [*values, limit])


def records(
    con: duckdb.DuckDBPyConnection, query: str, params: Sequence[Any]
) -> list[ExecutionRecord]:
    """The rows of a query over `executions`, as records."""
    return [_record(row) for row in _dicts(con, query, params)]


def _newest_first(row: dict[str, Any]) -> tuple[bool, float, UUID]:
    """The order of NEWEST_FIRST."""
    started = row["started_at"]
    return started is None, -started.timestamp() if started else 0.0, row["execution_id"]


def _attempts(con: duckdb.DuckDBPyConnection, execution_id: str) -> list[Attempt]:
    query = "SELECT * FROM attempts WHERE execution_id = CAST(? AS UUID) ORDER BY ordinal"
    return [Attempt(**row) for row in _dicts(con, query, [execution_id])]


def _attempts_within(con: duckdb.DuckDBPyConnection, execution: ExecutionRecord) -> list[Attempt]:
    """The same, faster: they start within their execution, and other row groups are skipped."""
    identity = str(execution.execution_id)
    query = (
        "SELECT * FROM attempts WHERE execution_id = CAST(? AS UUID) "
        "AND started_at >= ? AND started_at <= ? ORDER BY ordinal"
    )
    rows = _dicts(con, query, [identity, execution.started_at, execution.ended_at])
    if len(rows) < execution.attempt_count:  # some have no time, or no end
        return _attempts(con, identity)
    return [Attempt(**row) for row in rows]


def _feedback(con: duckdb.DuckDBPyConnection, execution_id: str) -> list[FeedbackRecord]:
    query = (
        f"SELECT {', '.join(FeedbackRecord.model_fields)} FROM feedback "
        "WHERE execution_id = CAST(? AS UUID) AND NOT revoked "
        "ORDER BY coalesce(given_at, recorded_at), feedback_id"
    )
    return [FeedbackRecord(**row) for row in _dicts(con, query, [execution_id])]


def _record(row: dict[str, Any]) -> ExecutionRecord:
    metadata = row.get("metadata")
    row["metadata"] = json.loads(metadata) if isinstance(metadata, str) else {}
    return ExecutionRecord(**row)
