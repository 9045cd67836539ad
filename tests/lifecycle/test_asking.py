"""What cannot be taken back is asked for, on a terminal; nothing else happens before the answer."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import ENTRY, environment
from tests.durability import harness
from tests.lifecycle import stores


@pytest.mark.parametrize(("said", "code", "left"), [("y", 0, 2), ("n", 1, 3), ("", 1, 3)])
def test_on_a_terminal_it_asks(tmp_path: Path, said: str, code: int, left: int) -> None:
    """Only a yes is a yes; anything else changes nothing and ends with 1."""
    path = tmp_path / "learning.duckdb"
    stores.fill(path, "t", 3)
    outer, inner = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ENTRY, "forget", "--task-id", "t-1", "--db", str(path)],
        stdin=inner, stderr=inner, stdout=subprocess.PIPE, env=environment(), cwd=tmp_path,
    )  # fmt: skip
    os.close(inner)
    question = b""
    while b"[y/N]" not in question:
        question += os.read(outer, 1024)
    assert b"erase task_id 't-1'" in question
    assert len(harness.stored_tasks(path)) == 3
    os.write(outer, said.encode() + b"\n")
    assert process.wait(60) == code
    assert process.stdout is not None
    process.stdout.close()
    os.close(outer)
    assert len(harness.stored_tasks(path)) == left
