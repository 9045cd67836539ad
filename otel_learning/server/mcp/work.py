"""What each tool does: a question to the library, answered in short."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from otel_learning.errors import InputError, StoreError, StoreLockedError, StoreMissingError
from otel_learning.server.mcp import answers, arguments
from otel_learning.server.mcp.words import Words
from otel_learning.store.lake.address import is_lake, shown
from otel_learning.store.vocabulary import COLUMNS, vocabulary

if TYPE_CHECKING:
    from otel_learning.knowledge.database import LearningDatabase
    from otel_learning.knowledge.library import Library
    from otel_learning.knowledge.solutions import Solution
    from otel_learning.records import ExecutionDetail
    from otel_learning.store.drain import DrainSettings

TIMEOUT_SECONDS: Final = 10.0
"""How long a call waits for a store that another program holds; agents wait no longer."""
WORDS_MOST: Final = 20
SIMILAR: Final = 200
"""Executions like the task, among which solutions are looked for."""
ATTEMPTS_MOST: Final = 20
EVIDENCE_MOST: Final = 3
CANDIDATES_MOST: Final = 20
LIBRARY_AGE: Final = 5.0
"""How long solutions are answered from memory, for each second that it took to find them. They
change slowly, and a large store would be read anew for each question."""
_UNREAD: Final = ("store-locked", "store-missing", "store-unreadable", "evidence-failed")
"""Reasons of advice that did not come from rows, though it looks like "not enough evidence"."""


class Store:
    """The store that tools ask; opened when it is first needed, since it may come later."""

    def __init__(
        self, path: Path, settings: DrainSettings, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self.path = path if is_lake(path) else path.expanduser().resolve()
        self.name = shown(path)
        self._settings = settings
        self._timeout = timeout_seconds
        self._lock = threading.Lock()
        self._opened: LearningDatabase | None = None
        self._libraries: dict[tuple[str | None, int], tuple[float, Library]] = {}

    def database(self) -> LearningDatabase:
        """Raises StoreMissingError while there is none."""
        from otel_learning.knowledge.database import LearningDatabase

        with self._lock:
            if self._opened is None or not (is_lake(self.path) or self.path.exists()):
                self._opened = None
                try:
                    self._opened = LearningDatabase(
                        self.path, create=False, timeout_seconds=self._timeout,
                        settings=self._settings,
                    )  # fmt: skip
                except StoreMissingError:
                    raise StoreMissingError(
                        f"there is no store at {self.path}",
                        "nothing was recorded yet, or this server was started with another --db",
                    ) from None
            return self._opened

    def words(self) -> Words:
        return Words(self.database())

    def library(self, environment: str | None, min_support: int) -> Library:
        """The solutions that the store shows, without what they were found in."""
        from otel_learning.knowledge.library import library

        key = (environment, min_support)
        kept_until, found = self._libraries.get(key, (0.0, None))
        began = time.monotonic()
        if found is None or began >= kept_until:
            whole = library(self.database(), environment=environment, min_support=min_support)
            found = replace(whole, executions=[], vectors={})
            took = time.monotonic() - began
            self._libraries = {key: (time.monotonic() + LIBRARY_AGE * took, found)}
        return found


def describe_store(store: Store, _: arguments.NoArguments) -> answers.Described:
    """How much is recorded, and in which words."""
    found = vocabulary(store.database(), WORDS_MOST)
    notes = [] if found.executions else ["The store is empty: there is nothing to learn from yet."]
    return answers.Described(
        store=store.name, executions=found.executions,
        outcomes_known=found.outcomes_known / found.executions if found.executions else None,
        first_started_at=found.first_started_at, last_started_at=found.last_started_at,
        words={
            column: [answers.Word(value=value, executions=count) for value, count in values]
            for column, values in found.words.items()
            if any(value is not None for value, _ in values)
        },
        notes=notes,
    )  # fmt: skip


def recommend(store: Store, asked: arguments.Recommend) -> answers.Recommended:
    """Advice, with notes on words that the store does not know."""
    from otel_learning.learning.recommend import recommend as ask

    database = store.database()
    answer = ask(
        database, task_type=asked.task_type, repo=asked.repo, description=asked.description,
        environment=asked.environment, candidates=asked.candidates, by=asked.by,
        cost_weight=asked.cost_weight, min_success=asked.min_success, max_cost=asked.max_cost,
        default=asked.default,
    )  # fmt: skip
    _refuse_unread(store, answer.reasons)
    notes = _unseen(store, asked, answer.reasons)
    shown = sorted(answer.candidates, key=lambda c: -c.support)[:CANDIDATES_MOST]
    if len(answer.candidates) > len(shown):
        notes.append(f"{len(answer.candidates) - len(shown)} rarer candidates are left out.")
    return answers.Recommended(
        choice=answer.choice, basis=answer.basis, explanation=answer.explain(),
        candidates=[_arm(candidate) for candidate in shown], frontier=list(answer.frontier),
        propensities={arm: round(p, 4) for arm, p in answer.propensities.items()},
        reasons=list(answer.reasons), snapshot_age_seconds=answer.snapshot_age_seconds,
        notes=notes,
    )  # fmt: skip


def get_stats(store: Store, asked: arguments.Stats) -> answers.StatsFound:
    """What is known of each arm, the one with most executions first."""
    from otel_learning.learning.recommend import evidence

    found = evidence(
        store.database(), task_type=asked.task_type, repo=asked.repo,
        environment=asked.environment, by=asked.by,
    )  # fmt: skip
    _refuse_unread(store, found["reasons"])
    arms = sorted(found["arms"], key=lambda arm: (-arm["support"], arm["arm"]))
    return answers.StatsFound(
        by=found["by"], environment=found["environment"], basis=found["basis"],
        reasons=list(found["reasons"]),
        arms=[
            answers.StatsArm(**{name: arm[name] for name in answers.StatsArm.model_fields})
            for arm in arms[: asked.limit]
        ],
        left_out=max(0, len(arms) - asked.limit),
        notes=_unseen(store, asked, found["reasons"]),
    )  # fmt: skip


def find_similar_executions(store: Store, asked: arguments.Similar) -> answers.SimilarFound:
    """Executions whose task is like the text."""
    found = store.database().search(
        asked.text, limit=asked.limit, repo=asked.repo, task_type=asked.task_type,
        success=_success(asked.outcome),
    )  # fmt: skip
    notes = store.words().unknown(task_type=asked.task_type, repo=asked.repo)
    notes += _unsearchable(store)
    if not found and not notes:
        notes.append("No execution with a task description fits; leave filters out.")
    return answers.SimilarFound(
        executions=[
            answers.Alike(
                **answers.brief_fields(match.execution), similarity=round(match.similarity, 4)
            )
            for match in found
        ],
        notes=notes,
    )


def find_solutions(store: Store, asked: arguments.Solutions) -> answers.SolutionsFound:
    """What worked before, for a task or at all; also as a text for a prompt."""
    from otel_learning.knowledge.library import for_task, prompt

    database = store.database()
    known = store.library(asked.environment, asked.min_support)
    found: list[tuple[Solution, float | None]]
    notes = []
    if asked.task is not None and is_lake(store.path):
        notes.append("A lake has no vectors: these are the solutions of all tasks, best first.")
        found = [(one, None) for one in known.solutions]
    elif asked.task is not None:
        alike = database.search(asked.task, limit=SIMILAR, environment=known.environment)
        found = [(one, likeness) for one, likeness in for_task(known, alike)]
    else:
        found = [(one, None) for one in known.solutions]
    if asked.error_type is not None:
        found = [(one, likeness) for one, likeness in found if str(asked.error_type) in one.errors]
    shown = found[: asked.limit]
    notes += store.words().unknown(environment=asked.environment)
    if not shown:
        notes.append(
            f"No solution has {asked.min_support} known outcomes behind it here: not enough "
            "evidence. Find similar executions instead, or ask with a smaller min_support."
        )
    return answers.SolutionsFound(
        prompt=prompt([(one, likeness or 0.0) for one, likeness in shown]),
        solutions=[
            answers.Worked(
                solution_summary=answers.cut(one.solution_summary) or "",
                error_type=one.error_type, success_rate=round(one.rate.rate, 4),
                success_low=round(one.rate.low, 4), success_high=round(one.rate.high, 4),
                support=one.support, helped=one.helped, repos=list(one.repos[:5]),
                task_types=list(one.task_types[:5]),
                relevance=None if likeness is None else round(likeness, 4),
                evidence=list(one.evidence[:EVIDENCE_MOST]),
            )
            for one, likeness in shown
        ],
        notes=notes,
    )  # fmt: skip


def get_execution(store: Store, asked: arguments.OneExecution) -> answers.ExecutionFound:
    """One execution by whichever id. Raises InputError: there is none."""
    found = _execution(store.database(), asked.id)
    if found is None:
        raise InputError(
            f"no execution has the id {asked.id!r}",
            "give an execution_id, task_id or trace_id; list_executions shows some",
        )
    return answers.ExecutionFound(
        execution=found.execution, attempts=found.attempts[:ATTEMPTS_MOST],
        attempts_left_out=max(0, len(found.attempts) - ATTEMPTS_MOST), feedback=found.feedback,
    )  # fmt: skip


def list_executions(store: Store, asked: arguments.Executions) -> answers.ExecutionsFound:
    """A page of executions, the newest first."""
    page = store.database().executions_page(
        limit=asked.limit, after=asked.after, repo=asked.repo, task_type=asked.task_type,
        model_tier=asked.model_tier, success=_success(asked.outcome),
        error_type=asked.error_type, since=asked.since, until=asked.until,
    )  # fmt: skip
    notes = store.words().unknown(
        task_type=asked.task_type, repo=asked.repo, model_tier=asked.model_tier
    )
    if not page.executions and not notes:
        notes.append("No execution fits; leave filters out.")
    return answers.ExecutionsFound(
        executions=[answers.brief(record) for record in page.executions], next=page.next,
        notes=notes,
    )  # fmt: skip


def get_insights(store: Store, asked: arguments.Insights) -> answers.InsightsFound:
    """What stands out from chance."""
    from otel_learning.learning.insights import find_insights

    found = find_insights(store.database(), environment=asked.environment)
    notes = store.words().unknown(environment=asked.environment)
    if not found.found:
        notes.append(
            "Nothing stands out from chance."
            if found.looked_at
            else "There are too few executions for any comparison: not enough evidence."
        )
    return answers.InsightsFound(
        environment=found.environment,
        insights=[
            answers.Insight(
                sentence=one.sentence, kind=one.kind, support=one.support,
                effect=round(one.effect, 6), effect_unit=one.effect_unit,
                evidence=list(one.evidence[:EVIDENCE_MOST]),
            )
            for one in found.found[: asked.limit]
        ],
        comparisons=found.looked_at, executions=found.executions, notes=notes,
    )  # fmt: skip


def record_feedback(store: Store, said: arguments.Feedback) -> answers.Said:
    """Stores a word of feedback. Raises InputError: it says nothing."""
    from otel_learning.learning.opinion import new, resolved_to

    words: dict[str, Any] = {
        "accepted": said.accepted, "rating": said.rating, "comment": said.comment,
        "issue": said.issue,
    }  # fmt: skip
    if said.revoke and said.feedback_id is None:
        raise InputError("revoke needs a feedback_id", "the answer to the feedback has it")
    if not said.revoke and all(word is None for word in words.values()):
        raise InputError(
            f"the feedback about {said.id!r} says nothing",
            "give accepted, rating, comment or issue",
        )
    database = store.database()
    record = new(database, said.id, said.kind).model_copy(
        update={**words, "source": said.source, "revoked": said.revoke}
    )
    if said.feedback_id is not None:
        record = record.model_copy(update={"feedback_id": said.feedback_id})
    identity = database.record_feedback(record)
    about = resolved_to(database, identity)
    notes = []
    if said.revoke:
        notes.append("It is taken back.")
    elif about is None:
        notes.append(
            f"No execution has the {record.target_kind} {record.target_id!r} yet; the feedback is "
            "kept, and joined to it if it comes. Check the id if the execution is an old one."
        )
    return answers.Said(
        feedback_id=identity, kind=record.target_kind, id=record.target_id, resolved_to=about,
        notes=notes,
    )  # fmt: skip


# --------------------------------------------------------------------------------- shared


def _arm(candidate: Any) -> answers.Arm:
    return answers.Arm(**{name: getattr(candidate, name) for name in answers.Arm.model_fields})


def _unseen(
    store: Store, asked: arguments.Recommend | arguments.Stats, reasons: Sequence[str]
) -> list[str]:
    """Notes on the given words that advice found no execution of; mostly there are none."""
    given = {"task_type": asked.task_type, "repo": asked.repo, "environment": asked.environment}
    flagged = {
        name: value
        for name, value in given.items()
        if f"{name.replace('_', '-')}-unseen" in reasons
    }
    arms = [reason.partition(":")[2] for reason in reasons if reason.startswith("arm-unseen:")]
    words = store.words()
    notes = words.unknown(**flagged)
    if asked.by in COLUMNS:
        for arm in arms:
            notes += words.unknown(**{asked.by: arm})
    return notes


def _unsearchable(store: Store) -> list[str]:
    """A note where a search cannot find every task; mostly it can, as it brings in what is new."""
    from otel_learning.knowledge.models import embedder_of
    from otel_learning.settings import load
    from otel_learning.store.neighbours import up_to_date

    if up_to_date(store.database(), embedder_of(load()[0].embedder).model) is not None:
        return []
    return [
        "Not every task can be found yet: much is new. `otel-learning embed`, run where the store "
        "is, makes it searchable."
    ]


def _success(outcome: str | None) -> Any:
    return {"success": True, "failure": False, "unknown": "unknown", None: None}[outcome]


def _execution(database: LearningDatabase, identity: str) -> ExecutionDetail | None:
    try:
        UUID(identity)
    except ValueError:
        found = None
    else:
        found = database.execution(identity)
    return found or database.execution(task_id=identity) or database.execution(trace_id=identity)


def _refuse_unread(store: Store, reasons: Sequence[str]) -> None:
    """Raises where the advice is a default because the store could not be read.

    A router goes on with its default. An agent is told, as it can ask again.
    """
    for reason in reasons:
        if reason == "store-locked":
            raise StoreLockedError(store.name)
        if reason in _UNREAD:
            raise StoreError(f"the store {store.name} cannot be read: {reason}",
                             "otel-learning doctor looks it over")  # fmt: skip
