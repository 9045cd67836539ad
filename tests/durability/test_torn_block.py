"""A block of metadata that a kill tore in the middle of DuckDB's write of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest

from otel_learning import LearningDatabase, LearningSpanExporter
from otel_learning.errors import StoreError
from otel_learning.store import lease, migrating
from tests.durability import harness

HEADERS = 3 * 4096
PAGE = 4096


def _blocks_in_use(path: Path) -> set[int]:
    with duckdb.connect(str(path), read_only=True) as con:
        return {int(b) for (b,) in con.execute("SELECT block_id FROM pragma_metadata_info()").fetchall()}  # fmt: skip # noqa: E501


def _killed(folder: Path) -> Path:
    """A store whose last drain was committed to the log, and killed before its checkpoint."""
    path = folder / "learning.duckdb"
    process = harness.start("die_at", path, "drain: after commit", 3)
    process.communicate(timeout=60)
    assert process.returncode == -9
    assert Path(f"{path}.wal").stat().st_size > 0
    return path


def _tear(path: Path, folder: Path) -> int:
    """Makes of the store what a kill in the checkpoint's write of a block in use leaves.

    The first page of the block is the checkpoint's, the others are as they were.
    """
    checkpointed = folder / "checkpointed.duckdb"
    shutil.copy(path, checkpointed)
    shutil.copy(f"{path}.wal", f"{checkpointed}.wal")
    bare = folder / "bare.duckdb"
    shutil.copy(path, bare)
    used = _blocks_in_use(bare)
    duckdb.connect(str(checkpointed)).close()
    before, after = bytearray(path.read_bytes()), checkpointed.read_bytes()
    for block in sorted(used):
        place = HEADERS + block * lease.BLOCK_BYTES
        old, new = before[place : place + PAGE], after[place : place + PAGE]
        rest = slice(place + PAGE, place + lease.BLOCK_BYTES)
        if old != new and before[rest] != after[rest]:
            before[place : place + PAGE] = new
            path.write_bytes(before)
            return place
    pytest.fail("no block in use was written in its place")


@pytest.fixture
def torn(tmp_path: Path) -> Path:
    path = _killed(tmp_path)
    (tmp_path / "copies").mkdir()
    _tear(path, tmp_path / "copies")
    bare = tmp_path / "copies" / "torn.duckdb"
    shutil.copy(path, bare)
    with pytest.raises(duckdb.Error, match="does not match stored checksum"):
        duckdb.connect(str(bare))
    return path


def test_reading_mends_it(torn: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is lost: what was checkpointed, what was in the log, and what waited."""
    with LearningDatabase(torn) as database:
        database.drain()

    tasks = harness.stored_tasks(torn)
    assert {f"t-{n}" for n in range(30)} <= tasks.keys() and set(tasks.values()) == {1}
    assert [check.check for check in migrating.check(torn) if not check.passed] == []
    assert "was mended" in caplog.text
    [kept] = torn.parent.glob("learning.duckdb.torn-*")
    assert kept.stat().st_mode & 0o077 == 0


def test_an_exporter_mends_it(torn: Path) -> None:
    """An application that is started again goes on."""
    exporter = LearningSpanExporter(path=torn)
    exporter.export(harness.task("after"))

    assert exporter.force_flush()
    assert harness.stored_tasks(torn)["after"] == 1
    exporter.shutdown()


def test_other_damage_is_not_mended(tmp_path: Path) -> None:
    """Without a log there was no kill in a checkpoint: the file is left as it is, and named."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    exporter.export(harness.task("a"))
    exporter.shutdown()
    used = sorted(_blocks_in_use(path))
    body = bytearray(path.read_bytes())
    for block in used:
        body[HEADERS + block * lease.BLOCK_BYTES + 100] ^= 0xFF
    path.write_bytes(body)

    with pytest.raises(StoreError, match="checksum"):
        LearningDatabase(path).executions()
    assert path.read_bytes() == body
