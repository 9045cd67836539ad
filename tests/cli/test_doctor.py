"""`doctor`: fine is 0, anything wrong is named and not 0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from otel_learning import LearningDatabase
from tests.cli.test_import import task_line
from tests.command_line import Run, copy_store

WIRED = {"OTEL_TRACES_EXPORTER": "otlp,learning", "OTEL_LOGS_EXPORTER": "learning"}


def examined(
    run_cli: Run, *arguments: str, env: dict[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    done = run_cli("doctor", "--json", *arguments, env=env)
    assert "Traceback" not in done.stderr
    return done.returncode, {check["check"]: check for check in json.loads(done.stdout)}


def test_a_wired_store_is_fine(run_cli: Run, demo_store: Path) -> None:
    """Switched on, with spans that arrive: every check is ok and the exit code 0."""
    code, checks = examined(run_cli, "--db", str(demo_store), env=WIRED)

    assert code == 0
    assert all(check["ok"] for check in checks.values())
    assert set(checks["store"]) == {"check", "ok", "detail", "hint"}
    assert str(demo_store) in checks["store"]["detail"]
    assert "90 executions" in checks["spans arrive"]["detail"]
    assert "by profile plain" in checks["producers"]["detail"]


def test_each_setting_says_where_it_came_from(
    run_cli: Run, demo_store: Path, tmp_path: Path
) -> None:
    """Variable, profile file, option and default are told apart."""
    (tmp_path / "mine.toml").write_text("[settings]\nsettle_after = 60\n")
    env = {
        "OTEL_EXPORTER_LEARNING_PROFILE": "mine.toml",
        "OTEL_EXPORTER_LEARNING_CONTENT": "none",
    }

    _, checks = examined(run_cli, "--db", str(demo_store), env=env)

    detail = checks["settings"]["detail"]
    assert "(--db)" in detail
    assert "content=none (OTEL_EXPORTER_LEARNING_CONTENT)" in detail
    assert "settle_after=60.0 (mine.toml)" in detail
    assert "mode=observe (default)" in detail


def test_a_misspelt_variable_is_wrong(run_cli: Run, demo_store: Path) -> None:
    """An unknown or malformed setting is named and ends with 1."""
    env = {"OTEL_EXPORTER_LEARNING_PAHT": "x", "OTEL_EXPORTER_LEARNING_DRAIN": "maybe"}

    code, checks = examined(run_cli, "--db", str(demo_store), env=env)

    assert code == 1
    assert "OTEL_EXPORTER_LEARNING_PAHT" in checks["settings"]["detail"]
    assert "maybe" in checks["settings"]["detail"]


def test_telemetry_that_is_off_is_wrong(run_cli: Run, demo_store: Path) -> None:
    """OTEL_SDK_DISABLED switches everything off, whatever else is set."""
    code, checks = examined(
        run_cli, "--db", str(demo_store), env={**WIRED, "OTEL_SDK_DISABLED": "true"}
    )

    assert code == 1
    assert not checks["switched on"]["ok"]


def test_nothing_switched_on_and_nothing_there(run_cli: Run, tmp_path: Path) -> None:
    """An empty store and no variable: wrong, with the variable to set as the hint."""
    LearningDatabase(tmp_path / "learning.duckdb")

    code, checks = examined(run_cli)

    assert code == 1
    assert "OTEL_TRACES_EXPORTER=learning" in checks["switched on"]["hint"]
    assert not checks["spans arrive"]["ok"]


def test_a_configuration_file_is_read_instead_of_variables(run_cli: Run, tmp_path: Path) -> None:
    """With OTEL_CONFIG_FILE it is the file that has to name the exporter."""
    LearningDatabase(tmp_path / "learning.duckdb")
    (tmp_path / "with.yaml").write_text("exporter: {learning: {}}")
    (tmp_path / "without.yaml").write_text("exporter: {console: {}}")

    _, named = examined(run_cli, env={"OTEL_CONFIG_FILE": "with.yaml"})
    _, unnamed = examined(run_cli, env={**WIRED, "OTEL_CONFIG_FILE": "without.yaml"})

    assert named["switched on"]["ok"]
    assert not unnamed["switched on"]["ok"]


def test_what_nobody_told_comes_with_a_hint(run_cli: Run, tmp_path: Path) -> None:
    """A column that no execution has is a hint, not an error."""
    (tmp_path / "s.jsonl").write_text(task_line())
    run_cli("import", "s.jsonl")

    code, checks = examined(run_cli)

    assert code == 0
    assert "task_id 100%" in checks["mapped"]["detail"]
    assert "learning.route.model_tier" in checks["mapped"]["hint"]


def test_losses_and_broken_segments_are_wrong(
    run_cli: Run, demo_store: Path, tmp_path: Path
) -> None:
    """A segment cut short was set aside and counted; doctor names both and ends with 1."""
    store = copy_store(demo_store, tmp_path / "learning.duckdb")
    spool = store.with_name("learning.duckdb.spool")
    spool.mkdir(exist_ok=True)
    name = "v1-00000001760000000000-1-0-00000000.json"
    (spool / name).write_bytes(b"cut")
    run_cli("status")

    code, checks = examined(run_cli)

    assert code == 1
    assert "broken" in checks["spool"]["detail"]
    assert "1 broken segment" in checks["losses"]["detail"]
