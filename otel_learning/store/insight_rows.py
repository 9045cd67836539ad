"""The rows that insights are made of: outcomes and costs of one environment, newest first."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from otel_learning.store.reader import Reader

COLUMNS: Final = (
    "execution_id", "started_at", "repo", "task_type", "model_tier", "requested_model",
    "pool_type", "swarm_topology", "agent", "selector", "success", "actual_cost", "fallback_used",
    "attempt_count",
)  # fmt: skip


def insight_rows(
    reader: Reader, environment: str | None, until: datetime | None, rows: int
) -> dict[str, list[Any]]:
    """Column -> values of the newest executions with a start, those of now first."""
    _, found = reader.query(
        f"SELECT {', '.join(COLUMNS)} FROM executions "
        "WHERE environment IS NOT DISTINCT FROM $environment AND started_at IS NOT NULL "
        "AND ($until IS NULL OR started_at < $until) "
        "ORDER BY started_at DESC, execution_id LIMIT $rows",
        {"environment": environment, "until": until, "rows": rows},
    )
    return {name: [row[place] for row in found] for place, name in enumerate(COLUMNS)}
