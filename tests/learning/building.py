"""Stores with executions that are told in a few words, written as the drain writes them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from otel_learning import LearningDatabase
from otel_learning.store import lease, rollups, rows
from otel_learning.store.day_keys import note_days

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
Told = dict[str, Any]


def execution(number: int, **told: Any) -> Told:
    """An execution of production, an hour apart from the next; what is told stands over that."""
    row: Told = dict.fromkeys(rows.EXECUTION)
    row |= {
        "execution_id": UUID(int=random.Random(number).getrandbits(128)),
        "task_id": f"t-{number}", "run": 1, "trace_ids": [f"{number:032x}"],
        "environment": "production", "started_at": NOW, "attempt_count": 1,
        "failed_attempt_count": 0, "dropped_attributes": 0, "metadata": "{}", "complete": True,
    }  # fmt: skip
    if told.get("propensity") is not None:
        told.setdefault("propensity_of", "model_tier")
    unknown = set(told) - set(row)
    assert not unknown, unknown
    return row | told


def store_with(path: Path, executions: Iterable[Told]) -> Path:
    """Adds executions to a store, which is made where it is missing."""
    with LearningDatabase(path):
        pass
    stored = []
    for told in executions:
        started_ns = int(told["started_at"].timestamp() * 1e9)
        stored.append({**told, "started_at": started_ns, "day": rollups.day_of(started_ns)})
    with lease.exclusive(path, 10), lease.connection(path, 10) as con:
        arrow = rows.table(stored, rows.EXECUTION)
        rows.insert(con, "settled_executions", arrow, rows.EXECUTION)
        note_days(con, stored)
        rollups.mark_days(con, {row["day"] for row in stored})
    return path


def plain(counts: dict[str, tuple[int, int]], **told: Any) -> list[Told]:
    """Executions of each tier: (successes, failures); costs of 1, 2, ... cents by order."""
    return [
        execution(
            random.Random(f"{tier} {i} {sorted(map(str, told.items()))}").getrandbits(60),
            **{
                "model_tier": tier,
                "success": i < successes,
                "actual_cost": price / 100,
                "duration_seconds": float(price),
                **told,
            },
        )
        for price, (tier, (successes, failures)) in enumerate(counts.items(), 1)
        for i in range(successes + failures)
    ]
