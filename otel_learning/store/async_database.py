"""The calls of `LearningDatabase`, awaitable: they run in threads of their own.

What they need (DuckDB, Arrow, pydantic) is loaded in such a thread too, by the first call.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from uuid import UUID

from otel_learning.errors import StoreError
from otel_learning.store.filters import ROWS_DEFAULT
from otel_learning.store.lake.address import is_lake
from otel_learning.store.lease import READ_SECONDS

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Unpack

    from otel_learning.observation import Observation
    from otel_learning.records import (
        Attempt,
        ExecutionDetail,
        ExecutionRecord,
        FeedbackRecord,
        FeedbackVisibility,
        Page,
    )
    from otel_learning.store import evidence_rows
    from otel_learning.store.database import LearningDatabase
    from otel_learning.store.drain import DrainSettings
    from otel_learning.store.filters import Filters
    from otel_learning.store.reader import Answer, Reader, Snapshot

THREADS: Final = 4
"""Calls that run at once; further ones wait for their turn, which costs no thread."""

T = TypeVar("T")


async def _end_of(work: Future[None]) -> None:
    """Waits for work that goes on, also where the waiting is cancelled."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def tell(_: Future[None]) -> None:
        with suppress(RuntimeError):  # the loop may be closed by then
            loop.call_soon_threadsafe(ended.set)

    work.add_done_callback(tell)
    await ended.wait()
    work.result()


class AsyncReader:
    """The calls of `Reader`; what each means and raises is said there."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="otel-learning")

    def _reader(self) -> Reader:
        """What is asked, got in a thread of the pool."""
        raise NotImplementedError

    def _submit(self, work: Callable[[], T]) -> Future[T]:
        try:
            return self._pool.submit(work)
        except RuntimeError as error:
            raise StoreError(f"this {type(self).__name__} is closed", "open a new one") from error

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._submit(work))

    async def _end_pool(self) -> None:
        """Takes no further call, and waits for those that run, also cancelled ones."""
        last = ThreadPoolExecutor(1, thread_name_prefix="otel-learning-close")
        try:
            await _end_of(last.submit(self._pool.shutdown))
        finally:
            last.shutdown(wait=False)

    async def query(
        self, query: str, params: Sequence[Any] | dict[str, Any] | None = None
    ) -> Answer:
        return await self._in_thread(lambda: self._reader().query(query, params))

    async def sql(
        self, query: str, params: Sequence[Any] | dict[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        return await self._in_thread(lambda: self._reader().sql(query, params))

    async def executions(
        self, *, limit: int = ROWS_DEFAULT, **filters: Unpack[Filters]
    ) -> list[ExecutionRecord]:
        return await self._in_thread(lambda: self._reader().executions(limit=limit, **filters))

    async def executions_page(
        self,
        *,
        limit: int = ROWS_DEFAULT,
        after: str | None = None,
        **filters: Unpack[Filters],
    ) -> Page:
        return await self._in_thread(
            lambda: self._reader().executions_page(limit=limit, after=after, **filters)
        )

    async def count_executions(self, **filters: Unpack[Filters]) -> int:
        return await self._in_thread(lambda: self._reader().count_executions(**filters))

    async def execution(
        self,
        execution_id: UUID | str | None = None,
        *,
        task_id: str | None = None,
        trace_id: str | None = None,
    ) -> ExecutionDetail | None:
        return await self._in_thread(
            lambda: self._reader().execution(execution_id, task_id=task_id, trace_id=trace_id)
        )

    async def attempts(self, execution_id: UUID | str) -> list[Attempt]:
        return await self._in_thread(lambda: self._reader().attempts(execution_id))

    async def feedback(
        self,
        *,
        target_id: str | None = None,
        execution_id: UUID | str | None = None,
        visibility: FeedbackVisibility = "private",
        revoked: bool = False,
        limit: int = ROWS_DEFAULT,
    ) -> list[FeedbackRecord]:
        return await self._in_thread(
            lambda: self._reader().feedback(
                target_id=target_id, execution_id=execution_id, visibility=visibility,
                revoked=revoked, limit=limit,
            )
        )  # fmt: skip

    async def evidence(
        self,
        by: Sequence[str],
        as_of: datetime | None,
        half_life_days: Callable[[list[evidence_rows.Row]], float | None],
        source: str = "executions",
    ) -> evidence_rows.EvidenceRows:
        return await self._in_thread(
            lambda: self._reader().evidence(by, as_of, half_life_days, source)
        )

    async def described(
        self, by: Sequence[str], environment: str | None, as_of: datetime | None, limit: int
    ) -> list[evidence_rows.Row]:
        return await self._in_thread(
            lambda: self._reader().described(by, environment, as_of, limit)
        )

    async def observations(
        self, *, task_id: str | None = None, trace_ids: Sequence[str] = ()
    ) -> list[Observation]:
        return await self._in_thread(
            lambda: self._reader().observations(task_id=task_id, trace_ids=trace_ids)
        )

    async def tier_performance(self, **equal: Any) -> list[dict[str, Any]]:
        return await self._in_thread(lambda: self._reader().tier_performance(**equal))

    async def pool_performance(self, **equal: Any) -> list[dict[str, Any]]:
        return await self._in_thread(lambda: self._reader().pool_performance(**equal))

    async def solution_patterns(self, *, min_support: int = 1) -> list[dict[str, Any]]:
        return await self._in_thread(
            lambda: self._reader().solution_patterns(min_support=min_support)
        )


class AsyncLearningDatabase(AsyncReader):
    """`LearningDatabase` for programs with an event loop, which no call holds up.

    Takes the same arguments and has the same calls, to be awaited; the constructor touches no
    file. The store is opened, or created, when it is entered or first asked, and what that may
    raise is raised there. Cancelling a call that waits for its turn withdraws it; one that has
    begun goes on in its thread to its end or its timeout, its answer is dropped, and the store
    is let go of as ever. `close()` waits for such calls.
    """

    def __init__(
        self,
        path: str | Path = "learning.duckdb",
        *,
        create: bool = True,
        timeout_seconds: float = READ_SECONDS,
        settings: DrainSettings | None = None,
    ) -> None:
        super().__init__()
        self.path = Path(path) if is_lake(path) else Path(path).expanduser().absolute()
        self._create = create
        self._timeout = timeout_seconds
        self._settings = settings
        self._opening = threading.Lock()
        self._opened: LearningDatabase | None = None

    def _reader(self) -> LearningDatabase:
        with self._opening:
            if self._opened is None:
                self._opened = self._database_class()(
                    self.path, create=self._create, timeout_seconds=self._timeout,
                    settings=self._settings,
                )  # fmt: skip
            return self._opened

    def _database_class(self) -> Callable[..., LearningDatabase]:
        """Loaded when it is first asked for."""
        from otel_learning.store.database import LearningDatabase

        return LearningDatabase

    async def __aenter__(self) -> Self:
        await self._in_thread(self._reader)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Waits for calls that run, and ends the threads; no further call is taken."""
        await self._end_pool()
        if self._opened is not None:
            self._opened.close()

    async def drain(self) -> None:
        await self._in_thread(lambda: self._reader().drain())

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncSnapshot]:
        """The store as it is now, open for many calls; see `LearningDatabase.snapshot`."""
        found = AsyncSnapshot(self._reader)
        await found._begin()
        try:
            yield found
        finally:
            await found._end()

    async def record_feedback(self, feedback: FeedbackRecord) -> UUID:
        return await self._in_thread(lambda: self._reader().record_feedback(feedback))


class AsyncSnapshot(AsyncReader):
    """A store as it is at one moment; up to four calls run at once.

    Its threads are its own: calls of the database, which wait for its end, cannot take them all.
    """

    def __init__(self, database: Callable[[], LearningDatabase]) -> None:
        super().__init__()
        self._database = database
        self._entered: Future[tuple[AbstractContextManager[Snapshot], Snapshot]] | None = None

    def _reader(self) -> Snapshot:
        assert self._entered is not None
        return self._entered.result()[1]

    async def _begin(self) -> None:
        self._entered = self._submit(self._enter)
        try:
            await asyncio.wrap_future(self._entered)
        except BaseException:
            # Cancelled, it may be opened all the same, and must not stay so.
            self._let_go()
            raise

    async def _end(self) -> None:
        await _end_of(self._let_go())

    def _enter(self) -> tuple[AbstractContextManager[Snapshot], Snapshot]:
        context = self._database().snapshot()
        return context, context.__enter__()

    def _let_go(self) -> Future[None]:
        left = self._submit(self._leave)
        self._pool.shutdown(wait=False)
        return left

    def _leave(self) -> None:
        assert self._entered is not None
        wait([self._entered])
        if not self._entered.cancelled() and self._entered.exception() is None:
            self._entered.result()[0].__exit__(None, None, None)


async def in_thread(database: AsyncLearningDatabase, work: Callable[[LearningDatabase], T]) -> T:
    """Runs what asks a store many things in one of the threads that its calls run in.

    For code that is written once for programs with and without an event loop.

    Args:
        database: whose store and threads.
        work: given the same store as a `LearningDatabase`; what it returns or raises comes back.
    """
    return await database._in_thread(lambda: work(database._reader()))
