"""Whatever README and docs show is run, beside a store that the demo filled."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from otel_learning import LearningDatabase
from tests.command_line import copy_store, environment
from tests.docs.pages import ROOT, Block, blocks, pages

WITH_CODE = [page for page in pages() if blocks(page)]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_runs(page: Path, demo_store: Path, tmp_path: Path) -> None:
    """A page's blocks run one after the other in one folder, and print what the page says."""
    copy_store(demo_store, tmp_path / "learning.duckdb")
    printed = ""

    for block in blocks(page):
        if block.mark == "output":
            assert matches(printed, block.body), f"{page}: prints\n{printed}"
        elif block.named("not run") is None:
            printed = run(block, tmp_path)


def run(block: Block, folder: Path) -> str:
    needed = block.named("needs")
    if needed is not None and not _installed(needed):
        return ""
    name = block.named("file")
    if name is not None:
        (folder / name).write_text(block.body, encoding="utf-8")
    elif block.language == "python":
        return process([sys.executable, "-c", block.body], folder)
    elif block.language == "sh":
        return process(["bash", "-euo", "pipefail", "-c", block.body], folder)
    elif block.language == "sql":
        database = LearningDatabase(folder / "learning.duckdb")
        for statement in block.body.rstrip().removesuffix(";").split(";\n"):
            assert database.sql(statement), statement
    return ""


def process(command: list[str], folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=folder, env=environment({"PATH": path}), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def matches(printed: str, shown: str) -> bool:
    """Whether lines are equal; a shown `...` stands for any rest of its line."""
    actual, expected = printed.rstrip().splitlines(), shown.rstrip().splitlines()
    return len(actual) == len(expected) and all(
        have.startswith(want.removesuffix("...")) if want.endswith("...") else have == want
        for have, want in zip(actual, expected, strict=True)
    )


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def test_every_block_that_is_not_run_says_why() -> None:
    """A block that is left out has a reason in the comment before it."""
    for page in pages():
        for block in blocks(page):
            reason = block.named("not run")
            assert reason is None or len(reason) > 10, page
