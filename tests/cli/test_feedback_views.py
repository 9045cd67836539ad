"""`feedback`: what was said can be seen, by whom it may, and how much its source is worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from otel_learning import FeedbackRecord, LearningDatabase, LearningSpanExporter
from tests.command_line import Run
from tests.durability import harness


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Three tasks and something said about two of them, and about one that is not there."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    exporter.export(harness.tasks("t", 0, 3))
    assert exporter.force_flush()
    exporter.shutdown()
    return path


def _answer(run: Run, *arguments: str) -> Any:
    done = run("feedback", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_was_said_is_shown_to_whom_it_may(store: Path, run_cli: Run, tmp_path: Path) -> None:
    """History has all; an export only what its readers may see, and names no task or person."""
    db = ("--db", str(store))
    _answer(run_cli, "t-0", "--rating", "2", "--issue", "too_slow", "--visibility", "team",
            "--source", "person", *db)  # fmt: skip
    _answer(run_cli, "t-0", "--accepted", "--visibility", "public", *db)
    private = _answer(run_cli, "t-1", "--rejected", "--comment", "no", *db)
    gone = _answer(run_cli, "t-2", "--accepted", *db)
    _answer(run_cli, str(gone["feedback_id"]), "--revoke", *db)

    history = _answer(run_cli, "--history", *db)
    assert [one["revoked"] for one in history] == [True, False, False, False]
    assert {one["visibility"] for one in history} == {"private", "team", "public"}
    about = _answer(run_cli, "t-1", "--history", *db)
    assert [one["feedback_id"] for one in about] == [private["feedback_id"]]
    assert "too_slow" in run_cli("feedback", "--history", *db).stdout

    counts = {}
    for shown in ("public", "team", "private"):
        file = tmp_path / f"{shown}.jsonl"
        answer = _answer(run_cli, "--export", str(file), "--visibility", shown, *db)
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        assert answer["feedback"] == len(lines)
        assert file.stat().st_mode & 0o077 == 0
        counts[shown] = len(lines)
        assert all(("target_id" in line) == (shown == "private") for line in lines)
    assert counts == {"public": 1, "team": 2, "private": 3}
    default = _answer(run_cli, "--export", str(tmp_path / "default.jsonl"), *db)
    assert default == {**default, "feedback": 1, "visibility": "public"}
    with LearningDatabase(store) as database:
        assert len(database.feedback(visibility="team")) == 2
        [execution] = database.executions(task_id="t-1")
        [said] = database.feedback(execution_id=execution.execution_id)
        assert said.comment == "no" and said.target_id == "t-1"


def test_orphans_say_why(store: Path, run_cli: Run) -> None:
    """A task that is not there is named; one that comes later is found."""
    db = ("--db", str(store))
    answer = _answer(run_cli, "later", "--accepted", *db)
    assert answer["resolved_to"] is None
    [orphan] = _answer(run_cli, "--orphans", *db)
    assert orphan["target_id"] == "later" and orphan["reason"] == "no execution has this task_id"
    exporter = LearningSpanExporter(path=store)
    exporter.export(harness.task("later"))
    assert exporter.force_flush()
    exporter.shutdown()
    assert _answer(run_cli, "--orphans", *db) == []


def test_sources_are_weighed(store: Path, run_cli: Run) -> None:
    """One that agrees with outcomes counts more than one that says the contrary."""
    with LearningDatabase(store) as database:
        for number in range(3):
            for source, accepted in (("test", True), ("grump", False)):
                database.record_feedback(
                    FeedbackRecord(target_id=f"t-{number}", accepted=accepted, source=source)
                )
        outcomes = [e.success for e in database.executions()]
    assert outcomes == [True] * 3
    found = {one["source"]: one for one in _answer(run_cli, "--sources", "--db", str(store))}
    assert found["test"]["agreement"] == 1.0 and found["grump"]["agreement"] == 0.0
    assert found["test"]["weight"] > 1 > found["grump"]["weight"]
    assert "100%" in run_cli("feedback", "--sources", "--db", str(store)).stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("x", "--history", "--accepted"), "--history"),
        (("--orphans", "--sources"), "--orphans and --sources"),
        (("x", "--accepted", "--issue", "ugly"), "ugly"),
        (("x", "--accepted", "--visibility", "all"), "all"),
        ((), "there is no ID"),
    ],
)
def test_what_cannot_be_understood(
    store: Path, run_cli: Run, arguments: tuple[str, ...], named: str
) -> None:
    done = run_cli("feedback", *arguments, "--db", str(store))
    assert done.returncode == 2
    assert named in done.stderr
