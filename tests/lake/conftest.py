"""These tests need DuckDB's extension for lakes, and PostgreSQL: `make lake-test` has both."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest

from otel_learning.store.lake import extension
from tests.lake.cluster import Cluster, programs

REQUIRED = "LAKE_TESTS"
"""Set where what is missing is a failure; elsewhere the tests are left out, and say so."""


def missing() -> str | None:
    """What these tests would need and is not there."""
    try:
        extension.load(duckdb.connect())
    except extension.LakeExtensionError as error:
        return str(error)
    return None if programs() else "PostgreSQL is not installed"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    lacking = missing()
    if lacking and os.environ.get(REQUIRED):
        pytest.fail(f"{lacking}; make lake-test installs what is missing")
    if lacking:
        pytest.skip("needs DuckDB's lake extension and PostgreSQL: make lake-test")
    cluster = Cluster()
    yield cluster
    cluster.stop()


class Place(NamedTuple):
    """A lake that does not exist yet."""

    address: str
    data_path: Path


@pytest.fixture
def lake(postgres: Cluster, tmp_path: Path) -> Place:
    return Place(f"ducklake:postgres:{postgres.database()}", tmp_path / "lake-data")
