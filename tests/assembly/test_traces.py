"""Rules C3 and C4: without a task id the trace is the execution; orphans stay in it."""

from __future__ import annotations

from otel_learning.assembly.assemble import execution_id
from tests.assembly.building import call, names, seen, task, together, trace


def test_a_trace_without_ids_is_one_execution() -> None:
    """C3: where nothing names a task, a trace is one."""
    found = together(
        seen("run", role="agent", agent="coder"),
        call("a", "m", under="run"),
        seen("other", role="agent", of="two", agent="coder", at=5),
    )

    assert names(found) == [(None, 1, 2), (None, 1, 1)]
    assert [group.anchor for group in found.groups] == [trace("one"), trace("two")]


def test_equal_keys_join_traces() -> None:
    """C3: traces that hold the same value under a profile's joining key are one execution."""
    found = together(
        seen("router", role="route", of="one", at=0, join_key="run 9"),
        seen("worker", role="agent", of="two", at=5, join_key="run 9"),
        seen("stranger", role="agent", of="three", at=6, join_key="run 10"),
    )

    assert names(found) == [(None, 1, 2), (None, 1, 1)]


def test_a_link_joins_traces() -> None:
    """C3: a span link names the trace that this one continues."""
    found = together(
        seen("router", role="route", of="one", at=0, model_tier="fast"),
        seen("worker", role="agent", of="two", at=5, join_key=f"trace:{trace('one')}"),
    )

    assert names(found) == [(None, 1, 2)]
    assert found.groups[0].anchor == trace("one")


def test_joining_is_transitive() -> None:
    """C3: a trace tied to the second of two tied traces is tied to both."""
    found = together(
        seen("a", role="agent", of="one", at=0, join_key="k"),
        seen("b", role="agent", of="two", at=1, join_key="k"),
        seen("c", role="agent", of="three", at=2, join_key=f"trace:{trace('two')}"),
    )

    assert names(found) == [(None, 1, 3)]


def test_the_earliest_trace_names_the_execution() -> None:
    """C3: the id of joined traces does not depend on the order of arrival."""
    first = seen("a", role="agent", of="one", at=0, join_key="k")
    second = seen("b", role="agent", of="two", at=1, join_key="k")

    one, other = together(first, second), together(second, first)

    assert execution_id(one.groups[0]) == execution_id(other.groups[0])
    assert one.groups[0].anchor == trace("one")


def test_a_named_task_takes_a_joined_trace() -> None:
    """C3: a trace without ids that is tied to a task's trace belongs to that task."""
    found = together(
        task("work", "t-1", of="one"),
        seen("more", role="agent", of="two", at=5, join_key=f"trace:{trace('one')}"),
    )

    assert names(found) == [("t-1", 1, 2)]


def test_joining_never_merges_named_tasks() -> None:
    """C3: a key ties traces without an id; tasks with ids stay what they are."""
    found = together(
        task("x", "t-1", of="one", join_key="session 4"),
        task("y", "t-2", of="two", join_key="session 4"),
    )

    assert [group.task_id for group in found.groups] == ["t-1", "t-2"]


def test_orphans_stay_and_the_execution_is_open() -> None:
    """C4: spans whose parent never came are kept, and the execution says it is incomplete."""
    found = together(call("a", "m", under="never came"), call("b", "m", under="never came", at=2))

    assert names(found) == [(None, 1, 2)]
    assert found.groups[0].complete is False


def test_the_root_completes() -> None:
    """C4: once the topmost span has come, the execution is complete."""
    open_group = together(call("a", "m", under="run")).groups[0]
    done = together(call("a", "m", under="run"), seen("run", role="ancestor")).groups[0]

    assert (open_group.complete, done.complete) == (False, True)
    assert open_group.name == done.name


def test_the_tasks_own_span_completes() -> None:
    """C4: a task's own span is its topmost one, even below a caller that never comes."""
    assert together(task("x", "t-1", under="never came")).groups[0].complete is True


def test_a_local_root_completes() -> None:
    """C4: a span with a remote parent is the topmost one of its service."""
    group = together(seen("serve", role="agent", under="elsewhere", top=True, agent="a")).groups[0]

    assert group.complete is True


def test_the_root_of_a_batch_completes_none_of_its_tasks() -> None:
    """C4: with several tasks in a trace, its root says nothing about any one of them."""
    found = together(
        seen("batch", role="ancestor"),
        seen("x", under="batch", task_id="t-1"),
        seen("y", under="batch", task_id="t-2"),
    )

    assert [group.complete for group in found.groups] == [False, False]
