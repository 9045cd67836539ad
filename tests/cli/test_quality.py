"""`quality REPO`: the form that is promised, and its use as a gate."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.command_line import Run
from tests.learning.planted import DAY_NS, export
from tests.learning.test_quality import tasks


@pytest.fixture
def repos(tmp_path: Path) -> None:
    """A good repository and a failing one."""
    start, step = time.time_ns() - 60 * DAY_NS, 60 * DAY_NS // 200
    path = tmp_path / "learning.duckdb"
    export(path, tasks(200, 1.0), start_ns=start, step_ns=step)
    bad = tasks(100, 0.3, **{"learning.task.repo": "acme/bad"})
    export(path, bad, start_ns=start, step_ns=step)


@pytest.mark.usefixtures("repos")
def test_a_gate_for_ci(run_cli: Run) -> None:
    """Without --gate it is exit 0 whatever it says; with it, 1 where the gate is not met."""
    good = json.loads(run_cli("quality", "acme/api", "--json").stdout)
    bad = run_cli("quality", "acme/bad", "--json")
    keys = {"repo", "maturity", "score", "coverage_required", "strictness", "reasons"}
    assert keys <= set(good) and bad.returncode == 0
    assert good["coverage_required"] < json.loads(bad.stdout)["coverage_required"]

    assert run_cli("quality", "acme/api", "--gate").returncode == 0
    refused = run_cli("quality", "acme/bad", "--gate", "--json")
    assert refused.returncode == 1 and json.loads(refused.stdout)["gate_met"] is False
    assert "failing" in refused.stderr and refused.stderr.count("\n") == 1
    assert run_cli("quality", "acme/api", "--gate", "--coverage", "30").returncode == 1
    assert run_cli("quality", "acme/new", "--gate").returncode == 1
    assert run_cli("quality", "acme/new", "--gate", "--coverage", "85").returncode == 0


@pytest.mark.usefixtures("repos")
def test_what_was_asked_for_is_stored_on_request(run_cli: Run) -> None:
    """`--save` writes a row; looking alone writes none."""
    rows = "SELECT repo, project_maturity, coverage_threshold FROM quality_policies"
    run_cli("quality", "acme/api")
    assert json.loads(run_cli("query", rows, "--json").stdout) == []

    run_cli("quality", "acme/api", "--save")

    [row] = json.loads(run_cli("query", rows, "--json").stdout)
    assert row == {"repo": "acme/api", "project_maturity": "stable", "coverage_threshold": 60.0}
    assert "streamlined" in run_cli("quality", "acme/api").stdout


def test_without_a_store_there_is_no_record(run_cli: Run, tmp_path: Path) -> None:
    """Exit 3, and nothing is created."""
    assert run_cli("quality", "r").returncode == 3
    assert list(tmp_path.iterdir()) == []
