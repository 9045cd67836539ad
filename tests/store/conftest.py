"""One filled store for all tests that only read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.store.filled import Row, fill

ROWS = 400


@dataclass(frozen=True)
class Filled:
    path: Path
    rows: list[Row]


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """A store that is only read."""
    path = tmp_path_factory.mktemp("filled") / "learning.duckdb"
    return Filled(path, fill(path, ROWS, seed=7))
