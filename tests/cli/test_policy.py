"""The commands `policy ...`, as people and programs run them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from otel_learning.policy_reader import PolicyReader
from tests.command_line import Run
from tests.learning.policy_world import Router

ACT = {"OTEL_EXPORTER_LEARNING_MODE": "act"}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store in which bugs do better in the large tier, seen a moment ago."""
    router = Router(tmp_path / "learning.duckdb")
    router.run(600)
    return router.store


def asked(run_cli: Run, *arguments: str, env: dict[str, str] | None = None) -> Any:
    done = run_cli("policy", *arguments, "--json", env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_from_proposal_to_rollback(run_cli: Run, store: Path) -> None:
    """Every step with the keys that programs read, and the file as routers read it."""
    proposed = asked(run_cli, "propose")
    assert proposed["policy_version"] == "1"
    (change,) = proposed["changes"]
    assert set(change) >= {"context", "from", "to", "effect", "low", "high", "cost_effect"}
    assert change["context"] == {"task_type": "bug_fix"}
    assert (change["from"], change["to"]) == ("small", "large")
    assert all(set(gate) == {"gate", "passed", "why"} for gate in proposed["gates"])
    assert asked(run_cli, "diff", "1")["changes"] == proposed["changes"]

    asked(run_cli, "shadow")
    status = asked(run_cli, "status")
    assert set(status) >= {"mode", "active", "shadow", "history"}
    assert (status["mode"], status["active"]) == ("observe", None)
    assert status["shadow"]["policy_version"] == "1"

    refused = run_cli("policy", "apply")
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    file = Path(f"{store}.policy.json")
    assert not file.exists()
    applied = asked(run_cli, "apply", "--yes")
    assert Path(applied["file"]).samefile(file)
    drawn = PolicyReader(store, draw=lambda: 0.0).choose({"task_type": "bug_fix"})
    assert (drawn.reason, drawn.policy_version) == ("policy", "1")

    assert asked(run_cli, "rollback", "--why", "a test")["restores"] is None
    assert not file.exists()
    history = asked(run_cli, "status")["history"]
    assert [(e["event"], e["why"]) for e in history][-1] == ("rolled_back", "a test")
    assert [e["event"] for e in history] == ["proposed", "shadowed", "applied", "rolled_back"]


def test_tables_for_people(run_cli: Run, store: Path) -> None:
    """The same without --json: changes, gates, states."""
    said = run_cli("policy", "propose")
    assert said.returncode == 0, said.stderr
    assert "task_type bug_fix" in said.stdout
    assert "rolling_holdout" in said.stdout
    assert run_cli("policy", "apply", "--yes").returncode == 0
    status = run_cli("policy", "status").stdout
    assert "policy 1" in status
    assert "promise kept: success at least" in status


def test_with_mode_act_it_does_not_ask(run_cli: Run, store: Path) -> None:
    """Every gate passed, and MODE=act: applied at once; and `watch` keeps it."""
    asked(run_cli, "propose")
    assert asked(run_cli, "apply", env=ACT)["mode"] == "act"
    assert asked(run_cli, "watch", "--once", env=ACT) == []


def test_watch_acts_only_where_mode_says_so(run_cli: Run, store: Path) -> None:
    """`observe` nothing, `advise` a proposal, `act` a policy in force."""
    assert asked(run_cli, "watch", "--once") == []
    assert asked(run_cli, "status")["history"] == []

    advise = {"OTEL_EXPORTER_LEARNING_MODE": "advise"}
    assert [r["event"] for r in asked(run_cli, "watch", "--once", env=advise)] == ["proposed"]
    assert asked(run_cli, "status")["active"] is None

    asked(run_cli, "rollback")
    assert asked(run_cli, "watch", "--once", env=ACT) == []  # it was taken back: not unasked


def test_with_mode_act_a_failed_gate_still_asks(run_cli: Run, store: Path) -> None:
    """The machine is bound; a person with --yes is not."""
    asked(run_cli, "propose")
    asked(run_cli, "apply", "--yes")
    asked(run_cli, "propose", "--cost-weight", "0.04")

    refused = run_cli("policy", "apply", env=ACT)
    assert refused.returncode == 1
    assert "does not pass" in refused.stderr

    overruled = asked(run_cli, "apply", "--yes", env=ACT)["overruled"]
    assert {"cool_down"} <= {gate["gate"] for gate in overruled}


def test_an_empty_store_proposes_nothing(run_cli: Run, tmp_path: Path) -> None:
    """No evidence is an answer, not an error."""
    from otel_learning import LearningDatabase

    LearningDatabase(tmp_path / "learning.duckdb").close()

    found = asked(run_cli, "propose")

    assert (found["policy_version"], found["changes"]) == (None, [])
    assert found["gates"][0]["passed"] is False
    assert asked(run_cli, "status") | {"file": None} == {
        "mode": "observe", "active": None, "shadow": None, "history": [], "file": None,
        "switched_off": False,
    }  # fmt: skip
    assert run_cli("policy", "apply", "--yes").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["propose", "--by", "colour"], "colour"),
        (["propose", "--context", "mood"], "mood"),
        (["propose", "--context", "complexity_score,file_count"], "two numbers"),
        (["propose", "--cost-weight", "-1"], "--cost-weight"),
        (["apply", "77", "--yes"], "77"),
        (["diff"], "no policy yet"),
    ],
)
def test_what_is_wrong_is_named(run_cli: Run, store: Path, arguments: list[str], said: str) -> None:
    done = run_cli("policy", *arguments)

    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_no_store_is_exit_3(run_cli: Run, tmp_path: Path) -> None:
    """And nothing is created."""
    for command in ("propose", "status", "apply", "rollback", "shadow", "diff"):
        assert run_cli("policy", command).returncode == 3
    assert list(tmp_path.iterdir()) == []


def test_the_kill_switch_is_said(run_cli: Run, store: Path) -> None:
    """`status` shows it, `apply` warns of it."""
    asked(run_cli, "propose")
    Path(f"{store}.policy.off").touch()

    done = run_cli("policy", "apply", "--yes", "--json")

    assert "kill switch" in done.stderr
    assert asked(run_cli, "status")["switched_off"] is True
    assert PolicyReader(store).choose({"task_type": "bug_fix"}, default="x").reason == "off"


def test_thresholds_of_complexity(run_cli: Run, tmp_path: Path) -> None:
    """A context that is a number gives bands, one after the other, from a threshold on."""
    import random
    from datetime import timedelta

    from tests.learning.building import execution, store_with
    from tests.learning.policy_world import BEGIN

    draw = random.Random(4)
    rows = []
    for number in range(1500):
        complexity = draw.randrange(100)
        small = draw.random() < 0.7
        rate = (0.95 if complexity < 50 else 0.4) if small else 0.95
        rows.append(execution(
            number, task_type="any", model_tier="small" if small else "large",
            complexity_score=float(complexity), propensity=0.7 if small else 0.3,
            success=draw.random() < rate, actual_cost=0.001 if small else 0.01,
            started_at=BEGIN + timedelta(minutes=number),
        ))  # fmt: skip
    store_with(tmp_path / "learning.duckdb", rows)

    found = asked(run_cli, "propose", "--context", "complexity_score")

    rules = found["policy"]["rules"]
    bands = [rule["when"]["complexity_score"] for rule in rules]
    assert {rule["arm"] for rule in rules} == {"large"}
    # The truth is 50; a band is a sixth of all tasks, and the threshold may be one band off.
    assert 30 <= bands[0][0] <= 55
    assert bands[-1][1] is None
    assert [band[1] for band in bands[:-1]] == [band[0] for band in bands[1:]]
    hard = [c for c in found["changes"] if c["context"]["complexity_score"][0] >= 50]
    assert hard and all(change["low"] > 0 for change in hard)
