"""Which observations are one execution: rules C1..C6 of the design. Pure.

Any order, batching, repetition or split of the observations gives the same groups.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from otel_learning.assembly.lineage import Lineage
from otel_learning.observation import Observation, deduplicate

OBSERVATIONS_LIMIT: Final = 20_000
"""Observations of one execution that are read; more of them are counted."""

TaskKey = tuple[str, str]
"""Scope and task id."""
SpanKey = tuple[str | None, str]


@dataclass(slots=True)
class Group:
    """The observations of one execution, in time order."""

    scope: str
    task_id: str | None
    anchor: str
    """What the execution's id is made of: the task id, or the first trace's id."""
    run: int
    complete: bool
    observations: list[Observation]
    feedback: list[Observation] = field(default_factory=list)
    overflow: int = 0
    """Observations beyond the limit, which were not read."""

    @property
    def name(self) -> str:
        kind = "trace" if self.task_id is None else "task"
        return f"{self.scope}|{kind}|{self.anchor}|{self.run}"


@dataclass(slots=True)
class Correlation:
    groups: list[Group]
    orphans: list[Observation]
    """Feedback about something that none of these observations is."""


def scope_of(observation: Observation) -> str:
    """Within which a task id is unique: environment and service namespace."""
    facts = observation.facts
    return f"{facts.get('environment', '')}/{facts.get('namespace', '')}"


def order(observation: Observation) -> tuple[int, int, str, str]:
    """A total order: by clock, and where it is silent or equal, by something stable."""
    start = observation.start_ns
    return (
        start if start is not None else 2**63,
        -(observation.end_ns or 0),
        observation.trace_id or "",
        observation.span_id,
    )


def correlate(observations: Iterable[Observation], window_seconds: float = 3600.0) -> Correlation:
    """Groups observations of connected traces and task ids into executions.

    Args:
        observations: everything known of the traces and task ids concerned, in any order.
        window_seconds: a longer gap in event time starts the next run of a task id (C1).
    """
    known = deduplicate(list(observations))
    feedback = [o for o in known if o.role == "feedback"]
    spans = sorted((o for o in known if o.role != "feedback"), key=order)
    tree = _Tree(spans)

    by_task: dict[TaskKey, list[Observation]] = defaultdict(list)
    by_trace: dict[str, list[Observation]] = defaultdict(list)
    alias = _joined_traces(spans, tree)
    for observation in spans:
        task = tree.task_of(observation)
        if task is not None:
            by_task[task].append(observation)
        elif observation.trace_id is not None and not tree.is_above_tasks(observation):
            by_trace[alias.get(observation.trace_id, observation.trace_id)].append(observation)

    groups: list[Group] = []
    for (scope, task_id), members in by_task.items():
        for run, part in enumerate(_runs(members, window_seconds), start=1):
            if any(o.role != "ancestor" for o in part):
                complete = tree.is_complete(part)
                groups.append(Group(scope, task_id, task_id, run, complete, part))
    for trace_id, members in by_trace.items():
        target = tree.single_task(trace_id)
        if target is not None:
            owner = next((g for g in groups if (g.scope, g.task_id) == target), None)
            if owner is not None:
                owner.observations = sorted([*owner.observations, *members], key=order)
                continue
        if not _is_execution(members, leftover=tree.has_tasks(trace_id)):
            continue
        group = Group(scope_of(members[0]), None, trace_id, 1, tree.is_complete(members), members)
        groups.append(group)
    for group in groups:
        if len(group.observations) > OBSERVATIONS_LIMIT:
            group.overflow = len(group.observations) - OBSERVATIONS_LIMIT
            group.observations = _limited(group.observations)
    groups.sort(key=lambda g: (order(g.observations[0]), g.name))
    orphans = _assign_feedback(feedback, groups, tree)
    return Correlation(groups, orphans)


def _is_execution(members: list[Observation], *, leftover: bool) -> bool:
    """Whether a trace's observations tell of work; beside named tasks, only a call does."""
    if leftover:
        return any(o.role == "call" for o in members)
    return any(o.role in ("task", "route", "agent", "call", "step") for o in members)


def _limited(members: list[Observation]) -> list[Observation]:
    """The first ones in time order, and the topmost spans whenever they are."""
    tops = [o for o in members if o.local_root or o.role == "task"][:100]
    kept = {o.key for o in tops}
    rest = [o for o in members if o.key not in kept][: OBSERVATIONS_LIMIT - len(tops)]
    return sorted([*tops, *rest], key=order)


class _Tree:
    """Who stands below whom, and which task a span belongs to.

    Ancestors are looked at only in traces of several tasks: where there is one, or none, it
    does not matter who stands below whom.
    """

    def __init__(self, spans: list[Observation]) -> None:
        self._lineage = Lineage(())
        self._task: dict[SpanKey, TaskKey | None] = {}
        self._tasks_of_trace: dict[str, set[TaskKey]] = {}
        self._rooted: set[str] = set()
        self._above: set[SpanKey] = set()
        several = False
        for observation in spans:
            trace = observation.trace_id
            if trace is None:
                continue
            if observation.local_root:
                self._rooted.add(trace)
            if "task_id" in observation.facts:
                own = _own_task(observation)
                tasks = self._tasks_of_trace.get(trace)
                if tasks is None:
                    self._tasks_of_trace[trace] = {own}  # type: ignore[arg-type]
                elif own not in tasks:
                    tasks.add(own)  # type: ignore[arg-type]
                    several = True
        if not several:
            return
        mixed = {trace for trace, tasks in self._tasks_of_trace.items() if len(tasks) > 1}
        members = [o for o in spans if o.trace_id in mixed]
        self._lineage = Lineage(members)
        for observation in members:
            if "task_id" in observation.facts:
                for above in self._lineage.above(observation):
                    self._above.add(above.key)

    def task_of(self, observation: Observation) -> TaskKey | None:
        """Own id, else the nearest ancestor's, else the trace's only one (C2)."""
        trace = observation.trace_id
        if trace is None:
            return _own_task(observation)
        tasks = self._tasks_of_trace.get(trace)
        if tasks is None:
            return None
        if len(tasks) == 1:
            return next(iter(tasks))
        return self._nearest(observation)

    def _nearest(self, observation: Observation) -> TaskKey | None:
        path: list[SpanKey] = []
        found: TaskKey | None = None
        for step in (observation, *self._lineage.above(observation)):
            if step.key in self._task:
                found = self._task[step.key]
                break
            path.append(step.key)
            found = _own_task(step)
            if found is not None:
                break
        for key in path:
            self._task[key] = found
        return found

    def single_task(self, trace_id: str) -> TaskKey | None:
        tasks = self._tasks_of_trace.get(trace_id)
        return next(iter(tasks)) if tasks is not None and len(tasks) == 1 else None

    def has_tasks(self, trace_id: str) -> bool:
        return bool(self._tasks_of_trace.get(trace_id))

    def is_above_tasks(self, observation: Observation) -> bool:
        return observation.key in self._above

    def is_complete(self, members: list[Observation]) -> bool:
        """Whether the topmost span has been seen: the task's own, or a local root."""
        return any(
            o.role == "task"
            or o.local_root
            or (
                o.trace_id in self._rooted
                and len(self._tasks_of_trace.get(o.trace_id or "", ())) < 2
            )
            for o in members
        )


def _own_task(observation: Observation) -> TaskKey | None:
    task_id = observation.facts.get("task_id")
    return None if task_id is None else (scope_of(observation), str(task_id))


def _joined_traces(spans: list[Observation], tree: _Tree) -> dict[str, str]:
    """Trace -> the first trace of those that a profile's key ties together (C3)."""
    leader: dict[str, str] = {}
    if not any("join_key" in o.facts for o in spans):
        return leader

    def find(trace: str) -> str:
        while leader.get(trace, trace) != trace:
            trace = leader[trace]
        return trace

    by_key: dict[str, str] = {}
    first: dict[str, int] = {}
    for position, observation in enumerate(spans):
        trace = observation.trace_id
        if trace is None:
            continue
        first.setdefault(trace, position)
        key = observation.facts.get("join_key")
        if key is None or tree.has_tasks(trace):
            continue
        other = (
            str(key)[6:] if str(key).startswith("trace:") else by_key.setdefault(str(key), trace)
        )
        a, b = find(trace), find(other)
        if a != b:
            # The earliest trace leads, whatever order the observations came in.
            end = len(spans)
            lead, follow = sorted((a, b), key=lambda t: (first.get(t, end), t))
            if tree.has_tasks(follow) and not tree.has_tasks(lead):
                lead, follow = follow, lead
            leader[follow] = lead
    return {trace: find(trace) for trace in leader}


def _runs(members: list[Observation], window_seconds: float) -> list[list[Observation]]:
    """Splits a task's observations where nothing of it covers a gap longer than the window."""
    window = int(window_seconds * 1e9)
    timed = [o for o in members if o.start_ns is not None]
    # In time order: if the last starts within the window of the first, there is no such gap.
    if not timed or (timed[-1].start_ns or 0) - (timed[0].start_ns or 0) <= window:
        return [members]
    runs: list[list[Observation]] = []
    reach = 0
    for observation in timed:
        start = observation.start_ns or 0
        if not runs or start - reach > window:
            runs.append([])
            reach = start
        runs[-1].append(observation)
        reach = max(reach, observation.end_ns or start)
    for observation in members:
        if observation.start_ns is None:
            home = next(
                (r for r in runs if any(o.trace_id == observation.trace_id for o in r)), runs[0]
            )
            home.append(observation)
    return runs


# ---------------------------------------------------------------------- feedback (C5)


def _assign_feedback(
    feedback: list[Observation], groups: list[Group], tree: _Tree
) -> list[Observation]:
    orphans = []
    by_span: dict[SpanKey, Group] = {}
    by_trace: dict[str | None, list[Group]] = defaultdict(list)
    by_task: dict[str, list[Group]] = defaultdict(list)
    if feedback:
        for group in groups:
            traces = set()
            for observation in group.observations:
                by_span[observation.key] = group
                traces.add(observation.trace_id)
            for trace in traces:
                by_trace[trace].append(group)
            if group.task_id is not None:
                by_task[group.task_id].append(group)
    for said in sorted(feedback, key=order):
        kind, target = said.facts.get("feedback_kind"), str(said.facts.get("feedback_target", ""))
        candidates: list[Group] = []
        if kind == "task_id":
            scoped = [g for g in by_task[target] if g.scope == scope_of(said)]
            candidates = scoped or by_task[target]
        elif kind == "span_id" and ":" in target:
            trace, _, span_id = target.partition(":")
            owner = by_span.get((trace, span_id))
            candidates = [owner] if owner is not None else by_trace[trace]
        elif kind == "span_id":
            candidates = [g for key, g in by_span.items() if key[1] == target][:1]
        elif kind == "trace_id":
            candidates = by_trace[target]
        chosen = choose_run(said.start_ns, candidates)
        if chosen is None:
            orphans.append(said)
        else:
            chosen.feedback.append(said)
    return orphans


def choose_run(given_ns: int | None, candidates: list[Group]) -> Group | None:
    """The run that ended last before the feedback was given, else the first one."""
    if not candidates:
        return None
    ended = [(max((o.end_ns or 0) for o in g.observations), g.name, g) for g in candidates]
    before = [e for e in ended if given_ns is None or e[0] <= given_ns]
    return max(before)[2] if before else min(ended)[2]
