"""The commands `recommend` and `stats`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.command_line import Run

FIELDS = {
    "choice", "basis", "candidates", "frontier", "propensities", "reasons", "snapshot_age_seconds",
}  # fmt: skip
CANDIDATE = {
    "arm", "success_rate", "success_low", "success_high", "expected_cost", "cost_low", "cost_high",
    "expected_duration_seconds", "support", "effective_support", "outcomes_known", "dominated",
}  # fmt: skip


def test_recommend_prints_the_contract(run_cli: Run, demo_store: Path) -> None:
    """The fields of the Python answer are the keys of the JSON one."""
    done = run_cli(
        "recommend", "--task-type", "bug_fix", "--cost-weight", "0.1", "--json", "--db",
        str(demo_store),
    )  # fmt: skip
    found = json.loads(done.stdout)

    assert done.returncode == 0, done.stderr
    assert set(found) >= FIELDS
    assert all(set(candidate) >= CANDIDATE for candidate in found["candidates"])
    assert found["choice"] in {candidate["arm"] for candidate in found["candidates"]}
    assert abs(sum(found["propensities"].values()) - 1) < 1e-9


def test_recommend_speaks_plainly(run_cli: Run, demo_store: Path) -> None:
    """Without --json, sentences."""
    done = run_cli("recommend", "--candidate", "fast", "--candidate", "premium",
                   "--db", str(demo_store))  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "is recommended; the evidence is" in done.stdout
    assert "balanced" not in done.stdout


def test_stats_shows_each_arm(run_cli: Run, demo_store: Path) -> None:
    """A table for people, and for programs the same with estimates from propensities."""
    shown = run_cli("stats", "--db", str(demo_store))
    told = json.loads(run_cli("stats", "--json", "--db", str(demo_store)).stdout)

    assert shown.returncode == 0, shown.stderr
    for arm in ("fast", "balanced", "premium"):
        assert arm in shown.stdout
        assert {"ips", "snips", "dr", "overlap"} <= set(told["off_policy"][arm])
    assert told["basis"] == "randomised"
    assert {arm["arm"] for arm in told["arms"]} == {"fast", "balanced", "premium"}


def test_mistakes_are_named(run_cli: Run, demo_store: Path, tmp_path: Path) -> None:
    """A column that is none is a wrong argument; a store that is missing is no advice."""
    wrong = run_cli("recommend", "--by", "colour", "--db", str(demo_store))
    missing = run_cli("recommend", "--db", str(tmp_path / "none.duckdb"))

    assert wrong.returncode == 2 and "colour" in wrong.stderr
    assert missing.returncode == 3 and "none.duckdb" in missing.stderr
    assert not (tmp_path / "none.duckdb").exists()
