"""`migrate ...`: what it says, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

from otel_learning.store import schema
from tests.command_line import Run
from tests.schema.make_store import STORES
from tests.schema.test_migrations import statement, unpack, version_of

NEWEST = schema.supported_version()


def test_status_upgrade_downgrade(run_cli: Run, tmp_path: Path) -> None:
    """What waits is shown, taken, and taken back once somebody says so."""
    path = unpack(STORES / "schema-1.tar.gz", tmp_path)
    db = ("--db", str(path))

    status = json.loads(run_cli("migrate", "status", "--json", *db).stdout)
    assert (status["version"], status["supported"]) == (1, NEWEST)
    assert [step["version"] for step in status["steps"] if not step["applied_at"]] == list(
        range(2, NEWEST + 1)
    )
    done = json.loads(run_cli("migrate", "upgrade", "--json", *db).stdout)
    assert done["version"] == NEWEST and Path(done["backup"]).exists()

    refused = run_cli("migrate", "downgrade", "--to", "1", *db)
    assert refused.returncode == 2 and "--yes" in refused.stderr
    assert "lost by this: " in refused.stderr
    assert version_of(path) == NEWEST
    done = json.loads(run_cli("migrate", "downgrade", "--to", "1", "--yes", "--json", *db).stdout)
    assert done["version"] == 1 == version_of(path)


def test_validate_is_a_gate(run_cli: Run, tmp_path: Path) -> None:
    """Exit 0 where all holds, 1 where something does not; either way every check is listed."""
    path = unpack(STORES / "schema-1.tar.gz", tmp_path)
    run_cli("migrate", "upgrade", "--db", str(path))

    sound = run_cli("migrate", "validate", "--json", "--db", str(path))
    statement(path, "UPDATE settled_executions SET feedback_count = 9")
    broken = run_cli("migrate", "validate", "--json", "--db", str(path))

    assert sound.returncode == 0 and broken.returncode == 1
    assert all(check["passed"] for check in json.loads(sound.stdout))
    wrong = [c["check"] for c in json.loads(broken.stdout) if not c["passed"]]
    assert wrong == ["feedback is noted on its execution"]
    assert "1 of " in broken.stderr


def test_reset_asks(run_cli: Run, tmp_path: Path) -> None:
    """Without an answer nothing is emptied; with one the copy is named."""
    path = unpack(STORES / "schema-1.tar.gz", tmp_path)
    db = ("--db", str(path))

    assert run_cli("migrate", "reset", *db).returncode == 2
    assert version_of(path) == 1
    done = json.loads(run_cli("migrate", "reset", "--yes", "--json", *db).stdout)
    assert Path(done["backup"]).exists()
    count = run_cli("query", "SELECT count(*) AS n FROM executions", "--json", *db)
    assert json.loads(count.stdout) == [{"n": 0}]


def test_no_store_is_exit_3(run_cli: Run, tmp_path: Path) -> None:
    """Nothing is created."""
    for command in (["status"], ["upgrade"], ["validate"], ["downgrade", "--to", "1"], ["reset"]):
        done = run_cli("migrate", *command, "--db", str(tmp_path / "none.duckdb"), "--json")
        if command != ["reset"]:  # it asks first
            assert done.returncode == 3, done.stderr
    assert list(tmp_path.iterdir()) == []
