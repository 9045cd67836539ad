"""Others can read while much is stored: the file is let go of, and not taken again at once (R6)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from otel_learning import LearningDatabase, LearningSpanExporter
from otel_learning.store import drain, lease
from tests.durability import harness

READER = """
import sys, time, duckdb
print("ready", flush=True)
for line in sys.stdin:
    start = time.monotonic()
    while True:
        try:
            with duckdb.connect(sys.argv[1], read_only=True) as con:
                print(con.execute("SELECT count(*) FROM executions").fetchall()[0][0],
                      time.monotonic() - start, flush=True)
            break
        except duckdb.IOException:
            time.sleep(0.01)
"""


def _hold(path: Path, seconds: float) -> float:
    """Holds the file as a writer for so long, and returns when it was taken."""
    with lease.exclusive(path, 10), lease.connection(path, 10):
        taken = time.monotonic()
        time.sleep(seconds)
    return taken


def test_a_writer_leaves_readers_a_turn(tmp_path: Path) -> None:
    """After a hold of 0.4 s a tenth of a second, and none after a pause."""
    path = tmp_path / "learning.duckdb"
    LearningDatabase(path)
    _hold(path, 0.4)
    let_go = time.monotonic()
    assert _hold(path, 0.0) - let_go > 0.9 * 0.4 * lease.READERS_SHARE
    _hold(path, 0.4)
    time.sleep(0.2)
    asked = time.monotonic()
    assert _hold(path, 0.0) - asked < 0.1


def test_clocks_that_jump_hold_nobody_up(tmp_path: Path) -> None:
    """The times of the lock file may lie anywhere."""
    path = tmp_path / "learning.duckdb"
    LearningDatabase(path)
    lock = path.with_name(path.name + ".lock")
    now = time.time()
    for opened, closed in ((now, now + 3600), (0, now), (now + 3600, now), (now - 9e5, now - 8e5)):
        os.utime(lock, (opened, closed))
        asked = time.monotonic()
        assert _hold(path, 0.0) - asked < 2 * lease.READERS_SECONDS + 0.2


def test_a_backlog_is_stored_in_many_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One call stores all of it, and somebody who reads meanwhile sees it grow."""
    monkeypatch.setattr(drain, "HOLD_SECONDS", 0.0)
    monkeypatch.setattr(drain, "TRANSACTION_LEAST", 500)
    monkeypatch.setattr(drain, "TRANSACTION_OBSERVATIONS", 500)
    path = tmp_path / "learning.duckdb"
    feeder = LearningSpanExporter(path=path, drain="off")
    for first in range(0, 2000, 100):
        feeder.export(harness.tasks("t", first, first + 100))
    feeder.shutdown()
    LearningDatabase(path, settings=drain.DrainSettings())
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert reader.stdin and reader.stdout and reader.stdout.readline()
    holds = 0
    real = drain.Drainer._hold

    def counted(self: drain.Drainer, *given: float) -> None:
        nonlocal holds
        holds += 1
        real(self, *given)  # type: ignore[arg-type]
        assert reader.stdin
        reader.stdin.write("\n")
        reader.stdin.flush()

    monkeypatch.setattr(drain.Drainer, "_hold", counted)
    report = drain.Drainer(path).drain(30)
    assert report.executions == 2000 and not report.waiting
    assert holds >= 4
    reader.stdin.close()
    seen = [int(line.split()[0]) for line in reader.stdout]
    reader.stdout.close()
    assert reader.wait() == 0
    assert len(seen) == holds and seen == sorted(seen) and seen[0] < 2000 and seen[-1] == 2000


def test_nothing_is_drawn_in_an_interactive_interpreter(tmp_path: Path) -> None:
    """DuckDB draws a bar there by default (rule R3: never prints)."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from otel_learning import LearningDatabase\n"
        "from otel_learning.store import lease\n"
        "path = Path(sys.argv[1])\n"
        "LearningDatabase(path)\n"
        "bar = \"SELECT current_setting('enable_progress_bar')\"\n"
        "with lease.exclusive(path, 9), lease.connection(path, 9) as con:\n"
        "    assert con.execute(bar).fetchall() == [(False,)]\n"
        "    assert con.cursor().execute(bar).fetchall() == [(False,)]\n"
        "with lease.exclusive(path, 9), lease.attached(path, 9) as con:\n"
        "    assert con.execute(bar).fetchall() == [(False,)]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "learning.duckdb")], check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
