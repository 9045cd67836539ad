"""One execution with all that belongs to it, in one call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from otel_learning import (
    ExecutionDetail,
    FeedbackRecord,
    InputError,
    LearningDatabase,
    LearningSpanExporter,
)
from tests.durability.harness import SECOND_NS, START_NS, call_attributes, span, task_attributes

_DAY_NS = 86_400 * SECOND_NS


@pytest.fixture
def database(tmp_path: Path) -> Iterator[LearningDatabase]:
    """Task `t` on two days, with one call and then two; and a task `u` in a trace of `t`."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    later = START_NS + _DAY_NS
    exporter.export([
        span(1, 2, call_attributes(), parent=1, name="chat"),
        span(1, 1, task_attributes("t"), name="task", seconds=2),
        span(2, 5, call_attributes("m-2"), parent=4, name="chat", start_ns=later + SECOND_NS),
        span(2, 3, call_attributes("m-1"), parent=4, name="chat", start_ns=later),
        span(2, 4, task_attributes("t"), name="task", start_ns=later, seconds=3, parent=9),
        span(2, 8, task_attributes("u"), name="task", start_ns=later + 5 * SECOND_NS, parent=9),
        span(2, 9, {}, name="batch", start_ns=later, seconds=20),
    ])  # fmt: skip
    exporter.shutdown()
    with LearningDatabase(path) as found:
        yield found


def _said(database: LearningDatabase, **said: Any) -> FeedbackRecord:
    record = FeedbackRecord(**said)
    database.record_feedback(record)
    return record


def test_the_newest_run(database: LearningDatabase) -> None:
    """A task id gives its newest run, with its calls in order."""
    detail = database.execution(task_id="t")

    assert isinstance(detail, ExecutionDetail)
    assert (detail.execution.task_id, detail.execution.run) == ("t", 2)
    assert [(a.ordinal, a.requested_model) for a in detail.attempts] == [(1, "m-1"), (2, "m-2")]
    assert detail.feedback == []
    assert detail.attempts == database.attempts(detail.execution.execution_id)


def test_by_trace_and_by_id(database: LearningDatabase) -> None:
    """A trace gives the execution in it that started last; an id the one, as text too."""
    (first,) = database.executions(trace_id=f"{1:032x}")
    by_trace = database.execution(trace_id=f"{2:032x}")
    by_id = database.execution(first.execution_id)

    assert by_trace is not None and by_trace.execution.task_id == "u"
    assert by_id is not None and by_id.execution == first
    assert database.execution(str(first.execution_id).upper()) == by_id
    assert database.execution(execution_id=first.execution_id) == by_id


@pytest.mark.parametrize("at", ["NULL", "TIMESTAMPTZ '2020-01-01 00:00:00+00'"])
def test_attempts_outside_their_executions_time(database: LearningDatabase, at: str) -> None:
    """A call whose start is not known, or lies elsewhere, belongs to its execution all the same."""
    from otel_learning.store import lease

    with lease.exclusive(database.path, 10), lease.connection(database.path, 10) as con:
        con.execute(f"UPDATE settled_attempts SET started_at = {at} WHERE requested_model = 'm-2'")
    detail = database.execution(task_id="t")

    assert detail is not None
    assert [a.requested_model for a in detail.attempts] == ["m-1", "m-2"]


def test_feedback_comes_with_it(database: LearningDatabase) -> None:
    """What was said and stands is there, in the order of time; what was taken back is not."""
    one = _said(database, target_id="t", rating=2, comment="slow", source="ann")
    two = _said(database, target_kind="trace_id", target_id=f"{2:032x}", quality_score=70)
    gone = _said(database, target_id="t", accepted=False)
    database.record_feedback(gone.model_copy(update={"revoked": True}))
    three = _said(database, target_id="t", accepted=True)
    detail = database.execution(task_id="t")

    assert detail is not None
    stands = {found.feedback_id for found in detail.feedback}
    assert stands - {two.feedback_id} == {one.feedback_id, three.feedback_id}
    assert len(detail.feedback) == detail.execution.feedback_count
    assert (detail.feedback[0].comment, detail.feedback[0].source) == ("slow", "ann")
    assert {found.execution_id for found in detail.feedback} == {detail.execution.execution_id}
    times = [found.given_at for found in detail.feedback if found.given_at]
    assert times == sorted(times)


def test_it_can_be_written_as_json(database: LearningDatabase) -> None:
    """A detail goes to JSON-ready values and back."""
    detail = database.execution(task_id="t")

    assert detail is not None
    assert ExecutionDetail.from_dict(detail.to_dict()) == detail


def test_what_is_not_there(database: LearningDatabase) -> None:
    """An id that nothing has gives None."""
    assert database.execution(uuid4()) is None
    assert database.execution(task_id="nobody") is None
    assert database.execution(trace_id="f" * 32) is None


def test_one_id_is_asked_for(database: LearningDatabase) -> None:
    """No id, two ids and a malformed one are refused."""
    with pytest.raises(InputError, match="one id"):
        database.execution()
    with pytest.raises(InputError, match="one id"):
        database.execution(uuid4(), task_id="t")
    for ask in (database.execution, database.attempts):
        with pytest.raises(InputError, match=r"'t'.*task_id"):
            ask("t")


def test_it_is_one_burst(database: LearningDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is opened once for the execution, its attempts and its feedback together."""
    from otel_learning.store import lease

    opened = []
    connect = lease.connection

    def counted(*given: Any, **named: Any) -> Any:
        opened.append(given)
        return connect(*given, **named)

    monkeypatch.setattr(lease, "connection", counted)
    assert database.execution(task_id="t") is not None
    assert len(opened) == 1
