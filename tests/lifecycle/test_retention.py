"""Growth, forecast and retention: said, and nothing done by itself."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import pytest

from otel_learning import LearningSpanExporter
from otel_learning.store import lease
from tests.command_line import cli_in
from tests.durability import harness
from tests.lifecycle import stores

PREFIX = "OTEL_EXPORTER_LEARNING_"


def test_growth_is_that_of_the_last_week(tmp_path: Path) -> None:
    """Executions recorded in the last seven days, by day; bytes as an execution takes them."""
    path = tmp_path / "learning.duckdb"
    stores.fill(path, "t", 40)
    with lease.exclusive(path, 5), lease.connection(path, 5) as con:
        con.execute("UPDATE settled_executions SET recorded_at = now() - INTERVAL 20 DAY "
                    "WHERE task_id IN ('t-0', 't-1', 't-2', 't-3', 't-4')")  # fmt: skip

    found = stores.answer(tmp_path, "status", "--db", str(path))

    assert found["growth_executions_per_day"] == 5
    assert found["growth_bytes_per_day"] == round(found["size_bytes"] / 40 * 5)
    grown = found["forecast_bytes_30_days"] - 30 * found["growth_bytes_per_day"]
    assert found["size_bytes"] < grown < found["size_bytes"] + 100_000
    assert found["beyond_retention"] == 0
    assert found["warnings"] == []


def test_a_young_store_is_not_extrapolated_from_minutes(tmp_path: Path) -> None:
    """Everything of the first day counts as one day's."""
    path = tmp_path / "learning.duckdb"
    stores.fill(path, "t", 40)

    assert stores.answer(tmp_path, "status", "--db", str(path))["growth_executions_per_day"] == 40


def test_warnings(tmp_path: Path) -> None:
    """Too large, soon too large, too old: each is said by status and doctor; nothing is deleted."""
    path = tmp_path / "learning.duckdb"
    stores.fill(path, "t", 40)
    run = cli_in(tmp_path)
    for variables, words in (
        ({"RETENTION_BYTES": "1000"}, "over 1000 B"),
        ({"RETENTION_BYTES": str(10 * path.stat().st_size)}, "in 30 days"),
        ({"RETENTION_DAYS": "3"}, "40 executions are older than 3 days"),
    ):
        env = {PREFIX + name: value for name, value in variables.items()}
        text = run("status", "--db", str(path), env=env)
        assert text.returncode == 0 and words in text.stderr and "warning:" in text.stderr
        done = json.loads(run("status", "--json", "--db", str(path), env=env).stdout)
        assert any(words in warning for warning in done["warnings"])
        checks = json.loads(run("doctor", "--json", "--db", str(path), env=env).stdout)
        [check] = [c for c in checks if c["check"] == "size"]
        assert check["ok"] and words in check["hint"]
    assert len(harness.stored_tasks(path)) == 40


def test_an_application_says_it_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With RETENTION_DAYS its log says once how many are beyond it; off, it says nothing."""
    path = tmp_path / "learning.duckdb"
    stores.fill(path, "t", 3)
    assert caplog.text == ""
    exporter = LearningSpanExporter(path=path, retention_days=30)
    with caplog.at_level(logging.WARNING):
        for name in ("a", "b"):
            exporter.export(harness.task(name, start_ns=time.time_ns()))
            assert exporter.force_flush()
    exporter.shutdown()
    assert caplog.text.count("3 executions are older than RETENTION_DAYS") == 1
    assert len(harness.stored_tasks(path)) == 5
