"""Insights: sentences about what executions show, each with its evidence, ranked by worth.

Every comparison that is looked at is counted, and a finding is said only where it stands the
correction for all of them (Benjamini and Hochberg, false discovery rate 5 %). What one finding
explains is taken out before the next one is looked at again, so that one bad cell is not told as
a bad repository, a bad type and a bad tier. All of it compares what happened, not what was tried
on purpose: it is observational.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from otel_learning.learning.rank_tests import (
    Booleans,
    Codes,
    Difference,
    amounts_differ,
    at_least_as_good,
    largest_false,
    rates_differ,
)
from otel_learning.store.insight_rows import insight_rows
from otel_learning.store.reader import Reader
from otel_learning.store.told import main_environment

FALSE_SHARE: Final = 0.05
"""The share of insights that may be false."""
SUPPORT_LEAST: Final = 20
"""Known outcomes, or costs, on either side of a comparison."""
ROWS_MOST: Final = 200_000
WEEK_DAYS: Final = 7.0
BEFORE_DAYS: Final = 28.0
DRIFT_DAYS: Final = 28.0
RATE_LEAST: Final = 0.05
"""A smaller difference of success rates is not worth a sentence."""
COST_SHARE_LEAST: Final = 0.1
"""Nor is a smaller difference of mean costs, as a share of them."""
MARGIN: Final = 0.05
"""A cheaper arm may succeed so much less often and still be said to do as well."""
UNEXPLORED_TRIES: Final = 10
UNEXPLORED_CELL: Final = 200
EVIDENCE_MOST: Final = 20
ARMS: Final = (
    "model_tier", "requested_model", "pool_type", "swarm_topology", "agent", "selector",
)  # fmt: skip
_NAMES: Final = {
    "model_tier": "tier", "requested_model": "model", "pool_type": "pool",
    "swarm_topology": "topology", "agent": "agent", "selector": "selector", "repo": "repository",
    "task_type": "task type",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Insight:
    """One thing that executions show."""

    kind: str
    """change, cost_change, failing, anti_pattern, drift, costly, under_explored."""
    sentence: str
    support: int
    """Executions that the sentence is about."""
    effect: float
    """Signed: this group minus what it is compared with."""
    effect_unit: str
    worth: float
    """Executions a week that it is about in effect: failures more, or their price in money."""
    p_value: float | None
    """As it was found, before any correction; None where nothing was tested."""
    evidence: tuple[UUID, ...]
    """Executions that show it, the newest first."""
    context: dict[str, str]
    """Column -> value."""


@dataclass(frozen=True, slots=True)
class Insights:
    """What was found, and what it was found among."""

    environment: str | None
    until: datetime | None
    """The start of the newest execution."""
    executions: int
    looked_at: int
    """Comparisons that were made; findings are corrected for all of them."""
    found: tuple[Insight, ...]
    """The most worthwhile first."""


@dataclass(frozen=True, slots=True)
class _Question:
    """A comparison to make: the rows in it, and those of them that are the group."""

    kind: str
    context: dict[str, str]
    among: Booleans
    group: Booleans
    strata: Codes
    metric: str
    """`success` or `cost`."""


class _Rows:
    """The columns as arrays."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self.ids: list[UUID] = columns["execution_id"]
        starts = [when.timestamp() for when in columns["started_at"]]
        self.age_days = (max(starts, default=0.0) - np.array(starts, float)) / 86_400
        self.known = np.array([value is not None for value in columns["success"]], bool)
        self.good = np.array([value is True for value in columns["success"]], bool)
        self.cost = np.array(
            [np.nan if value is None else value for value in columns["actual_cost"]], float
        )
        self.has_cost = ~np.isnan(self.cost)
        self.words: dict[str, list[str]] = {}
        self.codes: dict[str, Codes] = {}
        """-1 where the value is not known."""
        for name in (*ARMS, "repo", "task_type"):
            self.words[name] = sorted({value for value in columns[name] if value is not None})
            place = {word: code for code, word in enumerate(self.words[name])}
            self.codes[name] = np.array([place.get(v, -1) for v in columns[name]], np.int64)

    def strata(self, *names: str) -> Codes:
        """A code for each combination of values, unknown ones among them."""
        code = np.zeros(len(self.ids), np.int64)
        for name in names:
            code = code * (len(self.words[name]) + 1) + self.codes[name] + 1
        return np.unique(code, return_inverse=True)[1].astype(np.int64)

    def counted(self, metric: str) -> Booleans:
        return self.known if metric == "success" else self.has_cost


def find_insights(
    reader: Reader, *, environment: str | None = None, as_of: datetime | None = None
) -> Insights:
    """What the executions of one environment show, the most worthwhile first.

    The same rows give the same insights (rule R7); the newest execution is what "this week"
    counts back from.

    Args:
        reader: a database or a snapshot of it.
        environment: whose executions are looked at; None for the one with most of them.
        as_of: as it was then; None for now.
    """
    chosen = environment if environment is not None else main_environment(reader)
    columns = insight_rows(reader, chosen, as_of, ROWS_MOST)
    rows = _Rows(columns)
    newest = max(columns["started_at"], default=None)
    if not rows.ids:
        return Insights(chosen, None, 0, 0, ())
    questions = [q for q in _questions(rows) if _enough(rows, q)]
    answers = [_answer(rows, question, None) for question in questions]
    allowed = largest_false([answer.p_value for answer in answers], FALSE_SHARE)
    order = sorted(
        (i for i, answer in enumerate(answers) if answer.p_value <= allowed),
        key=lambda i: (answers[i].p_value, -abs(answers[i].effect), i),
    )
    explained = {metric: np.zeros(len(rows.ids), bool) for metric in ("success", "cost")}
    found = []
    for i in order:
        question = questions[i]
        again = _answer(rows, question, explained[question.metric])
        if again.p_value > allowed or again.effect * answers[i].effect <= 0:
            continue
        insight = _insight(rows, question, answers[i])
        if insight is not None:
            found.append(insight)
            explained[question.metric] |= question.group
    found += _under_explored(rows)
    found.sort(key=lambda one: (-one.worth, one.kind, one.sentence))
    return Insights(chosen, newest, len(rows.ids), len(questions), tuple(found))


# ----------------------------------------------------------------------------- what is asked


def _questions(rows: _Rows) -> Iterator[_Question]:
    """All comparisons, whatever the outcomes are: their number must not depend on them."""
    every = np.ones(len(rows.ids), bool)
    week = rows.age_days < WEEK_DAYS
    lately = rows.age_days < WEEK_DAYS + BEFORE_DAYS
    recent = rows.age_days < DRIFT_DAYS
    none = np.zeros(len(rows.ids), np.int64)
    by_type, by_place = rows.strata("task_type"), rows.strata("task_type", "repo")
    for metric, kind in (("success", "change"), ("cost", "cost_change")):
        yield _Question(kind, {}, lately, week, by_place, metric)
        for name in ("repo", "task_type"):
            for context, here in _cells(rows, name):
                yield _Question(kind, context, lately & here, week & here, by_place, metric)
    for name in ("model_tier", "requested_model"):
        for context, here in _cells(rows, name):
            yield _Question("drift", context, here, recent & here, by_place, "success")
    for context, here in _cells(rows, "task_type"):
        yield _Question("failing", context, every, here, none, "success")
    for context, here in _cells(rows, "repo"):
        yield _Question("failing", context, every, here, by_type, "success")
    for context, here in _cells(rows, "repo", "task_type"):
        yield _Question("failing", context, every, here, none, "success")
    for name in ARMS:
        for context, here in _cells(rows, name):
            known = rows.codes[name] >= 0
            yield _Question("anti_pattern", context, known, here, by_place, "success")
        for context, here in _cells(rows, name, "task_type"):
            kind_of = rows.codes["task_type"] == rows.words["task_type"].index(context["task_type"])
            among = (rows.codes[name] >= 0) & kind_of
            yield _Question("anti_pattern", context, among, here, by_place, "success")
    for name in ("model_tier", "requested_model"):
        for context, here in _cells(rows, name, "task_type"):
            kind_of = rows.codes["task_type"] == rows.words["task_type"].index(context["task_type"])
            among = (rows.codes[name] >= 0) & kind_of
            yield _Question("costly", context, among, here, by_place, "cost")


def _cells(rows: _Rows, *names: str) -> Iterator[tuple[dict[str, str], Booleans]]:
    """Each combination of values that occurs often enough to be asked about, and its rows."""
    codes = rows.strata(*names)
    counts = np.bincount(codes)
    for code in np.flatnonzero(counts >= SUPPORT_LEAST):
        here = codes == code
        first = int(np.flatnonzero(here)[0])
        places = {name: int(rows.codes[name][first]) for name in names}
        if min(places.values()) >= 0:
            yield {name: rows.words[name][place] for name, place in places.items()}, here


def _enough(rows: _Rows, question: _Question) -> bool:
    counted = rows.counted(question.metric) & question.among
    inside = int((counted & question.group).sum())
    return min(inside, int(counted.sum()) - inside) >= SUPPORT_LEAST


def _answer(rows: _Rows, question: _Question, explained: Booleans | None) -> Difference:
    use = rows.counted(question.metric) & question.among
    if explained is not None:
        use = use & ~explained
    group, strata = question.group[use], question.strata[use]
    if min(int(group.sum()), int((~group).sum())) < (1 if explained is None else SUPPORT_LEAST):
        return Difference(0.0, 1.0)
    strata = np.unique(strata, return_inverse=True)[1].astype(np.int64)
    if question.metric == "success":
        return rates_differ(rows.good[use], group, strata)
    dearer = amounts_differ(rows.cost[use], group, strata)
    if question.kind != "costly":
        return dearer
    # Dearer, and the others succeed as often: both must hold, so the larger p-value counts.
    if dearer.effect <= 0:
        return Difference(dearer.effect, 1.0)
    both = use & rows.known
    others = ~question.group[both]
    same = at_least_as_good(rows.good[both], others, question.strata[both], MARGIN)
    return Difference(dearer.effect, max(dearer.p_value, same.p_value))


# ------------------------------------------------------------------------------ what is said


def _insight(rows: _Rows, question: _Question, answer: Difference) -> Insight | None:
    use = rows.counted(question.metric) & question.among
    inside, outside = use & question.group, use & ~question.group
    if question.metric == "success":
        if abs(answer.effect) < RATE_LEAST:
            return None
        if question.kind in ("failing", "anti_pattern") and answer.effect > 0:
            return None  # what does well is what `recommend` and `solutions` say
        here, there = float(rows.good[inside].mean()), float(rows.good[outside].mean())
        worth = abs(answer.effect) * _per_week(rows, question.group)
        shows = inside & (~rows.good if answer.effect < 0 else rows.good)
        unit = "success rate"
    else:
        here, there = float(rows.cost[inside].mean()), float(rows.cost[outside].mean())
        if there <= 0 or abs(answer.effect) < COST_SHARE_LEAST * there:
            return None
        overall = float(rows.cost[rows.has_cost].mean())
        worth = abs(answer.effect) / overall * _per_week(rows, question.group) if overall else 0.0
        shows, unit = inside, "USD per execution"
    return Insight(
        kind=question.kind,
        sentence=_sentence(question, here, there, answer.effect, int(inside.sum())),
        support=int(inside.sum()),
        effect=round(answer.effect, 6),
        effect_unit=unit,
        worth=round(worth, 3),
        p_value=answer.p_value,
        evidence=_evidence(rows, shows),
        context=question.context,
    )


def _per_week(rows: _Rows, group: Booleans) -> float:
    """How many executions a week the group has, over the days that there are."""
    days = float(rows.age_days[group].max() - rows.age_days[group].min())
    return float(group.sum()) / max(WEEK_DAYS, days) * WEEK_DAYS


def _evidence(rows: _Rows, shows: Booleans) -> tuple[UUID, ...]:
    newest = np.flatnonzero(shows)[:EVIDENCE_MOST]  # rows come newest first
    return tuple(rows.ids[int(place)] for place in newest)


def _sentence(question: _Question, here: float, there: float, effect: float, support: int) -> str:
    where = _where(question.context)
    if question.metric == "success":
        rates = f"{here:.0%} of {support} succeeded"
        points = f"{abs(effect) * 100:.0f} points"
        if question.kind == "change":
            verb = "fell" if effect < 0 else "rose"
            return f"The success rate{where} {verb} by {points} this week: {rates}, {there:.0%} in the four weeks before."  # noqa: E501
        if question.kind == "drift":
            verb = "worse" if effect < 0 else "better"
            return f"Outcomes{where} have become {verb} by {points} in the last four weeks: {rates}, {there:.0%} before."  # noqa: E501
        if question.kind == "failing":
            return f"Tasks{where} fail more often than others: {rates}, {there:.0%} elsewhere ({points} less)."  # noqa: E501
        return f"Tasks{where} succeed less often than with other choices: {rates}, {there:.0%} otherwise ({points} less on tasks of the same kind)."  # noqa: E501
    if question.kind == "cost_change":
        verb = "rose" if effect > 0 else "fell"
        return f"The cost of an execution{where} {verb} this week: {here:.4g} USD on average over {support}, {there:.4g} in the four weeks before."  # noqa: E501
    return f"Tasks{where} cost more than with other choices and do not succeed more often: {here:.4g} USD on average over {support}, {there:.4g} otherwise."  # noqa: E501


def _where(context: dict[str, str]) -> str:
    parts = [f"{_NAMES[name]} {value!r}" for name, value in context.items()]
    return f" with {' and '.join(parts)}" if parts else ""


def _under_explored(rows: _Rows) -> list[Insight]:
    """Tiers that were hardly tried on a frequent kind of task, though they might do better.

    Nothing is tested: the sentence says how little is known.
    """
    found = []
    for context, here in _cells(rows, "task_type"):
        if int((here & rows.known).sum()) < UNEXPLORED_CELL:
            continue
        codes, use = rows.codes["model_tier"], here & rows.known
        tiers: NDArray[np.int64] = np.unique(codes[use & (codes >= 0)])
        usual = [t for t in tiers if int((use & (codes == t)).sum()) >= SUPPORT_LEAST]
        best = max((float(rows.good[use & (codes == t)].mean()) for t in usual), default=None)
        for tier in tiers:
            tried = use & (codes == tier)
            tries = int(tried.sum())
            if best is None or tries > UNEXPLORED_TRIES or not rows.good[tried].mean() > best:
                continue
            word = rows.words["model_tier"][int(tier)]
            found.append(
                Insight(
                    kind="under_explored",
                    sentence=f"Tier {word!r} was tried {tries} times on tasks with task type "
                    f"{context['task_type']!r} and succeeded in {int(rows.good[tried].sum())}; the "
                    f"best of the usual tiers succeeds in {best:.0%}. That is not enough evidence: "
                    "try it more often.",
                    support=tries,
                    effect=round(float(rows.good[tried].mean()) - best, 6),
                    effect_unit="success rate",
                    worth=0.0,
                    p_value=None,
                    evidence=_evidence(rows, tried),
                    context={"model_tier": word, **context},
                )
            )
    return found
