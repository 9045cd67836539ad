"""Reads the store, and takes feedback: the library's face for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import UUID

from otel_learning.errors import InputError, StoreError, StoreMissingError
from otel_learning.mapping.privacy import mask
from otel_learning.observation import Facts, Observation
from otel_learning.records import Attempt, ExecutionRecord, FeedbackRecord
from otel_learning.settings import load as load_settings
from otel_learning.store import lease, segments
from otel_learning.store.drain import Drainer, DrainSettings, ensure_store
from otel_learning.store.ledger import Ledger
from otel_learning.store.spool import Spool

if TYPE_CHECKING:
    import duckdb

READ_SECONDS: Final = 30.0
"""How long a call waits for a store that another program holds."""
ROWS_DEFAULT: Final = 1000


class QueryError(StoreError):
    """DuckDB refuses a query; its words are in the message."""


class LearningDatabase:
    """A store, opened for the time of each call and let go of in between.

    Every call first brings in what waits in the spool, so it sees everything exported or said
    before. It may live in the process of the exporter.

    Args:
        path: the store file; a missing one is created, unless `create` is false.
        timeout_seconds: how long a call waits while another program holds the file.

    Raises:
        StoreLockedError: the file was not free in time.
        StoreMissingError: there is none, and `create` is false.
        StoreError: it cannot be read.
    """

    def __init__(
        self,
        path: str | Path = "learning.duckdb",
        *,
        create: bool = True,
        timeout_seconds: float = READ_SECONDS,
        settings: DrainSettings | None = None,
    ) -> None:
        self.path = Path(path).expanduser().resolve()
        self._timeout = timeout_seconds
        self._drainer = Drainer(self.path, settings or DrainSettings.of(load_settings()[0]))
        if not self.path.exists():
            waiting = Spool(self.path).list()
            if not create and not waiting:
                raise StoreMissingError(
                    f"there is no store at {self.path}",
                    "name one with --db or OTEL_EXPORTER_LEARNING_PATH",
                )
            with lease.exclusive(self.path, timeout_seconds):
                ensure_store(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is held between calls; this is for symmetry."""

    # --------------------------------------------------------------------- reading

    def drain(self) -> None:
        """Brings in what waits, and settles what is due."""
        self._drainer.drain(self._timeout)

    @contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        deadline = time.monotonic() + self._timeout
        if Spool(self.path).list():
            self._drainer.drain(self._timeout)
        with lease.exclusive(self.path, max(0.0, deadline - time.monotonic())):
            left = max(0.0, deadline - time.monotonic())
            with lease.connection(self.path, left, read_only=True) as con:
                yield con

    def query(
        self, query: str, params: Sequence[Any] | dict[str, Any] | None = None
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Column names and rows of a query that only reads.

        Raises:
            QueryError: DuckDB refuses the query; its words are in the message.
        """
        import duckdb

        with self._reading() as con:
            try:
                con.execute(query, params) if params is not None else con.execute(query)
                names = [column[0] for column in con.description or []]
                return names, con.fetchall()
            except duckdb.Error as error:
                raise QueryError(str(error)) from error

    def sql(
        self, query: str, params: Sequence[Any] | dict[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """The rows of a query that only reads; values are bound by `?` or `$name`."""
        return self.query(query, params)[1]

    def executions(
        self,
        *,
        task_id: str | None = None,
        execution_id: UUID | str | None = None,
        trace_id: str | None = None,
        session_id: str | None = None,
        repo: str | None = None,
        task_type: str | None = None,
        environment: str | None = None,
        model_tier: str | None = None,
        success: bool | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = ROWS_DEFAULT,
    ) -> list[ExecutionRecord]:
        """Executions that fit every filter given, newest first; [] if none does.

        `since` is inclusive, `until` exclusive; both compare `started_at`.
        """
        if limit < 1:
            raise InputError(f"limit={limit} is not a positive number")
        conditions: list[str] = []
        values: list[Any] = []
        equal = {
            "task_id": task_id, "session_id": session_id, "repo": repo, "task_type": task_type,
            "environment": environment, "model_tier": model_tier, "success": success,
            "execution_id": None if execution_id is None else str(execution_id),
        }  # fmt: skip
        for column, value in equal.items():
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(value)
        if trace_id is not None:
            conditions.append("list_contains(trace_ids, ?)")
            values.append(trace_id.replace("-", "").lower())
        if since is not None:
            conditions.append("started_at >= ?")
            values.append(since)
        if until is not None:
            conditions.append("started_at < ?")
            values.append(until)
        where = " AND ".join(conditions) or "TRUE"
        names, rows = self.query(
            f"SELECT * FROM executions WHERE {where} "
            "ORDER BY started_at DESC NULLS LAST, execution_id LIMIT ?", [*values, limit],
        )  # fmt: skip
        return [_record(dict(zip(names, row, strict=True))) for row in rows]

    def attempts(self, execution_id: UUID | str) -> list[Attempt]:
        """The model calls of one execution, in order."""
        names, rows = self.query(
            "SELECT * FROM attempts WHERE execution_id = ? ORDER BY ordinal", [str(execution_id)]
        )
        return [Attempt(**dict(zip(names, row, strict=True))) for row in rows]

    def observations(
        self, *, task_id: str | None = None, trace_ids: Sequence[str] = ()
    ) -> list[Observation]:
        """What the ledger still holds about a task or traces, and all that is tied to them."""
        facts: list[Facts] = [{"task_id": task_id}] if task_id is not None else []
        seeds = [Observation(trace, "", None, False, "step", None, None) for trace in trace_ids]
        seeds += [Observation(None, "", None, False, "step", None, None, facts=f) for f in facts]
        with self._reading() as con:
            return Ledger(self.path).connected(con, seeds).observations

    def tier_performance(self, **equal: Any) -> list[dict[str, Any]]:
        """Rows of the view `tier_performance` that have these values in these columns."""
        return self._view("tier_performance", equal)

    def pool_performance(self, **equal: Any) -> list[dict[str, Any]]:
        """Rows of the view `pool_performance` that have these values in these columns."""
        return self._view("pool_performance", equal)

    def solution_patterns(self, *, min_support: int = 1) -> list[dict[str, Any]]:
        """Rows of the view `solution_patterns` with at least that many executions."""
        names, rows = self.query(
            "SELECT * FROM solution_patterns WHERE executions >= ? "
            "ORDER BY executions DESC, solution_summary", [min_support],
        )  # fmt: skip
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _view(self, view: str, equal: dict[str, Any]) -> list[dict[str, Any]]:
        names, _ = self.query(f"SELECT * FROM {view} LIMIT 0")
        for column in equal:
            if column not in names:
                raise InputError(f"{view} has no column {column!r}", f"one of {', '.join(names)}")
        where = " AND ".join(f"{column} = ?" for column in equal) or "TRUE"
        _, rows = self.query(
            f"SELECT * FROM {view} WHERE {where} ORDER BY 1, 2, 3", list(equal.values())
        )
        return [dict(zip(names, row, strict=True)) for row in rows]

    # -------------------------------------------------------------------- feedback

    def record_feedback(self, feedback: FeedbackRecord) -> UUID:
        """Stores feedback durably and returns its id; the next read sees it.

        It may come before its execution exists. The same `feedback_id` again replaces what was
        said before; with `revoked` it takes it back.
        """
        given = feedback.given_at
        given_ns = int(given.timestamp() * 1e9) if given is not None else time.time_ns()
        facts: dict[str, Any] = {
            "feedback_id": str(feedback.feedback_id),
            "feedback_kind": feedback.target_kind,
            "feedback_target": feedback.target_id,
            "feedback_accepted": feedback.accepted,
            "feedback_rating": feedback.rating,
            "feedback_comment": _storable(feedback.comment),
            "feedback_source": feedback.source,
            "feedback_quality": feedback.quality_score,
            "feedback_revoked": feedback.revoked or None,
        }
        if all(facts[f"feedback_{name}"] is None
               for name in ("accepted", "rating", "comment", "quality", "revoked")):  # fmt: skip
            raise InputError(
                "the feedback says nothing", "give accepted, rating, comment or quality_score"
            )
        observation = Observation(
            trace_id=None,
            span_id=feedback.feedback_id.hex[:16],
            parent_id=None,
            local_root=False,
            role="feedback",
            start_ns=given_ns,
            end_ns=given_ns,
            # What was said last stands: a later record of the same id has the higher revision.
            revision=time.time_ns() // 1000,
            facts={name: value for name, value in facts.items() if value is not None},
        )
        Spool(self.path).write(segments.encode([observation]))
        return feedback.feedback_id


def _storable(comment: str | None) -> str | None:
    """A comment as the setting `content` lets it be stored: masked, or not at all."""
    if not comment or load_settings()[0].content == "none":
        return None
    return mask(comment)


def _record(row: dict[str, Any]) -> ExecutionRecord:
    metadata = row.get("metadata")
    row["metadata"] = json.loads(metadata) if isinstance(metadata, str) else {}
    return ExecutionRecord(**row)
