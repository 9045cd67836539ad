"""The same for programs with an event loop: the calls of `LearningDatabase`, awaitable."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from otel_learning.store.async_database import AsyncLearningDatabase as AsyncStoreDatabase

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Unpack

    from otel_learning.knowledge.database import LearningDatabase
    from otel_learning.knowledge.search import Match
    from otel_learning.records import ExecutionRecord, SolutionRecord
    from otel_learning.store.database import LearningDatabase as StoreDatabase
    from otel_learning.store.filters import Filters


class AsyncLearningDatabase(AsyncStoreDatabase):
    """`LearningDatabase` for programs with an event loop, which no call holds up.

    Takes the same arguments and has the same calls, to be awaited; the constructor touches no
    file. Calls run in threads. The store is opened, or created, when it is entered or first
    asked, and what that may raise is raised there. Cancelling a call that waits for its turn
    withdraws it; one that has begun goes on to its end or its timeout, and its answer is dropped.
    `close()` waits for such calls.
    """

    def _database_class(self) -> Callable[..., StoreDatabase]:
        from otel_learning.knowledge.database import LearningDatabase

        return LearningDatabase

    async def find_similar_executions(
        self, description: str, repo: str | None = None, limit: int = 10
    ) -> list[tuple[ExecutionRecord, float]]:
        return await self._in_thread(
            lambda: self._known().find_similar_executions(description, repo, limit)
        )

    async def search(
        self, text: str, *, limit: int = 10, exact: bool = False, **filters: Unpack[Filters]
    ) -> list[Match]:
        return await self._in_thread(
            lambda: self._known().search(text, limit=limit, exact=exact, **filters)
        )

    async def solutions(
        self,
        *,
        min_support: int = 3,
        environment: str | None = None,
        as_of: datetime | None = None,
    ) -> list[SolutionRecord]:
        return await self._in_thread(
            lambda: self._known().solutions(
                min_support=min_support, environment=environment, as_of=as_of
            )
        )

    def _known(self) -> LearningDatabase:
        from otel_learning.knowledge.database import LearningDatabase

        found = self._reader()
        assert isinstance(found, LearningDatabase)
        return found
