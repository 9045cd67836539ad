"""Stores with tasks that have descriptions, written as the drain writes them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import numpy as np

from otel_learning import LearningDatabase
from otel_learning.knowledge.embedding import HashedEmbedder, Vectors
from otel_learning.store import lease, rollups, rows
from otel_learning.store.day_keys import note_days

START = datetime(2026, 11, 1, tzinfo=UTC)
_SPACE = UUID(int=7)


def task(number: int, description: str | None, **more: Any) -> dict[str, Any]:
    """One settled execution; its id follows from the number."""
    started = more.pop("started_at", START + timedelta(minutes=number))
    began = int(started.timestamp()) * 10**9
    now = time.time_ns() // 1000
    row: dict[str, Any] = dict.fromkeys(rows.EXECUTION)
    row |= {
        "execution_id": uuid5(_SPACE, str(number)), "task_id": f"t-{number}", "run": 1,
        "trace_ids": [f"{number + 1:032x}"], "started_at": began, "ended_at": began,
        "day": rollups.day_of(began), "recorded_at": now, "updated_at": now,
        "environment": "production", "task_type": "bug_fix", "repo": "acme/shop",
        "success": True, "success_source": "stated", "complete": True, "attempt_count": 0,
        "failed_attempt_count": 0, "dropped_attributes": 0, "metadata": "{}",
        "task_description": description, **more,
    }  # fmt: skip
    return row


def write(path: Path, made: Iterable[dict[str, Any]]) -> None:
    """Adds executions to a store."""
    made = list(made)
    with LearningDatabase(path):
        pass
    with lease.exclusive(path, 10), lease.connection(path, 10) as con:
        rows.insert(con, "settled_executions", rows.table(made, rows.EXECUTION), rows.EXECUTION)
        note_days(con, made)
        rollups.mark_days(con, [row["day"] for row in made])


class OtherEmbedder:
    """Another model, for tests of a change: the light one's vectors turned round and cut."""

    def __init__(self, name: str = "other-300", seconds_each: float = 0.0) -> None:
        self.model, self.dimension = name, 300
        self.seen: list[str] = []
        self._seconds_each = seconds_each

    def embed(self, texts: Sequence[str]) -> Vectors:
        time.sleep(self._seconds_each * len(texts))
        self.seen += texts
        vectors = HashedEmbedder().embed(texts)[:, ::-1][:, : self.dimension]
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(lengths, 1e-9), np.float32)
