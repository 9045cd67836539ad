"""Feedback in a lake: resolved there where the store that got it does not know the execution.

What it says is noted on the executions' rows, as in a store. Inside the lake's transaction, after
the batch is put together and before it is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from otel_learning.store import feedback_targets, lease

if TYPE_CHECKING:
    import duckdb


def publish(con: duckdb.DuckDBPyConnection, store_id: UUID) -> None:
    """Writes the batch's feedback, and notes what feedback says on the executions concerned.

    Those that are not in the batch are brought into it from the lake.
    """
    con.execute("CREATE OR REPLACE TEMP TABLE concerned (id UUID)")
    _replace(con, store_id)
    _resolve(con)
    con.execute(
        "INSERT INTO concerned SELECT f.execution_id FROM lake.feedback AS f "
        "WHERE f.execution_id IN (SELECT execution_id FROM b_executions)"
    )
    if _count(con, "concerned"):
        con.execute(_BRING)
        con.execute(_STAND)
        con.execute(_NOTE)
    con.execute("DROP TABLE concerned")


def _replace(con: duckdb.DuckDBPyConnection, store_id: UUID) -> None:
    """Of two words under one id the later stands, whichever store has it (as in a store)."""
    if not _count(con, "going WHERE kind = 'feedback'"):
        return
    con.execute(
        "CREATE OR REPLACE TEMP TABLE f_stood AS SELECT feedback_id, execution_id, revised_at, "
        "store_id FROM lake.feedback WHERE feedback_id IN "
        "(SELECT id FROM going WHERE kind = 'feedback')"
    )
    con.execute(
        "DELETE FROM b_feedback WHERE feedback_id IN (SELECT s.feedback_id FROM f_stood AS s "
        "JOIN b_feedback AS b USING (feedback_id) "
        f"WHERE s.store_id <> '{store_id}' AND s.revised_at > b.revised_at)"
    )
    con.execute(
        "UPDATE b_feedback SET execution_id = s.execution_id FROM f_stood AS s "
        "WHERE s.feedback_id = b_feedback.feedback_id AND b_feedback.execution_id IS NULL"
    )
    con.execute("INSERT INTO concerned SELECT execution_id FROM f_stood")
    if _count(con, "f_stood"):
        con.execute(
            "DELETE FROM lake.feedback WHERE feedback_id IN (SELECT feedback_id FROM f_stood "
            "WHERE feedback_id IN (SELECT feedback_id FROM b_feedback) "
            "OR feedback_id IN (SELECT id FROM going WHERE change = 'erased'))"
        )
    con.execute("DROP TABLE f_stood")


def _resolve(con: duckdb.DuckDBPyConnection) -> None:
    """Finds what feedback is about that its own store does not know; writes the batch's feedback.

    What has waited in the lake is looked at where executions come.
    """
    con.execute(
        "CREATE OR REPLACE TEMP TABLE waiting AS FROM lake.feedback "
        "WHERE execution_id IS NULL AND NOT revoked"
    )
    con.execute("CREATE OR REPLACE TEMP TABLE sought AS SELECT feedback_id FROM b_feedback "
                "WHERE execution_id IS NULL AND NOT revoked "
                "UNION ALL SELECT feedback_id FROM waiting")  # fmt: skip
    if _count(con, "sought"):
        con.execute(_KNOWN)
        found = feedback_targets.choose(con)
        for name in ("settled_executions", "open_executions", "attempts", "execution_keys",
                     "feedback"):  # fmt: skip
            con.execute(f"DROP VIEW temp.{name}")
        if found:
            con.execute(
                "INSERT INTO b_feedback SELECT * FROM waiting "
                "WHERE feedback_id IN (SELECT feedback_id FROM chosen)"
            )
            con.execute(
                "UPDATE b_feedback SET execution_id = c.execution_id FROM chosen AS c "
                "WHERE b_feedback.feedback_id = c.feedback_id"
            )
            con.execute(
                "DELETE FROM lake.feedback WHERE feedback_id IN (SELECT feedback_id FROM chosen)"
            )
            con.execute("DROP TABLE chosen")
    if _count(con, "b_feedback"):
        con.execute(
            "INSERT INTO concerned SELECT execution_id FROM b_feedback "
            "WHERE execution_id IS NOT NULL"
        )
        con.execute("INSERT INTO lake.feedback BY NAME FROM b_feedback")
    con.execute("DROP TABLE waiting")
    con.execute("DROP TABLE sought")


_KNOWN: Final = """
CREATE OR REPLACE TEMP VIEW settled_executions AS
    SELECT execution_id, task_id, session_id, trace_ids, ended_at, day FROM lake.settled_executions
    WHERE execution_id NOT IN (SELECT execution_id FROM stood)
    UNION ALL
    SELECT execution_id, task_id, session_id, trace_ids, ended_at, day FROM b_executions;
CREATE OR REPLACE TEMP VIEW open_executions AS FROM temp.settled_executions LIMIT 0;
CREATE OR REPLACE TEMP VIEW attempts AS
    SELECT execution_id, span_id, response_id FROM lake.settled_attempts
    WHERE execution_id NOT IN (SELECT execution_id FROM stood)
    UNION ALL SELECT execution_id, span_id, response_id FROM b_attempts;
CREATE OR REPLACE TEMP VIEW execution_keys AS
    FROM lake.execution_keys UNION ALL FROM b_keys;
CREATE OR REPLACE TEMP VIEW feedback AS
    FROM b_feedback UNION ALL BY NAME FROM waiting;
"""
"""What the lake will hold after this, under the names of a store's tables."""

_BRING: Final = """
INSERT INTO b_executions BY NAME
FROM lake.settled_executions
WHERE execution_id IN (SELECT id FROM concerned)
    AND execution_id NOT IN (SELECT execution_id FROM stood)
    AND execution_id NOT IN (SELECT execution_id FROM b_executions)
"""
_STAND: Final = """
INSERT INTO stood
SELECT execution_id, store_id, task_id, trace_ids, day FROM b_executions
WHERE execution_id IN (SELECT id FROM concerned)
    AND execution_id NOT IN (SELECT execution_id FROM stood)
"""
_NOTE: Final = """
UPDATE b_executions SET
    user_accepted = n.user_accepted, user_rating = n.user_rating,
    feedback_count = n.feedback_count, evaluated_quality = n.evaluated_quality
FROM (
    SELECT
        e.execution_id,
        arg_max(f.accepted, f.said) FILTER (f.accepted IS NOT NULL) AS user_accepted,
        arg_max(f.rating, f.said) FILTER (f.rating IS NOT NULL) AS user_rating,
        count(f.feedback_id) AS feedback_count,
        arg_max(f.quality_score, f.said) FILTER (f.quality_score IS NOT NULL) AS evaluated_quality
    FROM b_executions AS e
    LEFT JOIN (
        SELECT *, (coalesce(given_at, TIMESTAMPTZ '1970-01-01'), feedback_id) AS said
        FROM lake.feedback WHERE NOT revoked
    ) AS f ON f.execution_id = e.execution_id
    GROUP BY e.execution_id
) AS n
WHERE n.execution_id = b_executions.execution_id
"""


def _count(con: duckdb.DuckDBPyConnection, relation: str) -> int:
    row = lease.one(con, f"SELECT count(*) FROM {relation}")
    return int(row[0]) if row else 0
