"""A command whose process a library aborts: it begins again, and ends when it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def _started(folder: Path, then: str) -> subprocess.Popen[str]:
    program = (
        "import os, pathlib, sys, time, typer\n"
        "from otel_learning.cli import again\n"
        "try:\n"
        "    again.begin_again_when_aborted()\n"
        "except typer.Exit as done:\n"
        "    sys.exit(done.exit_code)\n"
        "begun = pathlib.Path('begun')\n"
        "times = len(begun.read_text().split()) if begun.exists() else 0\n"
        "with begun.open('a') as file:\n"
        "    file.write(f'{os.getpid()}\\n')\n"
        "if times < 2:\n"
        "    os.abort()\n" + then
    )
    return subprocess.Popen(
        [sys.executable, "-c", program], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


STAYS = "print('stays', flush=True)\ntime.sleep(60)\n"


def _last_child(process: subprocess.Popen[str], folder: Path) -> int:
    assert process.stdout is not None
    assert process.stdout.readline() == "stays\n"
    return int((folder / "begun").read_text().split()[-1])


def _is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_an_aborted_child_begins_again(tmp_path: Path) -> None:
    """Twice, saying so each time; then it ends as it likes, with the code that it likes."""
    process = _started(tmp_path, "sys.exit(7)\n")
    _, said = process.communicate(timeout=30)

    assert process.returncode == 7
    assert said.count("killed by SIGABRT; it begins again") == 2
    children = (tmp_path / "begun").read_text().split()
    assert len(set(children)) == 3 and str(process.pid) not in children


def test_signals_are_passed_on(tmp_path: Path) -> None:
    """SIGTERM ends the child, which is not begun again, and its parent with it."""
    process = _started(tmp_path, STAYS)
    child = _last_child(process, tmp_path)
    process.send_signal(signal.SIGTERM)

    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert _is_gone(child)


def test_no_child_outlives_its_parent(tmp_path: Path) -> None:
    """kill -9 of the parent ends the child, too."""
    process = _started(tmp_path, STAYS)
    child = _last_child(process, tmp_path)
    process.kill()

    process.communicate(timeout=30)
    assert _is_gone(child)


def test_a_pause_ends_when_told(tmp_path: Path) -> None:
    """SIGTERM between two children is not put off until the next one."""
    process = _started(tmp_path, "os.abort()\n")
    begun = tmp_path / "begun"
    deadline = time.monotonic() + 20
    while not begun.exists() or len(begun.read_text().split()) < 4:  # the next pause is 4 s
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.5)
    told = time.monotonic()
    process.send_signal(signal.SIGTERM)

    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert time.monotonic() - told < 2
    assert len(begun.read_text().split()) == 4
