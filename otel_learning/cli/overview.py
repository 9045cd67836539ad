"""What `status` shows: the store, its ledger, its spool, its losses."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import Any

from otel_learning.cli.growth import growth
from otel_learning.cli.output import cell, size
from otel_learning.settings import Settings
from otel_learning.store.database import LearningDatabase
from otel_learning.store.spool import Spool

_COUNTS = """
SELECT
    (SELECT max(version) FROM schema_migrations),
    (SELECT count(*) FROM settled_executions),
    (SELECT count(*) FROM open_executions),
    (SELECT count(*) FROM executions WHERE complete),
    (SELECT count(*) FROM attempts),
    (SELECT count(*) FROM feedback WHERE execution_id IS NOT NULL AND NOT revoked),
    (SELECT count(*) FROM feedback WHERE execution_id IS NULL AND NOT revoked),
    (SELECT count(*) FROM feedback WHERE revoked),
    (SELECT coalesce(sum(observations), 0) FROM ledger),
    (SELECT coalesce(sum(size_bytes), 0) FROM ledger),
    (SELECT min(arrived_at) FROM ledger)
"""


def overview(chosen: Settings) -> dict[str, Any]:
    """Everything that `status` shows.

    What waits is counted before the store is read, because reading brings it in.
    """
    path = chosen.path.expanduser().resolve()
    spool = Spool(path)
    waiting, drained_ago = spool.list(), spool.seconds_since_drain()
    database = LearningDatabase(path, create=False)
    (schema, settled, still_open, complete, attempts, resolved, orphans, revoked, observations,
     ledger_bytes, oldest) = database.sql(_COUNTS)[0]  # fmt: skip
    losses = database.sql("SELECT reason, sum(count) FROM losses GROUP BY 1 ORDER BY 2 DESC, 1")
    return {
        "path": str(path),
        "size_bytes": path.stat().st_size,
        "schema_version": schema,
        "executions": {
            "total": settled + still_open,
            "settled": settled,
            "open": still_open,
            "complete": complete,
        },
        "attempts": attempts,
        "feedback": {"resolved": resolved, "orphans": orphans, "revoked": revoked},
        "ledger": {
            "window_seconds": chosen.ledger_window,
            "observations": int(observations),
            "size_bytes": int(ledger_bytes),
            "oldest_arrival": oldest,
        },
        "spool": {
            "waiting_segments": len(waiting),
            "waiting_bytes": sum(segment.size for segment in waiting),
            "broken_segments": len(spool.broken()),
        },
        "losses": {reason: int(count) for reason, count in losses},
        **growth(database, chosen),
        "last_drain": None
        if math.isinf(drained_ago)
        else datetime.fromtimestamp(time.time() - drained_ago, UTC),
    }


def as_lines(found: dict[str, Any]) -> dict[str, str]:
    """The overview as names and sentences."""
    executions, feedback = found["executions"], found["feedback"]
    ledger, spool = found["ledger"], found["spool"]
    losses = ", ".join(f"{count} {reason}" for reason, count in found["losses"].items())
    return {
        "store": f"{found['path']} ({size(found['size_bytes'])})",
        "schema version": str(found["schema_version"]),
        "executions": f"{executions['total']} ({executions['settled']} settled, "
        f"{executions['open']} open; {executions['complete']} complete)",
        "attempts": str(found["attempts"]),
        "feedback": f"{feedback['resolved']} resolved, {feedback['orphans']} not yet, "
        f"{feedback['revoked']} revoked",
        "ledger": f"{ledger['observations']} observations, {size(ledger['size_bytes'])}, kept "
        f"{ledger['window_seconds'] / 86_400:g} days",
        "growth": f"{found['growth_executions_per_day']:g} executions and "
        f"{size(found['growth_bytes_per_day'])} a day, "
        f"{size(found['forecast_bytes_30_days'])} in 30 days",
        "spool": f"{spool['waiting_segments']} segments waited "
        f"({size(spool['waiting_bytes'])}), {spool['broken_segments']} broken",
        "losses": losses or "none",
        "last drain": cell(found["last_drain"]) or "never",
    }
