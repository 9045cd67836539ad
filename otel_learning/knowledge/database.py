"""The database as programs have it: what the store answers, and search by meaning.

`LearningDatabase` of the store knows vectors, and no way to make one. This one adds the embedder;
it is the class that `otel_learning.LearningDatabase` names.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Unpack

from otel_learning.errors import InputError
from otel_learning.settings import load as load_settings
from otel_learning.store.database import LearningDatabase as StoreDatabase
from otel_learning.store.filters import Filters
from otel_learning.store.lake.address import is_lake

if TYPE_CHECKING:
    from otel_learning.knowledge.search import Match
    from otel_learning.records import ExecutionRecord, SolutionRecord

CATCH_UP_SECONDS: Final = 3.0
"""How long a search embeds what is new before it answers; the rest waits for `embed`."""


class LearningDatabase(StoreDatabase):
    """A store, opened for the time of each call and let go of in between.

    Every call first brings in what waits in the spool, so it sees everything exported or said
    before. It may live in the process of the exporter.

    Args:
        path: the store file; a missing one is created, unless `create` is false.
        timeout_seconds: how long a call waits while another program holds the file.

    Raises:
        StoreLockedError: the file was not free in time.
        StoreMissingError: there is none, and `create` is false.
        StoreError: it cannot be read.
    """

    def find_similar_executions(
        self, description: str, repo: str | None = None, limit: int = 10
    ) -> list[tuple[ExecutionRecord, float]]:
        """Executions whose task is like a description, the most similar first; [] if none.

        The similarity is 0..1: what the vectors of both texts say, and the share of the
        description's words that the other has, rare ones counting more. 1 is the same text. What
        was recorded since the last search is embedded first, for some seconds at most; a warning
        says how much is left for `otel-learning embed`.

        Args:
            description: what the task is, in any words.
            repo: only executions of that repository.
            limit: how many to return; `search` takes further filters.

        Raises:
            InputError: the description is empty, or the limit is not a positive number.
            EmbeddingError: the model of the setting `embedder` cannot be had.
        """
        matches = self.search(description, limit=limit, repo=repo)
        return [(match.execution, match.similarity) for match in matches]

    def search(
        self,
        text: str,
        *,
        limit: int = 10,
        exact: bool = False,
        **filters: Unpack[Filters],
    ) -> list[Match]:
        """The same, with what each part of the similarity is.

        Args:
            text: what to look for.
            limit: how many to return.
            exact: compares every text, also in a large store.
            filters: those of `executions`.
        """
        from otel_learning.knowledge.models import embedder_of
        from otel_learning.knowledge.search import catch_up, search
        from otel_learning.store.neighbours import up_to_date

        _checked(text)
        if is_lake(self.path):
            raise InputError(
                "a lake holds no vectors to search by", "search in a store, or query the lake"
            )
        setting = load_settings()[0].embedder
        wanted = embedder_of(setting).model
        # Mostly nothing is new: then one opening of the file is enough.
        with self.snapshot() as store:
            model = up_to_date(store, wanted)
            if model is not None:
                return search(store, model, text, limit=limit, exact=exact, **filters)
        model = catch_up(self, setting, CATCH_UP_SECONDS)
        return (
            [] if model is None else search(self, model, text, limit=limit, exact=exact, **filters)
        )

    def solutions(
        self,
        *,
        min_support: int = 3,
        environment: str | None = None,
        as_of: datetime | None = None,
    ) -> list[SolutionRecord]:
        """What worked before, and what did not: solutions with their evidence, the best first.

        Summaries that mean the same are one; changes of the route after a failure are among them.

        Args:
            min_support: leaves out what fewer known outcomes stand behind.
            environment: whose executions teach; None for the one with most of them.
            as_of: as it was known then; None for now.
        """
        from otel_learning.knowledge.library import library

        known = library(self, environment=environment, min_support=min_support, as_of=as_of)
        return [solution.record() for solution in known.solutions]


def _checked(text: Any) -> None:
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{text!r} is nothing to search for", "describe the task in some words")
