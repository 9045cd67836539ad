"""A snapshot: one open store for many calls, from several threads at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from otel_learning import InputError, LearningDatabase, StoreError, StoreLockedError
from otel_learning.store.reader import QueryError, Reader
from tests.durability.harness import held
from tests.store.conftest import Filled
from tests.store.filled import fill

_LONG = "SELECT sum(hash(a.range, b.range) % 7) FROM range(12000) a, range(12000) b"
"""A query of a second or so."""


def _questions() -> list[Callable[[Reader], Any]]:
    return [
        lambda r: r.executions(repo="acme/shop", limit=50),
        lambda r: r.executions(success="unknown"),
        lambda r: r.executions_page(limit=25, model_tier="large"),
        lambda r: r.count_executions(min_cost=0.25),
        lambda r: r.tier_performance(),
        lambda r: r.pool_performance(pool_type="gpu"),
        lambda r: r.execution(task_id="t-3"),
        lambda r: r.sql("SELECT repo, count(*), sum(actual_cost) FROM executions "
                        "WHERE started_at IS NOT NULL GROUP BY 1 ORDER BY 1 NULLS LAST"),
    ]  # fmt: skip


def test_four_threads(filled: Filled) -> None:
    """Four threads that ask at once get the answers that one gets, and no busy error."""
    with LearningDatabase(filled.path) as database:
        alone = [ask(database) for ask in _questions()]
        together = threading.Barrier(4)

        def work(first: int) -> list[Any]:
            together.wait()
            questions = _questions()
            answers: dict[int, Any] = {}
            for turn in range(5 * len(questions)):
                number = (first + turn) % len(questions)
                answers[number] = questions[number](snapshot)
                assert answers[number] == alone[number]
            return [answers[number] for number in range(len(questions))]

        with database.snapshot() as snapshot, ThreadPoolExecutor(4) as pool:
            found = list(pool.map(work, range(0, 8, 2)))

    assert found == [alone] * 4


def test_threads_overlap(filled: Filled) -> None:
    """While one thread's long query runs, another's short one is answered."""
    with LearningDatabase(filled.path).snapshot() as snapshot, ThreadPoolExecutor(1) as pool:
        long = pool.submit(snapshot.sql, _LONG)
        time.sleep(0.05)
        assert snapshot.count_executions() == len(filled.rows)
        assert not long.done()
        long.result()


def test_mistakes_in_a_thread_stay_there(filled: Filled) -> None:
    """A refused query or filter harms no later call of the snapshot."""
    with LearningDatabase(filled.path).snapshot() as snapshot:
        with pytest.raises(QueryError, match="nowhere"):
            snapshot.sql("FROM nowhere")
        with pytest.raises(QueryError):
            snapshot.sql("DELETE FROM feedback")
        with pytest.raises(InputError):
            snapshot.executions(limit=0)
        assert snapshot.count_executions() == len(filled.rows)


def test_times_are_utc(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stamps are read in UTC over a snapshot too, wherever the machine stands."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        with LearningDatabase(filled.path) as database:
            zone = "SELECT current_setting('TimeZone')"
            assert database.sql(zone) == [("UTC",)]
            with database.snapshot() as snapshot:
                assert snapshot.sql(zone) == [("UTC",)]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_it_shows_one_moment(tmp_path: Path) -> None:
    """While it is open nobody writes, and a call of the database itself is refused in time."""
    path = tmp_path / "learning.duckdb"
    fill(path, 10, seed=1)
    database = LearningDatabase(path, timeout_seconds=0.2)
    with database.snapshot() as snapshot:
        with pytest.raises(StoreLockedError, match="another thread"):
            database.sql("SELECT 1")
        with pytest.raises(StoreLockedError):
            database.drain()
        assert snapshot.count_executions() == 10
    assert database.count_executions() == 10


def test_the_file_is_let_go_of(filled: Filled) -> None:
    """After its end, by an error too, other programs may write; its calls are refused."""
    database = LearningDatabase(filled.path)
    with pytest.raises(ZeroDivisionError), database.snapshot() as snapshot:
        assert snapshot.count_executions() > 0
        raise ZeroDivisionError
    with held(filled.path), pytest.raises(StoreError, match="ended"):
        snapshot.count_executions()


def test_the_end_waits_for_other_threads(filled: Filled) -> None:
    """A call that another thread still runs is answered before the file is let go of."""
    with ThreadPoolExecutor(1) as pool:
        with LearningDatabase(filled.path).snapshot() as snapshot:
            long = pool.submit(snapshot.sql, _LONG)
            time.sleep(0.05)
        with held(filled.path):
            pass
        assert long.result()
