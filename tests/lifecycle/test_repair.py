"""Repair: what can be read is kept, what the ledger knows is rebuilt, and the rest is said."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from otel_learning import LearningDatabase, LearningSpanExporter
from otel_learning.store.backup import back_up
from otel_learning.store.spool import Spool
from tests.command_line import cli_in
from tests.durability import harness
from tests.lifecycle import stores


def _repair(folder: Path, path: Path) -> dict[str, Any]:
    done: dict[str, Any] = stores.answer(folder, "repair", "--db", str(path))
    return done


def _goes_on(path: Path, tasks: set[str]) -> None:
    """The store holds these tasks once each, takes more, and late spans join."""
    assert harness.stored_tasks(path) == dict.fromkeys(tasks, 1)
    harness.assert_no_row_twice(path)
    stores.fill(path, "more", 2)
    assert harness.stored_tasks(path).keys() == tasks | {"more-0", "more-1"}


def _names(prefix: str, count: int) -> set[str]:
    return {f"{prefix}-{i}" for i in range(count)}


def test_a_sound_store(tmp_path: Path) -> None:
    """It says so and changes nothing; a missing store, or another program's file, is refused."""
    path = tmp_path / "learning.duckdb"
    stores.fill(path, "t", 10)
    before = path.read_bytes()

    done = _repair(tmp_path, path)

    assert done["sound"] and done["kept"] == [] and done["lost"] == []
    assert path.read_bytes() == before
    run = cli_in(tmp_path)
    assert "sound" in run("repair", "--db", str(path)).stdout
    assert run("repair", "--db", "none.duckdb").returncode == 3
    with duckdb.connect(str(tmp_path / "other.duckdb")) as con:
        con.execute("CREATE TABLE mine AS SELECT 1 AS a")
    other = (tmp_path / "other.duckdb").read_bytes()
    assert run("repair", "--db", "other.duckdb").returncode == 2
    assert (tmp_path / "other.duckdb").read_bytes() == other
    (tmp_path / "text").write_text("hello")
    assert run("repair", "--db", "text").returncode == 3
    assert (tmp_path / "text").read_text() == "hello"


def test_segments_that_were_cut_short(tmp_path: Path) -> None:
    """Whole observations before the cut come in; what is damaged or empty is kept and named."""
    path = tmp_path / "learning.duckdb"
    feeder = LearningSpanExporter(path=path, drain="off")
    for i in range(4):
        feeder.export(harness.tasks(f"s{i}", 0, 10))
    feeder.shutdown()
    cut, damaged, empty, _ = harness.segments_of(path)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 3 // 4])
    body = bytearray(damaged.read_bytes())
    body[len(body) // 2] ^= 1
    damaged.write_bytes(bytes(body))
    empty.write_bytes(b"")
    again = Spool(path).write(b'{"notes": {}, "observations": [["colour", "blue"]]}')
    stores.fill(path, "t", 1)
    assert len(list((Path(f"{path}.spool") / "broken").iterdir())) == 4

    done = _repair(tmp_path, path)

    assert (done["segments_recovered"], done["segments_lost"]) == (1, 3)
    broken = Path(f"{path}.spool") / "broken"
    assert {Path(file).name for file in done["kept"]} == {
        cut.name, damaged.name, empty.name, again.name,
    }  # fmt: skip
    assert {file.name for file in broken.iterdir()} == {damaged.name, empty.name, again.name}
    stored = harness.stored_tasks(path).keys()
    assert 5 <= len({task for task in stored if task and task.startswith("s0-")}) < 10
    assert len({task for task in stored if task and task.startswith("s3-")}) == 10
    assert _repair(tmp_path, path)["segments_recovered"] == 0
    stores.assert_private(tmp_path)


def _with_log(path: Path) -> bytes:
    """A store whose last drain is in its log alone, as a kill before the checkpoint leaves it."""
    stores.fill(path, "a", 10)
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from otel_learning import LearningSpanExporter\n"
        "from otel_learning.store import drain, failpoints\n"
        "from tests.durability import harness\n"
        "path = Path(sys.argv[1])\n"
        "feeder = LearningSpanExporter(path=path, drain='off')\n"
        "feeder.export(harness.tasks('b', 0, 10))\n"
        "failpoints.hook = lambda point: point == 'drain: unlinked' and os.kill(os.getpid(), 9)\n"
        "drain.Drainer(path).drain(5)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], env=harness.environment(), check=False,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == -9, done.stderr
    assert harness.segments_of(path) == []
    return Path(f"{path}.wal").read_bytes()


def test_a_log_that_replays(tmp_path: Path) -> None:
    """What a kill left in the log is sound; it is brought into the store."""
    path = tmp_path / "learning.duckdb"
    assert _with_log(path)
    done = _repair(tmp_path, path)
    assert done["sound"] and done["wal"] == "replayed"
    _goes_on(path, _names("a", 10) | _names("b", 10))


@pytest.mark.parametrize("damage", ["flipped", "another store's"])
def test_a_log_that_does_not_replay(tmp_path: Path, damage: str) -> None:
    """It is set aside, and its executions are put together anew from the ledger's files."""
    path = tmp_path / "learning.duckdb"
    wal = Path(f"{path}.wal")
    log = bytearray(_with_log(path))
    if damage == "flipped":
        log[len(log) // 2] ^= 0xFF
    else:
        (tmp_path / "x").mkdir()
        log = bytearray(_with_log(tmp_path / "x" / "other.duckdb"))
    wal.write_bytes(bytes(log))
    with pytest.raises(duckdb.Error):
        duckdb.connect(str(path)).close()

    done = _repair(tmp_path, path)

    assert (done["sound"], done["wal"], done["executions_rebuilt"]) == (False, "set aside", 10)
    assert any(".wal.broken-" in file for file in done["kept"])
    assert all(Path(file).exists() for file in done["kept"])
    _goes_on(path, _names("a", 10) | _names("b", 10))
    assert _repair(tmp_path, path)["sound"]


@pytest.mark.parametrize("point", ["rebuilt", "kept aside", "in place"])
def test_killed_on_the_way(tmp_path: Path, point: str) -> None:
    """The next repair completes what a killed one began; every execution is there once."""
    path = tmp_path / "learning.duckdb"
    log = bytearray(_with_log(path))
    log[len(log) // 2] ^= 0xFF
    Path(f"{path}.wal").write_bytes(bytes(log))
    stores.killed_at(tmp_path, f"repair: {point}", "repair", "--db", str(path))
    _repair(tmp_path, path)
    _goes_on(path, _names("a", 10) | _names("b", 10))


@pytest.mark.parametrize("backup", [False, True])
@pytest.mark.parametrize("left", [0.0, 0.3, 0.9])
def test_a_file_that_does_not_open(tmp_path: Path, left: float, backup: bool) -> None:
    """Cut by a copy: rebuilt from the newest backup and the ledger; the file is kept."""
    path = tmp_path / "learning.duckdb"
    stores.fill(path, "a", 20)
    if backup:
        back_up(path)
        shutil.rmtree(f"{path}.ledger")
        Path(f"{path}.ledger").mkdir(mode=0o700)
    stores.fill(path, "b", 20)
    os.truncate(path, int(path.stat().st_size * left))

    done = _repair(tmp_path, path)

    assert not done["sound"] and done["lost"]
    assert (done["base"] is not None) == backup
    [kept] = done["kept"]
    assert ".damaged-" in kept and Path(kept).exists()
    _goes_on(path, _names("a", 20) | _names("b", 20))
    stores.assert_private(tmp_path)


def test_a_file_with_damaged_blocks(tmp_path: Path) -> None:
    """What can be read is kept, what cannot comes from the ledger, and the numbers say so."""
    path = tmp_path / "learning.duckdb"
    stores.fill(path, "a", 500)
    with LearningDatabase(path) as database:
        blocks = database.sql(
            "SELECT DISTINCT block_id FROM pragma_storage_info('settled_executions') "
            "WHERE block_id > 0 AND column_name = 'task_id'"
        )
        [(size,)] = database.sql("SELECT block_size FROM pragma_database_size()")
    body = bytearray(path.read_bytes())
    for (block,) in blocks:
        place = 3 * 4096 + block * size + size // 2
        body[place] ^= 0xFF
    path.write_bytes(bytes(body))

    done = _repair(tmp_path, path)

    assert not done["sound"]
    assert done["tables"]["settled_executions"]["lost"] > 0
    assert done["executions_rebuilt"] == done["tables"]["settled_executions"]["lost"]
    _goes_on(path, _names("a", 500))


def test_what_was_forgotten_stays_away(tmp_path: Path) -> None:
    """A ledger file that a killed forget left behind is not read back into the store."""
    path = tmp_path / "learning.duckdb"
    _with_log(path)
    stores.answer(tmp_path, "compact", "--db", str(path))
    stores.killed_at(
        tmp_path, "forget: committed", "forget", "--yes", "--task-id", "a-1", "--db", str(path)
    )
    with duckdb.connect(str(path)) as con:
        con.execute("CHECKPOINT")
    assert "a-1" not in harness.stored_tasks(path)
    Path(f"{path}.wal").write_bytes(b"x" * 1000)
    _repair(tmp_path, path)
    assert "a-1" not in harness.stored_tasks(path)
