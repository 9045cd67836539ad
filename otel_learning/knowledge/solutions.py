"""Solutions: what worked before, how often, where, and against which error.

A solution is what an orchestrator's summaries say, put together where they mean the same, or a
change of the route by which a task that had failed succeeded. All of it is computed from the
executions (rule R7); the table `solutions` holds a copy for SQL.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

from otel_learning.knowledge.grouping import SAME_MEANING, SIMILAR_TASK, groups
from otel_learning.knowledge.rates import Rate, interval
from otel_learning.records import SolutionRecord
from otel_learning.store.told import Told

HALF_LIFE_DAYS: Final = 90.0
"""After so long a use counts half in the order of solutions; the rate itself counts all alike."""
RETRY_WITHIN: Final = timedelta(days=30)
"""A success follows from a failure on a similar task if it began no later than this after it."""
MIN_SUPPORT: Final = 3
Vectors = Mapping[str, NDArray[np.float32]]
_SPACE: Final = UUID("6c1f4b0e-5a0e-5d0c-9a53-0d4a1f6f7b11")
_ROUTE: Final = ("model_tier", "pool_type", "swarm_topology")


@dataclass(frozen=True, slots=True)
class Solution:
    """One solution with its evidence. Rates are of known outcomes, intervals of 90 %."""

    pattern_id: UUID
    solution_summary: str
    """The wording that occurs most."""
    kind: str
    """`summary`, as somebody wrote it; `route`, a change of the route after a failure."""
    error_type: str | None
    """The error that at least half of its uses followed; None where there is no such one."""
    errors: dict[str, int]
    """Error -> uses that followed it."""
    rate: Rate
    support: int
    """Uses with a known outcome."""
    uses: int
    """All uses."""
    baseline: float | None
    """The success rate of other executions of the same task types."""
    helped: bool | None
    """Whether the interval lies above the baseline (True) or below it (False); None: not known."""
    weight: float
    """What solutions are ordered by: the interval's lower end, old uses counting less."""
    task_context: str
    """A task that it was used for, as an example."""
    repos: tuple[str, ...]
    task_types: tuple[str, ...]
    by_repo: dict[str, tuple[int, int]]
    """Repository -> successes and known outcomes."""
    first_repo: str | None
    """Where it was used first."""
    wordings: tuple[str, ...]
    """What was put together."""
    first_used_at: datetime | None
    last_used_at: datetime | None
    evidence: tuple[UUID, ...]
    """The executions behind it, the newest first."""

    def record(self, extracted_at: datetime | None = None) -> SolutionRecord:
        """The same as a `SolutionRecord`."""
        return SolutionRecord(
            pattern_id=self.pattern_id, extracted_at=extracted_at, task_context=self.task_context,
            solution_summary=self.solution_summary, error_type=self.error_type,
            success_rate=self.rate.rate, success_low=self.rate.low, success_high=self.rate.high,
            usage_count=self.uses, support=self.support, repos_used_in=self.repos,
            task_types=self.task_types, helped=self.helped, last_used_at=self.last_used_at,
            evidence=self.evidence,
        )  # fmt: skip


@dataclass(slots=True)
class _Use:
    told: Told
    summary: str
    kind: str
    error: str | None


@dataclass(slots=True)
class _Pattern:
    uses: list[_Use] = field(default_factory=list)


def find_solutions(
    executions: Sequence[Told],
    vectors: Vectors,
    *,
    min_support: int = MIN_SUPPORT,
    same_meaning: float = SAME_MEANING,
) -> list[Solution]:
    """The solutions that executions show, the best first; pure.

    Args:
        executions: of one environment, oldest first.
        vectors: text -> vector of length one, of summaries and of descriptions.
        min_support: leaves out what fewer known outcomes stand behind.
        same_meaning: the least inner product of summaries that are put together.
    """
    written = Counter(t.solution_summary for t in executions if t.solution_summary)
    leaders = groups(written, vectors, same_meaning, same_claim=True)
    patterns: dict[tuple[str, str], _Pattern] = defaultdict(_Pattern)
    for use in _uses(executions, vectors):
        name = leaders.get(use.summary, use.summary)
        patterns[use.kind, name].uses.append(use)
    newest = max((t.started_at for t in executions if t.started_at), default=None)
    rates = _rates_by_type(executions)
    found = [
        _solution(kind, name, pattern.uses, rates, newest)
        for (kind, name), pattern in patterns.items()
    ]
    kept = [one for one in found if one.support >= max(1, min_support)]
    return sorted(kept, key=lambda one: (-one.weight, -one.support, one.solution_summary))


def _uses(executions: Sequence[Told], vectors: Vectors) -> Iterable[_Use]:
    """Each use of a solution, with the error that it followed."""
    described = Counter(t.task_description for t in executions if t.task_description)
    tasks = groups(described, vectors, SIMILAR_TASK, same_claim=False)
    failed: dict[tuple[str | None, str], Told] = {}
    for told in executions:
        places = _places(told, tasks)
        before = _failure_before(told, places, failed)
        error = told.error_type if told.success is False else None
        if told.success is not False and (told.error_type or told.recovered_from):
            error = told.error_type or told.recovered_from
        if error is None or told.success is False:
            error = (before.error_type or "unknown") if before else error
        if told.solution_summary:
            yield _Use(told, told.solution_summary, "summary", error)
        if before is not None and told.success is not None:
            for change in _changes(before, told):
                yield _Use(told, change, "route", before.error_type or "unknown")
        for place in places:
            if told.success is False:
                failed[place] = told
            elif told.success:
                failed.pop(place, None)


def _places(told: Told, tasks: dict[str, str]) -> list[tuple[str | None, str]]:
    """Where a failure of the same task would have been noted: by its id, and by its kind."""
    places: list[tuple[str | None, str]] = []
    if told.task_id is not None:
        places.append((None, f"task {told.task_id}"))
    if told.task_description is not None:
        places.append((told.repo, tasks.get(told.task_description, told.task_description)))
    return places


def _failure_before(
    told: Told,
    places: Sequence[tuple[str | None, str]],
    failed: dict[tuple[str | None, str], Told],
) -> Told | None:
    for place in places:
        before = failed.get(place)
        if before is None or before.execution_id == told.execution_id:
            continue
        if told.started_at is None or before.started_at is None:
            continue
        if told.started_at - before.started_at <= RETRY_WITHIN:
            return before
    return None


def _changes(before: Told, after: Told) -> Iterable[str]:
    """What was chosen in another way than at the failure."""
    for column in _ROUTE:
        was, now = getattr(before, column), getattr(after, column)
        if was is not None and now is not None and was != now:
            yield f"Route to {column} {now} after {before.error_type or 'a failure'} with {was}"


def _rates_by_type(executions: Sequence[Told]) -> dict[str | None, tuple[int, int]]:
    successes: Counter[str | None] = Counter()
    known: Counter[str | None] = Counter()
    for told in executions:
        if told.success is not None:
            known[told.task_type] += 1
            successes[told.task_type] += told.success
    return {kind: (successes[kind], known[kind]) for kind in known}


def _solution(
    kind: str,
    name: str,
    uses: list[_Use],
    rates: dict[str | None, tuple[int, int]],
    newest: datetime | None,
) -> Solution:
    known = [use for use in uses if use.told.success is not None]
    successes = sum(bool(use.told.success) for use in known)
    rate = interval(successes, len(known))
    baseline = _baseline(known, rates)
    helped = None
    if baseline is not None and known:
        helped = True if rate.low > baseline else False if rate.high < baseline else None
    weights = [(_decay(use.told.started_at, newest), bool(use.told.success)) for use in known]
    decayed = interval(sum(w for w, good in weights if good), sum(w for w, _ in weights))
    errors = Counter(use.error for use in uses if use.error is not None)
    common = errors.most_common(1)
    by_repo: dict[str, tuple[int, int]] = {}
    for use in known:
        if use.told.repo is not None:
            good, all_ = by_repo.get(use.told.repo, (0, 0))
            by_repo[use.told.repo] = (good + bool(use.told.success), all_ + 1)
    contexts = Counter(
        use.told.task_description or use.told.task_type or "" for use in uses if use.told.success
    ) or Counter(use.told.task_description or use.told.task_type or "" for use in uses)
    times = sorted(use.told.started_at for use in uses if use.told.started_at)
    wordings = Counter(use.summary for use in uses)
    return Solution(
        pattern_id=uuid5(_SPACE, f"{kind}|{name}"),
        solution_summary=name,
        kind=kind,
        error_type=common[0][0] if common and 2 * common[0][1] >= len(uses) else None,
        errors=dict(sorted(errors.items())),
        rate=rate,
        support=len(known),
        uses=len(uses),
        baseline=baseline,
        helped=helped,
        weight=decayed.low if known else 0.0,
        task_context=min(contexts.items(), key=lambda item: (-item[1], item[0]))[0],
        repos=tuple(sorted({use.told.repo for use in uses if use.told.repo})),
        task_types=tuple(sorted({use.told.task_type for use in uses if use.told.task_type})),
        by_repo=dict(sorted(by_repo.items())),
        wordings=tuple(sorted(wordings, key=lambda text: (-wordings[text], text))),
        first_used_at=times[0] if times else None,
        last_used_at=times[-1] if times else None,
        evidence=tuple(use.told.execution_id for use in reversed(uses)),
        first_repo=next((use.told.repo for use in uses if use.told.repo), None),
    )


def _baseline(known: list[_Use], rates: dict[str | None, tuple[int, int]]) -> float | None:
    """What executions of the same types achieve without it, weighed as it is used."""
    own = Counter(use.told.task_type for use in known)
    good = Counter(use.told.task_type for use in known if use.told.success)
    total = weight = 0.0
    for kind, count in own.items():
        successes, outcomes = rates.get(kind, (0, 0))
        others = outcomes - count
        if others > 0:
            total += count * (successes - good[kind]) / others
            weight += count
    return total / weight if weight else None


def _decay(started_at: datetime | None, newest: datetime | None) -> float:
    if started_at is None or newest is None:
        return 0.5
    return math.exp2(-(newest - started_at).total_seconds() / 86_400 / HALF_LIFE_DAYS)
