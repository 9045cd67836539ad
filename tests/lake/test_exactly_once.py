"""R2 beyond one machine: publishers and PostgreSQL are killed; every execution is there once."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb
import pytest

from otel_learning.errors import StoreError
from otel_learning.store.lake import catalog, upkeep
from otel_learning.store.lake.address import LakeAddress
from otel_learning.store.lake.publish import Publisher
from tests.command_line import ENTRY
from tests.durability import harness
from tests.lake.cluster import Cluster
from tests.lake.conftest import Place
from tests.lake.publishing import assert_once, export, publish, rows_of

PROGRAM = Path(__file__).parent / "programs" / "publish_on.py"
DIE_IN = harness.ROOT / "tests" / "lifecycle" / "programs" / "die_in.py"
PUBLISHERS = 4
TASKS = 500
ROUND_SECONDS = 2.5
SECONDS = 150
POINTS = ("publish: taken", "publish: before commit", "publish: told", "publish: let go")


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_each_step(point: str, tmp_path: Path, lake: Place) -> None:
    """Wherever the kill falls, the next publication completes it, and nothing is there twice."""
    store = export(tmp_path / "learning.duckdb", harness.tasks("t", 0, 30))
    publish(store, lake)
    export(store, [*harness.tasks("t", 30, 45), harness.span(
        harness.number_of("t-7"), 9, harness.call_attributes(), parent=1, name="chat"
    )])  # fmt: skip
    done = subprocess.run(
        [sys.executable, str(DIE_IN), point, "1", "publish", "--lake", lake.address,
         "--db", str(store)],
        env=harness.environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == -9, done.stderr

    publish(store, lake)

    assert_once(lake, {f"t-{number}" for number in range(45)})
    assert rows_of(lake.address, "executions") == rows_of(store, "executions")
    assert rows_of(lake.address, "attempts") == rows_of(store, "attempts")
    assert publish(store, lake).batches == 0


def test_a_turn_that_was_lost(tmp_path: Path, lake: Place) -> None:
    """A writer that hung so long that PostgreSQL took its turn away must not commit."""
    store = export(tmp_path / "learning.duckdb", harness.tasks("t", 0, 3))
    publish(store, lake)
    con = catalog.connect(LakeAddress.of(lake.address), read_only=False)
    with pytest.raises(duckdb.Error), catalog.turn(con, most_seconds=1) as held:
        time.sleep(2)
        held()
    catalog.close(con)
    with contextlib.closing(Publisher(store, LakeAddress.of(lake.address))) as publisher:
        assert publisher.publish().batches == 0


def test_the_command_goes_on_where_it_was_aborted(tmp_path: Path, lake: Place) -> None:
    """`publish --every`: its working process is aborted while it publishes, and begun again."""
    store = export(tmp_path / "learning.duckdb", harness.tasks("t", 0, 10))
    log = tmp_path / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", ENTRY, "publish", "--lake", lake.address, "--data-path",
             str(lake.data_path), "--every", "1", "--db", str(store)],
            env=harness.environment(), stdout=out, stderr=out,
        )  # fmt: skip
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        for turn in range(1, 4):
            _until(partial(_says, log, "publishing every", turn))
            export(store, harness.tasks("t", 10 * turn, 10 * turn + 10))
            time.sleep(0.3 * turn)
            os.kill(int(children.read_text()), signal.SIGABRT)
        _until(partial(_says, log, "killed by SIGABRT", 3))
        _until(lambda: publish(store, lake).batches == 0, StoreError)
    finally:
        process.terminate()
        process.wait(30)
    publish(store, lake)

    assert_once(lake, {f"t-{number}" for number in range(40)})


def _says(log: Path, what: str, times: int) -> bool:
    return log.read_text().count(what) == times


def _until(there: Callable[[], bool], *meanwhile: type[Exception]) -> None:
    """Waits for something; these errors may come before it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(*meanwhile):
            if there():
                return
        time.sleep(0.1)
    raise AssertionError("it did not come")


def _start(folder: Path, number: int, lake: Place) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(folder / f"host-{number}.duckdb"), lake.address,
         str(lake.data_path), f"h{number}", str(TASKS)],
        env=harness.environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def test_four_publishers_and_postgresql_are_killed(
    tmp_path: Path, lake: Place, postgres: Cluster
) -> None:
    """Four hosts publish; again and again one of them, and PostgreSQL, is killed with -9."""
    chance = random.Random(int(os.environ.get("LAKE_SEED", "8")))
    running = {number: _start(tmp_path, number, lake) for number in range(PUBLISHERS)}
    try:
        kills = _kill_by_and_by(running, chance, tmp_path, lake, postgres)
    finally:
        for process in running.values():
            process.kill()
            process.communicate()
    assert kills >= 4

    expected = {f"h{host}-{task}" for host in range(PUBLISHERS) for task in range(TASKS)}
    assert_once(lake, expected)
    for host in range(PUBLISHERS):
        assert publish(tmp_path / f"host-{host}.duckdb", lake).batches == 0
    kept = upkeep.maintain(LakeAddress.of(lake.address), snapshots_seconds=0)
    assert kept.files < kept.files_before
    assert_once(lake, expected)


def _kill_by_and_by(
    running: dict[int, subprocess.Popen[str]], chance: random.Random, tmp_path: Path, lake: Place,
    postgres: Cluster,
) -> int:  # fmt: skip
    """Until every publisher says that it is done; returns how often something was killed."""
    finished: set[int] = set()
    kills = 0
    deadline = time.monotonic() + SECONDS
    while len(finished) < PUBLISHERS:
        assert time.monotonic() < deadline, f"{finished} have finished"
        time.sleep(chance.uniform(0.2, ROUND_SECONDS))
        for number, process in list(running.items()):
            if process.poll() is None:
                continue
            out, _ = process.communicate()
            if process.returncode == -signal.SIGABRT:
                # DuckDB's PostgreSQL extension ends the process where it cannot roll back on a
                # server that is gone. To a lake that is one more kill.
                running[number] = _start(tmp_path, number, lake)
                continue
            assert out == "done\n", (number, process.returncode)
            finished.add(number)
            del running[number]
        if kills >= 12 or not running:
            continue
        kills += 1
        if kills % 4 == 0:
            postgres.kill()
            time.sleep(chance.uniform(0.0, 0.5))
            postgres.start()
        else:
            victim = chance.choice(sorted(running))
            running[victim].kill()
            running[victim].communicate()
            running[victim] = _start(tmp_path, victim, lake)
    return kills
