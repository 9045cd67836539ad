"""The demo: an orchestrator that knows nothing of the exporter, switched on by variables alone."""

from __future__ import annotations

import ast
import json
import time
from importlib import resources
from pathlib import Path

from otel_learning import LearningDatabase
from tests.command_line import Run


def test_the_orchestrator_knows_nothing_of_the_exporter() -> None:
    """It imports OpenTelemetry's API and the standard library: no SDK, nothing of ours."""
    source = (resources.files("otel_learning.cli.demo") / "orchestrator.py").read_text()
    imported = {
        node.module or ""
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
    }

    assert not [name for name in imported if name.startswith("otel_learning")]
    assert not [name for name in imported if name.startswith("opentelemetry.sdk")]


def test_the_demo_ends_in_time_and_shows_its_records(run_cli: Run, tmp_path: Path) -> None:
    """It ends within 30 s, offline, and its JSON has records, tiers and a fallback's attempts."""
    started = time.monotonic()

    done = run_cli("demo", "--db", "d.duckdb", "--json", env={"no_proxy": "*", "HTTPS_PROXY": ""})

    shown = json.loads(done.stdout)
    assert done.returncode == 0
    assert time.monotonic() - started < 30
    assert shown["path"] == str(tmp_path / "d.duckdb")
    assert len(shown["last_executions"]) == 10
    assert {tier["model_tier"] for tier in shown["tiers"]} == {"fast", "balanced", "premium"}
    assert [a["success"] for a in shown["fallback"]["attempts"] if a["role"] == "work"][-1] is True
    assert "fallback" in {a["reason"] for a in shown["fallback"]["attempts"]}
    assert len(shown["next"]) == 4
    assert shown["advice"]["basis"] == "randomised"
    assert {c["arm"] for c in shown["advice"]["candidates"]} == {"fast", "balanced", "premium"}


def test_the_demo_s_text_ends_with_how_to_go_on(run_cli: Run) -> None:
    """The last three lines are commands that work on the store it made."""
    done = run_cli("demo", "--db", "d.duckdb")

    following = done.stdout.rstrip().splitlines()[-3:]
    assert all(line.strip().startswith("otel-learning ") for line in following)


def test_the_demo_s_records_are_whole(demo_store: Path) -> None:
    """What the orchestrator knew of its tasks is in the records: outcome, route, cost, feedback."""
    database = LearningDatabase(demo_store, create=False)
    (row,) = database.sql(
        "SELECT count(*), bool_and(complete), bool_and(settled), avg((task_id IS NULL)::INT), "
        "avg((model_tier IS NULL)::INT), avg((success IS NULL)::INT), "
        "avg((actual_cost IS NULL)::INT), avg((propensity IS NULL)::INT), sum(feedback_count), "
        "count(DISTINCT success), bool_or(fallback_used), sum(router_cost), "
        "string_agg(DISTINCT environment) FROM executions"
    )

    count, complete, settled, *nulls, feedback, outcomes, fallback, router, environment = row
    assert count == 90
    assert complete and settled
    assert nulls == [0, 0, 0, 0, 0]
    assert feedback > 10
    assert outcomes == 2
    assert fallback
    assert router > 0
    assert environment == "demo"


def test_a_second_demo_adds_its_own_tasks(run_cli: Run) -> None:
    """Task ids differ from run to run, so a second demo adds executions and changes none."""
    run_cli("demo", "--db", "d.duckdb")
    time.sleep(1.1)
    run_cli("demo", "--db", "d.duckdb")

    (row,) = json.loads(
        run_cli("query", "SELECT count(*) AS n, max(run) AS run FROM executions",
                "--db", "d.duckdb", "--json").stdout
    )  # fmt: skip
    assert row == {"n": 180, "run": 1}
