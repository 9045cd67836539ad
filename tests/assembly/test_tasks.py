"""Rules C1 and C2: a task id ties spans together, and spans without one follow their ancestors."""

from __future__ import annotations

from otel_learning.assembly.assemble import execution_id
from tests.assembly.building import call, names, seen, span, task, together


def test_one_id_over_traces_is_one_execution() -> None:
    """C1: the same task id in two traces is one task, however many processes worked on it."""
    found = together(
        task("first", of="one", at=0), call("a", "m", of="one", under="first"),
        task("second", of="two", at=200), call("b", "m", of="two", under="second"),
    )  # fmt: skip

    assert names(found) == [("t-1", 1, 4)]


def test_two_ids_are_two_executions() -> None:
    """C1: another id is another task, in the same trace or not."""
    found = together(task("x", "t-1", of="one"), task("y", "t-2", of="two"))

    assert [group.task_id for group in found.groups] == ["t-1", "t-2"]


def test_an_id_counts_within_its_environment() -> None:
    """C1: task 7 of production is not task 7 of a developer's machine."""
    found = together(
        task("live", of="one", environment="production"),
        task("try", of="two", environment="development"),
    )

    assert len(found.groups) == 2
    assert len({execution_id(group) for group in found.groups}) == 2


def test_an_id_counts_within_its_namespace() -> None:
    """C1: two products of one company may number their tasks alike."""
    found = together(
        task("shop", of="one", namespace="shop"), task("desk", of="two", namespace="desk")
    )

    assert len(found.groups) == 2


def test_a_long_silence_starts_the_next_run() -> None:
    """C1: the same id again after more than the window is the task's next run."""
    found = together(
        task("first", of="one", at=0, lasting=10),
        task("again", of="two", at=10 + 61, lasting=10),
        window=60,
    )

    assert names(found) == [("t-1", 1, 1), ("t-1", 2, 1)]
    assert found.groups[0].name != found.groups[1].name


def test_a_silence_as_long_as_the_window_does_not() -> None:
    """C1: the gap must be longer than the window."""
    found = together(
        task("first", of="one", at=0, lasting=10),
        task("again", of="two", at=10 + 60, lasting=10),
        window=60,
    )

    assert [group.run for group in found.groups] == [1]


def test_a_covered_silence_is_none() -> None:
    """C1: while a span of the task is running, the task has not stopped."""
    found = together(
        task("long", of="one", at=0, lasting=1000),
        seen("late", of="two", at=900, task_id="t-1"),
        window=60,
    )

    assert [group.run for group in found.groups] == [1]


def test_spans_without_times_join_the_run_of_their_trace() -> None:
    """C1: a broken clock opens no run of its own."""
    found = together(
        task("first", of="one", at=0, lasting=1),
        task("again", of="two", at=500, lasting=1),
        seen("timeless", of="two", under="again", at=None, repo="r"),
        window=60,
    )

    assert names(found) == [("t-1", 1, 1), ("t-1", 2, 2)]


def test_the_nearest_ancestor_counts() -> None:
    """C2: in a trace of several tasks, a span belongs to the task nearest above it."""
    found = together(
        task("outer", "t-1"),
        task("inner", "t-2", under="outer"),
        seen("between", role="ancestor", under="inner"),
        call("work", "m", under="between"),
        call("other", "m", under="outer"),
    )

    members = {group.task_id: {o.span_id for o in group.observations} for group in found.groups}
    assert members["t-2"] == {span("inner"), span("between"), span("work")}
    assert members["t-1"] == {span("outer"), span("other")}


def test_a_batch_belongs_to_no_task() -> None:
    """C2: a span above several tasks, which has no id of its own, is no execution's."""
    found = together(
        seen("batch", role="agent", agent="nightly"),
        task("x", "t-1", under="batch"),
        task("y", "t-2", under="batch"),
        call("a", "m", under="x"),
    )

    assert sorted(names(found)) == [("t-1", 1, 2), ("t-2", 1, 1)]


def test_a_call_beside_the_tasks_is_an_execution_of_the_trace() -> None:
    """C2: work that no task claims is not given to one, and not lost."""
    found = together(
        seen("batch", role="step", repo="r"),
        task("x", "t-1", under="batch"),
        task("y", "t-2", under="batch"),
        call("warm up", "m", under="batch"),
    )

    assert (None, 1, 1) in names(found)
    assert {group.task_id for group in found.groups} == {"t-1", "t-2", None}


def test_the_only_task_takes_the_whole_trace() -> None:
    """C2: with one task in the trace, spans above it and beside it are its own."""
    found = together(
        seen("request", role="step", repo="r"),
        task("x", "t-1", under="request"),
        call("beside", "m", under="request"),
    )

    assert names(found) == [("t-1", 1, 3)]


def test_ancestors_alone_are_no_execution() -> None:
    """A trace in which nothing told of work leaves no row."""
    found = together(seen("root", role="ancestor"), seen("child", role="ancestor", under="root"))

    assert found.groups == []


def test_a_tool_alone_is_no_execution() -> None:
    """A tool's run is part of a task, never one by itself."""
    assert together(seen("read_file", role="tool")).groups == []


def test_a_circle_of_parents_ends() -> None:
    """Spans that name each other as parents, as broken producers write them, do not hang."""
    found = together(
        seen("a", under="b", repo="r"), seen("b", under="a", repo="r"),
        task("x", "t-1", under="a"), task("y", "t-2", under="b"),
    )  # fmt: skip

    assert {group.task_id for group in found.groups} >= {"t-1", "t-2"}
