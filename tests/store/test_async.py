"""`AsyncLearningDatabase`: the same calls, and an event loop that never waits for a store."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from otel_learning import (
    AsyncLearningDatabase,
    FeedbackRecord,
    InputError,
    LearningDatabase,
    StoreError,
    StoreLockedError,
    StoreMissingError,
)
from otel_learning.store.async_database import THREADS, AsyncSnapshot
from otel_learning.store.reader import Snapshot
from tests.durability.harness import ROOT, environment, held, query, wait_for
from tests.store.conftest import Filled
from tests.store.filled import fill

PAUSE_SECONDS = 0.25
"""The longest that a loop may stand still here; the machine may be busy with other tests."""
_LONG = "SELECT sum(hash(a.range, b.range) % 7) FROM range(12000) a, range(12000) b"


@dataclass
class Heart:
    longest: float = 0.0
    beats: int = 0


@asynccontextmanager
async def beating() -> AsyncIterator[Heart]:
    """Measures the loop's longest pause."""
    heart = Heart()

    async def beat() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.005)
            now = time.perf_counter()
            heart.longest = max(heart.longest, now - last)
            heart.beats += 1
            last = now

    task = asyncio.create_task(beat())
    await asyncio.sleep(0)
    try:
        yield heart
    finally:
        task.cancel()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of one's own, to write into."""
    path = tmp_path / "learning.duckdb"
    fill(path, 30, seed=3)
    return path


# ------------------------------------------------------------------------------ the same


def _public(kind: type) -> dict[str, Any]:
    return {
        name: found
        for name, found in inspect.getmembers(kind, callable)
        if not name.startswith("_")
    }


@pytest.mark.parametrize(
    ("plain", "awaited"), [(LearningDatabase, AsyncLearningDatabase), (Snapshot, AsyncSnapshot)]
)
def test_the_calls_are_the_same(plain: type, awaited: type) -> None:
    """Every public call is there with the same arguments, defaults and answer, and awaitable."""
    ours, theirs = _public(awaited), _public(plain)

    assert ours.keys() == theirs.keys()
    for name, call in theirs.items():
        mine = inspect.signature(ours[name])
        assert mine.parameters == inspect.signature(call).parameters, name
        if name != "snapshot":
            assert mine.return_annotation == inspect.signature(call).return_annotation, name
            assert inspect.iscoroutinefunction(ours[name]), name


def test_the_arguments_are_the_same() -> None:
    """Both databases are made from the same arguments with the same defaults."""
    plain = inspect.signature(LearningDatabase).parameters
    assert inspect.signature(AsyncLearningDatabase).parameters == plain


def test_the_answers_are_the_same(filled: Filled) -> None:
    """Each call answers what the plain one answers, many at a time too."""
    plain = LearningDatabase(filled.path)
    one = plain.executions(limit=1)[0].execution_id

    async def ask() -> list[Any]:
        async with AsyncLearningDatabase(filled.path) as database:
            return await asyncio.gather(
                database.executions(repo="acme/shop", limit=20),
                database.executions_page(limit=5, success="unknown"),
                database.count_executions(model_tier="large"), database.execution(one),
                database.attempts(one), database.observations(task_id="t-1"),
                database.tier_performance(), database.pool_performance(pool_type="gpu"),
                database.solution_patterns(), database.sql("SELECT ?", [7]),
                database.query("SELECT $a AS x", {"a": 1}), database.drain(),
            )  # fmt: skip

    assert asyncio.run(ask()) == [
        plain.executions(repo="acme/shop", limit=20),
        plain.executions_page(limit=5, success="unknown"),
        plain.count_executions(model_tier="large"), plain.execution(one), plain.attempts(one),
        plain.observations(task_id="t-1"), plain.tier_performance(),
        plain.pool_performance(pool_type="gpu"), plain.solution_patterns(), [(7,)],
        (["x"], [(1,)]), None,
    ]  # fmt: skip


def test_feedback_is_seen_by_the_next_read(store: Path) -> None:
    """What was said is in the answer of the next call."""

    async def say() -> Any:
        async with AsyncLearningDatabase(store) as database:
            said = FeedbackRecord(target_id="nobody", rating=3)
            assert await database.record_feedback(said) == said.feedback_id
            return await database.sql("SELECT feedback_id FROM feedback"), said.feedback_id

    rows, identity = asyncio.run(say())
    assert rows == [(identity,)]


def test_errors_are_the_same(store: Path) -> None:
    """What a plain call raises is raised where the call is awaited."""

    async def ask() -> None:
        async with AsyncLearningDatabase(store) as database:
            with pytest.raises(InputError, match="limit=0"):
                await database.executions(limit=0)
            with pytest.raises(StoreError, match="nowhere"):
                await database.sql("FROM nowhere")
        with pytest.raises(StoreError, match="closed"):
            await database.count_executions()

    asyncio.run(ask())


def test_the_constructor_touches_nothing(tmp_path: Path) -> None:
    """The store is made when it is entered or asked, and a missing one is named then."""
    path = tmp_path / "new.duckdb"

    async def ask() -> int:
        database = AsyncLearningDatabase(path)
        absent = AsyncLearningDatabase(path, create=False)
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(StoreMissingError, match=r"new\.duckdb"):
            await absent.executions()
        found = await database.count_executions()
        await database.close()
        await database.close()
        assert await absent.count_executions() == 0
        await absent.close()
        return found

    assert asyncio.run(ask()) == 0


# -------------------------------------------------------------------------- the event loop


def test_the_loop_runs_on_while_a_call_waits(store: Path) -> None:
    """Another process holds the store for two seconds: the call waits, the loop does not."""

    async def ask() -> tuple[int, float, Heart]:
        async with AsyncLearningDatabase(store) as database:
            await database.count_executions()
            with held(store) as holder:
                threading.Timer(2.0, holder.kill).start()
                began = time.perf_counter()
                async with beating() as heart:
                    found = await database.executions()
                    return len(found), time.perf_counter() - began, heart

    found, seconds, heart = asyncio.run(ask())
    assert found == 30
    assert seconds > 1.5
    assert heart.longest < PAUSE_SECONDS
    assert heart.beats > seconds / PAUSE_SECONDS


def test_the_loop_runs_on_while_a_query_works(filled: Filled) -> None:
    """A long query, and the rows of a large answer, leave the loop alone."""

    async def ask() -> Heart:
        async with AsyncLearningDatabase(filled.path) as database:
            await database.count_executions()
            async with beating() as heart:
                await database.sql(_LONG)
                rows = await database.sql("SELECT range, range::VARCHAR FROM range(1_000_000)")
                assert len(rows) == 1_000_000
        return heart

    assert asyncio.run(ask()).longest < PAUSE_SECONDS


def test_the_first_call_loads_in_its_thread(store: Path) -> None:
    """Importing the class loads neither DuckDB nor Arrow nor pydantic; the first call does."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "programs" / "first_call.py"), str(store)],
        capture_output=True, text=True, check=True, timeout=60,
        env=environment(), cwd=ROOT,
    )  # fmt: skip
    pause, _, loaded = done.stdout.strip().partition(" ")

    assert loaded == "[]"
    assert float(pause) < 2 * PAUSE_SECONDS


def test_a_call_gives_up_in_time(store: Path) -> None:
    """The timeout holds as in plain calls, and names the holder."""

    async def ask() -> None:
        async with AsyncLearningDatabase(store, timeout_seconds=0.3) as database:
            await database.count_executions()
            with held(store), pytest.raises(StoreLockedError, match="PID"):
                await database.executions()
            assert await database.count_executions() == 30

    asyncio.run(ask())


# ----------------------------------------------------------------------------- cancelling


def test_cancelled_calls_are_gone_at_once(store: Path) -> None:
    """Cancelling does not wait for the store; afterwards every call works as before."""

    async def ask() -> int:
        async with AsyncLearningDatabase(store, timeout_seconds=5) as database:
            await database.count_executions()
            with held(store):
                calls = [
                    asyncio.create_task(database.count_executions()) for _ in range(2 * THREADS)
                ]
                await asyncio.sleep(0.2)
                began = time.perf_counter()
                for call in calls:
                    call.cancel()
                ended = await asyncio.gather(*calls, return_exceptions=True)
                assert time.perf_counter() - began < PAUSE_SECONDS
                assert all(isinstance(one, asyncio.CancelledError) for one in ended)
            return await database.count_executions()

    assert asyncio.run(ask()) == 30


def test_a_cancelled_query_lets_go_of_the_store(store: Path) -> None:
    """A query that is cancelled while it works ends in its thread, and `close()` waits for it."""

    async def ask() -> None:
        async with AsyncLearningDatabase(store) as database:
            await database.count_executions()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(database.sql(_LONG), 0.1)
            assert await database.count_executions() == 30
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(database.sql(_LONG), 0.1)
        with held(store):
            pass

    asyncio.run(ask())


# ------------------------------------------------------------------------------ snapshots


def test_a_snapshot_answers_at_once(filled: Filled) -> None:
    """Many calls over one open store, together, give what single calls give."""
    plain = LearningDatabase(filled.path)

    async def ask() -> list[Any]:
        async with AsyncLearningDatabase(filled.path) as database, database.snapshot() as now:
            answers = await asyncio.gather(
                *(now.executions(limit=30, repo=repo) for repo in ("acme/shop", "acme/api") * 8)
            )
        with pytest.raises(StoreError, match="closed"):
            await now.count_executions()
        return answers

    expected = [plain.executions(limit=30, repo=repo) for repo in ("acme/shop", "acme/api")]
    assert asyncio.run(ask()) == expected * 8


def test_waiting_calls_do_not_starve_a_snapshot(store: Path) -> None:
    """Calls of the database wait for the snapshot's end; the snapshot's own go on."""

    async def ask() -> list[int]:
        async with AsyncLearningDatabase(store) as database:
            async with database.snapshot() as now:
                waiting = [
                    asyncio.create_task(database.count_executions()) for _ in range(2 * THREADS)
                ]
                await asyncio.sleep(0.1)
                assert await asyncio.wait_for(now.count_executions(), 5) == 30
                assert not any(call.done() for call in waiting)
            return await asyncio.gather(*waiting)

    assert asyncio.run(ask()) == [30] * 2 * THREADS


@pytest.mark.parametrize("opened", [False, True])
def test_a_cancelled_snapshot_lets_go_of_the_store(store: Path, opened: bool) -> None:
    """Cancelled while it is being opened, or inside, a snapshot does not keep the file."""

    async def ask() -> None:
        inside = asyncio.Event()

        async def look(database: AsyncLearningDatabase) -> None:
            async with database.snapshot():
                inside.set()
                await asyncio.sleep(60)

        async with AsyncLearningDatabase(store) as database:
            await database.count_executions()
            if opened:
                looking = asyncio.create_task(look(database))
                await inside.wait()
                looking.cancel()
            else:
                with held(store):
                    looking = asyncio.create_task(look(database))
                    await asyncio.sleep(0.3)
                    looking.cancel()
                    await asyncio.wait([looking])
            # Kept: its frames hold the snapshot, so the collector does not let go in our place.
            with pytest.raises(asyncio.CancelledError) as kept:
                await looking
            assert inside.is_set() is opened
            assert await database.count_executions() == 30
            assert kept.tb

    asyncio.run(ask())
    assert query(store, "SELECT count(*) FROM executions") == [(30,)]


def test_an_end_that_is_cancelled_comes_all_the_same(store: Path) -> None:
    """Where the loop ends while a snapshot waits for its last query, the file is let go of."""

    async def ask() -> None:
        async with AsyncLearningDatabase(store) as database, database.snapshot() as now:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(now.sql(_LONG), 0.1)

    async def cut_short() -> None:
        await asyncio.wait_for(ask(), 0.4)

    with pytest.raises(TimeoutError):
        asyncio.run(cut_short())
    assert LearningDatabase(store).count_executions() == 30
    with held(store):
        pass


def _ours(threads: set[threading.Thread]) -> list[str]:
    return [thread.name for thread in threads if thread.name.startswith("otel-learning")]


def test_no_thread_is_left(store: Path) -> None:
    """After the end of a database and its snapshots, their threads are gone."""

    async def ask() -> None:
        async with AsyncLearningDatabase(store) as database, database.snapshot() as now:
            await now.count_executions()

    before = set(threading.enumerate())
    asyncio.run(ask())
    wait_for(lambda: not _ours(set(threading.enumerate()) - before), 5)
