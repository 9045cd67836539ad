"""What a lake's address may be, and what is said where there is no lake; needs no PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from otel_learning import LearningDatabase
from otel_learning.errors import InputError, StoreError
from otel_learning.store.lake import extension
from otel_learning.store.lake.address import LakeAddress
from tests.command_line import cli_in, environment

NOWHERE = "ducklake:postgres:host=/nowhere dbname=lake password=secret"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("ducklake:postgres:dbname=x", "ducklake:postgres:dbname=x"),
        ("ducklake:postgres:dbname=x password=secret user=u",
         "ducklake:postgres:dbname=x password=... user=u"),
        ("ducklake:postgres:postgresql://u:secret@h/db", "ducklake:postgres:postgresql://u:...@h/db"),
    ],
)  # fmt: skip
def test_addresses_and_their_secrets(said: str, shown: str) -> None:
    """A path makes one slash of two; a password is never shown."""
    assert LakeAddress.of(said).catalog == said
    assert LakeAddress.of(Path(said)) == LakeAddress.of(said)
    assert str(LakeAddress.of(said)) == shown


@pytest.mark.parametrize("said", ["postgres:dbname=x", "ducklake:lake.duckdb", "ducklake:sqlite:x"])
def test_what_is_no_address(said: str) -> None:
    """Other catalogs let one process write at a time."""
    with pytest.raises(InputError, match="lake"):
        LakeAddress.of(said)


def test_a_lake_that_cannot_be_reached(tmp_path: Path) -> None:
    """Exit code 3 and one line, without the password, and with both ways to the extension."""
    with pytest.raises(StoreError) as raised, LearningDatabase(NOWHERE) as database:
        database.executions()
    if isinstance(raised.value, extension.LakeExtensionError):
        assert "otel-learning[lake]" in str(raised.value) and "INSTALL" in str(raised.value)
    done = cli_in(tmp_path)("query", "SELECT 1", "--db", NOWHERE)
    assert done.returncode == 3, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "secret" not in done.stderr + str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_an_exporter_is_told_that_a_lake_is_only_read(tmp_path: Path) -> None:
    """Its spans go where they would without the setting; the password goes nowhere."""
    program = (
        "from otel_learning import LearningSpanExporter\n"
        "import logging\n"
        "logging.basicConfig()\n"
        "exporter = LearningSpanExporter()\n"
        "exporter.force_flush()\n"
        "exporter.shutdown()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env=environment({
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "OTEL_EXPORTER_LEARNING_PATH": "ducklake:postgres:dbname=x password=unspeakable",
        }), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "is a lake's address, and a lake is only read" in done.stderr
    assert "unspeakable" not in done.stderr
    assert all(entry.name.startswith("learning.duckdb") for entry in tmp_path.iterdir())
