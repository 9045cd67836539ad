"""The solutions of a store: all of them, those for a task, and the text for a prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np

from otel_learning.knowledge.embedding import Embedder, HashedEmbedder
from otel_learning.knowledge.grouping import SAME_MEANING, SAME_MEANING_MODEL
from otel_learning.knowledge.models import embedder_of
from otel_learning.knowledge.search import Match
from otel_learning.knowledge.solutions import MIN_SUPPORT, Solution, Vectors, find_solutions
from otel_learning.store.database import LearningDatabase
from otel_learning.store.neighbours import embedding_models, stored_vectors
from otel_learning.store.reader import Reader
from otel_learning.store.told import Told, main_environment, replace_solutions, told

ROWS_MOST: Final = 200_000
"""The newest executions that tell something; older ones are left out."""
DESCRIPTIONS_MOST: Final = 20_000
"""Different descriptions that are put together with similar ones; beyond it only equal ones are."""
RELEVANT: Final = 0.2
"""The similarity of a task from which its solutions are of use."""
LINES_MOST: Final = 5
SOURCES_MOST: Final = 3
SUMMARY_CHARACTERS: Final = 160
EVIDENCE_STORED: Final = 50


@dataclass(frozen=True, slots=True)
class Library:
    """What one environment's executions know."""

    environment: str | None
    executions: list[Told]
    """Oldest first."""
    vectors: Vectors
    """Of summaries and descriptions."""
    solutions: list[Solution]
    """The best first."""


def library(
    reader: Reader,
    *,
    environment: str | None = None,
    min_support: int = MIN_SUPPORT,
    as_of: datetime | None = None,
) -> Library:
    """The solutions that a store shows.

    Args:
        reader: a database or a snapshot of it.
        environment: whose executions teach; None for the one with most of them.
        min_support: leaves out what fewer known outcomes stand behind.
        as_of: as it was known then; None for now.
    """
    chosen = environment if environment is not None else main_environment(reader)
    executions = told(reader, chosen, as_of, ROWS_MOST)
    model, vectors = _vectors(reader, executions)
    solutions = find_solutions(
        executions, vectors, min_support=min_support,
        same_meaning=SAME_MEANING if model == HashedEmbedder.model else SAME_MEANING_MODEL,
    )  # fmt: skip
    return Library(chosen, executions, vectors, solutions)


def for_task(known: Library, similar: Sequence[Match]) -> list[tuple[Solution, float]]:
    """Solutions that were used for similar tasks, with how similar the nearest of them is.

    Those that worked come first, by how similar and how sure they are.

    Args:
        known: the solutions.
        similar: executions like the task, as a search finds them.
    """
    alike = {m.execution.execution_id: m.similarity for m in similar if m.similarity >= RELEVANT}
    found = []
    for solution in known.solutions:
        nearest = max((alike.get(one, 0.0) for one in solution.evidence), default=0.0)
        if nearest > 0:
            found.append((solution, nearest))
    return sorted(found, key=lambda pair: (-pair[0].weight * pair[1], pair[0].solution_summary))


def prompt(found: Sequence[tuple[Solution, float]]) -> str:
    """A short text for an agent's prompt: what worked, what did not, each with its sources."""
    good = [one for one, _ in found if one.helped is not False and one.rate.rate >= 0.5]
    bad = [one for one, _ in found if one.helped is False]
    if not good and not bad:
        return "Nothing is known from earlier executions of similar tasks."
    lines = []
    if good:
        lines.append("What worked in earlier executions of similar tasks:")
        lines += [_line(one) for one in good[:LINES_MOST]]
    if bad:
        lines.append("What did worse than other ways:")
        lines += [_line(one) for one in bad[:LINES_MOST]]
    return "\n".join(lines)


def store_solutions(database: LearningDatabase) -> int:
    """Writes the solutions of the main environment into the table `solutions`; how many."""
    now = datetime.now(UTC)
    found = library(database).solutions
    replace_solutions(
        database.path,
        [
            (
                one.pattern_id, now, one.task_context, one.solution_summary, one.error_type,
                one.rate.rate, one.rate.low, one.rate.high, one.uses, one.support,
                list(one.repos), list(one.task_types), one.helped, one.last_used_at,
                list(one.evidence[:EVIDENCE_STORED]),
            )
            for one in found
        ],
    )  # fmt: skip
    return len(found)


def _line(one: Solution) -> str:
    said = " ".join(one.solution_summary.split())
    if len(said) > SUMMARY_CHARACTERS:
        said = said[: SUMMARY_CHARACTERS - 3] + "..."
    after = f" (after {one.error_type})" if one.error_type else ""
    good = round(one.rate.rate * one.support)
    where = f"{len(one.repos)} {'repo' if len(one.repos) == 1 else 'repos'}"
    last = f", last {one.last_used_at:%Y-%m-%d}" if one.last_used_at else ""
    sources = ", ".join(str(identity) for identity in one.evidence[:SOURCES_MOST])
    return (
        f"- {said}{after}: {good} of {one.support} succeeded "
        f"({one.rate.low:.0%} to {one.rate.high:.0%}), {where}{last} [{sources}]"
    )


def _vectors(reader: Reader, executions: Sequence[Told]) -> tuple[str, Vectors]:
    """The model, and its vectors of all summaries, and of descriptions as many as are compared.

    Those that the store holds are taken; others are computed by the light embedder, and then all
    of them, since two models' are never compared.
    """
    texts = dict.fromkeys(one.solution_summary for one in executions if one.solution_summary)
    described = Counter(one.task_description for one in executions if one.task_description)
    texts |= dict.fromkeys(text for text, _ in described.most_common(DESCRIPTIONS_MOST))
    wanted = [text for text in texts if text is not None]
    models = embedding_models(reader)
    if models:
        held = stored_vectors(reader, models[0], wanted)
        missing = [text for text in wanted if text not in held]
        if not missing:
            return models[0].model, held
        if len(missing) <= len(wanted) // 20 + 8:
            embedder = embedder_of(models[0].embedder)
            if embedder.model == models[0].model:
                return embedder.model, {**held, **_computed(embedder, missing)}
    return HashedEmbedder.model, _computed(embedder_of(), wanted)


def _computed(embedder: Embedder, texts: list[str]) -> Vectors:
    if not texts:
        return {}
    return dict(zip(texts, np.asarray(embedder.embed(texts)), strict=True))
