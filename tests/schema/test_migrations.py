"""The schema's steps: every released one is opened, taken up and back, and nothing is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from otel_learning import LearningDatabase, LearningSpanExporter
from otel_learning.errors import SchemaUpgradeError, SchemaVersionError, StoreError
from otel_learning.store import lease, migrating, schema
from tests.durability import harness
from tests.schema.make_store import DAYS, STORES, TASKS_PER_DAY
from tests.schema.test_rollups import assert_exact, roll_up_all

KEPT = sorted(STORES.glob("schema-*.tar.gz"))
TOLD = (
    "SELECT task_id, repo, model_tier, success, actual_cost, duration_seconds, started_at, "
    "feedback_count, user_rating, trace_ids FROM executions ORDER BY task_id"
)


def unpack(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / "learning.duckdb"


@pytest.fixture(params=KEPT, ids=lambda file: file.name.removesuffix(".tar.gz"))
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A store as an earlier release left it."""
    return unpack(request.param, tmp_path)


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A store of the first schema."""
    return unpack(STORES / "schema-1.tar.gz", tmp_path)


def version_of(path: Path) -> int:
    [(found,)] = harness.query(path, "SELECT max(version) FROM schema_migrations")
    return int(found)


def statement(path: Path, sql: str) -> None:
    with lease.exclusive(path, 10), lease.connection(path, 10) as con:
        con.execute(sql)


def wrong(path: Path) -> list[str]:
    return [check.check for check in migrating.check(path) if not check.passed]


def test_a_store_of_each_schema_is_kept() -> None:
    """Steps that were released are frozen by the stores that were written with them."""
    assert STORES / "schema-1.tar.gz" in KEPT
    for file in KEPT:
        assert int(file.name.removeprefix("schema-").split(".")[0]) >= 1


def test_an_old_store_is_opened(old: Path) -> None:
    """Reading brings it up: the same executions, sound, with exact rollups."""
    before = harness.query(old, TOLD)

    with LearningDatabase(old) as database:
        assert len(before) == DAYS * TASKS_PER_DAY
        assert database.sql(TOLD) == before
        assert [str(r.task_id) for r in database.executions(task_id="task-3")] == ["task-3"]
        assert_exact(database)
        roll_up_all(old)
        assert_exact(database)
    assert version_of(old) == schema.supported_version()
    assert wrong(old) == []


def test_an_exporter_takes_an_old_store_up(old: Path) -> None:
    """Spans of a new release go into it, and late ones join what an old release stored."""
    exporter = LearningSpanExporter(path=old)
    exporter.export(harness.task("new"))
    late = harness.span(7, 99, name="root", seconds=60)
    exporter.export([late])
    assert exporter.force_flush()
    exporter.shutdown()

    tasks = harness.stored_tasks(old)
    assert tasks["new"] == 1 and len(tasks) == DAYS * TASKS_PER_DAY + 1
    assert [c.check for c in migrating.check(old) if not c.passed] == []


def test_up_and_back(first: Path) -> None:
    """The way back to each schema and up again keeps all executions, and each step's shape."""
    told = harness.query(first, TOLD)
    shapes = {1: shape(first)}
    migrating.upgrade(first)
    shapes[schema.supported_version()] = shape(first)

    for version in range(schema.supported_version() - 1, 0, -1):
        migrating.downgrade(first, version)
        assert version_of(first) == version
        assert harness.query(first, TOLD) == told
        shapes.setdefault(version, shape(first))
    assert shape(first) == shapes[1]

    done = migrating.upgrade(first)
    assert shape(first) == shapes[schema.supported_version()]
    assert harness.query(first, TOLD) == told
    assert done.backup is not None and harness.query(done.backup, TOLD) == told
    assert version_of(done.backup) == 1
    assert wrong(first) == []


def shape(path: Path) -> list[tuple[Any, ...]]:
    return harness.query(
        path, "SELECT table_name, column_name, data_type FROM duckdb_columns() "
        "WHERE NOT internal ORDER BY ALL",
    )  # fmt: skip


def test_nothing_is_done_twice(first: Path) -> None:
    """Where no step waits, nothing happens, and no copy is made."""
    migrating.upgrade(first)

    done = migrating.upgrade(first)

    assert (done.steps, done.backup) == ([], None)


@pytest.mark.parametrize(
    ("way", "point"),
    [
        ("up", "migrate: kept"), ("up", "migrate: done"), ("down", "migrate: kept"),
        ("down", "migrate: done"), ("reset", "reset: kept"), ("reset", "reset: gone"),
    ],
)  # fmt: skip
def test_a_kill_loses_nothing(first: Path, way: str, point: str) -> None:
    """kill -9 at each step: the store, or its copy, holds every execution, and it goes on."""
    told = harness.query(first, TOLD)
    if way == "down":
        migrating.upgrade(first)
    program = Path(__file__).parent / "migrate_and_die.py"

    died = subprocess.run(
        [sys.executable, str(program), str(first), point, way],
        env=harness.environment(), check=False, timeout=60,
    )  # fmt: skip

    assert died.returncode == -signal.SIGKILL
    copies = [p for p in Path(f"{first}.backups").iterdir() if p.suffix == ".duckdb"]
    assert harness.query(copies[-1], TOLD) == told
    with LearningDatabase(first) as database:
        expected = [] if point == "reset: gone" else told
        assert database.sql(TOLD) == expected
    assert wrong(first) == []


def test_a_newer_store_is_refused(first: Path) -> None:
    """Nothing is changed in it, and the error names both versions."""
    statement(first, "INSERT INTO schema_migrations VALUES (99, 'future', 'x', now())")

    for call in (migrating.upgrade, migrating.check, lambda p: LearningDatabase(p).executions()):
        with pytest.raises(SchemaVersionError, match="99"):
            call(first)
    assert version_of(first) == 99


def test_a_changed_step_is_refused(first: Path) -> None:
    """A store whose step has another text was written by something else."""
    statement(first, "UPDATE schema_migrations SET checksum = 'other'")

    with pytest.raises(StoreError, match=r"migration 1 .* not the one of this release"):
        LearningDatabase(first).executions()


def test_a_long_step_waits_for_the_command(
    first: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A drain does not take it, says so, and keeps the spans; the command takes it."""
    monkeypatch.setattr(schema.Migration, "executions_on_drain", 5.0)
    exporter = LearningSpanExporter(path=first)
    exporter.export(harness.task("new"))

    assert exporter.force_flush(500) is False
    with pytest.raises(SchemaUpgradeError, match="schema version 2") as raised:
        LearningDatabase(first).executions()
    assert "migrate upgrade" in str(raised.value)
    assert version_of(first) == 1
    assert "otel-learning migrate upgrade" in caplog.text
    assert not any(step.on_drain for step in migrating.status(first))

    migrating.upgrade(first)
    assert exporter.force_flush() is True
    assert harness.stored_tasks(first)["new"] == 1
    exporter.shutdown()


def test_there_is_no_way_below_the_first(first: Path) -> None:
    """The first step has no way back; nothing is changed."""
    with pytest.raises(StoreError, match="no way back from schema version 1"):
        migrating.downgrade(first, 0)
    assert version_of(first) == 1


def test_reset_keeps_a_copy(first: Path) -> None:
    """An empty store stands in its place, and takes spans."""
    told = harness.query(first, TOLD)

    copy = migrating.reset(first)

    assert harness.query(copy, TOLD) == told
    assert harness.query(first, "SELECT count(*) FROM executions") == [(0,)]
    exporter = LearningSpanExporter(path=first)
    exporter.export(harness.task("new"))
    exporter.shutdown()
    assert harness.stored_tasks(first) == {"new": 1}


DAMAGE = {
    "an execution is stored once": "INSERT INTO settled_executions FROM settled_executions LIMIT 1",
    "an attempt belongs to an execution":
        "UPDATE settled_attempts SET execution_id = uuid() WHERE ordinal = 1",
    "an outcome has its source": "UPDATE settled_executions SET success_source = NULL",
    "an error type is one of the known": "UPDATE settled_executions SET error_type = 'odd'",
    "shares, scores and ratings are in their ranges":
        "UPDATE settled_executions SET routing_confidence = 1.5",
    "costs, tokens and durations are not negative":
        "UPDATE settled_executions SET actual_cost = -1",
    "times lie in 2000..2100":
        "UPDATE settled_executions SET ended_at = TIMESTAMPTZ '2200-01-01 00:00:00Z'",
    "feedback is noted on its execution": "UPDATE settled_executions SET feedback_count = 9",
    "an execution's day is that of its start":
        "UPDATE settled_executions SET day = DATE '2020-01-01'",
    "an execution is found by its task and its traces": "DELETE FROM execution_keys",
    "rolled_tiers equals its source": "UPDATE rolled_tiers SET executions = executions + 1",
    "rolled_pools equals its source": "DELETE FROM rolled_pools",
    "rolled_solutions equals its source": "UPDATE rolled_solutions SET repos = ['other']",
    "rolled_routes equals its source": "UPDATE rolled_routes SET avg_cost = 7",
    "rolled_solution_months equals its source": "UPDATE rolled_solution_months SET successes = 77",
    "tables and views are those of the schema": "ALTER TABLE settled_executions DROP COLUMN repo",
    "the ledger's files hold what the store says": "UPDATE ledger SET observations = 1000",
}  # fmt: skip
"""What must hold -> how it is broken."""


@pytest.mark.parametrize("check", DAMAGE)
def test_validate_finds(check: str, first: Path) -> None:
    """Each kind of damage is found by the check that is about it."""
    exporter = LearningSpanExporter(path=first)
    exporter.export(harness.task("with-a-call"))
    exporter.shutdown()
    roll_up_all(first)
    assert wrong(first) == []

    statement(first, DAMAGE[check])

    assert check in wrong(first)
