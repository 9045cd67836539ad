"""Backup and restore, while applications write."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import duckdb
import pytest

from otel_learning import LearningDatabase, LearningSpanExporter
from otel_learning.store.backup import back_up
from otel_learning.store.restore import restore
from tests.command_line import cli_in
from tests.durability import harness
from tests.lifecycle import stores


def test_a_backup_is_a_store(tmp_path: Path) -> None:
    """It holds the same rows and ledger, is private whatever the umask, and is recorded."""
    path = tmp_path / "learning.duckdb"
    stores.fill(path, "t", 20)
    old = os.umask(0)
    try:
        made = back_up(path)
    finally:
        os.umask(old)

    assert made.executions == 20
    assert made.path.parent == Path(f"{path}.backups")
    assert stores.rows_of(made.path) == stores.rows_of(path)
    assert len(os.listdir(f"{made.path}.ledger")) == len(os.listdir(f"{path}.ledger"))
    stores.assert_private(Path(f"{path}.backups"))
    assert harness.query(path, "SELECT path FROM backups") == [(str(made.path),)]
    assert not list(tmp_path.rglob(".draft-*"))


def test_a_backup_of_a_running_application(tmp_path: Path) -> None:
    """Made while others export: what it holds is consistent, and nothing is lost or doubled."""
    path = tmp_path / "learning.duckdb"
    stores.fill(path, "before", 5)
    writer = harness.start("write_steadily", path, "w", 6, 0.01, "end")
    copies: list[Path] = []
    while writer.poll() is None and len(copies) < 3:
        time.sleep(0.7)
        copies.append(back_up(path).path)
    out, err = writer.communicate(timeout=60)
    assert writer.returncode == 0, out + err
    for copy in copies:
        harness.assert_no_row_twice(copy)
        [(executions, attempts, observations)] = harness.query(
            copy, "SELECT (SELECT count(*) FROM executions), (SELECT count(*) FROM attempts), "
            "(SELECT sum(observations) FROM ledger)",
        )  # fmt: skip
        assert executions == attempts == observations / 2
    with LearningDatabase(path) as database:
        database.drain()
    assert harness.stored_tasks(path).keys() > harness.stored_tasks(copies[-1]).keys()
    harness.assert_no_row_twice(path)


def test_restore_while_the_application_runs(tmp_path: Path) -> None:
    """The old rows are back, the replaced store is kept, and the exporter goes on, also late."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    exporter.export(harness.tasks("a", 0, 5))
    trace = harness.number_of("split")
    exporter.export([harness.span(trace, 2, harness.call_attributes(), parent=1, name="chat")])
    assert exporter.force_flush()
    copy = back_up(path).path
    exporter.export(harness.tasks("b", 0, 5))
    assert exporter.force_flush()

    done = restore(path, copy)

    assert done.executions == 6
    assert done.replaced is not None
    assert len(harness.stored_tasks(done.replaced)) == 11
    assert {f"a-{i}" for i in range(5)} <= harness.stored_tasks(path).keys()
    assert not {f"b-{i}" for i in range(5)} & harness.stored_tasks(path).keys()
    # The other half of a task whose first half is in the backup.
    exporter.export([harness.span(trace, 1, harness.task_attributes("split"), name="task")])
    exporter.export(harness.tasks("c", 0, 5))
    assert exporter.force_flush()
    stored = harness.stored_tasks(path)
    assert stored == {**{f"a-{i}": 1 for i in range(5)}, **{f"c-{i}": 1 for i in range(5)},
                      "split": 1}  # fmt: skip
    assert harness.query(path, "SELECT attempt_count FROM executions WHERE task_id = 'split'") == [
        (1,)
    ]
    exporter.shutdown()
    stores.assert_private(tmp_path)


def test_what_the_cache_knows_is_void_after_a_restore(tmp_path: Path) -> None:
    """Drain numbers that come again do not bring back what the restored store never held."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    exporter.export(harness.tasks("a", 0, 1))
    assert exporter.force_flush()
    copy = back_up(path).path
    trace = harness.number_of("split")
    exporter.export([harness.span(trace, 2, harness.call_attributes(), parent=1, name="chat")])
    assert exporter.force_flush()
    restore(path, copy)
    # Another process takes the drain number that this one holds in memory.
    with LearningDatabase(path) as other:
        feeder = LearningSpanExporter(path=path, drain="off")
        feeder.export(harness.tasks("x", 0, 1))
        feeder.shutdown()
        other.drain()
    exporter.export([harness.span(trace, 1, harness.task_attributes("split"), name="task")])
    assert exporter.force_flush()
    calls = harness.query(path, "SELECT attempt_count FROM executions WHERE task_id = 'split'")
    assert calls == [(0,)]
    exporter.shutdown()


BACKUP_POINTS = ("begun", "copied", "verified", "recorded", "between renames")
RESTORE_POINTS = ("copied", "kept aside", "before the rename", "in place")


@pytest.mark.parametrize("point", BACKUP_POINTS)
def test_backup_killed(tmp_path: Path, point: str) -> None:
    """A killed backup leaves the store as it was and no file that passes for a backup."""
    path = tmp_path / "learning.duckdb"
    stores.fill(path, "t", 5)
    before = stores.rows_of(path)
    stores.killed_at(
        tmp_path, f"backup: {point}", "backup", "--db", str(path), str(tmp_path / "copy.duckdb")
    )
    assert not (tmp_path / "copy.duckdb").exists()
    assert stores.rows_of(path) == before
    stores.answer(tmp_path, "backup", "--db", str(path), str(tmp_path / "copy.duckdb"))
    assert stores.rows_of(tmp_path / "copy.duckdb") == before
    assert Path(f"{tmp_path / 'copy.duckdb'}.ledger").is_dir()


@pytest.mark.parametrize("point", RESTORE_POINTS)
def test_restore_killed(tmp_path: Path, point: str) -> None:
    """There is always a store: the old one, or from one moment on the restored one."""
    path = tmp_path / "learning.duckdb"
    stores.fill(path, "a", 5)
    copy = back_up(path).path
    stores.fill(path, "b", 5)
    stores.killed_at(
        tmp_path, f"restore: {point}", "restore", "--yes", "--db", str(path), str(copy)
    )
    assert len(harness.stored_tasks(path)) == (5 if point == "in place" else 10)
    stores.fill(path, "c", 2)
    stores.answer(tmp_path, "restore", "--yes", "--db", str(path), str(copy))
    assert harness.stored_tasks(path) == {f"a-{i}": 1 for i in range(5)}


def test_what_is_no_backup(tmp_path: Path) -> None:
    """No file, no store, a newer store, the store itself: each refused by name, nothing changed."""
    path = tmp_path / "learning.duckdb"
    stores.fill(path, "t", 2)
    before = path.read_bytes()
    (tmp_path / "text").write_text("hello")
    newer = tmp_path / "newer.duckdb"
    shutil.copy(path, newer)
    with duckdb.connect(str(newer)) as con:
        con.execute("INSERT INTO schema_migrations VALUES (99, 'x', 'y', now())")
    run = cli_in(tmp_path)
    for source, code, words in (
        ("nothing", 3, "no store"), ("text", 3, "text"), ("newer.duckdb", 3, "version 99"),
        (str(path), 2, "itself"),
    ):  # fmt: skip
        done = run("restore", "--yes", "--db", str(path), source)
        assert (done.returncode, words in done.stderr) == (code, True), done.stderr
        assert done.stderr.count("\n") == 1
    assert path.read_bytes() == before


def test_restore_asks(tmp_path: Path) -> None:
    """Without a terminal and without --yes nothing is replaced; a missing store needs neither."""
    path = tmp_path / "learning.duckdb"
    stores.fill(path, "t", 2)
    copy = back_up(path, tmp_path / "elsewhere" / "copy.duckdb").path
    run = cli_in(tmp_path)
    done = run("restore", "--db", str(path), str(copy))
    assert done.returncode == 2 and "--yes" in done.stderr
    for file in tmp_path.glob("learning.duckdb*"):
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    assert stores.answer(tmp_path, "restore", "--db", str(path), str(copy))["executions"] == 2
    done = run("backup", "--db", str(path), str(copy))
    assert done.returncode == 2 and "something at" in done.stderr
    done = run("backup", "--db", str(tmp_path / "none.duckdb"))
    assert done.returncode == 3 and not (tmp_path / "none.duckdb").exists()
