"""Feeds a recording to the exporter and compares what its store says with what happened."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from otel_learning import LearningDatabase, LearningSpanExporter
from tests.corpus_replay import load
from tests.producers.truth import FACTS, Recording, Task
from tests.producers.verdicts import COUNTED, Stored, counted, verdict

BATCH: Final = 512
ZERO_CONFIGURATION: Final = frozenset(("yes",))
_SUMMED: Final = (*COUNTED, "actual_cost")


@dataclass
class Grouping:
    """How well executions and tasks are the same things."""

    executions: int
    tasks: int
    clean: int
    """Executions that are all or an allowed part of one task."""
    whole: int
    """Tasks that are one execution, or as many as their traces where nothing ties those."""
    wrong: list[str] = field(default_factory=list)

    @property
    def f1(self) -> float:
        precision = self.clean / self.executions if self.executions else 0.0
        recall = self.whole / self.tasks if self.tasks else 0.0
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@dataclass
class Measurement:
    """What the store of one producer is worth."""

    recording: Recording
    grouping: Grouping
    right: dict[str, float]
    compared: dict[str, int]
    missed: dict[str, list[str]]
    """Fact -> the tasks of which the store does not say it rightly."""

    @property
    def producer(self) -> str:
        return self.recording.producer

    @property
    def facts(self) -> int:
        return sum(self.compared.values())

    @property
    def correct(self) -> float:
        return sum(self.right.values())

    @property
    def accuracy(self) -> float:
        return self.correct / self.facts if self.facts else 0.0

    def lines(self) -> list[str]:
        """One line for the producer and one for each fact that was missed."""
        head = f"{self.producer:30} {self.accuracy:6.1%} of {self.facts:4} facts, "
        head += f"grouping {self.grouping.f1:.1%}"
        missed = [f"    {fact}: {', '.join(tasks)}" for fact, tasks in self.missed.items()]
        wrong = [f"    grouping: {task}" for task in self.grouping.wrong]
        return [head, *missed, *wrong]


def fill(store: Path, spans: Iterable[ReadableSpan], **settings: Any) -> None:
    """Exports spans to a store as an application would, and waits until they are in it."""
    exporter = LearningSpanExporter(path=str(store), **settings)
    waiting = list(spans)
    for start in range(0, len(waiting), BATCH):
        result = exporter.export(waiting[start : start + BATCH])
        if result is not SpanExportResult.SUCCESS:
            raise AssertionError(f"export answered {result}")
    if not exporter.force_flush():
        raise AssertionError("force_flush did not get the spans into the store")
    exporter.shutdown()


def measure(recording: Recording, folder: Path, **settings: Any) -> Measurement:
    """Fills a store with the recording and compares it with the truth."""
    store = folder / f"{recording.producer}.duckdb"
    fill(store, load(recording.spans), **settings)
    return compare(recording, read(store))


def read(store: Path) -> list[Stored]:
    """Every execution; `attempt_count` is counted in the view `attempts`, as a user would."""
    with LearningDatabase(store) as database:
        names, rows = database.query(
            "SELECT * REPLACE ((SELECT count(*) FROM attempts a "
            "WHERE a.execution_id = e.execution_id) AS attempt_count) FROM executions e"
        )
    return [dict(zip(names, row, strict=True)) for row in rows]


def compare(recording: Recording, executions: Sequence[Stored]) -> Measurement:
    grouping, found = _group(recording, executions)
    ways = [_score(recording, found, grouping, with_router_calls=way) for way in (True, False)]
    return max(ways, key=lambda way: way.correct)


def _score(
    recording: Recording, found: dict[str, Stored], grouping: Grouping, *, with_router_calls: bool
) -> Measurement:
    right: dict[str, float] = defaultdict(float)
    compared: dict[str, int] = Counter()
    missed: dict[str, list[str]] = defaultdict(list)
    for fact in FACTS:
        for task in recording.tasks:
            if task.holds(fact) not in ZERO_CONFIGURATION:
                continue
            stored = found.get(task.task_id)
            mark = (
                counted(fact, task, stored, with_router_calls=with_router_calls)
                if fact in COUNTED
                else verdict(fact, task, stored)
            )
            if mark is None:
                continue
            right[fact] += mark
            compared[fact] += 1
            if mark < 1:
                missed[fact].append(task.task_id)
    return Measurement(recording, grouping, dict(right), dict(compared), dict(missed))


def _group(
    recording: Recording, executions: Sequence[Stored]
) -> tuple[Grouping, dict[str, Stored]]:
    """Compares executions with tasks by their traces, and finds each task's execution."""
    parts: dict[str, list[Stored]] = defaultdict(list)
    mixed: set[str] = set()
    for execution in executions:
        traces = set(execution["trace_ids"])
        owners = {recording.owner[trace] for trace in traces & recording.owner.keys()}
        if not owners and execution["task_id"] in recording.owner.values():
            owners = {execution["task_id"]}
        for owner in owners:
            parts[owner].append(execution)
        if len(owners) > 1:
            mixed |= owners
    grouping = Grouping(len(executions), len(recording.tasks), clean=0, whole=0)
    for task in recording.tasks:
        own = parts[task.task_id]
        if task.task_id in mixed or not _is_whole(task, own):
            grouping.wrong.append(task.task_id)
            continue
        grouping.whole += 1
        grouping.clean += len(own)
    return grouping, {task: _together(own) for task, own in parts.items() if own}


def _is_whole(task: Task, own: Sequence[Stored]) -> bool:
    covered = {trace for execution in own for trace in execution["trace_ids"]}
    allowed = len(task.trace_ids) if task.may_be_split else 1
    return 1 <= len(own) <= allowed and (not covered or task.trace_ids <= covered)


def _together(parts: Sequence[Stored]) -> Stored:
    """Executions of one task as one: counts are added, of the rest the last known stands."""
    if len(parts) == 1:
        return parts[0]
    ordered = sorted(parts, key=lambda part: str(part["started_at"]))
    merged: dict[str, Any] = dict(ordered[0])
    for part in ordered[1:]:
        for column, value in part.items():
            if value is None:
                continue
            before = merged.get(column)
            if column in _SUMMED and before is not None:
                merged[column] = before + value
            elif column != "fallback_used" or not before:
                merged[column] = value
    ended = [part for part in ordered if part["success"] is not None]
    if ended:
        merged["error_type"] = ended[-1]["error_type"]
    return merged
