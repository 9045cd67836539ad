"""A store that the demo filled, and one with planted solutions."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.agents.processes import Served, served
from tests.command_line import copy_store, demo_store
from tests.knowledge.stores import write
from tests.knowledge.test_solutions import planted

__all__ = ["demo_store"]


@pytest.fixture(scope="session")
def solved_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose executions show which solutions work; for reading only."""
    path = tmp_path_factory.mktemp("solved") / "solved.duckdb"
    write(path, planted(random.Random(5)))
    return path


@pytest.fixture(scope="session")
def demo_copy(demo_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's store, to write into as well."""
    return copy_store(demo_store, tmp_path_factory.mktemp("agents") / "learning.duckdb")


@pytest.fixture(scope="module")
def demo_server(demo_copy: Path):  # type: ignore[no-untyped-def]
    """A server over HTTP beside the demo's store."""
    with served("--db", str(demo_copy)) as server:
        yield server


__all__ += ["Served"]
