"""A task whose spans reach two hosts is one execution in the lake (rule C1)."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from otel_learning import FeedbackRecord, LearningDatabase
from otel_learning.store.forget import forget
from tests.durability import harness
from tests.lake.conftest import Place
from tests.lake.publishing import export, publish, rows_of

HOUR_NS = 3600 * harness.SECOND_NS


def _router(trace: int = 1, start_ns: int = harness.START_NS) -> list[ReadableSpan]:
    """What one host gets: the routing, in a trace of its own."""
    said = {"learning.task.id": "split", "learning.route.model_tier": "large",
            "learning.route.propensity": 0.25, "learning.task.repo": "acme/shop"}  # fmt: skip
    return [harness.span(trace, 1, said, name="route", start_ns=start_ns, seconds=1)]


def _worker(trace: int = 2, start_ns: int = harness.START_NS) -> list[ReadableSpan]:
    """What the other gets: the work and its outcome."""
    later = start_ns + 2 * harness.SECOND_NS
    said = {"learning.task.id": "split", "learning.outcome.success": True,
            "learning.task.type": "bug_fix"}  # fmt: skip
    return [
        harness.span(trace, 2, harness.call_attributes("m-1"), parent=1, start_ns=later),
        harness.span(trace, 1, said, name="work", start_ns=later, seconds=5),
    ]


@pytest.mark.parametrize("order", list(itertools.permutations((0, 1))))
def test_parts_are_one_execution(order: tuple[int, ...], tmp_path: Path, lake: Place) -> None:
    """Whoever publishes first: what a single store makes of all spans."""
    stores = [
        export(tmp_path / "one.duckdb", [*_router(), *harness.tasks("a", 0, 3)]),
        export(tmp_path / "two.duckdb", [*_worker(), *harness.tasks("b", 0, 3)]),
    ]
    whole = export(tmp_path / "whole.duckdb", [*_router(), *_worker()])
    for number in order:
        publish(stores[number], lake)

    with LearningDatabase(lake.address) as database, LearningDatabase(whole) as other:
        assert database.count_executions() == 7
        [found] = database.executions(task_id="split")
        [expected] = other.executions(task_id="split")
        # One span's own, of whichever part saw the topmost one.
        leave_out = {"recorded_at", "updated_at", "settled", "duration_seconds"}
        assert found.model_dump(exclude=leave_out) == expected.model_dump(exclude=leave_out)
        assert database.attempts(found.execution_id) == other.attempts(found.execution_id)
        assert database.execution(trace_id=f"{1:032x}") is not None


def test_a_part_that_changes(tmp_path: Path, lake: Place) -> None:
    """What one host hears later joins what the other one holds."""
    one = export(tmp_path / "one.duckdb", _router())
    two = export(tmp_path / "two.duckdb", _worker())
    publish(one, lake)
    publish(two, lake)
    export(two, [harness.span(2, 3, harness.call_attributes("m-2"), parent=1,
                              start_ns=harness.START_NS + 4 * harness.SECOND_NS)])  # fmt: skip
    publish(two, lake)
    publish(one, lake)

    with LearningDatabase(lake.address) as database:
        [found] = database.executions()
        assert (found.model_tier, found.attempt_count, found.input_tokens) == ("large", 2, 20)


def test_one_host_forgets(tmp_path: Path, lake: Place) -> None:
    """R5: the whole execution leaves the lake, and the other host's part stays out."""
    one = export(tmp_path / "one.duckdb", _router())
    two = export(tmp_path / "two.duckdb", _worker())
    publish(one, lake)
    publish(two, lake)
    forget(one, {("task_id", "split")})
    publish(one, lake)
    export(two, harness.task("other"))
    publish(two, lake)

    with LearningDatabase(lake.address) as database:
        assert [found.task_id for found in database.executions()] == ["other"]
        assert len(database.sql("FROM attempts")) == 1


def test_runs_that_two_hosts_count(tmp_path: Path, lake: Place) -> None:
    """The same task a day later on another host: two executions, not one."""
    one = export(tmp_path / "one.duckdb", _worker(1))
    two = export(tmp_path / "two.duckdb", _worker(2, harness.START_NS + 24 * HOUR_NS))
    near = export(tmp_path / "three.duckdb", _worker(3, harness.START_NS + 12 * HOUR_NS))
    for store in (one, two, near, two):
        publish(store, lake)

    with LearningDatabase(lake.address) as database:
        found = database.executions(task_id="split")
        assert len(found) == 3
        assert [database.attempts(one.execution_id)[0].trace_id for one in found] == [
            f"{trace:032x}" for trace in (2, 3, 1)
        ]


def test_a_copied_store(tmp_path: Path, lake: Place) -> None:
    """Two hosts that hold the same spans: once, and counted once."""
    stores = [export(tmp_path / f"{name}.duckdb", _worker()) for name in ("one", "two")]
    for store in stores:
        publish(store, lake)

    assert len(rows_of(lake.address, "attempts")) == 1
    with LearningDatabase(lake.address) as database:
        [found] = database.executions()
    assert (found.attempt_count, found.input_tokens) == (1, 10)
    assert list(found.trace_ids) == [f"{2:032x}"]


@pytest.mark.parametrize("first", ["feedback", "task"])
def test_feedback_on_another_host(first: str, tmp_path: Path, lake: Place) -> None:
    """It finds its execution in the lake, whichever of both comes first."""
    one = export(tmp_path / "one.duckdb", harness.tasks("t", 0, 3))
    two = export(tmp_path / "two.duckdb", harness.tasks("u", 0, 3))
    with LearningDatabase(two) as database:
        database.record_feedback(
            FeedbackRecord(target_kind="task_id", target_id="t-1", accepted=False)
        )
    for store in (two, one) if first == "feedback" else (one, two):
        publish(store, lake)

    with LearningDatabase(lake.address) as database:
        detail = database.execution(task_id="t-1")
        assert detail is not None
        assert (detail.execution.user_accepted, detail.execution.feedback_count) == (False, 1)
        assert len(detail.feedback) == 1
        assert database.count_executions() == 6
