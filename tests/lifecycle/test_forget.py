"""Rule R5: one task, trace, session or user can be erased, wherever we put it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from otel_learning import FeedbackRecord, LearningDatabase, LearningSpanExporter
from otel_learning.store import failpoints, lease
from otel_learning.store.backup import back_up
from otel_learning.store.forget import forget
from otel_learning.store.ledger_files import unpack
from otel_learning.store.restore import restore
from tests.command_line import cli_in
from tests.durability import harness
from tests.lifecycle import stores

CANARY = "canary-7d1f"


def _task(name: str, user: str, session: str) -> list[Any]:
    trace = harness.number_of(name)
    return [
        harness.span(trace, 2, harness.call_attributes(), parent=1, name="chat"),
        harness.span(
            trace, 1,
            harness.task_attributes(
                name, **{"learning.task.description": f"about {name}", "user.id": user,
                         "session.id": session},
            ),
            name="task",
        ),
    ]  # fmt: skip


def _spans() -> list[Any]:
    return [
        *_task(CANARY, f"user-{CANARY}", f"session-{CANARY}"),
        *_task("second", f"user-{CANARY}", f"session-{CANARY}"),
        *[s for i in range(5) for s in _task(f"kept-{i}", "somebody", "elsewhere")],
    ]


def _store(path: Path) -> None:
    exporter = LearningSpanExporter(path=path)
    exporter.export(_spans())
    assert exporter.force_flush()
    exporter.shutdown()
    with LearningDatabase(path) as database:
        for task in (CANARY, "second", "kept-0"):
            database.record_feedback(
                FeedbackRecord(target_kind="task_id", target_id=task, rating=3,
                               comment=f"said of {task}")
            )  # fmt: skip
        database.drain()


def _bytes_below(folder: Path) -> bytes:
    """All bytes of all files, ledger files unpacked."""
    found = []
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            body = file.read_bytes()
            found += [body, unpack(body) if file.suffix == ".zst" else b""]
    return b"\n".join(found)


def _forget(folder: Path, *arguments: str) -> dict[str, int]:
    done: dict[str, int] = stores.answer(folder, "forget", "--yes", *arguments)
    return done


@pytest.mark.parametrize(
    ("option", "value", "executions"),
    [
        ("--task-id", CANARY, 1),
        ("--trace-id", f"{harness.number_of(CANARY):032X}", 1),
        ("--session-id", f"session-{CANARY}", 2),
        ("--user-id", f"user-{CANARY}", 2),
    ],
)
def test_no_byte_is_left(tmp_path: Path, option: str, value: str, executions: int) -> None:
    """Rows, feedback and observations go, from the backup and the replaced store too."""
    path = tmp_path / "learning.duckdb"
    _store(path)
    backup = back_up(path).path
    replaced = restore(path, backup).replaced
    assert replaced is not None
    assert CANARY.encode() in _bytes_below(tmp_path)

    done = _forget(tmp_path, option, value, "--db", str(path))

    assert done == {"executions": executions, "attempts": executions, "feedback": executions,
                    "observations": 3 * executions, "archives": 0, "backups": 2, "read_copies": 0,
                    "unreachable": []}  # fmt: skip
    tasks = {f"kept-{i}" for i in range(5)} | ({"second"} if executions == 1 else set())
    for store in (path, backup, replaced):
        assert harness.stored_tasks(store).keys() == tasks
        harness.assert_no_row_twice(store)
        said = harness.query(store, "SELECT comment FROM feedback ORDER BY 1")
        assert said == [(f"said of {task}",) for task in ("kept-0", "second") if task in tasks]
    if executions == 2:
        assert CANARY.encode() not in _bytes_below(tmp_path)
    else:
        # User and session have another task.
        assert f"about {CANARY}".encode() not in _bytes_below(tmp_path)
    stores.assert_private(tmp_path)


@pytest.mark.parametrize("option", ["--task-id", "--user-id"])
def test_a_replay_stays_out(tmp_path: Path, option: str) -> None:
    """The same spans again, and feedback, are left out and counted; the others are as they were."""
    path = tmp_path / "learning.duckdb"
    _store(path)
    value = CANARY if option == "--task-id" else f"user-{CANARY}"
    _forget(tmp_path, option, value, "--db", str(path))
    before = stores.rows_of(path)

    _store(path)

    assert [row[:10] for row in stores.rows_of(path)] == [row[:10] for row in before]
    [(lost,)] = harness.query(path, "SELECT sum(count) FROM losses WHERE reason = 'forgotten'")
    assert lost == (3 if option == "--task-id" else 4)
    if option == "--task-id":
        assert f"said of {CANARY}".encode() not in _bytes_below(tmp_path)


def test_a_running_exporter_does_not_bring_it_back(tmp_path: Path) -> None:
    """Neither what it has in memory of the ledger, nor spans that are still to come."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    first, last = _task(CANARY, "u", "s")
    exporter.export([first, *_task("kept", "v", "t")])
    assert exporter.force_flush()
    trace = f"{harness.number_of(CANARY):032x}"
    assert _forget(tmp_path, "--trace-id", trace, "--db", str(path))["executions"] == 1
    exporter.export([last])
    late = harness.span(harness.number_of("kept"), 3, harness.call_attributes(), parent=1)
    exporter.export([late])
    assert exporter.force_flush()
    exporter.shutdown()
    assert harness.query(path, "SELECT task_id, attempt_count FROM executions") == [("kept", 2)]
    assert CANARY.encode() not in _bytes_below(tmp_path)


def test_a_trace_that_others_share(tmp_path: Path) -> None:
    """Of several tasks below one batch span only the one goes, and only it stays out."""
    path = tmp_path / "learning.duckdb"
    batch = [harness.span(77, 1, {}, name="batch")]
    for number, name in enumerate((CANARY, "one", "two"), start=1):
        batch += [
            harness.span(77, number * 10, harness.task_attributes(name), parent=1, name="task"),
            harness.span(77, number * 10 + 1, harness.call_attributes(), parent=number * 10),
        ]
    for turn in range(2):
        exporter = LearningSpanExporter(path=path)
        exporter.export(batch)
        assert exporter.force_flush()
        exporter.shutdown()
        if not turn:
            done = _forget(tmp_path, "--task-id", CANARY, "--db", str(path))
            assert (done["executions"], done["attempts"]) == (1, 1)
        rows = harness.query(path, "SELECT task_id, attempt_count FROM executions ORDER BY 1")
        assert rows == [("one", 1), ("two", 1)]


POINTS = ("before commit", "ledger written", "committed", "swept", "compacted")


@pytest.mark.parametrize("passing", [1, 2])
@pytest.mark.parametrize("point", POINTS)
def test_killed_on_the_way(tmp_path: Path, point: str, passing: int) -> None:
    """Killed in the store or in its backup: the same command again leaves no byte."""
    path = tmp_path / "learning.duckdb"
    _store(path)
    back_up(path)
    command = ("forget", "--yes", "--user-id", f"user-{CANARY}", "--db", str(path))

    stores.killed_at(tmp_path, f"forget: {point}", *command, passing=passing)
    stores.answer(tmp_path, *command)

    assert harness.stored_tasks(path).keys() == {f"kept-{i}" for i in range(5)}
    harness.assert_no_row_twice(path)
    assert CANARY.encode() not in _bytes_below(tmp_path)
    _store(path)
    assert harness.stored_tasks(path).keys() == {f"kept-{i}" for i in range(5)}


def test_what_cannot_be_reached_is_named(tmp_path: Path) -> None:
    """A backup elsewhere and a broken segment that holds it are in the answer."""
    path = tmp_path / "store" / "learning.duckdb"
    path.parent.mkdir()
    _store(path)
    elsewhere = back_up(path, tmp_path / "copy.duckdb").path
    broken = Path(f"{path}.spool") / "broken" / "v1-cut.json"
    broken.parent.mkdir(mode=0o700)
    broken.write_bytes(f'{{"task_id": "{CANARY}", "cut'.encode())

    done = stores.answer(tmp_path, "forget", "--yes", "--task-id", CANARY, "--db", str(path))

    assert sorted(done["unreachable"]) == sorted([str(elsewhere), str(broken)])
    # Restored all the same, it does not bring back what was forgotten.
    restore(path, elsewhere)
    assert harness.stored_tasks(path).keys() == {"second", *(f"kept-{i}" for i in range(5))}
    shutil.rmtree(broken.parent)
    for file in path.parent.glob("learning.duckdb.replaced-*"):
        assert f"about {CANARY}".encode() not in (file.read_bytes() if file.is_file() else b"")
    assert f"about {CANARY}".encode() not in _bytes_below(path.parent)


def test_what_comes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments spooled while it is at work are erased too, and the rest of them is kept."""
    path = tmp_path / "learning.duckdb"
    _store(path)
    feeder = LearningSpanExporter(path=path, drain="off")

    def export(point: str) -> None:
        if point == "forget: swept" and not harness.segments_of(path):
            feeder.export([*_task(CANARY, "u", "s"), *_task("other", "u", "s")])

    monkeypatch.setattr(failpoints, "hook", export)
    done = forget(path, {("task_id", CANARY)})
    feeder.shutdown()
    assert done.observations == 5
    [segment] = harness.segments_of(path)
    assert CANARY.encode() not in segment.read_bytes()
    with LearningDatabase(path) as database:
        database.drain()
    assert harness.stored_tasks(path).keys() == {
        "other",
        "second",
        *(f"kept-{i}" for i in range(5)),
    }
    assert f"about {CANARY}".encode() not in _bytes_below(tmp_path)


@pytest.mark.parametrize(
    ("point", "command"),
    [
        ("compaction: copied", ("compact",)),
        ("backup: copied", ("backup",)),
        ("archive: written", ("archive", "--older-than", "1d")),
        ("archive: all written", ("archive", "--older-than", "1d", "--to", "cold")),
    ],
)
def test_what_killed_commands_left(tmp_path: Path, point: str, command: tuple[str, ...]) -> None:
    """Drafts of copies and archives hold it too, and go with it."""
    path = tmp_path / "learning.duckdb"
    _store(path)
    with lease.exclusive(path, 5), lease.connection(path, 5) as con:
        con.execute("DELETE FROM ledger")
        con.execute("DELETE FROM ledger_keys")
    left = [file for file in tmp_path.rglob("*") if file.is_file()]
    stores.killed_at(tmp_path, point, *command, "--db", str(path))
    assert [f for f in tmp_path.rglob("*") if f.is_file() and f not in left]
    _forget(tmp_path, "--user-id", f"user-{CANARY}", "--db", str(path))
    assert CANARY.encode() not in _bytes_below(tmp_path)


def test_what_is_unknown(tmp_path: Path) -> None:
    """Nothing is erased, exit 0, and it is kept out all the same; without --yes nothing happens."""
    path = tmp_path / "learning.duckdb"
    _store(path)
    done = _forget(tmp_path, "--user-id", "nobody", "--db", str(path))
    assert done == dict.fromkeys(
        (
            "executions",
            "attempts",
            "feedback",
            "observations",
            "archives",
            "backups",
            "read_copies",
        ),
        0,
    ) | {"unreachable": []}
    exporter = LearningSpanExporter(path=path)
    exporter.export(_task("new", "nobody", "s"))
    assert exporter.force_flush()
    exporter.shutdown()
    assert "new" not in harness.stored_tasks(path)
    run = cli_in(tmp_path)
    refused = run("forget", "--task-id", CANARY, "--db", str(path))
    assert refused.returncode == 2 and "--yes" in refused.stderr
    assert CANARY in harness.stored_tasks(path)
    assert run("forget", "--yes", "--db", str(path)).returncode == 2
    assert run("forget", "--yes", "--task-id", "x", "--db", "none.duckdb").returncode == 3
    assert not (tmp_path / "none.duckdb").exists()
