"""The official client drives every tool, over stdio and HTTP, as old and new clients do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from otel_learning import LearningDatabase, recommend
from otel_learning.learning.recommend import evidence
from otel_learning.server.mcp.tools import TOOLS
from tests.agents.processes import Served, ask, refused, stdio, talk, text_of
from tests.command_line import cli_in

READ_ONLY = {tool.name for tool in TOOLS} - {"record_feedback"}


def _target(transport: str, server: Served, store: Path) -> Any:
    return server.url if transport == "http" else stdio(store)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_every_tool(transport: str, mode: str, demo_server: Served, demo_copy: Path) -> None:
    """Each is listed with both schemas and hints, and its answer fits its schema."""

    async def work(client: Client) -> dict[str, dict[str, Any]]:
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert listed.keys() == {tool.name for tool in TOOLS}
        for tool in listed.values():
            assert tool.description and tool.title and tool.output_schema
            assert tool.input_schema["additionalProperties"] is False
            assert tool.annotations is not None
            assert tool.annotations.read_only_hint is (tool.name in READ_ONLY)
            assert tool.annotations.destructive_hint is False
            assert tool.annotations.open_world_hint is False
        assert client.instructions is not None and "describe_store" in client.instructions

        answers: dict[str, dict[str, Any]] = {}

        async def call(tool: str, **given: Any) -> dict[str, Any]:
            # The client compares what it gets with the output schema.
            answer = await client.call_tool(tool, given)
            assert not answer.is_error, answer.content
            assert json.loads(text_of(answer)) == answer.structured_content
            answers[tool] = answer.structured_content
            return answers[tool]

        described = await call("describe_store")
        kind = described["words"]["task_type"][0]["value"]
        await call("recommend", task_type=kind, repo="shop/api", description="cart is empty")
        await call("get_stats", by="pool_type")
        await call("find_similar_executions", text="the cart crashes", outcome="success")
        await call("find_solutions", task="the cart crashes")
        listed_executions = await call("list_executions", limit=3)
        first = listed_executions["executions"][0]["execution_id"]
        await call("get_execution", id=first)
        await call("get_insights")
        said = await call("record_feedback", id=first, rating=4, source=f"{transport}-{mode}")
        assert said["resolved_to"] == first
        return answers

    answers = talk(_target(transport, demo_server, demo_copy), work, mode)

    assert answers.keys() == {tool.name for tool in TOOLS}
    assert answers["describe_store"]["executions"] == 90
    assert answers["recommend"]["choice"] in ("fast", "balanced", "premium")
    assert answers["recommend"]["choice"] in answers["recommend"]["explanation"]
    assert {arm["arm"] for arm in answers["get_stats"]["arms"]} == {"shared", "reserved"}
    found = answers["find_similar_executions"]["executions"]
    assert found and all(one["success"] for one in found)
    assert "cart" in found[0]["task_description"]
    assert answers["get_execution"]["attempts"]
    with LearningDatabase(demo_copy) as database:
        [feedback] = [f for f in database.feedback() if f.source == f"{transport}-{mode}"]
    assert feedback.rating == 4


def test_answers_are_those_of_the_library(demo_server: Served, demo_copy: Path) -> None:
    """The same figures as in Python; nothing is computed a second way."""
    said = ask(demo_server.url, "recommend", task_type="bug_fix", cost_weight=0.2)
    stats = ask(demo_server.url, "get_stats", task_type="bug_fix")

    with LearningDatabase(demo_copy) as database:
        known = recommend(database, task_type="bug_fix", cost_weight=0.2)
        rows = evidence(database, task_type="bug_fix")
    assert said["choice"] == known.choice
    assert said["basis"] == known.basis
    assert said["explanation"] == known.explain()
    rates = {arm["arm"]: arm["success_rate"] for arm in said["candidates"]}
    assert rates == {c.arm: c.success_rate for c in known.candidates}
    assert {arm["arm"]: arm["support"] for arm in stats["arms"]} == {
        arm["arm"]: arm["support"] for arm in rows["arms"]
    }


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_the_example_in_a_description_works(tool: Any, demo_server: Served) -> None:
    """What an agent copies from a description is answered."""
    found = re.search(r"Example: (\{.*\})\.$", tool.description)
    assert found is not None
    given = json.loads(found[1])
    if tool.name == "get_execution":
        assert "no execution has the id 'JIRA-481'" in refused(demo_server.url, tool.name, **given)
        return

    answer = ask(demo_server.url, tool.name, **given)

    assert answer.keys() == tool.answer.model_fields.keys()


def test_every_argument_says_what_it_means() -> None:
    """In the schema that clients show to models; and no description is a page long."""
    for tool in TOOLS:
        assert len(tool.description) < 700, tool.name
        for name, field in tool.input_schema.get("properties", {}).items():
            assert len(field.get("description", "")) > 10, f"{tool.name}.{name}"


def test_answers_are_short(demo_server: Served) -> None:
    """A default answer takes a few thousand characters, and `limit` is a limit."""

    async def work(client: Client) -> dict[str, int]:
        sizes = {}
        for tool in TOOLS:
            given = {"find_similar_executions": {"text": "the cart crashes"}}.get(tool.name, {})
            if tool.name not in ("record_feedback", "get_execution"):
                answer = await client.call_tool(tool.name, given)
                sizes[tool.name] = len(text_of(answer))
        return sizes

    sizes = talk(demo_server.url, work)
    assert max(sizes.values()) < 6000, sizes
    assert len(ask(demo_server.url, "list_executions", limit=2)["executions"]) == 2


def test_pages_follow_one_another(demo_server: Served) -> None:
    """`next` leads through all executions, each once."""
    seen: list[str] = []
    after = None
    while True:
        page = ask(demo_server.url, "list_executions", limit=40, after=after)
        seen += [one["execution_id"] for one in page["executions"]]
        after = page["next"]
        if after is None:
            break
    assert len(seen) == len(set(seen)) == 90


def test_solutions_and_their_prompt(solved_store: Path) -> None:
    """What was planted is found, for a task and against an error; the text is the CLI's."""
    task = "Task of kind timeout in module 0"

    async def work(client: Client) -> tuple[Any, Any, Any, Any]:
        best = await client.call_tool("find_solutions", {})
        mine = await client.call_tool("find_solutions", {"task": task})
        crash = await client.call_tool("find_solutions", {"error_type": "crash"})
        [prompt] = (await client.list_prompts()).prompts
        text = await client.get_prompt(prompt.name, {"task": task})
        with pytest.raises(MCPError, match="'task' is missing"):
            await client.get_prompt(prompt.name, {})
        with pytest.raises(MCPError, match="there is no prompt 'nix'"):
            await client.get_prompt("nix", {"task": task})
        return best, mine, crash, text

    best, mine, crash, text = talk(stdio(solved_store), work)

    assert len(best.structured_content["solutions"]) == 5
    first = mine.structured_content["solutions"][0]
    assert first["solution_summary"].lower().startswith("raise the read timeout")
    assert (first["error_type"], first["support"], first["helped"]) == ("timeout", 12, True)
    assert first["relevance"] > 0.9
    [against] = crash.structured_content["solutions"]
    assert "chunks" in against["solution_summary"].lower()
    printed = cli_in(solved_store.parent)(
        "solutions", "--for", task, "--limit", "5", "--db", str(solved_store)
    ).stdout
    assert mine.structured_content["prompt"] == printed.rstrip("\n")
    assert text.messages[0].content.text == f"The task: {task}\n\n{printed.rstrip()}"


def test_feedback_can_be_replaced_and_taken_back(demo_server: Served, demo_copy: Path) -> None:
    """Under its feedback_id what is said later stands; a word about what is to come waits."""
    said = ask(demo_server.url, "record_feedback", id="not-yet", accepted=True, source="t")
    assert said["resolved_to"] is None
    assert said["kind"] == "task_id"
    assert "No execution has the task_id 'not-yet' yet" in said["notes"][0]

    again = ask(
        demo_server.url, "record_feedback", id="not-yet", accepted=False, issue="too_slow",
        source="t", feedback_id=said["feedback_id"],
    )  # fmt: skip
    assert again["feedback_id"] == said["feedback_id"]
    with LearningDatabase(demo_copy) as database:
        [word] = database.feedback(target_id="not-yet")
    assert (word.accepted, word.issue) == (False, "too_slow")

    ask(demo_server.url, "record_feedback", id="not-yet", revoke=True,
        feedback_id=said["feedback_id"])  # fmt: skip
    with LearningDatabase(demo_copy) as database:
        assert database.feedback(target_id="not-yet") == []
