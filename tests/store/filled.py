"""A store with many different executions, written as the drain writes them."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from otel_learning import LearningDatabase
from otel_learning.store import lease, rollups, rows
from otel_learning.store.day_keys import note_days

START = datetime(2026, 11, 1, tzinfo=UTC)
Row = dict[str, Any]

CHOICES: dict[str, tuple[Any, ...]] = {
    "session_id": ("s-1", "s-2", None),
    "user_hash": ("u-1", "u-2", None),
    "environment": ("production", "ci", None),
    "service_name": ("router", "worker", None),
    "repo": ("acme/shop", "acme/api", "ümlaut/ß", None),
    "task_type": ("bug_fix", "feature", None),
    "model_tier": ("small", "large", None),
    "model": ("m-1", "m-2", None),
    "requested_model": ("m-1", "m-3", None),
    "provider": ("p", "q", None),
    "pool_type": ("gpu", "local", None),
    "swarm_topology": ("solo", "mesh", None),
    "agent": ("planner", "it's", None),
    "experiment": ("e", None),
    "variant": ("A", "B", None),
    "error_type": ("timeout", "rate_limit", "unknown", None),
    "success": (True, False, None),
    "complete": (True, False),
}
"""Columns and what they hold here; some of it has to be quoted."""
COSTS = (None, 0.0, 0.001, 0.25, 0.5, 2.0)
TASKS = 40
HOURS = 48
"""Executions start at whole hours, so many at once, some of them at no known time."""


def make(number: int, draw: random.Random) -> Row:
    """An execution that is unlike most others."""
    row: Row = dict.fromkeys(rows.EXECUTION)
    row |= {name: draw.choice(values) for name, values in CHOICES.items()}
    started = None if draw.random() < 0.1 else START + timedelta(hours=draw.randrange(HOURS))
    row |= {
        "execution_id": UUID(int=draw.getrandbits(128)),
        "task_id": draw.choice((None, f"t-{number % TASKS}")),
        "run": 1 + number // TASKS,
        "trace_ids": [f"{number:032x}", f"{number // 7:031x}f"],
        "started_at": started,
        "actual_cost": draw.choice(COSTS),
        "attempt_count": 0, "failed_attempt_count": 0, "dropped_attributes": 0,
        "metadata": '{"n": 1}',
        "settled": draw.random() < 0.8,
    }  # fmt: skip
    return row


def fill(path: Path, number: int, seed: int) -> list[Row]:
    """Adds so many executions; returns them as values of Python."""
    draw = random.Random(seed)
    made = [make(draw.randrange(10_000), draw) for _ in range(number)]
    with LearningDatabase(path):
        pass
    with lease.exclusive(path, 10), lease.connection(path, 10) as con:
        for table in ("settled", "open"):
            chosen = [_stored(row) for row in made if row["settled"] is (table == "settled")]
            if chosen:
                arrow = rows.table(chosen, rows.EXECUTION)
                rows.insert(con, f"{table}_executions", arrow, rows.EXECUTION)
                note_days(con, chosen)
    return made


def _stored(row: Row) -> Row:
    kept = {name: row[name] for name in rows.EXECUTION}
    started = row["started_at"]
    kept["started_at"] = None if started is None else int(started.timestamp()) * 10**9
    kept["day"] = rollups.day_of(kept["started_at"])
    return kept


def fits(row: Row, filters: dict[str, Any]) -> bool:
    """Whether an execution fits every filter, said without SQL."""
    return all(value is None or _fits(row, name, value) for name, value in filters.items())


def _fits(row: Row, name: str, value: Any) -> bool:
    if name == "trace_id":
        return value.replace("-", "").lower() in row["trace_ids"]
    if name == "execution_id":
        return bool(row["execution_id"] == UUID(str(value)))
    if name == "success" and value == "unknown":
        return row["success"] is None
    if name in ("min_cost", "max_cost"):
        cost = row["actual_cost"]
        return cost is not None and (cost >= value if name == "min_cost" else cost <= value)
    if name in ("since", "until"):
        started = row["started_at"]
        when = value if value.tzinfo else value.replace(tzinfo=UTC)
        return started is not None and (started >= when if name == "since" else started < when)
    return row[name] is not None and row[name] == value


def in_order(found: list[Row]) -> list[UUID]:
    """The ids of executions: newest first, those of no known time last, then by id."""
    never = START - timedelta(days=1)
    found = sorted(found, key=lambda row: str(row["execution_id"]))
    found = sorted(found, key=lambda row: row["started_at"] or never, reverse=True)
    return [row["execution_id"] for row in found]
