"""Publishes stores, and reads what became of them in a lake: what the tests here share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from otel_learning import LearningDatabase, LearningSpanExporter
from otel_learning.store.drain import DrainSettings
from otel_learning.store.lake.address import LakeAddress
from otel_learning.store.lake.publish import Published, Publisher
from tests.lake.conftest import Place

SETTINGS = DrainSettings()


def export(path: Path, spans: Sequence[ReadableSpan]) -> Path:
    """Stores spans."""
    exporter = LearningSpanExporter(path=path)
    exporter.export(spans)
    assert exporter.force_flush()
    exporter.shutdown()
    return path


def publish(path: Path, lake: Place, batch: int = 20_000) -> Published:
    publisher = Publisher(
        path, LakeAddress.of(lake.address), data_path=str(lake.data_path), settings=SETTINGS,
        batch=batch,
    )  # fmt: skip
    try:
        return publisher.publish()
    finally:
        publisher.close()


def rows_of(db: str | Path, relation: str) -> list[tuple[Any, ...]]:
    """All rows of a view, in an order of their own."""
    with LearningDatabase(db) as database:
        return sorted(database.sql(f"FROM {relation}"), key=repr)


def assert_once(lake: Place, tasks: set[str]) -> None:
    """These tasks, each once, with every attempt once."""
    with LearningDatabase(lake.address) as database:
        found = database.sql("SELECT task_id FROM executions")
        assert sorted(task for (task,) in found) == sorted(tasks)
        [(count, ids)] = database.sql(
            "SELECT count(*), count(DISTINCT execution_id) FROM executions"
        )
        assert count == ids
        [(count, ids)] = database.sql(
            "SELECT count(*), count(DISTINCT (execution_id, ordinal)) FROM attempts"
        )
        assert count == ids
        [(count,)] = database.sql(
            "SELECT count(*) FROM executions WHERE attempt_count <> "
            "(SELECT count(*) FROM attempts AS a WHERE a.execution_id = executions.execution_id)"
        )
        assert count == 0
