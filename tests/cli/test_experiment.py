"""`experiment ...`: the forms that are promised, and how it ends."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from otel_learning import LearningDatabase
from tests.command_line import Run
from tests.learning.planted import DAY_NS, export, labelled


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An empty store where the commands look for it."""
    with LearningDatabase(tmp_path / "learning.duckdb"):
        return tmp_path / "learning.duckdb"


def answer(run_cli: Run, *arguments: str) -> Any:
    done = run_cli("experiment", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_from_the_plan_to_the_decision(run_cli: Run, path: Path) -> None:
    """Create, assign, show, decide, list: each with the keys that are promised."""
    made = answer(
        run_cli, "create", "tiers", "--variants", "A,B", "--metric", "success", "--unit",
        "task_id", "--by", "model_tier", "--arms", "small,large", "--guardrail", "actual_cost=2",
        "--weights", "1,1", "--note", "a try",
    )  # fmt: skip
    assert (made["name"], made["state"], made["alpha"]) == ("tiers", "running", 0.05)
    assert made["plan"]["reason"] == "no_history"
    given = {answer(run_cli, "assign", "tiers", "--unit-id", "task-17")["variant"] for _ in "12"}
    assert len(given) == 1 and given <= {"A", "B"}

    before = answer(run_cli, "show", "tiers")
    export(path, labelled("tiers", {"A": 0.5, "B": 0.9}, 240))
    found = answer(run_cli, "show", "tiers")

    assert (before["state"], before["decision"]) == ("running", None)
    assert [one["support"] for one in before["variants"]] == [0, 0]
    assert (found["state"], found["decision"]) == ("running", "B")
    assert {"variant", "support", "mean", "low", "high"} <= set(found["variants"][0])
    assert [one["support"] for one in found["variants"]] == [120, 120]
    past = answer(run_cli, "show", "tiers", "--as-of", "2020-01-01")
    assert past["decision"] is None and past["variants"][0]["support"] == 0

    table = run_cli("experiment", "show", "tiers")
    assert table.returncode == 0 and "better_than_every_other" in table.stdout
    assert answer(run_cli, "decide", "tiers")["decision"] == "B"
    assert [(e["name"], e["state"], e["decision"]) for e in answer(run_cli, "list")] == [
        ("tiers", "decided", "B")
    ]


def test_stopping(run_cli: Run, path: Path) -> None:
    """A variant goes, then all of it; each time the state is said."""
    answer(run_cli, "create", "three", "--variants", "A,B,C")

    assert answer(run_cli, "stop", "three", "--variant", "C", "--note", "dear")["dropped"] == ["C"]
    assert answer(run_cli, "stop", "three")["state"] == "stopped"
    assert "stopped" in run_cli("experiment", "list").stdout


def test_a_dry_run_stores_nothing(run_cli: Run, path: Path) -> None:
    """The plan is shown, and there is no experiment."""
    export(path, labelled("before", {"x": 0.6}, 50), start_ns=time.time_ns() - DAY_NS)

    done = run_cli("experiment", "create", "e", "--variants", "A,B", "--dry-run")

    assert done.returncode == 0 and "sequential_support" in done.stdout
    assert answer(run_cli, "list") == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("create", "e", "--variants", "A"), "1 variants"),
        (("create", "e", "--variants", "A,B", "--guardrail", "x=y"), "x=y"),
        (("create", "e", "--variants", "A,B", "--weights", "1,x"), "1,x"),
        (("show", "nobody"), "nobody"),
        (("assign", "nobody", "--unit-id", "1"), "nobody"),
        (("decide", "nobody"), "nobody"),
        (("show", "nobody", "--as-of", "yesterday"), "yesterday"),
    ],
)
def test_what_is_wrong_is_named(
    run_cli: Run, path: Path, arguments: tuple[str, ...], named: str
) -> None:
    """Exit 2, one line that names the value."""
    done = run_cli("experiment", *arguments)

    assert done.returncode == 2
    assert named in done.stderr and done.stderr.count("\n") == 1


def test_without_a_store_there_is_no_experiment(run_cli: Run, tmp_path: Path) -> None:
    """Exit 3, and nothing is created."""
    assert run_cli("experiment", "create", "e", "--variants", "A,B").returncode == 3
    assert list(tmp_path.iterdir()) == []
