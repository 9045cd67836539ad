"""The views that any DuckDB client reads have the columns that were promised."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from otel_learning import Attempt, ExecutionRecord, LearningDatabase

_TEXT, _REAL, _WHOLE, _FLAG = "VARCHAR", "DOUBLE", ("BIGINT", "INTEGER", "HUGEINT"), "BOOLEAN"
_STAMP = "TIMESTAMP WITH TIME ZONE"

_CONTRACT: dict[str, dict[str, str | tuple[str, ...]]] = {
    "executions": {
        "execution_id": "UUID", "trace_ids": "VARCHAR[]", "run": _WHOLE,
        **dict.fromkeys(("started_at", "ended_at", "recorded_at", "updated_at"), _STAMP),
        **dict.fromkeys(("file_count", "estimated_tokens", "input_tokens", "output_tokens",
                         "attempt_count", "failed_attempt_count", "feedback_count",
                         "dropped_attributes"), _WHOLE),
        **dict.fromkeys(("success", "fallback_used", "user_accepted", "settled", "complete"),
                        _FLAG),
        **dict.fromkeys(("duration_seconds", "routing_confidence", "complexity_score",
                         "propensity", "quality_score", "cost_estimate", "actual_cost",
                         "router_cost", "peak_memory_mb", "cpu_time_seconds", "user_rating",
                         "sampling_ratio"), _REAL),
        **dict.fromkeys(("task_id", "session_id", "user_hash", "environment", "service_name",
                         "task_type", "task_description", "repo", "model_tier", "model",
                         "requested_model", "provider", "pool_type", "swarm_topology", "agent",
                         "selector", "propensity_of", "policy_version", "experiment", "variant",
                         "success_source", "error_type", "error_class", "error_message",
                         "cost_source", "solution_summary", "producer", "profile"), _TEXT),
        "metadata": ("JSON", "VARCHAR"),
    },
    "attempts": {
        "execution_id": "UUID", "ordinal": _WHOLE, "started_at": _STAMP,
        "duration_seconds": _REAL, "input_tokens": _WHOLE, "output_tokens": _WHOLE, "cost": _REAL,
        "success": _FLAG,
        **dict.fromkeys(("trace_id", "span_id", "role", "model", "requested_model", "provider",
                         "response_id", "error_type", "error_class", "reason"), _TEXT),
    },
    "tier_performance": {
        "day": "DATE", "repo": _TEXT, "task_type": _TEXT, "model_tier": _TEXT,
        **dict.fromkeys(("executions", "successes", "failures"), _WHOLE),
        **dict.fromkeys(("success_rate", "avg_duration_seconds", "p95_duration_seconds",
                         "avg_cost", "total_cost", "avg_quality"), _REAL),
    },
    "pool_performance": {
        "hour": _STAMP, "repo": _TEXT, "pool_type": _TEXT,
        **dict.fromkeys(("executions", "successes", "failures"), _WHOLE),
        **dict.fromkeys(("success_rate", "avg_duration_seconds", "avg_cost"), _REAL),
    },
    "solution_patterns": {
        "solution_summary": _TEXT, "repos": "VARCHAR[]", "task_types": "VARCHAR[]",
        "executions": _WHOLE, "successes": _WHOLE, "success_rate": _REAL, "avg_quality": _REAL,
        "first_seen": _STAMP, "last_seen": _STAMP,
    },
}  # fmt: skip


def _columns(store: Path, view: str) -> dict[str, str]:
    with duckdb.connect(str(store), read_only=True) as connection:
        return {row[0]: row[1] for row in connection.execute(f"DESCRIBE {view}").fetchall()}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("views") / "learning.duckdb"
    with LearningDatabase(path):
        return path


@pytest.mark.parametrize("view", list(_CONTRACT))
def test_columns(view: str, store: Path) -> None:
    """Every promised column is there, with its type, and nothing else is."""
    found = _columns(store, view)

    for name, kinds in _CONTRACT[view].items():
        assert name in found
        assert found[name] in ((kinds,) if isinstance(kinds, str) else kinds), name
    assert set(found) == set(_CONTRACT[view])


@pytest.mark.parametrize("view", ["feedback"])
def test_further_views(view: str, store: Path) -> None:
    """What is said later is a view, too."""
    assert _columns(store, view)


@pytest.mark.parametrize(
    ("view", "record"), [("executions", ExecutionRecord), ("attempts", Attempt)]
)
def test_records_are_rows(view: str, record: type, store: Path) -> None:
    """A record has exactly the columns of its view."""
    fields = set(record.model_fields)  # type: ignore[attr-defined]

    assert fields == set(_columns(store, view))
