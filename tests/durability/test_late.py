"""What comes late: settling, the ledger's window, runs, batch parents, feedback (C1..C5)."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace as trace_api
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan

from otel_learning import LearningDatabase, LearningLogExporter, LearningSpanExporter
from otel_learning.records import FeedbackRecord
from otel_learning.store import drain
from tests.durability import harness

HOUR = 3600 * harness.SECOND_NS


def test_incomplete_executions_settle_and_a_root_reopens_them(tmp_path: Path) -> None:
    """No root for `settle_after`: settled, incomplete. The root comes: put together anew."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path, settle_after=0.3)
    trace = harness.number_of("t")
    exporter.export([harness.span(trace, 2, harness.call_attributes(), parent=1)])
    assert exporter.force_flush()
    state = "SELECT complete, settled, task_id, attempt_count FROM executions"
    assert harness.query(path, state) == [(False, False, None, 1)]
    # The thread settles it without being told.
    harness.wait_for(lambda: harness.query(path, state) == [(False, True, None, 1)], 5)
    exporter.export([harness.span(trace, 1, harness.task_attributes("t"), name="task")])
    assert exporter.force_flush()
    assert harness.query(path, state) == [(True, True, "t", 1)]
    assert harness.query(path, "SELECT count(*) FROM attempts") == [(1,)]
    exporter.shutdown()


def test_a_late_child_joins_a_settled_execution(tmp_path: Path) -> None:
    """A model call that ends after its task did: one row, with both; first recorded once."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    first, *rest = harness.task("t")
    exporter.export(rest)
    assert exporter.force_flush()
    [(recorded,)] = harness.query(path, "SELECT recorded_at FROM executions")
    time.sleep(0.05)
    exporter.export([first])
    assert exporter.force_flush()
    rows = harness.query(path, "SELECT attempt_count, recorded_at, updated_at > recorded_at, "
                               "settled FROM executions")  # fmt: skip
    assert rows == [(1, recorded, True, True)]
    exporter.shutdown()


@pytest.fixture
def prompt_housekeeping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "HOUSEKEEPING_SECONDS", 0.0)


def _prune(path: Path, window: float) -> None:
    """What an hour's housekeeping does once all has been in the ledger for its window."""
    time.sleep(2 * window)
    drain.Drainer(path, drain.DrainSettings(ledger_window_seconds=window)).drain(10)


@pytest.mark.usefixtures("prompt_housekeeping")
def test_after_the_ledgers_window(tmp_path: Path) -> None:
    """A late span of an execution that left the ledger is counted, and changes nothing.

    A task id that is used again then starts its next run, also when the ledger is empty.
    """
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path, ledger_window=0.2)
    call, root = harness.task("t")
    exporter.export([root])
    assert exporter.force_flush()
    time.sleep(0.4)
    exporter.export(harness.task("unrelated"))
    assert exporter.force_flush()
    _prune(path, 0.2)
    assert harness.query(path, "SELECT count(*) FROM ledger") == [(0,)]
    before = harness.query(path, "SELECT * FROM executions ORDER BY execution_id")
    exporter.export([call, root])
    assert exporter.force_flush()
    assert harness.query(path, "SELECT * FROM executions ORDER BY execution_id") == before
    late = "SELECT sum(count) FROM losses WHERE reason LIKE 'later%'"
    assert harness.query(path, late) == [(2,)]
    trace = harness.number_of("another")
    for again in range(2):
        attributes = harness.task_attributes("t")
        exporter.export([harness.span(trace + again, 1, attributes, name="task")])
        assert exporter.force_flush()
        _prune(path, 0.2)
    runs = harness.query(path, "SELECT run FROM executions WHERE task_id = 't' ORDER BY run")
    assert runs == [(1,), (2,), (3,)]
    harness.assert_no_row_twice(path)
    exporter.shutdown()


@pytest.mark.usefixtures("prompt_housekeeping")
def test_half_in_the_ledger_half_gone(tmp_path: Path) -> None:
    """Of an execution only a part is left in the ledger: a late span must not cut it down."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path, ledger_window=1.2)
    a, b = harness.number_of("a"), harness.number_of("b")
    told = harness.task_attributes("t", **{"learning.task.repo": "kept"})
    exporter.export([harness.span(a, 1, told, name="task")])
    assert exporter.force_flush()
    time.sleep(0.8)
    plain = {"learning.task.id": "t", **harness.call_attributes()}
    exporter.export([harness.span(b, 1, plain, name="chat")])
    assert exporter.force_flush()
    time.sleep(0.6)  # the first part has left the window, the second has not
    exporter.export(harness.task("other"))
    assert exporter.force_flush()
    assert harness.query(path, "SELECT count(*) FROM ledger") == [(2,)]
    before = harness.query(path, "SELECT * FROM executions WHERE task_id = 't'")
    late = harness.span(b, 2, harness.call_attributes("late"), parent=1, name="chat")
    exporter.export([late])
    assert exporter.force_flush()
    after = harness.query(path, "SELECT * FROM executions WHERE task_id = 't'")
    assert [p for p in zip(before[0], after[0], strict=True) if p[0] != p[1]] == []
    rows = harness.query(path, "SELECT repo, attempt_count FROM executions WHERE task_id = 't'")
    assert rows == [("kept", 1)]
    assert harness.query(path, "SELECT sum(count) FROM losses") == [(1,)]
    exporter.shutdown()


@pytest.mark.usefixtures("prompt_housekeeping")
def test_feedback_after_the_ledgers_window(tmp_path: Path) -> None:
    """Somebody says how good it was weeks later: it still finds its execution."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path, ledger_window=0.2)
    for name in ("by-task", "by-trace", "by-span"):
        exporter.export(harness.task(name))
    assert exporter.force_flush()
    _prune(path, 0.2)
    trace = {name: f"{harness.number_of(name):032x}" for name in ("by-trace", "by-span")}
    with LearningDatabase(path) as db:
        for kind, target in (
            ("task_id", "by-task"), ("trace_id", trace["by-trace"]),
            ("span_id", f"{trace['by-span']}:{1:016x}"),
        ):  # fmt: skip
            db.record_feedback(FeedbackRecord(target_kind=kind, target_id=target, rating=4))
        rated = db.sql("SELECT task_id, user_rating FROM executions ORDER BY 1")
    assert rated == [("by-span", 4.0), ("by-task", 4.0), ("by-trace", 4.0)]
    exporter.shutdown()


def test_runs_split_after_the_correlation_window(tmp_path: Path) -> None:
    """A task id again two hours later is its next run; within the window, the same one."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    for number, hours in enumerate((0.0, 0.5, 2.5)):
        begun = harness.START_NS + int(hours * HOUR)
        attributes = harness.task_attributes("t")
        exporter.export([harness.span(100 + number, 1, attributes, start_ns=begun)])
        assert exporter.force_flush()
    rows = harness.query(path, "SELECT run, len(trace_ids) FROM executions ORDER BY run")
    assert rows == [(1, 2), (2, 1)]
    # What lies between them arrives last, and makes them one.
    bridge = harness.START_NS + int(1.4 * HOUR)
    attributes = harness.task_attributes("t")
    exporter.export([harness.span(104, 1, attributes, start_ns=bridge, seconds=600)])
    assert exporter.force_flush()
    assert harness.query(path, "SELECT run, len(trace_ids) FROM executions") == [(1, 4)]
    exporter.shutdown()


def test_a_batch_parent_belongs_to_no_task(tmp_path: Path) -> None:
    """One trace, a parent that tells something itself, three tasks below it: three rows."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    trace = harness.number_of("batch")
    spans = [harness.span(trace, 1, {"gen_ai.operation.name": "invoke_workflow"}, name="batch")]
    for i in range(3):
        top = 10 * (i + 1)
        spans.append(harness.span(trace, top, harness.task_attributes(f"t-{i}"), parent=1))
        spans.append(harness.span(trace, top + 1, harness.call_attributes(), parent=top))
    for s in reversed(spans):
        exporter.export([s])
        assert exporter.force_flush()
    rows = harness.query(path, "SELECT task_id, attempt_count FROM executions ORDER BY 1")
    assert rows == [("t-0", 1), ("t-1", 1), ("t-2", 1)]
    exporter.shutdown()


def _event(attributes: dict[str, Any], trace: int = 0, span: int = 0) -> ReadableLogRecord:
    context = trace_api.set_span_in_context(NonRecordingSpan(harness.context(trace, span)))
    record = LogRecord(
        timestamp=harness.START_NS + HOUR,
        event_name="learning.feedback",
        attributes=attributes,
        context=context,
    )
    return ReadableLogRecord(
        log_record=record,
        resource=Resource({}),
        instrumentation_scope=InstrumentationScope("test"),
    )


@pytest.mark.parametrize("when", ["before", "after", "with"])
def test_a_feedback_event(tmp_path: Path, when: str) -> None:
    """A log event about a task or a span: whichever of the two comes first, they find together."""
    path = tmp_path / "learning.duckdb"
    spans, logs = LearningSpanExporter(path=path), LearningLogExporter(path=path)

    def say() -> None:
        by_task = {"learning.task.id": "a", "learning.feedback.rating": 5}
        about_span = {"learning.feedback.accepted": False, "learning.feedback.comment": "no"}
        logs.export([_event(by_task), _event(about_span, harness.number_of("b"), 1)])

    if when == "before":
        say()
        assert logs.force_flush()
    spans.export([*harness.task("a"), *harness.task("b")])
    if when == "after":
        assert spans.force_flush()
    if when != "before":
        say()
    assert logs.force_flush()
    rows = harness.query(
        path,
        "SELECT task_id, user_rating, user_accepted, feedback_count FROM executions ORDER BY 1",
    )
    assert rows == [("a", 5.0, None, 1), ("b", None, False, 1)]
    spans.shutdown()
    logs.shutdown()


@pytest.mark.parametrize("kind", ["task_id", "trace_id", "span_id", "session_id", "response_id",
                                  "execution_id"])  # fmt: skip
@pytest.mark.parametrize("before", [True, False])
def test_feedback_under_any_id(tmp_path: Path, kind: str, before: bool) -> None:
    """Whatever id was at hand, before the execution is known or after it (rule C5)."""
    path = tmp_path / "learning.duckdb"
    trace = harness.number_of("t")
    identity = uuid.UUID("00000000-0000-0000-0000-000000000001")
    if kind == "execution_id":
        elsewhere = tmp_path / "probe.duckdb"
        probe = LearningSpanExporter(path=elsewhere)
        probe.export(harness.task("t"))
        assert probe.force_flush()
        [(identity,)] = harness.query(elsewhere, "SELECT execution_id FROM executions")
        probe.shutdown()
    target = {
        "task_id": "t", "trace_id": f"{trace:032x}", "span_id": f"{trace:032x}:{2:016x}",
        "session_id": "s-1", "response_id": "resp-1", "execution_id": str(identity),
    }[kind]  # fmt: skip
    spans = [
        harness.span(
            trace, 2, harness.call_attributes(**{"gen_ai.response.id": "resp-1"}), parent=1
        ),
        harness.span(trace, 1, harness.task_attributes("t", **{"session.id": "s-1"}), seconds=2),
    ]
    exporter = LearningSpanExporter(path=path)
    said = FeedbackRecord(target_kind=kind, target_id=target, accepted=True)
    with LearningDatabase(path) as db:
        if before:
            db.record_feedback(said)
            db.drain()
        exporter.export(spans)
        assert exporter.force_flush()
        if not before:
            db.record_feedback(said)
        [(accepted, count)] = db.sql("SELECT user_accepted, feedback_count FROM executions")
    assert (accepted, count) == (True, 1)
    exporter.shutdown()


def test_a_task_id_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit of an execution observations are counted once, and not kept to be read."""
    from otel_learning.assembly import correlation

    monkeypatch.setattr(correlation, "OBSERVATIONS_LIMIT", 40)
    task = harness.task_attributes("main")
    calls = harness.call_attributes(**{"learning.task.id": "main"})
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    for i in range(12):
        spans = [
            harness.span(1000 + i, n, calls if n > 1 else task, parent=n - 1 or None,
                         start_ns=harness.START_NS + (10 * i + n) * harness.SECOND_NS)
            for n in range(1, 11)
        ]  # fmt: skip
        exporter.export([*spans, *harness.task(f"other-{i}")])
        assert exporter.force_flush()
    stored = harness.stored_tasks(path)
    assert stored == {"main": 1} | {f"other-{i}": 1 for i in range(12)}
    [(kept,)] = harness.query(path, "SELECT sum(observations) FROM ledger")
    [(lost,)] = harness.query(path, "SELECT coalesce(sum(count), 0) FROM losses")
    assert kept + lost == 12 * 12
    assert kept <= 40 + 12 + 12 * 2  # the topmost spans are kept beyond the limit
    exporter.shutdown()
