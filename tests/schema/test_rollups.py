"""The rollups: exact at any time, whatever came in which order and whatever is rolled up."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_learning import FeedbackRecord, LearningDatabase, LearningSpanExporter
from otel_learning.store import lease, rollups
from tests.durability import harness

DAY_NS = 86_400 * harness.SECOND_NS
Row = dict[str, Any]

task = st.fixed_dictionaries(
    {
        "number": st.integers(0, 30),
        "day": st.sampled_from([0, 1, 20, 45]),
        "hour": st.integers(0, 23),
        "repo": st.sampled_from([None, "a", "b"]),
        "tier": st.sampled_from([None, "small", "large"]),
        "pool": st.sampled_from([None, "gpu"]),
        "success": st.sampled_from([None, True, False]),
        "cost": st.sampled_from([None, 0.25, 0.1]),
        "summary": st.sampled_from([None, "retry it", "pin it"]),
        "seconds": st.floats(0.001, 500),
        "open": st.booleans(),
        "rating": st.sampled_from([None, None, 20.0, 70.0]),
    }
)
batches = st.lists(
    st.tuples(st.lists(task, min_size=1, max_size=8), st.booleans()), min_size=1, max_size=4
)


def spans_of(chosen: Row) -> list[Any]:
    names = {
        "learning.task.repo": chosen["repo"],
        "learning.route.model_tier": chosen["tier"],
        "learning.route.pool_type": chosen["pool"],
        "learning.outcome.success": chosen["success"],
        "learning.outcome.cost": chosen["cost"],
        "learning.outcome.solution_summary": chosen["summary"],
        "learning.task.id": f"task-{chosen['number']}",
        "learning.task.type": "bug_fix",
    }
    start = harness.START_NS + chosen["day"] * DAY_NS + chosen["hour"] * 3600 * harness.SECOND_NS
    attributes = {name: value for name, value in names.items() if value is not None}
    return [
        harness.span(
            1 + chosen["number"] * 2000 + chosen["day"] * 24 + chosen["hour"], 1, attributes,
            parent=7 if chosen["open"] else None, start_ns=start, seconds=chosen["seconds"],
        )
    ]  # fmt: skip


def mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def percentile(values: Iterable[float | None], share: float) -> float | None:
    """The linear interpolation between the two nearest values (Hyndman and Fan's type 7)."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    place = share * (len(known) - 1)
    low = math.floor(place)
    high = min(low + 1, len(known) - 1)
    return known[low] + (place - low) * (known[high] - known[low])


def figures(rows: list[Row]) -> Row:
    success = [row["success"] for row in rows]
    costs = [row["actual_cost"] for row in rows if row["actual_cost"] is not None]
    return {
        "executions": len(rows),
        "successes": success.count(True),
        "failures": success.count(False),
        "success_rate": mean(None if s is None else float(s) for s in success),
        "avg_duration_seconds": mean(row["duration_seconds"] for row in rows),
        "median_duration_seconds": percentile((r["duration_seconds"] for r in rows), 0.5),
        "p95_duration_seconds": percentile((r["duration_seconds"] for r in rows), 0.95),
        "avg_cost": mean(row["actual_cost"] for row in rows),
        "total_cost": sum(costs) if costs else None,
        "avg_quality": mean(row["quality_score"] for row in rows),
        "avg_confidence": mean(row["routing_confidence"] for row in rows),
        "fallbacks": sum(1 for row in rows if row["fallback_used"]),
        "first_seen": min((r["started_at"] for r in rows if r["started_at"]), default=None),
        "last_seen": max((r["started_at"] for r in rows if r["started_at"]), default=None),
        "repos": sorted({row["repo"] for row in rows if row["repo"]}) or None,
        "task_types": sorted({row["task_type"] for row in rows if row["task_type"]}) or None,
    }


def day_of(row: Row) -> Any:
    return row["started_at"].astimezone(UTC).date() if row["started_at"] else None


def hour_of(row: Row) -> datetime | None:
    started: datetime | None = row["started_at"]
    return started and started.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


VIEWS: dict[str, dict[str, Callable[[Row], Any] | str]] = {
    "tier_performance": {
        "day": day_of, "repo": "repo", "task_type": "task_type", "model_tier": "model_tier",
    },
    "pool_performance": {"hour": hour_of, "repo": "repo", "pool_type": "pool_type"},
    "solution_patterns": {"solution_summary": "solution_summary"},
    "routing_statistics": {
        "day": day_of, "environment": "environment", "repo": "repo", "task_type": "task_type",
        "model_tier": "model_tier", "requested_model": "requested_model",
        "pool_type": "pool_type", "swarm_topology": "swarm_topology",
    },
}  # fmt: skip
"""Each view's keys, and how an execution has them."""


def assert_exact(database: LearningDatabase) -> None:
    """Each view holds exactly the groups of the executions, with their figures."""
    names, rows = database.query("FROM executions")
    executions = [dict(zip(names, row, strict=True)) for row in rows]
    for view, keys in VIEWS.items():
        expected: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
        for row in executions:
            if view == "solution_patterns" and row["solution_summary"] is None:
                continue
            expected[tuple(k(row) if callable(k) else row[k] for k in keys.values())].append(row)
        names, found = database.query(f"FROM {view}")
        assert len(found) == len(expected), view
        for values in found:
            row = dict(zip(names, values, strict=True))
            key = tuple(
                row[name].astimezone(UTC) if name == "hour" and row[name] else row[name]
                for name in keys
            )
            wanted = figures(expected[key])
            for name in set(names) - set(keys):
                given = row[name]
                if isinstance(given, float):
                    assert given == pytest.approx(wanted[name], rel=1e-9), (view, name)
                else:
                    assert (given or None) == (wanted[name] or None), (view, name)


def roll_up_all(path: Path) -> None:
    with lease.exclusive(path, 10), lease.connection(path, 10) as con:
        rollups.refresh(con, work_seconds=60, quiet_seconds=0)


def differing(path: Path) -> dict[str, int]:
    with lease.exclusive(path, 10), lease.connection(path, 10) as con:
        return rollups.differing(con)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batches)
def test_rollups_are_exact(tmp_path_factory: pytest.TempPathFactory, given_batches: Any) -> None:
    """After every drain the views say what the rows say, whether or not it was rolled up."""
    path = tmp_path_factory.mktemp("rollups") / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    for tasks, roll_up in given_batches:
        exporter.export([span for chosen in tasks for span in spans_of(chosen)])
        assert exporter.force_flush()
        with LearningDatabase(path) as database:
            for chosen in tasks:
                if chosen["rating"] is not None:
                    database.record_feedback(
                        FeedbackRecord(
                            target_id=f"task-{chosen['number']}", quality_score=chosen["rating"]
                        )
                    )
            database.drain()
            if roll_up:
                roll_up_all(path)
            assert_exact(database)
        assert set(differing(path).values()) == {0}
    exporter.shutdown()


def test_a_day_is_rolled_up_once_it_is_quiet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drain thread rolls up by itself, and says when it will."""
    monkeypatch.setattr(rollups, "QUIET_SECONDS", 0.2)
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    exporter.export(harness.task("a"))
    assert exporter.force_flush()

    status = "SELECT rolled_days, live_days FROM rollup_status"
    harness.wait_for(lambda: harness.query(path, status) == [(1, 0)], 20, "the roll-up")
    exporter.export(harness.task("b"))
    assert exporter.force_flush()
    [(live, since)] = harness.query(path, "SELECT live_days, oldest_change FROM rollup_status")
    assert live == 1 and since is not None
    exporter.shutdown()


def test_a_rollup_that_is_wrong_is_found(tmp_path: Path) -> None:
    """A rolled day that is not what its executions give is counted, and nothing is changed."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    exporter.export(harness.task("a"))
    exporter.shutdown()
    roll_up_all(path)
    with lease.exclusive(path, 10), lease.connection(path, 10) as con:
        con.execute("UPDATE rolled_tiers SET avg_duration_seconds = 77")
        con.execute("DELETE FROM rolled_pools")

    found = differing(path)

    assert found == {
        "rolled_tiers": 1, "rolled_pools": 1, "rolled_solutions": 0, "rolled_routes": 0,
        "rolled_solution_months": 0,
    }  # fmt: skip
    assert harness.query(path, "SELECT count(*) FROM changed_days") == [(0,)]
