"""Feedback: stored once per id, resolved to the execution it is about, and noted there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from otel_learning.store import feedback_targets, lease, outbox, rollups, rows

if TYPE_CHECKING:
    import duckdb

    from otel_learning.store.executions import Replaced


def store_feedback(
    con: duckdb.DuckDBPyConnection,
    said: list[dict[str, Any]],
    orphans: list[dict[str, Any]],
    replaced: Replaced,
) -> None:
    """Stores feedback once per id, resolves it, and notes it on the executions it is about.

    Args:
        con: inside the drain's transaction.
        said: rows that are resolved already.
        orphans: rows about nothing that the ledger still holds.
        replaced: the executions that this transaction wrote, which carry no feedback yet, and
            those that are no more.
    """
    if not (said or orphans or (lease.one(con, "SELECT count(*) FROM feedback") or (0,))[0]):
        return
    con.execute("CREATE OR REPLACE TEMP TABLE concerned (execution_id UUID, day DATE)")
    _replace(con, [*said, *orphans])
    feedback_targets.resolve(con, [row["feedback_id"] for row in orphans], replaced)
    _concern(con, said)
    _note(con, replaced.days)
    con.execute("DROP TABLE concerned")


def note_again(con: duckdb.DuckDBPyConnection, executions: Iterable[str]) -> None:
    """Notes what feedback says on executions of which some was deleted; in a transaction."""
    con.execute("CREATE OR REPLACE TEMP TABLE concerned (execution_id UUID, day DATE)")
    con.register("renoted", pa.table({"execution_id": pa.array(sorted(executions), pa.string())}))
    try:
        con.execute("INSERT INTO concerned SELECT CAST(execution_id AS UUID), NULL FROM renoted")
    finally:
        con.unregister("renoted")
    _note(con, {})
    con.execute("DROP TABLE concerned")


def _note(con: duckdb.DuckDBPyConnection, written: dict[str, int]) -> None:
    """Notes on the executions concerned, and on those just written, what feedback says."""
    new = pa.table(
        {
            "execution_id": pa.array(written, pa.string()),
            "day": pa.array(written.values(), pa.int32()),
        }
    )
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


# ----------------------------------------------------------------------- one word per id


def _replace(con: duckdb.DuckDBPyConnection, said: list[dict[str, Any]]) -> None:
    """Puts each word in the place of what stood under its id, unless that was said later.

    What is found to be the same word again is stored anew: it may now be resolved otherwise.
    """
    if not said:
        return
    latest: dict[str, dict[str, Any]] = {}
    for row in said:
        identity = str(row["feedback_id"])
        if identity not in latest or _rank(row) >= _rank(latest[identity]):
            latest[identity] = row
    con.register("said", pa.table({"feedback_id": list(latest)}))
    try:
        cursor = con.execute(_STOOD)
        names = [column[0] for column in cursor.description]
        for values in cursor.fetchall():
            stood = dict(zip(names, values, strict=True))
            identity = stood["feedback_id"]
            row = latest[identity]
            if _rank(stood) > _rank(row):
                del latest[identity]
            elif row["execution_id"] is None and _about(row) == _about(stood):
                # The ledger no longer shows what it is about; the store knows it already.
                row["execution_id"] = stood["execution_id"]
    finally:
        con.unregister("said")
    if not latest:
        return
    table = rows.table(list(latest.values()), rows.FEEDBACK)
    con.register("said", table)
    try:
        con.execute(
            "INSERT INTO concerned SELECT execution_id, NULL FROM feedback WHERE feedback_id IN "
            "(SELECT CAST(feedback_id AS UUID) FROM said) AND execution_id IS NOT NULL"
        )
        con.execute(
            "DELETE FROM feedback WHERE feedback_id IN (SELECT CAST(feedback_id AS UUID) FROM said)"
        )
    finally:
        con.unregister("said")
    rows.insert(con, "feedback", table, rows.FEEDBACK)
    outbox.note_these(con, "feedback", [(identity, None) for identity in latest])


def _about(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["target_kind"], row["target_id"], (row["given_at"] or 0) // 1000


def _rank(row: dict[str, Any]) -> tuple[int, int, str]:
    """Of two words under one id the later stands; of one moment, the one that says more."""
    told = [row[name] for name in _TOLD]
    return row["revised_at"] or 0, sum(value is not None for value in told), repr(told)


_TOLD: Final = (
    "target_kind", "target_id", "accepted", "rating", "comment", "source", "quality_score",
    "revoked", "visibility", "issue",
)  # fmt: skip

_STOOD: Final = f"""
SELECT CAST(feedback_id AS VARCHAR) AS feedback_id, {", ".join(_TOLD)},
    epoch_us(given_at) * 1000 AS given_at, epoch_us(revised_at) AS revised_at,
    CAST(execution_id AS VARCHAR) AS execution_id
FROM feedback WHERE feedback_id IN (SELECT CAST(feedback_id AS UUID) FROM said)
"""


def _concern(con: duckdb.DuckDBPyConnection, said: list[dict[str, Any]]) -> None:
    """Adds the executions that these rows are about, now that they are resolved."""
    if not said:
        return
    con.register("said", pa.table({"feedback_id": [str(row["feedback_id"]) for row in said]}))
    try:
        con.execute(
            "INSERT INTO concerned SELECT execution_id, NULL FROM feedback "
            "WHERE execution_id IS NOT NULL AND feedback_id IN "
            "(SELECT CAST(feedback_id AS UUID) FROM said)"
        )
    finally:
        con.unregister("said")


# ------------------------------------------------------------------- on the execution's row

_NOTED: Final = """
CREATE OR REPLACE TEMP TABLE noted AS
SELECT
    c.execution_id,
    arg_max(f.accepted, f.said) FILTER (f.accepted IS NOT NULL) AS user_accepted,
    arg_max(f.rating, f.said) FILTER (f.rating IS NOT NULL) AS user_rating,
    count(f.feedback_id) AS feedback_count,
    arg_max(f.quality_score, f.said) FILTER (f.quality_score IS NOT NULL) AS evaluated_quality,
    any_value(c.day) AS day,
    any_value(c.written) AS written
FROM (
    SELECT execution_id, max(day) AS day, bool_or(written) AS written FROM (
        SELECT CAST(execution_id AS UUID) AS execution_id, DATE '1970-01-01' + day AS day,
            TRUE AS written FROM written
        UNION ALL SELECT execution_id, day, FALSE FROM concerned
    ) GROUP BY execution_id
) AS c
LEFT JOIN (
    -- Words of one moment are told apart by their ids, whichever of them came first.
    SELECT *, (coalesce(given_at, TIMESTAMPTZ '1970-01-01'), feedback_id) AS said
    FROM feedback WHERE NOT revoked
) AS f ON f.execution_id = c.execution_id
GROUP BY c.execution_id
HAVING NOT any_value(c.written) OR count(f.feedback_id) > 0
"""
"""One that was just written, and about which nobody said anything, is right as it is."""

_PLACES: Final = """
SELECT count(*), count(*) FILTER (day IS NULL), min(day), max(day) FROM noted
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
