"""Archives: every row is visible once, live or archived, whatever happens on the way."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from otel_learning import LearningDatabase, LearningSpanExporter
from otel_learning.store import archive as archives
from otel_learning.store import archive_files, failpoints, lease
from otel_learning.store.archive import archive
from otel_learning.store.backup import back_up
from otel_learning.store.drain import DrainSettings
from tests.command_line import cli_in
from tests.durability import harness
from tests.lifecycle import stores

DAY_NS = 86_400 * harness.SECOND_NS


def _store(path: Path, *, window: float = 0.05) -> None:
    """Old tasks of three months and young ones, with one that has left nothing in the ledger."""
    now = time.time_ns()
    exporter = LearningSpanExporter(path=path, ledger_window=window)
    for age in (200, 170, 150, 120):
        exporter.export([s for i in range(3) for s in _task(f"old-{age}-{i}", now - age * DAY_NS)])
    exporter.export([s for i in range(4) for s in _task(f"young-{i}", now - DAY_NS)])
    assert exporter.force_flush()
    exporter.shutdown()
    time.sleep(0.1)
    if window < 1:
        with lease.exclusive(path, 5), lease.connection(path, 5) as con:
            con.execute("DELETE FROM ledger")


def _task(name: str, start_ns: int) -> list[Any]:
    trace = harness.number_of(name)
    attributes = harness.task_attributes(
        name, **{"learning.task.description": f"about {name}", "user.id": f"user-{name}"}
    )
    return [
        harness.span(trace, 2, harness.call_attributes(), parent=1, start_ns=start_ns),
        harness.span(trace, 1, attributes, name="task", start_ns=start_ns),
    ]


def _seen(path: Path) -> tuple[list[Any], list[Any]]:
    return stores.rows_of(path, "all_executions"), stores.rows_of(path, "all_attempts")


def test_old_rows_move_and_stay_visible(tmp_path: Path) -> None:
    """Views over all show the same rows as before, columns and types too; the live ones shrink."""
    path = tmp_path / "learning.duckdb"
    _store(path)
    before, types = _seen(path), harness.query(path, "DESCRIBE all_executions")

    done = stores.answer(tmp_path, "archive", "--older-than", "90d", "--db", str(path))

    assert (done["executions"], done["attempts"], done["kept"]) == (12, 12, 0)
    assert _seen(path) == before
    assert harness.query(path, "DESCRIBE all_executions") == types
    assert harness.stored_tasks(path).keys() == {f"young-{i}" for i in range(4)}
    stores.assert_private(tmp_path)
    months = {Path(file).parent.name for file in done["files"]}
    assert len(months) >= 3
    with duckdb.connect() as con:
        [(rows,)] = con.execute(
            f"SELECT count(*) FROM read_parquet('{path}.archive/executions/*/*.parquet', "
            "hive_partitioning = true) WHERE month < '2999'"
        ).fetchall()
    assert rows == 12
    again = stores.answer(tmp_path, "archive", "--older-than", "90", "--db", str(path))
    assert again["executions"] == 0 and again["files"] == []
    # More comes, and is archived beside the first.
    stores.fill(path, "new", 2)
    stores.answer(tmp_path, "compact", "--db", str(path))
    assert len(_seen(path)[0]) == 18


def test_what_the_ledger_may_add_to_stays(tmp_path: Path) -> None:
    """Old by its spans, young by its arrival: it stays, and a late span still joins it."""
    path = tmp_path / "learning.duckdb"
    _store(path, window=3600)

    done = stores.answer(tmp_path, "archive", "--older-than", "90d", "--db", str(path))

    assert (done["executions"], done["kept"]) == (0, 12)
    exporter = LearningSpanExporter(path=path)
    late = harness.span(
        harness.number_of("old-120-0"), 3, harness.call_attributes(), parent=1,
        start_ns=time.time_ns() - 120 * DAY_NS,
    )  # fmt: skip
    exporter.export([late])
    assert exporter.force_flush()
    exporter.shutdown()
    assert len(harness.query(path, "FROM all_executions")) == 16


def test_a_span_later_than_that(tmp_path: Path) -> None:
    """A span of an archived execution is counted as late; nothing is visible twice."""
    path = tmp_path / "learning.duckdb"
    _store(path)
    archive(path, 90, settings=DrainSettings(ledger_window_seconds=0.05))
    before = _seen(path)
    exporter = LearningSpanExporter(path=path)
    exporter.export(_task("old-120-0", time.time_ns() - 120 * DAY_NS))
    assert exporter.force_flush()
    exporter.shutdown()
    assert _seen(path) == before
    assert harness.query(path, "SELECT sum(count) FROM losses") == [(2,)]


POINTS = (
    ("written", 1), ("written", 3), ("verified", 1), ("verified", 3), ("all written", 1),
    ("before commit", 1), ("committed", 1),
)  # fmt: skip
"""A step of writing is passed for each file."""


@pytest.mark.parametrize(("point", "passing"), POINTS)
def test_killed_on_the_way(tmp_path: Path, point: str, passing: int) -> None:
    """Each row is visible exactly once after the kill, and after the next archive; no orphans."""
    path = tmp_path / "learning.duckdb"
    _store(path)
    before = _seen(path)
    command = ("archive", "--older-than", "90d", "--db", str(path))
    stores.killed_at(tmp_path, f"archive: {point}", *command, passing=passing)
    assert _seen(path) == before
    stores.answer(tmp_path, *command)
    assert _seen(path) == before
    assert harness.stored_tasks(path).keys() == {f"young-{i}" for i in range(4)}
    named = {file for (file,) in harness.query(path, "SELECT file FROM archives")}
    there = {str(file) for file in Path(f"{path}.archive").rglob("*") if file.is_file()}
    assert there == named


@pytest.mark.parametrize("point", ["begun", "copied", "in place"])
def test_killed_while_giving_back_space(tmp_path: Path, point: str) -> None:
    """The compaction after the archive changes nothing that one can see either."""
    path = tmp_path / "learning.duckdb"
    _store(path)
    before = _seen(path)
    stores.killed_at(
        tmp_path, f"compaction: {point}", "archive", "--older-than", "90d", "--db", str(path)
    )
    assert _seen(path) == before


def test_a_file_that_does_not_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written is compared with what is read before anything is deleted."""
    path = tmp_path / "learning.duckdb"
    _store(path)
    before = _seen(path)
    real = archive_files.contents

    def other(con: duckdb.DuckDBPyConnection, relation: str) -> archive_files.Contents:
        found = real(con, relation)
        if "read_parquet" in relation:
            return archive_files.Contents(found.rows, found.checksum + "1")
        return found

    monkeypatch.setattr(archive_files, "contents", other)
    with pytest.raises(archive_files.ArchiveError, match="does not read back"):
        archive(path, 90)
    assert _seen(path) == before
    assert not [f for f in Path(f"{path}.archive").rglob("*") if f.is_file()]


def test_deleting_asks(tmp_path: Path) -> None:
    """--delete writes nothing, and takes --yes where nobody can be asked."""
    path = tmp_path / "learning.duckdb"
    _store(path)
    run = cli_in(tmp_path)
    command = ("archive", "--older-than", "90d", "--delete", "--db", str(path))
    refused = run(*command)
    assert refused.returncode == 2 and "--yes" in refused.stderr
    assert len(harness.stored_tasks(path)) == 16
    assert stores.answer(tmp_path, *command, "--yes")["executions"] == 12
    assert len(_seen(path)[0]) == 4
    assert not Path(f"{path}.archive").exists()


def test_what_is_old(tmp_path: Path) -> None:
    """Without --older-than RETENTION_DAYS says it; without either it is a usage error."""
    path = tmp_path / "learning.duckdb"
    _store(path)
    run = cli_in(tmp_path)
    assert run("archive", "--db", str(path)).returncode == 2
    assert run("archive", "--older-than", "soon", "--db", str(path)).returncode == 2
    assert run("archive", "--older-than", "9d", "--db", "none.duckdb").returncode == 3
    done = run(
        "archive", "--json", "--db", str(path), "--to", "cold",
        env={"OTEL_EXPORTER_LEARNING_RETENTION_DAYS": "160"},
    )  # fmt: skip
    assert json.loads(done.stdout)["executions"] == 6
    assert all(f.startswith(str(tmp_path / "cold")) for f in json.loads(done.stdout)["files"])
    assert len(_seen(path)[0]) == 16


@pytest.mark.parametrize("killed", ["", "forget: archive replaced", "archive: verified"])
def test_forget_reaches_archives(tmp_path: Path, killed: str) -> None:
    """Rows go from the Parquet files, killed or not; the backup still shows the rest."""
    path = tmp_path / "learning.duckdb"
    _store(path)
    archive(path, 90)
    copy = back_up(path).path
    command = ("forget", "--yes", "--user-id", "user-old-120-1", "--db", str(path))
    if killed:
        stores.killed_at(tmp_path, killed, *command)
    done = stores.answer(tmp_path, *command)
    assert done["archives"] >= (1 if killed else 2)
    assert done["executions"] == 1
    for store in (path, copy):
        tasks = {row[1] for row in _seen(store)[0]}
        assert "old-120-1" not in tasks and len(tasks) == 15
        assert len(_seen(store)[1]) == 15
    with LearningDatabase(path) as database:
        assert database.sql("SELECT sum(rows) FROM archives") == [(22,)]
    stores.assert_private(tmp_path)


def test_orphans_that_a_backup_names_stay(tmp_path: Path) -> None:
    """A restore may make a file nameless; as long as another store names it, it is kept."""
    path = tmp_path / "learning.duckdb"
    _store(path)
    early = back_up(path).path
    archive(path, 90)
    stores.answer(tmp_path, "restore", "--yes", "--db", str(path), str(early))
    archive(path, 90)
    replaced = next(f for f in tmp_path.glob("*.replaced-*Z") if f.is_file())
    assert len(_seen(replaced)[0]) == len(_seen(path)[0]) == 16


def test_files_that_are_away(tmp_path: Path) -> None:
    """With the archive gone the live rows are read as ever, and the store can still be copied."""
    path = tmp_path / "learning.duckdb"
    _store(path)
    archive(path, 90)
    Path(f"{path}.archive").rename(tmp_path / "moved")
    assert len(harness.stored_tasks(path)) == 4
    assert back_up(path).executions == 4
    assert stores.answer(tmp_path, "compact", "--db", str(path))["bytes_after"]
    (tmp_path / "moved").rename(f"{path}.archive")
    assert len(_seen(path)[0]) == 16


def test_others_read_while_files_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many parts; another program opens the store in each of them, and sees every row (R6)."""
    path = tmp_path / "learning.duckdb"
    _store(path)
    before = _seen(path)
    monkeypatch.setattr(archives, "PART_EXECUTIONS", 3)
    seen: list[str] = []

    def look(point: str) -> None:
        if point not in ("archive: written", "archive: verified", "archive: all written"):
            return
        program = (
            "import duckdb, sys\n"
            "con = duckdb.connect(sys.argv[1], read_only=True)\n"
            "print(con.execute('SELECT count(*) FROM all_executions').fetchall()[0][0])"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False
        )
        seen.append(done.stdout.strip() or done.stderr)

    monkeypatch.setattr(failpoints, "hook", look)
    done = archives.archive(path, 90)
    monkeypatch.undo()
    assert len(done.files) == 8  # four parts of two files
    assert seen == ["16"] * len(seen) and len(seen) == 20
    assert _seen(path) == before


def test_a_row_that_changed_meanwhile_is_not_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program wrote to the file between writing and deleting: nothing goes."""
    path = tmp_path / "learning.duckdb"
    _store(path)

    def interfere(point: str) -> None:
        if point == "archive: all written":
            with duckdb.connect(str(path)) as con:
                con.execute(
                    "DELETE FROM settled_attempts WHERE started_at < now() - INTERVAL 180 DAY"
                )

    monkeypatch.setattr(failpoints, "hook", interfere)
    with pytest.raises(archive_files.ArchiveError, match="nothing was deleted"):
        archives.archive(path, 90)
    monkeypatch.undo()
    assert harness.query(path, "SELECT count(*) FROM settled_executions") == [(16,)]
    assert harness.query(path, "SELECT count(*) FROM all_executions") == [(16,)]
