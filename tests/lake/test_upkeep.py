"""A lake stays small: files are merged, snapshots end, what is old or erased leaves the disk."""

from __future__ import annotations

import time
from pathlib import Path

from otel_learning import LearningDatabase
from otel_learning.store.forget import forget
from otel_learning.store.lake import upkeep
from otel_learning.store.lake.address import LakeAddress
from tests.durability import harness
from tests.lake.conftest import Place
from tests.lake.publishing import assert_once, export, publish, rows_of

DAY_NS = 86_400 * harness.SECOND_NS


def _files(lake: Place) -> list[Path]:
    return sorted(lake.data_path.rglob("*.parquet"))


def test_files_are_merged_and_snapshots_end(tmp_path: Path, lake: Place) -> None:
    """Ten publications, and after the upkeep a file per table, with the same rows."""
    store = tmp_path / "learning.duckdb"
    for first in range(0, 200, 20):
        export(store, harness.tasks("t", first, first + 20))
        publish(store, lake)
    before = rows_of(lake.address, "executions")
    assert len(_files(lake)) >= 30

    kept = upkeep.maintain(LakeAddress.of(lake.address), snapshots_seconds=0)

    assert kept.snapshots <= 2 < kept.snapshots_before
    assert len(_files(lake)) <= 6
    assert rows_of(lake.address, "executions") == before
    assert_once(lake, {f"t-{number}" for number in range(200)})


def test_days_are_rolled_up(tmp_path: Path, lake: Place) -> None:
    """By the upkeep; the views say the same before and after, and when a day changes again."""
    views = ("tier_performance", "pool_performance", "routing_statistics", "solution_patterns")
    store = tmp_path / "learning.duckdb"
    spans = [
        span for number in range(30)
        for span in harness.task(f"t-{number}", start_ns=harness.START_NS + number % 3 * DAY_NS)
    ]  # fmt: skip
    export(store, spans)
    publish(store, lake)
    assert rows_of(lake.address, "rollup_status")[0][:2] == (0, 3)

    kept = upkeep.maintain(LakeAddress.of(lake.address))

    assert kept.rolled_up_days == 3
    assert rows_of(lake.address, "rollup_status")[0][:2] == (3, 0)
    for view in views:
        assert rows_of(lake.address, view) == rows_of(store, view), view
    export(store, harness.task("late", start_ns=harness.START_NS + DAY_NS))
    forget(store, {("task_id", "t-2")})
    publish(store, lake)
    assert rows_of(lake.address, "rollup_status")[0][:2] == (1, 2)
    for view in views:
        assert rows_of(lake.address, view) == rows_of(store, view), view


def test_a_reader_keeps_its_moment(tmp_path: Path, lake: Place) -> None:
    """A snapshot shows the same while others publish and files are merged."""
    store = export(tmp_path / "learning.duckdb", harness.tasks("t", 0, 20))
    publish(store, lake)
    with LearningDatabase(lake.address) as database, database.snapshot() as moment:
        assert moment.count_executions() == 20
        export(store, harness.tasks("u", 0, 20))
        publish(store, lake)
        upkeep.maintain(LakeAddress.of(lake.address))
        assert moment.count_executions() == 20
        assert len(moment.executions(model_tier="large")) == 20
        assert database.count_executions() == 40


def test_old_executions_are_deleted(tmp_path: Path, lake: Place) -> None:
    """Retention: by the day on which they started; the store keeps its own."""
    now = time.time_ns()
    spans = [*harness.task("old", start_ns=now - 90 * DAY_NS), *harness.task("new", start_ns=now)]
    store = export(tmp_path / "learning.duckdb", spans)
    publish(store, lake)

    kept = upkeep.maintain(LakeAddress.of(lake.address), keep_days=30)

    assert kept.deleted == 1
    assert_once(lake, {"new"})
    assert publish(store, lake).batches == 0
    with LearningDatabase(store) as database:
        assert database.count_executions() == 2


def test_what_was_erased_leaves_the_disk(tmp_path: Path, lake: Place) -> None:
    """R5: after the upkeep no file holds a word of it."""
    words = "a-description-that-nobody-else-has"
    spans = harness.tasks("t", 0, 20)
    spans.append(
        harness.span(
            77, 1, harness.task_attributes("t-77", **{"learning.task.description": words}),
            name="task",
        )
    )  # fmt: skip
    store = export(tmp_path / "learning.duckdb", spans)
    publish(store, lake)

    def said() -> bool:
        with LearningDatabase(lake.address) as database:
            database.sql("SELECT 1")
            rows = database.sql(
                "SELECT count(*) FROM read_parquet(?, union_by_name = true) "
                "WHERE task_description = ?",
                [[str(file) for file in _files(lake) if "settled_executions" in str(file)], words],
            )
        return bool(rows[0][0])

    assert said()
    forget(store, {("task_id", "t-77")})
    publish(store, lake)
    upkeep.maintain(LakeAddress.of(lake.address), snapshots_seconds=0)

    assert not said()
    assert_once(lake, {f"t-{number}" for number in range(20)})
