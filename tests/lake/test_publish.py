"""What a store holds is in the lake once, as the store has it, whatever changes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_learning import FeedbackRecord, LearningDatabase
from otel_learning.errors import StoreLockedError, StoreMissingError
from otel_learning.store import compaction
from otel_learning.store.archive import archive
from otel_learning.store.backup import back_up
from otel_learning.store.drain import DrainSettings
from otel_learning.store.forget import forget
from otel_learning.store.lake.publish import _alone
from otel_learning.store.restore import restore
from tests.command_line import copy_store
from tests.durability import harness
from tests.lake.conftest import Place
from tests.lake.publishing import assert_once, export, publish, rows_of


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return export(tmp_path / "learning.duckdb", harness.tasks("t", 0, 40))


def _names(first: int, last: int, prefix: str = "t") -> set[str]:
    return {f"{prefix}-{number}" for number in range(first, last)}


def test_a_store_and_its_lake_say_the_same(store: Path, lake: Place) -> None:
    """Every row of the contract's views, in several batches; and again nothing is to be done."""
    with LearningDatabase(store) as database:
        for number in (3, 4):
            database.record_feedback(
                FeedbackRecord(target_kind="task_id", target_id=f"t-{number}", rating=number)
            )

    done = publish(store, lake, batch=15)

    assert (done.executions, done.left, done.batches) == (40, 0, 3)
    for view in ("executions", "attempts", "feedback", "tier_performance", "pool_performance",
                 "routing_statistics", "solution_patterns", "calibration"):  # fmt: skip
        assert rows_of(lake.address, view) == rows_of(store, view), view
    assert_once(lake, _names(0, 40))
    again = publish(store, lake)
    assert (again.executions, again.batches) == (0, 0)


def test_what_comes_late_takes_the_place(store: Path, lake: Place) -> None:
    """A settled execution that is put together anew, and feedback on one that is published."""
    publish(store, lake)
    late = harness.span(
        harness.number_of("t-7"), 9, harness.call_attributes("m-9"), parent=1, name="chat"
    )
    export(store, [late, *harness.task("t-99", start_ns=harness.START_NS + 10**18 // 10)])
    with LearningDatabase(store) as database:
        database.record_feedback(
            FeedbackRecord(target_kind="task_id", target_id="t-8", accepted=True)
        )

    done = publish(store, lake)

    assert done.executions == 3
    assert rows_of(lake.address, "executions") == rows_of(store, "executions")
    assert rows_of(lake.address, "attempts") == rows_of(store, "attempts")
    with LearningDatabase(lake.address) as database:
        assert database.executions(task_id="t-7")[0].attempt_count == 2
        assert database.executions(task_id="t-8")[0].user_accepted is True
    assert_once(lake, _names(0, 40) | {"t-99"})


def test_feedback_that_is_taken_back(store: Path, lake: Place) -> None:
    """What was said is noted on the published row, and taken off it again."""
    said = FeedbackRecord(target_kind="task_id", target_id="t-1", accepted=False)
    with LearningDatabase(store) as database:
        database.record_feedback(said)
    publish(store, lake)
    with LearningDatabase(store) as database:
        database.record_feedback(said.model_copy(update={"revoked": True}))
    publish(store, lake)

    with LearningDatabase(lake.address) as database:
        found = database.executions(task_id="t-1")[0]
        assert (found.user_accepted, found.feedback_count) == (None, 0)


def test_a_store_that_comes_back_from_a_backup(store: Path, lake: Place) -> None:
    """Published, restored to before, filled otherwise: the lake has each once, and loses none."""
    backup = back_up(store).path
    publish(store, lake)
    export(store, harness.tasks("later", 0, 5))
    publish(store, lake)
    restore(store, backup)
    export(store, harness.tasks("after", 0, 5))

    publish(store, lake)

    assert_once(lake, _names(0, 40) | _names(0, 5, "later") | _names(0, 5, "after"))
    publish(store, lake)
    assert_once(lake, _names(0, 40) | _names(0, 5, "later") | _names(0, 5, "after"))


def test_what_was_to_be_erased_survives_a_restore(store: Path, lake: Place) -> None:
    """R5: of what was published, forgotten, and is in no backup, the lake is told all the same."""
    publish(store, lake)
    backup = back_up(store).path
    export(store, harness.task("newer"))
    publish(store, lake)
    forget(store, {("task_id", "newer")})
    restore(store, backup)

    assert publish(store, lake).erased == 1
    assert_once(lake, _names(0, 40))


def test_an_archive_waits_for_the_lake(store: Path, lake: Place) -> None:
    """What was not published yet is not taken out of the tables that it is published from."""
    settings = DrainSettings(ledger_window_seconds=0.001)
    publish(store, lake)
    export(store, harness.tasks("late", 0, 3))
    done = archive(store, 1, settings=settings)
    publish(store, lake)

    assert (done.executions, done.kept) == (40, 3)
    assert_once(lake, _names(0, 40) | _names(0, 3, "late"))


def test_a_compacted_store(store: Path, lake: Place) -> None:
    """The file's layout does not matter."""
    publish(store, lake, batch=10)
    export(store, harness.tasks("more", 0, 5))
    compaction.compact(store)
    assert publish(store, lake).executions == 5
    assert_once(lake, _names(0, 40) | _names(0, 5, "more"))


def test_forgetting_reaches_the_lake(store: Path, lake: Place, tmp_path: Path) -> None:
    """R5: gone with the next publication, and it does not come back from another store."""
    publish(store, lake)
    other = export(tmp_path / "other.duckdb", harness.task("t-5"))
    forget(store, {("task_id", "t-5")})

    done = publish(store, lake)

    assert done.erased == 1
    assert_once(lake, _names(0, 40) - {"t-5"})
    publish(other, lake)
    assert_once(lake, _names(0, 40) - {"t-5"})
    with LearningDatabase(lake.address) as database:
        assert database.executions(task_id="t-5") == []
        assert database.execution(task_id="t-6") is not None


def test_another_lake_gets_everything(
    store: Path, lake: Place, tmp_path: Path, postgres: object
) -> None:
    """A store that publishes to another lake begins anew there."""
    publish(store, lake)
    address = f"ducklake:postgres:{postgres.database()}"  # type: ignore[attr-defined]
    second = Place(address, tmp_path / "second-data")

    assert publish(store, second).executions == 40
    assert_once(second, _names(0, 40))
    export(store, harness.tasks("more", 0, 3))
    publish(store, lake)
    assert_once(lake, _names(0, 40) | _names(0, 3, "more"))


def test_a_copied_store_goes_its_own_way(store: Path, lake: Place, tmp_path: Path) -> None:
    """As an image of a machine is copied: what is stored in either is in the lake."""
    publish(store, lake)
    copy = copy_store(store, tmp_path / "copy.duckdb")
    export(store, harness.tasks("here", 0, 9))
    publish(store, lake)
    export(copy, harness.tasks("there", 0, 3))
    publish(copy, lake)

    assert_once(lake, _names(0, 40) | _names(0, 9, "here") | _names(0, 3, "there"))


def test_one_process_publishes_a_store(store: Path, lake: Place) -> None:
    """Another one is told so."""
    with _alone(store), pytest.raises(StoreLockedError, match="publishes it"):
        publish(store, lake)


def test_no_store_and_no_lake(tmp_path: Path, lake: Place) -> None:
    """Nothing is made of either by asking."""
    with pytest.raises(StoreMissingError, match="there is no store"):
        publish(tmp_path / "none.duckdb", lake)
    with (
        pytest.raises(StoreMissingError, match="nothing was published"),
        LearningDatabase(lake.address) as database,
    ):
        database.executions()
    assert not (tmp_path / "none.duckdb").exists()
