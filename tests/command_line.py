"""Runs the command line as people do: a process of its own, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
ENTRY = "from otel_learning.cli.main import run; run()"


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without telemetry variables, and what is given on top."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return {**kept, **(more or {})}


def cli_in(folder: Path) -> Run:
    """A function that runs `otel-learning` with the arguments given."""

    def run(
        *arguments: str,
        env: dict[str, str] | None = None,
        stdin: str | None = None,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", ENTRY, *arguments], cwd=folder, env=environment(env),
            input=stdin or "", timeout=timeout, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


@pytest.fixture
def run_cli(tmp_path: Path) -> Run:
    """The command line in an empty folder."""
    return cli_in(tmp_path)


@pytest.fixture(scope="session")
def demo_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that the demo filled; for reading only."""
    folder = tmp_path_factory.mktemp("demo")
    done = cli_in(folder)("demo", "--db", "demo.duckdb")
    assert done.returncode == 0, done.stderr
    return folder / "demo.duckdb"


def copy_store(store: Path, target: Path) -> Path:
    """A copy of a store with everything that lies beside it, to write into."""
    for entry in store.parent.iterdir():
        if entry.name.startswith(store.name):
            place = target.with_name(entry.name.replace(store.name, target.name, 1))
            if entry.is_dir():
                shutil.copytree(entry, place)
            else:
                shutil.copy(entry, place)
    return target
