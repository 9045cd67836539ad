"""Exports: Parquet, CSV, and read copies, while applications write and whatever kills them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow.parquet
import pytest

from otel_learning import FeedbackRecord, LearningDatabase, LearningSpanExporter
from otel_learning.errors import InputError
from otel_learning.store import copying, failpoints
from otel_learning.store.export_rows import TABLES, Selection
from otel_learning.store.exporting import Export, export
from tests.command_line import ENTRY, cli_in, copy_store, demo_store, environment
from tests.durability import harness
from tests.lifecycle import stores

__all__ = ["demo_store"]
DAY_NS = 86_400 * harness.SECOND_NS
CANARY = "canary-31ac"


@pytest.fixture
def demo(demo_store: Path, tmp_path: Path) -> Path:
    """A store of its own, as the demo fills it."""
    return copy_store(demo_store, tmp_path / "learning.duckdb")


def _days(path: Path) -> None:
    """Three tasks on three days, each with a call and a word of feedback."""
    exporter = LearningSpanExporter(path=path)
    for day in range(3):
        exporter.export(harness.task(f"day-{day}", start_ns=harness.START_NS + day * DAY_NS))
    assert exporter.force_flush()
    exporter.shutdown()
    with LearningDatabase(path) as database:
        for day in range(3):
            database.record_feedback(
                FeedbackRecord(target_kind="task_id", target_id=f"day-{day}", rating=4)
            )
        database.drain()


def _leftovers(folder: Path) -> list[Path]:
    return [entry for entry in folder.rglob("*") if entry.name.startswith(".draft-")]


def _read(query: str) -> list[tuple[Any, ...]]:
    """What a query reads from files, by a DuckDB of its own."""
    with contextlib.closing(duckdb.connect()) as con:
        return con.execute(query).fetchall()


def _columns(path: Path, table: str) -> list[tuple[Any, ...]]:
    return [row[:2] for row in harness.query(path, f"DESCRIBE {table}")]


@contextlib.contextmanager
def _repeating(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", ENTRY, "export", *arguments, "--every", "1"], cwd=folder,
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A shell's job in the background ignores it, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


# ------------------------------------------------------------------------------ what is there


def test_parquet_holds_what_the_views_hold(demo: Path, tmp_path: Path) -> None:
    """One private file per view, with its rows and types; a manifest says what was exported."""
    old = os.umask(0)
    try:
        said = stores.answer(tmp_path, "export", "out")
    finally:
        os.umask(old)

    out = tmp_path / "out"
    for table in TABLES:
        file = out / f"{table}.parquet"
        held = sorted(_read(f"FROM '{file}'"), key=repr)
        assert len(held) == said["rows"][table]
        assert held == stores.rows_of(demo, table)
    assert said["rows"]["executions"] == 90
    assert pyarrow.parquet.read_table(out / "attempts.parquet").num_rows == said["rows"]["attempts"]
    manifest = json.loads((out / "export.json").read_text())
    assert manifest["files"] == {f"{t}.parquet": n for t, n in said["rows"].items()}
    assert manifest["store"] == str(demo)
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in out.iterdir()} == {0o600}
    assert not _leftovers(tmp_path)


def test_a_read_copy_holds_what_the_views_hold(demo: Path, tmp_path: Path) -> None:
    """A private DuckDB file whose tables are named, typed and filled as the store's views."""
    said = stores.answer(tmp_path, "export", "--format", "duckdb")

    copy = tmp_path / "learning.read.duckdb"
    assert said["path"] == str(copy)
    for table in TABLES:
        assert stores.rows_of(copy, table) == stores.rows_of(demo, table)
        assert _columns(copy, table) == _columns(demo, table)
    tables = {name for (name,) in harness.query(copy, "SHOW TABLES")}
    assert tables == {*TABLES, "read_copy"}
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert not Path(f"{copy}.wal").exists()


def test_csv_has_a_line_per_row(demo: Path, tmp_path: Path) -> None:
    """With a header; only the tables that were asked for."""
    said = stores.answer(
        tmp_path, "export", "out", "--format", "csv", "--table", "executions", "--table", "attempts"
    )

    assert said["rows"] == {"executions": 90, "attempts": said["rows"]["attempts"]}
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {"executions.csv", "attempts.csv", "export.json"}
    file = f"read_csv('{tmp_path}/out/executions.csv')"
    heads = [row[0] for row in _read(f"DESCRIBE FROM {file}")]
    assert heads == [row[0] for row in harness.query(demo, "DESCRIBE executions")]
    assert _read(f"SELECT count(*) FROM {file}") == [(90,)]


def test_what_waits_is_exported_too(tmp_path: Path) -> None:
    """What an application has exported and nobody has drained is in it."""
    path = tmp_path / "learning.duckdb"
    stores.fill(path, "first", 1)
    exporter = LearningSpanExporter(path=path, drain="off")
    exporter.export(harness.task("waits"))

    said = stores.answer(tmp_path, "export", "out")

    assert said["rows"]["executions"] == 2


def test_a_time_takes_with_it_what_belongs_to_it(tmp_path: Path) -> None:
    """Executions by their start, the end not in it; their calls and feedback; whole days."""
    path = tmp_path / "learning.duckdb"
    _days(path)
    [(second, third)] = harness.query(
        path, "SELECT started_at, started_at + INTERVAL 1 DAY FROM executions "
        "WHERE task_id = 'day-1'",
    )  # fmt: skip

    said = stores.answer(
        tmp_path, "export", "out", "--since", second.isoformat(), "--until", third.isoformat()
    )

    out = tmp_path / "out"
    assert _read(f"SELECT task_id FROM '{out}/executions.parquet'") == [("day-1",)]
    assert said["rows"]["attempts"] == said["rows"]["feedback"] == 1
    assert _read(f"SELECT target_id FROM '{out}/feedback.parquet'") == [("day-1",)]
    days = _read(f"SELECT day FROM '{out}/tier_performance.parquet' ORDER BY 1")
    assert days == [(second.date(),), (third.date(),)]
    # The hours at both ends are touched, and are there whole.
    assert said["rows"]["pool_performance"] == 2
    rest = stores.answer(tmp_path, "export", "rest", "--until", second.isoformat())
    assert rest["rows"]["executions"] == 1


def test_archived_rows_are_exported_where_they_are_asked_for(tmp_path: Path) -> None:
    """Executions and calls that lie in files are left out, or taken in."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path, ledger_window=0.01)
    exporter.export(harness.tasks("t", 0, 3))
    assert exporter.force_flush()
    exporter.shutdown()
    gone = json.loads(
        cli_in(tmp_path)(
            "archive", "--older-than", "0d", "--json",
            env={"OTEL_EXPORTER_LEARNING_LEDGER_WINDOW": "0.01"},
        ).stdout
    )  # fmt: skip
    left = 3 - gone["executions"]

    assert gone["executions"] > 0
    assert stores.answer(tmp_path, "export", "live")["rows"]["executions"] == left
    both = stores.answer(tmp_path, "export", "all", "--archived")["rows"]
    assert (both["executions"], both["attempts"]) == (3, 3)


def test_the_group_may_read_where_it_is_told(demo: Path, tmp_path: Path) -> None:
    """Files and folder; nobody else."""
    stores.answer(tmp_path, "export", "out", "--group-readable")
    stores.answer(tmp_path, "export", "copy.duckdb", "--format", "duckdb", "--group-readable")

    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "out" / "executions.parquet").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "copy.duckdb").stat().st_mode) == 0o640


# ------------------------------------------------------------------------------- in its place


def test_a_reader_keeps_the_copy_it_has_open(tmp_path: Path) -> None:
    """After the swap it reads what it read before; whoever opens the file anew reads the new."""
    path, copy = tmp_path / "learning.duckdb", tmp_path / "copy.duckdb"
    stores.fill(path, "a", 3)
    stores.answer(tmp_path, "export", str(copy), "--format", "duckdb")
    with contextlib.closing(duckdb.connect(str(copy), read_only=True)) as reader:
        before = reader.execute("FROM executions ORDER BY task_id").fetchall()
        stores.fill(path, "b", 200)
        stores.answer(tmp_path, "export", str(copy), "--format", "duckdb")

        after = reader.execute("FROM executions ORDER BY task_id").fetchall()
        attempts = reader.execute("SELECT count(*) FROM attempts").fetchall()

    assert before == after
    assert attempts == [(3,)]
    assert harness.query(copy, "SELECT count(*) FROM executions") == [(203,)]


def test_a_copy_that_a_reader_has_open_for_writing_is_replaced(tmp_path: Path) -> None:
    """As some programs open whatever they read; a file of others that is held stays."""
    path, copy = tmp_path / "learning.duckdb", tmp_path / "copy.duckdb"
    stores.fill(path, "a", 3)
    export(path, Export(copy, "duckdb", Selection()))
    stores.fill(path, "b", 3)
    other = tmp_path / "other.duckdb"
    with contextlib.closing(duckdb.connect(str(other))) as con:
        con.execute("CREATE TABLE mine AS SELECT 1")

    with harness.held(copy), harness.held(other):
        began = time.monotonic()
        export(path, Export(copy, "duckdb", Selection()))
        with pytest.raises(InputError, match="no export has written"):
            export(path, Export(other, "duckdb", Selection()))
        assert time.monotonic() - began < 10

    assert len(harness.stored_tasks(copy)) == 6


def test_an_earlier_export_is_replaced_whole(demo: Path, tmp_path: Path) -> None:
    """Files of tables that are not exported any more go; nothing else in the folder does."""
    stores.answer(tmp_path, "export", "out")
    (tmp_path / "out" / "mine.txt").write_text("mine")

    stores.answer(tmp_path, "export", "out", "--table", "executions")

    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {"executions.parquet", "export.json", "mine.txt"}


@pytest.mark.parametrize("form", ["duckdb", "parquet"])
@pytest.mark.parametrize(
    "point",
    ["export: begun", "export: copied", "export: file written", "export: verified",
     "export: between renames"],
)  # fmt: skip
def test_a_kill_leaves_the_old_export_and_no_junk(
    tmp_path: Path, form: Literal["duckdb", "parquet"], point: str
) -> None:
    """Each file is the old or the new one, whole; the next export leaves only itself."""
    if form == "duckdb" and point == "export: file written":
        return  # there are no files of tables
    path, out = tmp_path / "learning.duckdb", tmp_path / "place" / "out.duckdb"
    stores.fill(path, "a", 3)
    what = Export(out, form, Selection())
    export(path, what)
    stores.fill(path, "b", 4)

    stores.killed_at(tmp_path, point, "export", str(out), "--format", form)

    if form == "duckdb":
        swapped = point == "export: between renames"
        [(rows,)] = harness.query(out, "SELECT count(*) FROM executions")
        assert rows == (7 if swapped else 3)
    else:
        counts = [
            _read(f"SELECT count(*) FROM '{out}/{t}.parquet'")[0][0]
            for t in ("executions", "attempts")
        ]
        assert counts == ([7, 3] if point == "export: between renames" else [3, 3])
    assert _leftovers(tmp_path)
    assert export(path, what).rows["executions"] == 7
    assert not _leftovers(tmp_path)
    held = {file.name for file in (out.parent if form == "duckdb" else out).iterdir()}
    names = {f"{table}.parquet" for table in TABLES} | {"export.json"}
    assert held == ({"out.duckdb"} if form == "duckdb" else names)


def test_what_does_not_read_back_takes_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is damaged after it was written is found out, and the old export stays."""
    path, out = tmp_path / "learning.duckdb", tmp_path / "copy.duckdb"
    stores.fill(path, "a", 3)
    export(path, Export(out, "duckdb", Selection()))
    before = out.read_bytes()
    stores.fill(path, "b", 3)

    def damage(point: str) -> None:
        if point == "export: copied":
            [draft] = tmp_path.glob(".draft-*/rows.duckdb")
            body = bytearray(draft.read_bytes())
            body[len(body) // 2 :] = bytes(len(body) - len(body) // 2)
            draft.write_bytes(body)

    monkeypatch.setattr(failpoints, "hook", damage)
    with pytest.raises(Exception, match=r"read back|cannot be worked on|cannot be opened"):
        export(path, Export(out, "duckdb", Selection()))
    assert out.read_bytes() == before
    assert not _leftovers(tmp_path)


def test_a_full_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said before anything is written."""
    path, out = tmp_path / "learning.duckdb", tmp_path / "copy.duckdb"
    stores.fill(path, "a", 3)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1024))
    with pytest.raises(copying.DiskFullError, match="MiB are needed"):
        export(path, Export(out, "duckdb", Selection()))
    assert not out.exists()
    assert not _leftovers(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--db", "none.duckdb"), 3, "there is no store at"),
        (("learning.duckdb", "--format", "duckdb"), 2, "is the store itself"),
        (("other.txt", "--format", "duckdb"), 2, "that no export has written"),
        (("other.duckdb", "--format", "duckdb"), 2, "that no export has written"),
        (("full",), 2, "that no export has written"),
        (("other.txt",), 2, "that no export has written"),
        (("--format", "xml"), 2, "'xml' is unknown"),
        (("--table", "ledger"), 2, "no table 'ledger'"),
        (("--since", "yesterday"), 2, "'yesterday' is no time"),
        (("--since", "2026-02-01", "--until", "2026-01-01"), 2, "is not before"),
    ],
)
def test_what_is_refused(tmp_path: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    """One line that names it; nothing is created or overwritten."""
    stores.fill(tmp_path / "learning.duckdb", "a", 1)
    (tmp_path / "other.txt").write_text("mine")
    with contextlib.closing(duckdb.connect(str(tmp_path / "other.duckdb"))) as con:
        con.execute("CREATE TABLE mine AS SELECT 1")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "executions.parquet").write_text("mine")
    before = {file: file.read_bytes() for file in tmp_path.glob("[of]*") if file.is_file()}

    done = cli_in(tmp_path)("export", *arguments)

    assert done.returncode == code
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not done.stdout
    assert {file: file.read_bytes() for file in before} == before
    assert (tmp_path / "full" / "executions.parquet").read_text() == "mine"
    assert not (tmp_path / "none.duckdb").exists()


def test_a_read_copy_is_no_store(demo: Path, tmp_path: Path) -> None:
    """A command that is pointed at one says so, and does not turn it into one."""
    stores.answer(tmp_path, "export", "--format", "duckdb")
    copy = tmp_path / "learning.read.duckdb"
    before = copy.read_bytes()

    said = stores.answer(tmp_path, "stats", "--db", str(copy), code=3)

    assert "is not a learning store" in said
    assert "read copy" in said
    assert copy.read_bytes() == before


# ------------------------------------------------------------------------- beside applications


def test_others_read_and_write_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain DuckDB reads the store while it is copied, and writes while the copy is checked."""
    path = tmp_path / "learning.duckdb"
    stores.fill(path, "a", 50)
    seen: list[str] = []

    def other(program: str) -> None:
        # Another process: inside this one DuckDB shares what is open.
        done = subprocess.run(
            [sys.executable, "-c", f"import sys, duckdb\n{program}", str(path)],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        seen.append(done.stdout.strip() or done.stderr)

    def passed(point: str) -> None:
        if point == "export: table copied" and not seen:
            other(
                "con = duckdb.connect(sys.argv[1], read_only=True)\n"
                "print(con.execute('SELECT count(*) FROM executions').fetchall()[0][0])"
            )
        if point == "export: copied":
            other("duckdb.connect(sys.argv[1]).execute('CHECKPOINT'); print('written')")

    monkeypatch.setattr(failpoints, "hook", passed)
    export(path, Export(tmp_path / "copy.duckdb", "duckdb", Selection()))

    assert seen == ["50", "written"]


def test_every_export_of_a_running_application_is_consistent(tmp_path: Path) -> None:
    """Each execution with its call, however much is written meanwhile; nothing is lost by it."""
    path = tmp_path / "learning.duckdb"
    stores.fill(path, "before", 5)
    writer = harness.start("write_steadily", path, "w", 6, 0.01, "end")
    counts = []
    while writer.poll() is None:
        copy = tmp_path / "copy.duckdb"
        export(path, Export(copy, "duckdb", Selection()))
        harness.assert_no_row_twice(copy)
        [(executions, attempts)] = harness.query(
            copy, "SELECT (SELECT count(*) FROM executions), (SELECT count(*) FROM attempts)"
        )
        assert executions == attempts
        counts.append(executions)
        time.sleep(0.3)
    out, err = writer.communicate(timeout=60)

    assert writer.returncode == 0, out + err
    assert len(counts) > 3
    assert counts == sorted(counts)
    export(path, Export(copy, "duckdb", Selection()))
    assert harness.stored_tasks(copy) == harness.stored_tasks(path)
    assert len(harness.stored_tasks(copy)) > counts[0]


# ------------------------------------------------------------------------- again and again


@pytest.mark.parametrize(("end", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_schedule_follows_the_store(tmp_path: Path, end: signal.Signals, code: int) -> None:
    """What is new is in the copy soon; nothing is written meanwhile; a signal ends it well."""
    path, copy = tmp_path / "learning.duckdb", tmp_path / "copy.duckdb"
    stores.fill(path, "a", 3)
    with _repeating(tmp_path, str(copy), "--format", "duckdb") as process:
        harness.wait_for(copy.exists, 20, "the first export")
        first = copy.stat().st_ino
        time.sleep(2.5)
        assert copy.stat().st_ino == first
        stores.fill(path, "b", 3)
        harness.wait_for(lambda: len(harness.stored_tasks(copy)) == 6, 20, "the second export")
        process.send_signal(end)
        out, err = process.communicate(timeout=20)

    assert process.returncode == code, out + err
    assert out.count("6 executions") == 1
    assert not _leftovers(tmp_path)
    assert "Traceback" not in err


def test_a_schedule_outlives_a_store_that_is_held(tmp_path: Path) -> None:
    """Another program holds the file: a warning, and the copy follows once it is free."""
    path, copy = tmp_path / "learning.duckdb", tmp_path / "copy.duckdb"
    stores.fill(path, "a", 3)
    with _repeating(tmp_path, str(copy), "--format", "duckdb") as process:
        harness.wait_for(copy.exists, 20, "the first export")
        with harness.held(path):
            LearningSpanExporter(path=path, drain="off").export(harness.tasks("b", 0, 2))
            copy.unlink()
            time.sleep(2)
            assert process.poll() is None
        harness.wait_for(copy.exists, 40, "the export after it")
        harness.wait_for(lambda: len(harness.stored_tasks(copy)) == 5, 40, "all of it")
        process.terminate()
        assert process.wait(20) == 0


# ------------------------------------------------------------------------------- forgetting


def test_forget_makes_read_copies_anew_and_names_the_others(tmp_path: Path) -> None:
    """No byte of what was erased is left in a read copy; folders of files are named."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    described = {"learning.task.description": f"about {CANARY}"}
    trace = harness.number_of(CANARY)
    exporter.export(
        [
            harness.span(trace, 1, harness.task_attributes(CANARY, **described), name="task"),
            *harness.tasks("kept", 0, 3),
        ]
    )
    assert exporter.force_flush()
    exporter.shutdown()
    copy = tmp_path / "place" / "copy.duckdb"
    stores.answer(
        tmp_path, "export", str(copy), "--format", "duckdb", "--group-readable", "--table",
        "executions",
    )  # fmt: skip
    stores.answer(tmp_path, "export", "files")
    stores.killed_at(tmp_path, "export: copied", "export", "place/killed.duckdb", "--format",
                     "duckdb")  # fmt: skip
    assert CANARY.encode() in copy.read_bytes()
    [draft] = _leftovers(tmp_path)
    assert CANARY.encode() in (draft / "rows.duckdb").read_bytes()

    done = stores.answer(tmp_path, "forget", "--yes", "--task-id", CANARY)

    assert done["read_copies"] == 1
    assert sorted(done["unreachable"]) == [
        str(tmp_path / "files"), str(tmp_path / "place" / "killed.duckdb"),
    ]  # fmt: skip
    for file in copy.parent.rglob("*"):
        assert file.is_dir() or CANARY.encode() not in file.read_bytes()
    assert harness.query(copy, "SELECT count(*) FROM executions") == [(3,)]
    assert {name for (name,) in harness.query(copy, "SHOW TABLES")} == {"executions", "read_copy"}
    assert stat.S_IMODE(copy.stat().st_mode) == 0o640
    assert not _leftovers(tmp_path)
