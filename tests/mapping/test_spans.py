"""What a span tells: its role, its facts, its events, and what is left out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.trace import Link, StatusCode

from otel_learning.mapping.observe import Source
from tests.mapping.spans import (
    BEGAN,
    OTHER_TRACE,
    TRACE,
    a_span,
    context,
    event,
    facts,
    mapper,
    told,
)


@pytest.mark.parametrize(
    ("attributes", "name", "role"),
    [
        ({"learning.task.id": "t", "learning.task.type": "bug"}, "x", "task"),
        ({"task.id": "t"}, "x", "task"),
        ({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}, "chat m", "call"),
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "coder"}, "x", "agent"),
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "router"}, "x", "route"),
        ({"openinference.span.kind": "LLM", "llm.model_name": "m"}, "ChatOpenAI", "call"),
        ({"openinference.span.kind": "AGENT"}, "run", "agent"),
        ({"openinference.span.kind": "TOOL", "task.id": "t"}, "read", "tool"),
        ({"learning.route.model_tier": "fast"}, "x", "route"),
        ({"gen_ai.request.model": "m", "gen_ai.response.id": "r"}, "anything", "call"),
        ({"pool.type": "gpu"}, "x", "step"),
    ],
)
def test_roles(attributes: dict[str, Any], name: str, role: str) -> None:
    """What a span is to its execution is told by its producer, else by what it holds."""
    assert told(attributes, name=name).role == role


@pytest.mark.parametrize(
    "attributes", [{}, {"http.request.method": "GET"}, {"zorp": 1}, {"session.id": "s"}]
)
def test_spans_that_tell_nothing(attributes: dict[str, Any]) -> None:
    """A span that names no task, route, agent or call is kept as an ancestor, with no facts."""
    found = told(attributes)

    assert found.role == "ancestor"
    assert found.facts == {}


def test_database_calls_leave_nothing() -> None:
    """Nothing of interest stands below a database call: it leaves no observation at all."""
    assert mapper().span(a_span({"db.system.name": "x"}, parent=context(2))) is None


def test_ids_times_and_status() -> None:
    """The observation has the span's ids in hexadecimal, its times and its status."""
    found = told({"task.id": "t"}, parent=context(2), status=StatusCode.ERROR)

    assert (found.trace_id, found.span_id) == (f"{TRACE:032x}", f"{1:016x}")
    assert (found.parent_id, found.local_root) == (f"{2:016x}", False)
    assert (found.start_ns, found.end_ns) == (BEGAN, BEGAN + 10**9)
    assert found.status == "error"


@pytest.mark.parametrize(("parent", "root"), [(None, True), (context(2), False),
                                              (context(2, remote=True), True)])  # fmt: skip
def test_local_roots(parent: Any, root: bool) -> None:
    """A span without a parent, or with a remote one, is its service's topmost."""
    assert told({"task.id": "t"}, parent=parent).local_root is root


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, BEGAN, (None, BEGAN)), (BEGAN, None, (BEGAN, None)), (None, None, (None, None)),
        (5 * 10**18, BEGAN, (None, BEGAN)), (BEGAN, BEGAN - 5, (BEGAN, BEGAN)),
        (-1, -1, (None, None)),
    ],
)  # fmt: skip
def test_impossible_times(start: Any, end: Any, expected: tuple[Any, Any]) -> None:
    """C6: a time outside 2000..2100 is none; an end before its start is its start."""
    found = told({"task.id": "t"}, start=start, end=end)

    assert (found.start_ns, found.end_ns) == expected


def test_every_attribute_of_our_own() -> None:
    """Each constant of `otel_learning.attributes` is read into the fact that it names."""
    given = {
        "learning.task.id": "t", "learning.task.type": "bug", "learning.task.description": "fix it",
        "learning.task.repo": "acme/shop", "learning.task.file_count": 3,
        "learning.task.estimated_tokens": 900, "learning.route.model_tier": "fast",
        "learning.route.model": "m", "learning.route.pool_type": "gpu",
        "learning.route.swarm_topology": "star", "learning.route.selector": "rules",
        "learning.route.confidence": 0.8, "learning.route.complexity": 40,
        "learning.route.propensity": 0.25, "learning.route.propensity_of": "pool_type",
        "learning.route.cost_estimate": 0.1, "learning.route.policy_version": "p1",
        "learning.route.experiment": "e", "learning.route.variant": "A",
        "learning.outcome.success": False, "learning.outcome.quality_score": 0.5,
        "learning.outcome.error_type": "timeout", "learning.outcome.error_message": "slow",
        "learning.outcome.cost": 0.2, "learning.outcome.duration_seconds": 9.5,
        "learning.outcome.peak_memory_mb": 64, "learning.outcome.cpu_time_seconds": 2,
        "learning.outcome.solution_summary": "waited",
    }  # fmt: skip

    assert facts(given).items() >= {
        "task_id": "t", "task_type": "bug", "task_description": "fix it", "repo": "acme/shop",
        "file_count": 3, "estimated_tokens": 900, "model_tier": "fast", "routed_model": "m",
        "pool_type": "gpu", "swarm_topology": "star", "selector": "rules",
        "routing_confidence": 0.8, "complexity_score": 40.0, "propensity": 0.25,
        "propensity_of": "pool_type", "cost_estimate": 0.1, "policy_version": "p1",
        "experiment": "e", "variant": "A", "success": False, "quality_score": 50.0,
        "error_type": "timeout", "error_message": "slow", "stated_cost": 0.2,
        "duration_seconds": 9.5, "peak_memory_mb": 64.0, "cpu_time_seconds": 2.0,
        "solution_summary": "waited",
    }.items()  # fmt: skip


def test_a_confidence_is_no_propensity() -> None:
    """R4: how sure a router was is not the probability with which it chose."""
    assert "propensity" not in facts({"task.id": "t", "router.confidence": 0.9})


@pytest.mark.parametrize("status", [StatusCode.UNSET, StatusCode.OK, StatusCode.ERROR])
def test_a_status_is_no_stated_outcome(status: StatusCode) -> None:
    """R4: a span's status is evidence; it is not what somebody stated."""
    assert "success" not in facts({"task.id": "t"}, status=status)


def test_exceptions() -> None:
    """An exception event tells the error's class, its message, and when it happened."""
    attributes = {"exception.type": "openai.RateLimitError", "exception.message": "slow down"}
    found = facts(
        {"task.id": "t"},
        status=StatusCode.ERROR,
        events=[event("exception", attributes, BEGAN + 5)],
    )

    assert found["error_class"] == "RateLimitError"
    assert found["error_message"] == "slow down"
    assert found["error_at_ns"] == BEGAN + 5


def test_stack_traces_are_not_kept() -> None:
    """R5: a stack trace is never stored."""
    found = facts(
        {"task.id": "t"}, status=StatusCode.ERROR,
        events=[event("exception", {"exception.stacktrace": "in secret.py"})],
    )  # fmt: skip

    assert "secret.py" not in repr(found)


def test_a_status_description_tells_the_class() -> None:
    """Where no event does, the status description names the exception."""
    found = facts({"task.id": "t"}, status=StatusCode.ERROR, description="TimeoutError: too slow")

    assert (found["error_class"], found["error_message"]) == (
        "TimeoutError",
        "TimeoutError: too slow",
    )


def test_an_outcome_that_names_its_cause() -> None:
    """`timeout` as an outcome says what went wrong, not only that something did."""
    found = facts({"task.id": "t", "task.outcome": "timeout"})

    assert (found["success"], found["error_class"]) == (False, "timeout")


def test_fallback_events() -> None:
    """An event named after a fallback tells of one, with the models where it has them."""
    found = facts({"task.id": "t"}, events=[event("router.fallback", {"from": "a", "to": "b"})])

    assert found["fallback_used"] is True
    assert (found["fallback_from"], found["fallback_to"]) == ("a", "b")


def test_of_several_evaluations_the_last_stands() -> None:
    """Later evaluations correct earlier ones."""
    found = facts(
        {"task.id": "t"},
        events=[event("evaluation", {"score": 0.2}), event("evaluation", {"score": 0.9})],
    )

    assert found["quality_score"] == 90


def test_events_are_bounded() -> None:
    """A span with very many events is read in bounded time."""
    flood = [event("chatter", {"n": n}) for n in range(5000)]

    assert facts({"task.id": "t"}, events=flood)["task_id"] == "t"


def test_feedback_on_a_span_of_its_own() -> None:
    """A span with nothing but feedback, which names a task, is about that task."""
    found = told({"task.id": "t", "feedback.accepted": True, "feedback.rating": 4})

    assert found.role == "feedback"
    assert (found.facts["feedback_kind"], found.facts["feedback_target"]) == ("task_id", "t")
    assert (found.facts["feedback_accepted"], found.facts["feedback_rating"]) == (True, 4)
    assert "task_id" not in found.facts


def test_feedback_that_links() -> None:
    """A feedback span that links to another span is about that one."""
    found = told(
        {"feedback.rating": 2}, name="user feedback", links=[Link(context(9, trace=OTHER_TRACE))]
    )

    assert found.facts["feedback_kind"] == "span_id"
    assert found.facts["feedback_target"] == f"{OTHER_TRACE:032x}:{9:016x}"


def test_feedback_by_name() -> None:
    """On a span that is called after feedback, the short keys of feedback events count."""
    assert told({"task.id": "t", "thumbs": "up"}, name="collect feedback").role == "feedback"
    assert "feedback_accepted" not in facts({"task.id": "t", "thumbs": "up"}, name="work")


def test_feedback_on_the_tasks_own_span() -> None:
    """Feedback beside other facts leaves the span what it is."""
    found = told({"task.id": "t", "task.type": "bug", "feedback.accepted": False})

    assert found.role == "task"
    assert found.facts["feedback_accepted"] is False


def test_resources() -> None:
    """What a resource says is on each observation of its process."""
    found = facts(
        {"task.id": "t"},
        resource={"service.name": "bot", "deployment.environment.name": "test",
                  "service.namespace": "desk"},
    )  # fmt: skip

    assert (found["service_name"], found["environment"], found["namespace"]) == (
        "bot", "test", "desk",
    )  # fmt: skip


def test_a_service_without_a_name_has_none() -> None:
    """The SDK's stand-in for a missing name is none."""
    assert "service_name" not in facts(
        {"task.id": "t"}, resource={"service.name": "unknown_service"}
    )


_ASKED = {
    "gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.response.id": "r",
    "gen_ai.input.messages": json.dumps(
        [{"role": "system", "parts": [{"type": "text", "content": "be kind"}]},
         {"role": "user", "parts": [{"type": "text", "content": "fix the door"}]}]
    ),
    "gen_ai.output.messages": '[{"role": "assistant", "content": "done it"}]',
    "input.value": "fix the door",
}  # fmt: skip


@pytest.mark.parametrize("content", ["none", "task", "prompt"])
def test_prompts_are_kept_only_on_request(content: str) -> None:
    """R5: messages are never read, but the first user message with CONTENT=prompt."""
    found = repr(facts(_ASKED, content=content))

    assert ("fix the door" in found) is (content == "prompt")
    assert "be kind" not in found
    assert "done it" not in found


@pytest.mark.parametrize(("content", "kept"), [("none", False), ("task", True), ("prompt", True)])
def test_texts_are_dropped_on_request(content: str, kept: bool) -> None:
    """R5: CONTENT=none keeps no description, error message, comment or summary."""
    found = facts(
        {"learning.task.id": "t", "learning.task.description": "alpha",
         "learning.outcome.error_message": "beta", "learning.outcome.solution_summary": "gamma",
         "learning.feedback.comment": "delta"},
        content=content,
    )  # fmt: skip

    texts = {"task_description", "error_message", "solution_summary", "feedback_comment"}
    assert (texts <= found.keys()) is kept
    assert (texts & found.keys() == set()) is not kept
    assert found["task_id"] == "t"


def test_outputs_and_arguments_are_never_kept() -> None:
    """R5: what is not named is not stored: tool arguments, outputs, whole inputs."""
    found = repr(told({
        "task.id": "t", "output.value": "alpha", "input.value": "beta",
        "gen_ai.tool.call.arguments": '{"path": "gamma"}', "gen_ai.tool.call.result": "delta",
        "llm.output_messages.0.message.content": "epsilon", "http.url": "zeta",
    }, content="task"))  # fmt: skip

    for word in ("alpha", "beta", "gamma", "delta", "epsilon", "zeta"):
        assert word not in found


def test_json_metadata_is_read() -> None:
    """A task id inside the JSON of `metadata` is a task id."""
    found = facts(
        {"openinference.span.kind": "CHAIN", "metadata": '{"task_id": "t", "repo": "a/b"}'}
    )

    assert (found["task_id"], found["repo"]) == ("t", "a/b")


def test_placeholders_are_no_ids() -> None:
    """C1: a task called "unknown" has no id."""
    assert "task_id" not in facts({"learning.task.id": "unknown", "learning.task.type": "bug"})


def test_cached_tokens_are_part_of_the_input() -> None:
    """A producer that counts cached tokens apart is added up; one that does not is left alone."""
    asked = {"gen_ai.request.model": "m", "gen_ai.response.id": "r",
             "gen_ai.usage.input_tokens": 100,
             "gen_ai.usage.cache_read.input_tokens": 40}  # fmt: skip

    assert facts(asked)["input_tokens"] == 100
    assert facts(asked)["cached_tokens"] == 40


def test_where_a_fact_came_from() -> None:
    """`explain` is told the key and the profile behind each fact."""
    sources: list[Source] = []

    mapper().span(a_span({"learning.task.id": "t", "repo.name": "a/b"}), sources)

    assert ("task_id", "learning.task.id", "learning") in {
        (s.fact, s.key, s.profile) for s in sources
    }


def test_the_same_span_gives_the_same_observation() -> None:
    """Mapping is a pure function: no clock, no counter, no order of calls."""
    assert told(_ASKED) == told(_ASKED)
    assert told(_ASKED).digest() == told(_ASKED).digest()


def test_a_failed_call_with_only_a_model() -> None:
    """A call that failed before any answer says its model and what it was for, and is a call."""
    asked = {"llm.model": "gpt-4o", "llm.purpose": "work"}

    assert told(asked, status=StatusCode.ERROR).role == "call"
    assert told(asked).role != "call"


def test_an_evaluation_stands_over_a_thumb() -> None:
    """A person's annotation on an evaluated span is a verdict, not another evaluation."""
    found = facts({
        "task.id": "t", "task.type": "question", "openinference.span.kind": "CHAIN",
        "evaluations.0.evaluation.score": 0.55,
        "annotations.0.annotation.label": "thumbs_down", "annotations.0.annotation.score": 0.0,
    })  # fmt: skip

    assert found["quality_score"] == pytest.approx(55)
    assert found["feedback_accepted"] is False
    assert "feedback_quality" not in found


def test_a_cost_of_ones_own() -> None:
    """`llm.cost_usd` is what an application calls its cost, beside OpenInference's `llm.cost.*`."""
    asked = {"llm.model": "m", "llm.response_model": "m", "llm.tokens.output": 3}

    assert facts({**asked, "llm.cost_usd": 0.25})["cost"] == 0.25
    assert "cost" not in facts({**asked, "llm.cost.prompt": 0.25})


def test_a_score_said_later_is_feedbacks() -> None:
    """A feedback span that gives a score says how good the task was that it is about."""
    found = told({"task.id": "t", "feedback.accepted": True, "quality.score": 0.9})

    assert found.role == "feedback"
    assert found.facts["feedback_quality"] == pytest.approx(90)
    assert "quality_score" not in found.facts
