"""`LearningDatabase`: what its calls answer, and what they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from otel_learning import (
    FeedbackRecord,
    InputError,
    LearningDatabase,
    LearningSpanProcessor,
    StoreError,
    StoreMissingError,
)

_START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def _nanoseconds(when: datetime) -> int:
    return int(when.timestamp()) * 10**9


def _task(provider: TracerProvider, number: int, **more: Any) -> None:
    """One task of an hour each, with one call."""
    began = _START + timedelta(hours=number)
    tracer = provider.get_tracer("app")
    attributes = {
        "learning.task.id": f"t-{number}", "learning.task.type": ("bug", "feature")[number % 2],
        "learning.task.repo": "acme/shop",
        "learning.route.model_tier": ("fast", "large")[number % 2],
        "learning.route.pool_type": "gpu", "learning.outcome.success": number != 3,
        "learning.outcome.cost": 0.5, "learning.outcome.quality_score": 80,
        "learning.outcome.solution_summary": "oil the hinge", **more,
    }  # fmt: skip
    with tracer.start_as_current_span(
        "work", attributes=attributes, start_time=_nanoseconds(began), end_on_exit=False
    ) as span:
        call = tracer.start_span(
            "chat m",
            attributes={"gen_ai.request.model": "m", "gen_ai.response.id": f"r-{number}",
                        "gen_ai.operation.name": "chat", "gen_ai.conversation.id": "s-1"},
            start_time=_nanoseconds(began + timedelta(seconds=1)),
        )  # fmt: skip
        call.end(_nanoseconds(began + timedelta(seconds=5)))
        span.end(_nanoseconds(began + timedelta(seconds=60)))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[LearningDatabase]:
    """Four tasks, an hour apart, of which the last failed."""
    path = tmp_path / "learning.duckdb"
    provider = TracerProvider()
    provider.add_span_processor(LearningSpanProcessor(path=path))
    for number in range(4):
        _task(provider, number)
    provider.shutdown()
    with LearningDatabase(path) as found:
        yield found


def _ids(database: LearningDatabase, **filters: Any) -> list[str | None]:
    return [record.task_id for record in database.executions(**filters)]


def test_the_newest_come_first(database: LearningDatabase) -> None:
    """Without a filter, every execution is given, the newest first."""
    assert _ids(database) == ["t-3", "t-2", "t-1", "t-0"]
    assert _ids(database, limit=2) == ["t-3", "t-2"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"task_id": "t-1"}, ["t-1"]), ({"task_type": "bug"}, ["t-2", "t-0"]),
        ({"repo": "acme/shop", "model_tier": "large"}, ["t-3", "t-1"]),
        ({"success": False}, ["t-3"]), ({"repo": "nobody/nothing"}, []),
        ({"since": _START + timedelta(hours=2)}, ["t-3", "t-2"]),
        ({"until": _START + timedelta(hours=1)}, ["t-0"]),
        ({"since": _START + timedelta(hours=1), "until": _START + timedelta(hours=3)},
         ["t-2", "t-1"]),
        ({"session_id": "s-1", "success": False}, ["t-3"]),
    ],
)  # fmt: skip
def test_filters(database: LearningDatabase, filters: Any, expected: list[str]) -> None:
    """Every filter narrows; `since` is inclusive, `until` exclusive."""
    assert _ids(database, **filters) == expected


def test_by_trace_and_execution(database: LearningDatabase) -> None:
    """An execution is found by any of its traces, with or without dashes, and by its id."""
    known = database.executions(task_id="t-1")[0]
    trace = known.trace_ids[0]

    assert _ids(database, trace_id=trace) == ["t-1"]
    assert _ids(database, trace_id=f"{trace[:8]}-{trace[8:]}".upper()) == ["t-1"]
    assert _ids(database, execution_id=known.execution_id) == ["t-1"]


def test_a_record_in_full(database: LearningDatabase) -> None:
    """What was set on spans is in the record, typed."""
    found = database.executions(task_id="t-0")[0]

    assert (found.started_at, found.duration_seconds) == (_START, 60.0)
    assert (found.success, found.success_source) == (True, "stated")
    assert (found.actual_cost, found.cost_source, found.quality_score) == (0.5, "reported", 80)
    assert (found.model, found.attempt_count, found.complete, found.settled) == ("m", 1, True, True)
    assert found.recorded_at is not None


def test_attempts(database: LearningDatabase) -> None:
    """The calls of an execution, in order; an unknown execution has none."""
    known = database.executions(task_id="t-0")[0]
    (attempt,) = database.attempts(known.execution_id)

    assert (attempt.model, attempt.response_id, attempt.duration_seconds) == ("m", "r-0", 4.0)
    assert database.attempts("00000000-0000-0000-0000-000000000000") == []


def test_sql(database: LearningDatabase) -> None:
    """A query takes values by place and by name, and answers rows."""
    assert database.sql("SELECT count(*) FROM executions WHERE repo = ?", ["acme/shop"]) == [(4,)]
    assert database.sql("SELECT $x + 1", {"x": 1}) == [(2,)]


def test_a_wrong_query_is_named(database: LearningDatabase) -> None:
    """A query that DuckDB refuses raises ours, with its words."""
    with pytest.raises(StoreError, match="no_such_table"):
        database.sql("SELECT * FROM no_such_table")


def test_queries_only_read(database: LearningDatabase) -> None:
    """A query cannot change the store."""
    with pytest.raises(StoreError):
        database.sql("CREATE TABLE mine (x INTEGER)")


def test_performance(database: LearningDatabase) -> None:
    """The two performance views and the patterns are lists of rows by column."""
    (fast,) = database.tier_performance(model_tier="fast")
    patterns = database.solution_patterns(min_support=2)

    assert (fast["executions"], fast["successes"], fast["success_rate"]) == (2, 2, 1.0)
    assert sum(row["executions"] for row in database.pool_performance(pool_type="gpu")) == 4
    assert [(row["solution_summary"], row["executions"]) for row in patterns] == [
        ("oil the hinge", 4)
    ]
    assert database.solution_patterns(min_support=5) == []


def test_an_unknown_column_is_named(database: LearningDatabase) -> None:
    """A filter that is no column is named."""
    with pytest.raises(InputError, match="colour"):
        database.tier_performance(colour="blue")


def test_a_limit_must_be_one(database: LearningDatabase) -> None:
    """A limit of zero rows is a mistake, and said to be."""
    with pytest.raises(InputError, match="limit=0"):
        database.executions(limit=0)


def test_feedback_is_seen_by_the_next_read(database: LearningDatabase) -> None:
    """What was said is in the record at once; the same id again replaces it."""
    said = FeedbackRecord(target_id="t-1", accepted=False, rating=2)
    database.record_feedback(said)

    first = database.executions(task_id="t-1")[0]
    database.record_feedback(
        FeedbackRecord(target_id="t-2", accepted=True, given_at=datetime.now(UTC))
    )

    assert (first.user_accepted, first.user_rating, first.feedback_count) == (False, 2, 1)
    assert database.executions(task_id="t-2")[0].user_accepted is True


def test_feedback_that_says_nothing_is_refused(database: LearningDatabase) -> None:
    """Feedback needs a verdict, a rating, a comment or a score."""
    with pytest.raises(InputError):
        database.record_feedback(FeedbackRecord(target_id="t-1"))


def test_observations(database: LearningDatabase) -> None:
    """What the ledger holds of a task: its span and its call."""
    found = database.observations(task_id="t-0")

    assert sorted(observation.role for observation in found) == ["call", "task"]


def test_a_missing_store_is_made(tmp_path: Path) -> None:
    """A store that is not there is created, empty, unless that is not wanted."""
    with LearningDatabase(tmp_path / "new.duckdb") as database:
        assert database.executions() == []
    with pytest.raises(StoreMissingError, match="nowhere"):
        LearningDatabase(tmp_path / "nowhere.duckdb", create=False)
    assert not (tmp_path / "nowhere.duckdb").exists()
