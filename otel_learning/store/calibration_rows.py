"""What was foretold and what came of it: an environment's newest executions, for calibration."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from otel_learning.store.reader import Reader

ROWS_MOST: Final = 100_000
"""The newest so many are looked at: what a router did long ago says little of it now."""

_WITHIN: Final = """
    {known}
    AND ($since IS NULL OR started_at >= $since) AND ($until IS NULL OR started_at < $until)
    AND ($as_of IS NULL OR ended_at < $as_of)
"""
_ENVIRONMENT: Final = f"""
SELECT environment FROM executions WHERE {_WITHIN}
GROUP BY environment ORDER BY count(*) DESC, environment NULLS LAST LIMIT 1
"""
_ROWS: Final = f"""
SELECT {{arm}} AS arm, started_at, cost_estimate, actual_cost, duration_seconds,
    routing_confidence, success
FROM executions
WHERE environment IS NOT DISTINCT FROM $environment AND {_WITHIN}
ORDER BY started_at DESC NULLS LAST, execution_id LIMIT $most
"""


class Foretold(NamedTuple):
    """One execution: what the router said before, and what came of it."""

    arm: str
    started_at: datetime | None
    cost_estimate: float | None
    actual_cost: float | None
    duration_seconds: float | None
    confidence: float | None
    success: bool | None


def read(
    reader: Reader,
    by: Sequence[str],
    environment: str | None,
    since: datetime | None,
    until: datetime | None,
    as_of: datetime | None,
) -> tuple[str | None, list[Foretold]]:
    """The environment, and its newest executions, the oldest of them first.

    Args:
        reader: an open store.
        by: columns out of `evidence_rows.ARM_COLUMNS`, which the caller has checked.
        environment: None is the one with most executions.
        since: only what started then or later; None is all.
        until: only what started before; None is all.
        as_of: only what had ended before; None is all.
    """
    known = " AND ".join(f"{column} IS NOT NULL" for column in by)
    values: dict[str, Any] = {"since": since, "until": until, "as_of": as_of}
    if environment is None:
        found = reader.sql(_ENVIRONMENT.format(known=known), values)
        environment = found[0][0] if found else None
    rows = reader.sql(
        _ROWS.format(known=known, arm=" || '/' || ".join(by)),
        {**values, "environment": environment, "most": ROWS_MOST},
    )
    return environment, [Foretold(*row) for row in reversed(rows)]
