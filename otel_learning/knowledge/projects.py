"""What holds across repositories: patterns of several, what carries over, kinds of tasks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from otel_learning.knowledge.grouping import SIMILAR_TASK, groups
from otel_learning.knowledge.rates import Rate, interval
from otel_learning.knowledge.solutions import Solution, Vectors
from otel_learning.store.told import Told

REPOS_LEAST: Final = 3
"""A pattern of so many repositories is said to be one across projects."""
ARM_SUPPORT: Final = 5
CLUSTER_LEAST: Final = 10
EVIDENCE_MOST: Final = 50


@dataclass(frozen=True, slots=True)
class Carried:
    """A solution that was used in several repositories."""

    solution: Solution
    first_repo: str
    elsewhere: Rate
    """The success rate in all repositories but the first, with its interval."""
    elsewhere_support: int
    carries_over: bool | None
    """Whether it does better elsewhere, too, than executions without it; None: not known."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Tasks that are alike, whatever their repository, and what does best on them."""

    description: str
    """The most frequent of the descriptions."""
    repos: tuple[str, ...]
    support: int
    """Executions with a known outcome."""
    arms: dict[str, tuple[Rate, int]]
    """Tier -> success rate, and known outcomes behind it."""
    best: str | None
    """The tier whose interval lies above the others' rates; None where none does."""
    evidence: tuple[UUID, ...]


def across(solutions: Sequence[Solution], repos: int = REPOS_LEAST) -> list[Carried]:
    """Solutions that were used in so many repositories or more, those that carry over first."""
    found = []
    for one in solutions:
        if len(one.repos) < repos or one.first_repo is None:
            continue
        others = [counts for repo, counts in one.by_repo.items() if repo != one.first_repo]
        known = sum(all_ for _, all_ in others)
        rate = interval(sum(good for good, _ in others), known)
        carries = None
        if one.baseline is not None and known:
            carries = (
                True if rate.low > one.baseline else False if rate.high < one.baseline else None
            )
        found.append(Carried(one, one.first_repo, rate, known, carries))
    order = {True: 0, None: 1, False: 2}
    return sorted(found, key=lambda c: (order[c.carries_over], -c.elsewhere.low))


def clusters(executions: Sequence[Told], vectors: Vectors) -> list[Cluster]:
    """Groups of tasks that are alike, each with its best tier, the largest first.

    The comparison is an observational one: who chose the tiers may have had reasons.
    """
    described = Counter(t.task_description for t in executions if t.task_description)
    leaders = groups(described, vectors, SIMILAR_TASK, same_claim=False)
    members: dict[str, list[Told]] = defaultdict(list)
    for told in executions:
        if told.task_description is not None and told.success is not None:
            members[leaders[told.task_description]].append(told)
    found = [_cluster(name, all_) for name, all_ in members.items() if len(all_) >= CLUSTER_LEAST]
    return sorted(found, key=lambda cluster: (-cluster.support, cluster.description))


def _cluster(name: str, members: list[Told]) -> Cluster:
    known: Counter[str] = Counter(t.model_tier for t in members if t.model_tier)
    good: Counter[str] = Counter(t.model_tier for t in members if t.model_tier and t.success)
    arms = {tier: (interval(good[tier], known[tier]), known[tier]) for tier in sorted(known)}
    enough = {tier: rate for tier, (rate, count) in arms.items() if count >= ARM_SUPPORT}
    best = None
    for tier, rate in enough.items():
        others = [other.rate for name_, other in enough.items() if name_ != tier]
        if others and rate.low > max(others):
            best = tier
    return Cluster(
        name,
        tuple(sorted({t.repo for t in members if t.repo})),
        len(members),
        arms,
        best,
        tuple(t.execution_id for t in reversed(members))[:EVIDENCE_MOST],
    )
