"""What each source of feedback said about executions whose outcome is known; one row per word.

A word is for or against a result: accepted or not, a rating above or below 3, a score above or
below 50. What lies in between says neither. What came after counts as a weak word of its own,
against the execution before: the same task was soon carried out again (`implicit:retry`), with a
tier that costs more on average (`implicit:escalation`).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from otel_learning.store.reader import Reader

SOON_SECONDS: Final = 3600.0
"""A task that is carried out again within so long was not done."""

_IMPLICIT: Final = """
WITH tiers AS (
    SELECT model_tier, avg(actual_cost) AS cost FROM executions
    WHERE actual_cost IS NOT NULL GROUP BY model_tier
), again AS (
    SELECT e.execution_id, e.success, n.started_at AS said_at, e.environment,
        after.cost > before.cost AS dearer
    FROM executions AS e
    JOIN executions AS n ON n.task_id = e.task_id AND n.run = e.run + 1
        AND n.environment IS NOT DISTINCT FROM e.environment
        AND n.started_at <= coalesce(e.ended_at, e.started_at) + to_seconds($soon)
    LEFT JOIN tiers AS before ON before.model_tier = e.model_tier
    LEFT JOIN tiers AS after ON after.model_tier = n.model_tier
)
SELECT CASE WHEN dearer THEN 'implicit:escalation' ELSE 'implicit:retry' END AS source,
    execution_id, FALSE AS approves, success, said_at
FROM again WHERE $as_of IS NULL OR said_at < $as_of
"""
_SAID: Final = """
SELECT coalesce(f.source, 'unnamed') AS source, f.execution_id,
    CASE
        WHEN f.accepted IS NOT NULL THEN f.accepted
        WHEN f.rating > 3 THEN TRUE WHEN f.rating < 3 THEN FALSE
        WHEN f.quality_score > 50 THEN TRUE WHEN f.quality_score < 50 THEN FALSE
    END AS approves,
    e.success, coalesce(f.given_at, f.recorded_at) AS said_at
FROM feedback AS f LEFT JOIN executions AS e USING (execution_id)
WHERE NOT f.revoked AND ($as_of IS NULL OR coalesce(f.given_at, f.recorded_at) < $as_of)
"""


class Vote(NamedTuple):
    """One word about one execution."""

    source: str
    execution_id: object
    """None where the execution is not known."""
    approves: bool | None
    success: bool | None
    """How the execution ended, as its own outcome says; feedback never changes it."""
    said_at: datetime | None


def votes(reader: Reader, as_of: datetime | None = None) -> list[Vote]:
    """Every word, and what came after without a word; in the order of time."""
    found = [Vote(*row) for row in reader.sql(_SAID, {"as_of": as_of})]
    found += implicit(reader, as_of)
    return sorted(
        found, key=lambda v: (v.said_at is None, v.said_at, v.source, str(v.execution_id))
    )


def implicit(reader: Reader, as_of: datetime | None = None) -> list[Vote]:
    """What came after an execution and speaks against it."""
    rows = reader.sql(_IMPLICIT, {"as_of": as_of, "soon": SOON_SECONDS})
    return [Vote(*row) for row in rows]
