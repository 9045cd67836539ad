"""Feedback: stored once per id, and resolved to the execution it is about (rule C5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from otel_learning.store import lease, rows

if TYPE_CHECKING:
    import duckdb


def replace_feedback(con: duckdb.DuckDBPyConnection, said: list[dict[str, Any]]) -> None:
    """Stores feedback once per id, resolved to the execution it is about."""
    if said:
        latest = {row["feedback_id"]: row for row in said}
        table = rows.table(list(latest.values()), rows.FEEDBACK)
        con.register("said", table)
        try:
            con.execute(
                "DELETE FROM feedback WHERE feedback_id IN "
                "(SELECT CAST(feedback_id AS UUID) FROM said)"
            )
        finally:
            con.unregister("said")
        rows.insert(con, "feedback", table, rows.FEEDBACK)
    waiting = lease.one(
        con,
        "SELECT count(*) FROM feedback "
        "WHERE target_kind IN ('session_id', 'response_id', 'execution_id') "
        "OR (target_kind = 'span_id' AND NOT contains(target_id, ':'))",
    )
    if waiting and waiting[0]:
        con.execute(_RESOLVE_INDIRECT)


def resolve_orphans(con: duckdb.DuckDBPyConnection, said: list[dict[str, Any]]) -> None:
    """Feedback about executions that have left the ledger still finds them."""
    if not said:
        return
    con.register("orphans", pa.table({"feedback_id": [str(row["feedback_id"]) for row in said]}))
    try:
        con.execute(_RESOLVE_EXPIRED)
    finally:
        con.unregister("orphans")


_INDIRECT: Final = """
WITH wanted AS (
    SELECT feedback_id, target_kind, target_id, given_at FROM feedback
    WHERE target_kind IN ('session_id', 'response_id', 'execution_id')
        OR (target_kind = 'span_id' AND NOT contains(target_id, ':'))
), known AS (
    SELECT execution_id, session_id, ended_at FROM settled_executions
    UNION ALL SELECT execution_id, session_id, ended_at FROM open_executions
), answered AS (
    SELECT response_id, execution_id FROM attempts WHERE response_id IS NOT NULL
), candidate AS (
    SELECT w.feedback_id, w.given_at, k.execution_id, k.ended_at
    FROM wanted w JOIN known k ON w.target_kind = 'session_id' AND k.session_id = w.target_id
    UNION ALL
    SELECT w.feedback_id, w.given_at, k.execution_id, k.ended_at
    FROM wanted w
    JOIN attempts a ON w.target_kind = 'span_id' AND a.span_id = w.target_id
    JOIN known k ON k.execution_id = a.execution_id
    UNION ALL
    SELECT w.feedback_id, w.given_at, k.execution_id, k.ended_at
    FROM wanted w
    JOIN answered a ON w.target_kind = 'response_id' AND a.response_id = w.target_id
    JOIN known k ON k.execution_id = a.execution_id
    UNION ALL
    SELECT w.feedback_id, w.given_at, k.execution_id, k.ended_at
    FROM wanted w
    JOIN known k ON w.target_kind = 'execution_id' AND CAST(k.execution_id AS VARCHAR) = w.target_id
), """

_CHOOSE: Final = """chosen AS (
    -- The run that ended last before the feedback was given, else the first one.
    SELECT feedback_id, coalesce(
        arg_max(execution_id, (ended_at, execution_id))
            FILTER (given_at IS NULL OR ended_at <= given_at),
        arg_min(execution_id, (ended_at, execution_id))
    ) AS execution_id
    FROM candidate GROUP BY feedback_id
)
UPDATE feedback SET execution_id = chosen.execution_id
FROM chosen WHERE feedback.feedback_id = chosen.feedback_id
    AND feedback.execution_id IS DISTINCT FROM chosen.execution_id
"""

_RESOLVE_INDIRECT: Final = _INDIRECT + _CHOOSE

_RESOLVE_EXPIRED: Final = (
    """
WITH wanted AS (
    SELECT feedback_id, target_kind, target_id, given_at FROM feedback
    WHERE target_kind IN ('task_id', 'trace_id', 'span_id')
        AND CAST(feedback_id AS VARCHAR) IN (SELECT feedback_id FROM orphans)
), candidate AS (
    SELECT w.feedback_id, w.given_at, e.execution_id, e.ended_at
    FROM wanted w JOIN settled_executions e
        ON w.target_kind = 'task_id' AND e.task_id = w.target_id
    UNION ALL
    SELECT w.feedback_id, w.given_at, e.execution_id, e.ended_at
    FROM wanted w JOIN (
        SELECT execution_id, ended_at, unnest(trace_ids) AS trace_id FROM settled_executions
    ) e ON w.target_kind IN ('trace_id', 'span_id')
        AND e.trace_id = split_part(w.target_id, ':', 1)
), """
    + _CHOOSE
)
