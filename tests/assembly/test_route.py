"""What the router chose, what answered, and what the task was."""

from __future__ import annotations

from tests.assembly.building import attempts, call, row, seen, task


def test_the_first_choice_stands() -> None:
    """What the router chose at first is the route; a later step does not rewrite it."""
    found = row(
        task(),
        seen("route", role="route", under="task", at=1, model_tier="fast", selector="rules"),
        seen("again", role="route", under="task", at=5, model_tier="premium", selector="llm"),
    )

    assert (found["model_tier"], found["selector"]) == ("fast", "rules")


def test_a_tools_words_are_no_choice() -> None:
    """A tool that speaks of tiers does not choose one."""
    assert (
        row(task(), seen("x", role="tool", under="task", model_tier="gold"))["model_tier"] is None
    )


def test_the_tier_table_fills_in() -> None:
    """Where no tier is told, the table says it, by the first working call's model."""
    found = row(
        task(),
        seen("route", role="route", under="task", selector="rules"),
        call("ask", "small one", under="route", at=1, tier_hint="small"),
        call("work", "large one", at=2, tier_hint="large"),
    )

    assert found["model_tier"] == "large"


def test_a_told_tier_stands_over_the_table() -> None:
    """The table is a guess by the model's name: the router knows better."""
    found = row(task(model_tier="balanced"), call("work", "m", tier_hint="large"))

    assert found["model_tier"] == "balanced"


def test_requested_and_answering_model() -> None:
    """`requested_model` is the first working attempt's, `model` the last that answered."""
    found = row(
        task(),
        call("a", "m-1", at=1, status="error", provider="one"),
        call("b", "m-2", at=2, response_model="m-2-2026-01-01", provider="two"),
    )

    assert found["requested_model"] == "m-1"
    assert (found["model"], found["provider"]) == ("m-2-2026-01-01", "two")


def test_where_nothing_answered() -> None:
    """Where every attempt failed, the last one asked for is shown."""
    found = row(
        task(), call("a", "m-1", at=1, status="error"), call("b", "m-2", at=2, status="error")
    )

    assert (found["model"], found["requested_model"]) == ("m-2", "m-1")


def test_a_routed_model_without_calls() -> None:
    """Without visible calls, the router's word for the model is all there is."""
    found = row(task(routed_model="m"))

    assert (found["model"], found["requested_model"]) == ("m", "m")


def test_a_framework_is_no_provider() -> None:
    """Where a framework writes its own name in the provider's place, the provider is unknown."""
    assert attempts(task(), call("a", "m", provider="strands-agents"))[0]["provider"] is None


def test_a_propensity_is_the_tiers_by_default() -> None:
    """A logged propensity is of the choice of tier, unless it says of what."""
    assert row(task(propensity=0.5))["propensity_of"] == "model_tier"
    assert row(task(propensity=0.5, propensity_of="pool_type"))["propensity_of"] == "pool_type"
    assert row(task(repo="r"))["propensity_of"] is None


def test_the_tasks_own_span_is_believed_first() -> None:
    """What the task is, its own span says best, then the outer spans."""
    found = row(
        seen("request", task_type="web request", repo="outer"),
        task(under="request", task_type="bug_fix"),
        seen("inner", under="task", task_type="step", repo="inner"),
    )

    assert (found["task_type"], found["repo"]) == ("bug_fix", "outer")


def test_the_agent_that_worked() -> None:
    """The agent of an execution is one that worked, not the router that is an agent too."""
    found = row(
        task(),
        seen("router", role="route", under="task", at=1, agent="triage"),
        seen("worker", role="agent", under="task", at=2, agent="coder"),
    )

    assert found["agent"] == "coder"


def test_a_prompt_fills_in_for_a_description() -> None:
    """With CONTENT=prompt, what a user said first stands where no description is given."""
    assert row(task(prompt="please"))["task_description"] == "please"
    assert row(task(prompt="please", task_description="do"))["task_description"] == "do"


def test_metadata_is_merged() -> None:
    """Metadata of several spans is one object; the task's own values stand."""
    found = row(
        task(metadata='{"a": 1, "b": 2}'),
        seen("x", under="task", repo="r", metadata='{"b": 3, "c": 4}'),
    )

    assert found["metadata"] == '{"a": 1, "b": 2, "c": 4}'
