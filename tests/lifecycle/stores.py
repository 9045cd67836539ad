"""Stores to look after, and what may not change in them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from otel_learning import LearningSpanExporter
from tests.command_line import cli_in
from tests.durability import harness

PROGRAM = Path(__file__).parent / "programs" / "die_in.py"


def fill(path: Path, prefix: str, count: int) -> None:
    """Stores tasks `prefix-0` and on, each with one call."""
    exporter = LearningSpanExporter(path=path)
    exporter.export(harness.tasks(prefix, 0, count))
    assert exporter.force_flush()
    exporter.shutdown()


def answer(folder: Path, *arguments: str, code: int = 0) -> Any:
    """What a command says as JSON; it must end with that exit code."""
    done = cli_in(folder)(*arguments, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout else done.stderr


def killed_at(folder: Path, point: str, *arguments: str, passing: int = 1) -> None:
    """Runs a command that is killed at a failpoint."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), point, str(passing), *arguments], cwd=folder,
        env=harness.environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == -9, f"{point} was not reached:\n{done.stdout}\n{done.stderr}"


def rows_of(path: Path, view: str = "executions") -> list[tuple[Any, ...]]:
    """All rows of a view, in an order of their own."""
    return sorted(harness.query(path, f"FROM {view}"), key=repr)


def assert_private(folder: Path) -> None:
    """Nothing below can be read by anybody but its owner."""
    for file in folder.rglob("*"):
        mode = file.stat().st_mode & 0o077
        private_parents = any(
            not parent.stat().st_mode & 0o077
            for parent in file.parents
            if parent.is_relative_to(folder) and parent != folder
        )
        assert not mode or private_parents, f"{file} has mode {mode:o}"
