"""`feedback`: what an id stands for, and taking back what was said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from otel_learning import LearningDatabase
from tests.command_line import Run, copy_store


@pytest.fixture
def store(demo_store: Path, tmp_path: Path) -> Path:
    """A copy of the demo's store, to write into."""
    return copy_store(demo_store, tmp_path / "learning.duckdb")


@pytest.fixture
def target(store: Path) -> dict[str, str]:
    """One execution without feedback, by all its ids."""
    (row,) = LearningDatabase(store).sql(
        "SELECT e.execution_id, e.task_id, a.trace_id, a.span_id, a.response_id FROM executions e "
        "JOIN attempts a USING (execution_id) WHERE e.feedback_count = 0 AND a.response_id "
        "IS NOT NULL ORDER BY e.started_at LIMIT 1"
    )
    kinds = ("execution_id", "task_id", "trace_id", "span_id", "response_id")
    return {kind: str(value) for kind, value in zip(kinds, row, strict=True)}


def said(run_cli: Run, *arguments: str) -> dict[str, Any]:
    done = run_cli("feedback", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def columns(store: Path, execution: str) -> tuple[Any, ...]:
    rows = LearningDatabase(store).sql(
        "SELECT user_accepted, user_rating, feedback_count FROM executions WHERE execution_id = ?",
        [execution],
    )
    return rows[0]


@pytest.mark.parametrize("kind", ["execution_id", "task_id", "trace_id", "span_id", "response_id"])
def test_the_kind_of_an_id_is_guessed(
    run_cli: Run, store: Path, target: dict[str, str], kind: str
) -> None:
    """Whichever id of an execution is given, the feedback is resolved to that execution."""
    answer = said(run_cli, target[kind], "--accepted", "--rating", "4")

    assert answer["resolved_to"] == target["execution_id"]
    assert columns(store, target["execution_id"]) == (True, 4.0, 1)
    (row,) = LearningDatabase(store).sql(
        "SELECT target_kind FROM feedback WHERE feedback_id = ?", [answer["feedback_id"]]
    )
    assert row == (kind,)


def test_feedback_may_come_before_its_execution(run_cli: Run, store: Path) -> None:
    """An unknown id is a task id: kept, and resolved to nothing yet."""
    answer = said(run_cli, "not-yet", "--rejected", "--comment", "wrong file")

    assert answer["resolved_to"] is None
    assert LearningDatabase(store).sql(
        "SELECT target_kind, comment FROM feedback WHERE target_id = 'not-yet'"
    ) == [("task_id", "wrong file")]


@pytest.mark.parametrize("by", ["target", "feedback_id"])
def test_what_was_said_can_be_taken_back(
    run_cli: Run, store: Path, target: dict[str, str], by: str
) -> None:
    """`--revoke` takes back the last word about an id, or the one with that feedback id."""
    answer = said(run_cli, target["task_id"], "--rejected")
    named = answer["feedback_id"] if by == "feedback_id" else target["task_id"]

    revoked = said(run_cli, named, "--revoke")

    assert revoked == answer
    assert columns(store, target["execution_id"]) == (None, None, 0)


def test_only_the_last_word_is_taken_back(
    run_cli: Run, store: Path, target: dict[str, str]
) -> None:
    """What was said before the revoked word stands again."""
    said(run_cli, target["task_id"], "--rating", "2")
    said(run_cli, target["task_id"], "--rating", "5")

    said(run_cli, target["task_id"], "--revoke")

    assert columns(store, target["execution_id"]) == (None, 2.0, 1)


def test_nothing_to_take_back_is_an_error(run_cli: Run, store: Path) -> None:
    """`--revoke` about an id of which nothing was said fails and names it."""
    done = run_cli("feedback", "nobody", "--revoke")

    assert done.returncode == 2
    assert "nobody" in done.stderr


def test_revoke_and_saying_exclude_each_other(run_cli: Run, store: Path) -> None:
    """One command takes back or says, not both."""
    assert run_cli("feedback", "x", "--revoke", "--accepted").returncode == 2


def test_a_span_without_its_trace_is_asked_for(run_cli: Run, store: Path) -> None:
    """A span that no attempt has cannot be found without its trace, and the message says so."""
    done = run_cli("feedback", "0123456789abcdef", "--accepted")

    assert done.returncode == 2
    assert "TRACE_ID:SPAN_ID" in done.stderr


def test_a_comment_is_refused_where_texts_are_not_kept(run_cli: Run, store: Path) -> None:
    """With CONTENT=none a comment is not stored, and the command says so instead of dropping it."""
    done = run_cli(
        "feedback", "x", "--accepted", "--comment", "long story",
        env={"OTEL_EXPORTER_LEARNING_CONTENT": "none"},
    )  # fmt: skip

    assert done.returncode == 2
    assert "CONTENT" in done.stderr
    assert LearningDatabase(store).sql("SELECT count(*) FROM feedback WHERE comment IS NOT NULL")[
        0
    ] == (0,)
