"""Finds in the store what feedback is about, where the observations at hand do not show it (C5).

That is all feedback about a session, a response, a bare span or an execution's id, and any whose
execution has left the ledger. Looked for is only what is new, and what the executions that were
just written may be about: a store of any size is left alone by all other drains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from otel_learning.store import lease, outbox

if TYPE_CHECKING:
    import duckdb

    from otel_learning.store.executions import Replaced


def resolve(con: duckdb.DuckDBPyConnection, orphans: list[Any], replaced: Replaced) -> None:
    """Resolves feedback that has just come as orphans, or that these executions may change.

    The executions that it is, or was, about are added to the temporary table `concerned`.
    """
    con.execute("CREATE OR REPLACE TEMP TABLE sought (feedback_id UUID)")
    _seek(con, [str(identity) for identity in orphans], replaced)
    if choose(con):
        con.execute("INSERT INTO concerned SELECT now, NULL FROM chosen WHERE now IS NOT NULL")
        con.execute("INSERT INTO concerned SELECT execution_id, day FROM chosen")
        con.execute(
            "UPDATE feedback SET execution_id = c.execution_id FROM chosen AS c "
            "WHERE feedback.feedback_id = c.feedback_id"
        )
        outbox.note(con, "feedback", "SELECT feedback_id AS id, NULL::DATE AS day FROM chosen")
        con.execute("DROP TABLE chosen")
    con.execute("DROP TABLE sought")


def choose(con: duckdb.DuckDBPyConnection) -> bool:
    """Fills the table `chosen`: what the feedback of the table `sought` is about, where it changed.

    Returns whether it did; there is nothing to choose for where nothing is sought.
    """
    kinds = con.execute(
        "SELECT DISTINCT CASE WHEN target_kind = 'span_id' AND contains(target_id, ':') "
        "THEN 'trace_id' ELSE target_kind END FROM feedback "
        "WHERE feedback_id IN (FROM sought) ORDER BY 1"
    ).fetchall()
    if not kinds:
        return False
    con.execute(
        "CREATE OR REPLACE TEMP TABLE candidate AS WITH wanted AS (SELECT feedback_id, "
        "target_kind, target_id, given_at, execution_id AS now FROM feedback "
        f"WHERE feedback_id IN (FROM sought)) {_UNION.join(_FOUND[kind] for (kind,) in kinds)}"
    )
    con.execute(_CHOSEN)
    con.execute("DROP TABLE candidate")
    return True


def _seek(con: duckdb.DuckDBPyConnection, orphans: list[str], replaced: Replaced) -> None:
    """Fills `sought`; feedback whose execution is gone is about nothing until it is found."""
    if orphans:
        _add(con, "feedback_id", orphans, "CAST(value AS UUID)", "FROM named")
    if replaced.gone:
        _add(con, "execution_id", sorted(replaced.gone), "feedback_id",
             "FROM feedback JOIN named ON execution_id = CAST(value AS UUID)")  # fmt: skip
        con.execute(
            "UPDATE feedback SET execution_id = NULL WHERE feedback_id IN (FROM sought) "
            "AND CAST(execution_id AS VARCHAR) IN (SELECT unnest(?))", [sorted(replaced.gone)],
        )  # fmt: skip
        outbox.note(con, "feedback", "SELECT feedback_id AS id, NULL::DATE AS day FROM sought")
    if not replaced.items:
        return
    counts = lease.one(con, _OPEN_TO_CHANGE)
    if not counts or not counts[0]:
        return
    named = _ids_of(replaced)
    table = pa.table(
        {
            "kind": pa.array([kind for kind, _ in named], pa.string()),
            "value": pa.array([value for _, value in named], pa.string()),
        }
    )
    con.register("named", table)
    try:
        con.execute(_SEEK_WRITTEN)
    finally:
        con.unregister("named")


def _add(
    con: duckdb.DuckDBPyConnection, kind: str, values: list[str], what: str, where: str
) -> None:
    con.register("named", pa.table({"kind": [kind] * len(values), "value": values}))
    try:
        con.execute(f"INSERT INTO sought SELECT {what} {where}")
    finally:
        con.unregister("named")


def _ids_of(replaced: Replaced) -> list[tuple[str, str]]:
    """Every id that the executions written can be named by, each with its kind."""
    found: set[tuple[str, str]] = set()
    for item in replaced.items:
        row = item.execution
        found.add(("execution_id", str(row["execution_id"])))
        found.update(("trace_id", str(trace)) for trace in row["trace_ids"])
        found.update((kind, str(row[kind])) for kind in ("task_id", "session_id") if row[kind])
        for attempt in item.attempts:
            found.update(
                (kind, str(attempt[kind])) for kind in ("response_id", "span_id") if attempt[kind]
            )
    return sorted(found)


_INDIRECT: Final = """(
    target_kind IN ('session_id', 'response_id', 'execution_id')
    OR (target_kind = 'span_id' AND NOT contains(target_id, ':'))
)"""
"""Feedback that the ledger does not find by its keys."""

_OPEN_TO_CHANGE: Final = f"SELECT count(*) FROM feedback WHERE execution_id IS NULL OR {_INDIRECT}"

_SEEK_WRITTEN: Final = f"""
INSERT INTO sought
SELECT feedback_id FROM feedback
WHERE (execution_id IS NULL OR {_INDIRECT}) AND (
    (target_kind, target_id) IN (SELECT (kind, value) FROM named)
    OR (target_kind = 'span_id' AND contains(target_id, ':') AND
        split_part(target_id, ':', 1) IN (SELECT value FROM named WHERE kind = 'trace_id'))
    OR CAST(execution_id AS VARCHAR) IN (SELECT value FROM named WHERE kind = 'execution_id')
)
"""

_KNOWN: Final = """(
    SELECT execution_id, task_id, session_id, trace_ids, ended_at, day FROM settled_executions
    UNION ALL
    SELECT execution_id, task_id, session_id, trace_ids, ended_at, day FROM open_executions
)"""
_FIELDS: Final = (
    "SELECT w.feedback_id, w.given_at, w.now, k.execution_id, k.ended_at, k.day FROM wanted AS w"
)
_UNION: Final = " UNION ALL "
_FOUND: Final = {
    "task_id": f"""{_FIELDS}
        JOIN execution_keys AS d ON d.key = md5_number_upper('task|' || w.target_id)
        JOIN {_KNOWN} AS k ON k.day = d.day AND k.task_id = w.target_id
        WHERE w.target_kind = 'task_id'""",
    # A span that left no attempt still names its trace.
    "trace_id": f"""{_FIELDS}
        JOIN execution_keys AS d
            ON d.key = md5_number_upper('trace|' || split_part(w.target_id, ':', 1))
        JOIN {_KNOWN} AS k
            ON k.day = d.day AND list_contains(k.trace_ids, split_part(w.target_id, ':', 1))
        WHERE w.target_kind = 'trace_id'
            OR (w.target_kind = 'span_id' AND contains(w.target_id, ':'))""",
    "session_id": f"""{_FIELDS} JOIN {_KNOWN} AS k ON k.session_id = w.target_id
        WHERE w.target_kind = 'session_id'""",
    "response_id": f"""{_FIELDS} JOIN attempts AS a ON a.response_id = w.target_id
        JOIN {_KNOWN} AS k ON k.execution_id = a.execution_id
        WHERE w.target_kind = 'response_id'""",
    "span_id": f"""{_FIELDS} JOIN attempts AS a ON a.span_id = w.target_id
        JOIN {_KNOWN} AS k ON k.execution_id = a.execution_id
        WHERE w.target_kind = 'span_id' AND NOT contains(w.target_id, ':')""",
    "execution_id": f"""{_FIELDS}
        JOIN {_KNOWN} AS k ON k.execution_id = TRY_CAST(w.target_id AS UUID)
        WHERE w.target_kind = 'execution_id'""",
}
"""Kind of id -> the executions that it may mean; by keys of days where there are such."""

_CHOSEN: Final = """
CREATE OR REPLACE TEMP TABLE chosen AS
SELECT feedback_id, now, execution_id, day FROM (
    -- The run that ended last before the feedback was given, else the first one.
    SELECT feedback_id, any_value(now) AS now,
        coalesce(
            arg_max((execution_id, ended_at, day), (ended_at, execution_id))
                FILTER (given_at IS NULL OR ended_at <= given_at),
            arg_min((execution_id, ended_at, day), (ended_at, execution_id))
        ) AS best,
        any_value(given_at) AS given_at,
        best[1] AS execution_id, best[3] AS day,
        bool_or(execution_id = now) AS now_known
    FROM candidate GROUP BY feedback_id
)
-- What it is about now may be archived; then only what ended later, and before it was given, is
-- nearer.
WHERE execution_id IS DISTINCT FROM now
    AND (now IS NULL OR now_known OR best[2] <= given_at)
"""
