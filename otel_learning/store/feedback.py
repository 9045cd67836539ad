"""Feedback: stored once per id, and resolved to the execution it is about (rule C5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from otel_learning.store import lease, rollups, rows

if TYPE_CHECKING:
    import duckdb


def store_feedback(
    con: duckdb.DuckDBPyConnection,
    said: list[dict[str, Any]],
    orphans: list[dict[str, Any]],
    written: dict[str, int],
) -> None:
    """Stores feedback once per id, resolves it, and notes it on the executions it is about.

    Args:
        con: inside the drain's transaction.
        said: rows that are resolved already.
        orphans: rows about nothing that the ledger still holds.
        written: the executions that this transaction wrote, and the day of each, in days since
            1970; they carry no feedback yet.
    """
    known, indirect = lease.one(con, _KNOWN) or (0, 0)
    if not (said or orphans or known):
        return
    con.execute("CREATE OR REPLACE TEMP TABLE concerned (execution_id UUID)")
    if said or orphans or indirect:
        # Whoever loses feedback by this must lose what was noted of it.
        if indirect:
            con.execute(_CONCERNED_INDIRECT)
        _replace(con, [*said, *orphans])
        if lease.one(con, _KNOWN)[1]:  # type: ignore[index]
            con.execute(_RESOLVE_INDIRECT)
            con.execute(_CONCERNED_INDIRECT)
        _resolve_orphans(con, orphans)
        _concern(con, [*said, *orphans])
    _note(con, written)
    con.execute("DROP TABLE concerned")


def _note(con: duckdb.DuckDBPyConnection, written: dict[str, int]) -> None:
    """Notes on the executions concerned, and on those just written, what feedback says."""
    new = pa.table({"execution_id": list(written), "day": pa.array(written.values(), pa.int32())})
    con.register("written", new)
    try:
        con.execute(_NOTED)
        # All rows of a large store are looked through only where it is not known where they lie.
        found = lease.one(con, _PLACES)
    finally:
        con.unregister("written")
    count, unknown, first, last = found or (0, 0, None, None)
    if count:
        within = "TRUE" if unknown else f"e.day BETWEEN DATE '{first}' AND DATE '{last}'"
        days = con.execute(_NOTE.format(kind="settled", within=within)).fetchall()
        rollups.mark_days(con, {day for (day,) in days})
        con.execute(_NOTE.format(kind="open", within="TRUE")).fetchall()
    con.execute("DROP TABLE noted")


def _replace(con: duckdb.DuckDBPyConnection, said: list[dict[str, Any]]) -> None:
    if not said:
        return
    latest = {row["feedback_id"]: row for row in said}
    table = rows.table(list(latest.values()), rows.FEEDBACK)
    con.register("said", table)
    try:
        gone = con.execute(
            "DELETE FROM feedback WHERE feedback_id IN "
            "(SELECT CAST(feedback_id AS UUID) FROM said) RETURNING execution_id"
        ).fetchall()
    finally:
        con.unregister("said")
    rows.insert(con, "feedback", table, rows.FEEDBACK)
    for (identity,) in gone:
        if identity is not None:
            con.execute("INSERT INTO concerned VALUES (?)", [identity])


def _concern(con: duckdb.DuckDBPyConnection, said: list[dict[str, Any]]) -> None:
    """Adds the executions that these rows are about, now that they are resolved."""
    con.register("said", pa.table({"feedback_id": [str(row["feedback_id"]) for row in said]}))
    try:
        con.execute(
            "INSERT INTO concerned SELECT execution_id FROM feedback "
            "WHERE execution_id IS NOT NULL AND feedback_id IN "
            "(SELECT CAST(feedback_id AS UUID) FROM said)"
        )
    finally:
        con.unregister("said")


def _resolve_orphans(con: duckdb.DuckDBPyConnection, orphans: list[dict[str, Any]]) -> None:
    """Feedback about executions that have left the ledger still finds them."""
    if not orphans:
        return
    ids = [str(row["feedback_id"]) for row in orphans]
    con.register("orphans", pa.table({"feedback_id": ids}))
    try:
        con.execute(_RESOLVE_EXPIRED)
    finally:
        con.unregister("orphans")


_KNOWN: Final = """
SELECT count(*), count(*) FILTER (
    target_kind IN ('session_id', 'response_id', 'execution_id')
    OR (target_kind = 'span_id' AND NOT contains(target_id, ':'))
) FROM feedback
"""

_CONCERNED_INDIRECT: Final = """
INSERT INTO concerned SELECT DISTINCT execution_id FROM feedback
WHERE execution_id IS NOT NULL AND (
    target_kind IN ('session_id', 'response_id', 'execution_id')
    OR (target_kind = 'span_id' AND NOT contains(target_id, ':'))
)
"""

_NOTED: Final = """
CREATE OR REPLACE TEMP TABLE noted AS
SELECT
    c.execution_id,
    arg_max(f.accepted, f.said_at) FILTER (f.accepted IS NOT NULL) AS user_accepted,
    arg_max(f.rating, f.said_at) FILTER (f.rating IS NOT NULL) AS user_rating,
    count(f.feedback_id) AS feedback_count,
    arg_max(f.quality_score, f.said_at) FILTER (f.quality_score IS NOT NULL)
        AS evaluated_quality,
    any_value(c.day) AS day
FROM (
    SELECT execution_id, max(day) AS day FROM (
        SELECT CAST(execution_id AS UUID) AS execution_id, day FROM written
        UNION ALL SELECT execution_id, NULL FROM concerned
    ) GROUP BY execution_id
) AS c
LEFT JOIN (
    SELECT *, coalesce(given_at, recorded_at) AS said_at FROM feedback WHERE NOT revoked
) AS f ON f.execution_id = c.execution_id
GROUP BY c.execution_id
HAVING any_value(c.day) IS NULL OR count(f.feedback_id) > 0
"""
"""One that was just written, and about which nobody said anything, is right as it is."""

_PLACES: Final = """
SELECT count(*), count(*) FILTER (day IS NULL),
    DATE '1970-01-01' + min(day), DATE '1970-01-01' + max(day)
FROM noted
"""

_NOTE: Final = """
UPDATE {kind}_executions AS e SET
    user_accepted = n.user_accepted, user_rating = n.user_rating,
    feedback_count = n.feedback_count, evaluated_quality = n.evaluated_quality
FROM noted AS n
WHERE {within} AND e.execution_id = n.execution_id AND (
    e.user_accepted IS DISTINCT FROM n.user_accepted
    OR e.user_rating IS DISTINCT FROM n.user_rating
    OR e.feedback_count IS DISTINCT FROM n.feedback_count
    OR e.evaluated_quality IS DISTINCT FROM n.evaluated_quality
)
RETURNING e.day
"""

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
