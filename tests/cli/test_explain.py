"""`explain`: from key to fact, and from fact to column."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from otel_learning import LearningDatabase
from tests.cli.test_import import TRACE, corpus_lines, task_line
from tests.command_line import Run, copy_store


def explained(run_cli: Run, *arguments: str, **options: Any) -> dict[str, Any]:
    done = run_cli("explain", *arguments, "--json", **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_a_fact_comes_with_its_key_and_profile(run_cli: Run, tmp_path: Path) -> None:
    """Each fact of a span names the attribute key and the profile that it was read from."""
    attributes = [
        {"key": "task.id", "value": {"stringValue": "t-1"}},
        {"key": "acme.priority", "value": {"stringValue": "high"}},
    ]
    (tmp_path / "s.jsonl").write_text(task_line(attributes=attributes))

    (span,) = explained(run_cli, "s.jsonl")["spans"]

    assert span["role"] == "task"
    assert {"fact": "task_id", "value": "t-1", "key": "task.id", "profile": "plain"} in span[
        "facts"
    ]
    assert span["not_read"] == ["acme.priority"]


def test_a_profile_of_one_s_own_is_read_first(run_cli: Run, tmp_path: Path) -> None:
    """With `--profile` a key that nobody knew becomes a fact."""
    (tmp_path / "mine.toml").write_text('[fields]\nmodel_tier = ["acme.class"]\n')
    attributes = [
        {"key": "task.id", "value": {"stringValue": "t-1"}},
        {"key": "acme.class", "value": {"stringValue": "gold"}},
    ]
    (tmp_path / "s.jsonl").write_text(task_line(attributes=attributes))

    found = explained(run_cli, "s.jsonl", "--profile", "mine.toml")

    (execution,) = found["executions"]
    columns = {c["column"]: c for c in execution["columns"]}
    assert columns["model_tier"]["value"] == "gold"
    assert "acme.class" in columns["model_tier"]["from"]
    assert found["spans"][0]["not_read"] == []


def test_every_column_that_is_known_says_what_decided_it(run_cli: Run, tmp_path: Path) -> None:
    """No column stands without its evidence, and what is unknown is listed as that."""
    (tmp_path / "s.jsonl").write_text("\n".join(corpus_lines("litellm_openinference")))

    found = explained(run_cli, "s.jsonl")

    assert len(found["executions"]) == 36
    for execution in found["executions"]:
        columns = {c["column"]: c for c in execution["columns"]}
        assert all(c["from"] for c in columns.values())
        assert not set(columns) & set(execution["unknown"])
        assert columns["task_id"]["from"].startswith("span ")


def test_one_trace_of_a_file(run_cli: Run, tmp_path: Path) -> None:
    """`--trace-id` leaves the other traces out; one that is not there fails and is named."""
    (tmp_path / "s.jsonl").write_text(f"{task_line()}\n{task_line('t-2', traceId='ab' * 16)}\n")

    found = explained(run_cli, "s.jsonl", "--trace-id", TRACE)
    missing = run_cli("explain", "s.jsonl", "--trace-id", "cd" * 16)

    assert [span["trace_id"] for span in found["spans"]] == [TRACE]
    assert missing.returncode == 1 and "cd" * 16 in missing.stderr


def test_standard_input_is_explained(run_cli: Run) -> None:
    """`-` reads spans from standard input, and needs no store."""
    found = explained(run_cli, "-", stdin=task_line())

    assert found["executions"][0]["task_id"] == "t-1"


def test_a_stored_execution_is_explained_as_it_is_stored(run_cli: Run, demo_store: Path) -> None:
    """From the ledger the same values come out that the view shows, by task and by id."""
    (record, *_) = LearningDatabase(demo_store).executions(limit=1)
    db = ("--db", str(demo_store))

    by_task = explained(run_cli, "--task-id", str(record.task_id), *db)
    by_id = explained(run_cli, "--execution-id", str(record.execution_id), *db)

    (execution,) = by_task["executions"]
    assert by_id == by_task
    assert execution["execution_id"] == str(record.execution_id)
    for column in execution["columns"]:
        if column["column"] in ("started_at", "ended_at"):
            continue
        assert column["value"] == record.to_dict()[column["column"]], column


def test_an_execution_that_is_not_there_is_named(run_cli: Run, demo_store: Path) -> None:
    """An unknown task fails with its id in the message."""
    done = run_cli("explain", "--task-id", "nobody", "--db", str(demo_store))

    assert done.returncode == 1
    assert "nobody" in done.stderr


def test_the_text_shows_spans_columns_and_attempts(run_cli: Run, demo_store: Path) -> None:
    """Without `--json` people read the same: spans, a table of columns, a table of attempts."""
    (record, *_) = LearningDatabase(demo_store).executions(limit=1)

    done = run_cli("explain", "--task-id", str(record.task_id), "--db", str(demo_store))

    assert "decided by" in done.stdout
    assert "role call" in done.stdout
    assert "unknown: " in done.stdout


def test_what_has_left_the_ledger_is_said(run_cli: Run, demo_store: Path, tmp_path: Path) -> None:
    """The record stays when its observations are gone; `explain` fails and says why."""
    copy_store(demo_store, tmp_path / "learning.duckdb")
    for entry in (tmp_path / "learning.duckdb.ledger").iterdir():
        entry.unlink()
    (record, *_) = LearningDatabase(tmp_path / "learning.duckdb").executions(limit=1)

    done = run_cli("explain", "--task-id", str(record.task_id))

    assert done.returncode == 1
    assert "left the ledger" in done.stderr and "7 days" in done.stderr
