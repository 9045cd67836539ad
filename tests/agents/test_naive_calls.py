"""What agents get wrong: every answer helps, names the value and the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from otel_learning import LearningDatabase
from otel_learning.knowledge import database
from otel_learning.server.mcp.tools import tool_named
from otel_learning.server.mcp.words import alike
from otel_learning.server.mcp.work import Store
from otel_learning.store.drain import DrainSettings
from tests.agents.processes import Served, ask, refused, stdio
from tests.command_line import copy_store
from tests.knowledge.stores import task, write


@pytest.mark.parametrize(
    ("tool", "given", "says"),
    [
        (
            "recommend",
            {"tasktype": "bug_fix"},
            "no argument 'tasktype' (did you mean 'task_type'?)",
        ),
        ("recommend", {"cost_weight": "cheap"}, "cost_weight='cheap' is not understood"),
        ("recommend", {"cost_weight": -1}, "greater than or equal to 0"),
        ("recommend", {"by": "colour"}, "by='colour' is no column to choose by (model_tier"),
        ("recommend", {"candidates": 7}, "candidates=7 is not understood"),
        ("find_similar_executions", {}, "the argument 'text' is missing: The task in any words"),
        ("find_similar_executions", {"query": "cart"}, "no argument 'query'"),
        ("find_similar_executions", {"text": "  "}, "it is empty"),
        ("find_similar_executions", {"text": "x", "limit": 1000}, "less than or equal to 50"),
        ("find_similar_executions", {"text": "x", "outcome": "ok"}, "'success', 'failure'"),
        ("list_executions", {"since": "yesterday"}, "since='yesterday' is not understood"),
        ("list_executions", {"after": "page 2"}, "after='page 2' is no place in a list"),
        ("list_executions", {"error_type": "Timeout!"}, "'timeout', 'rate_limit'"),
        ("list_executions", {"since": "2026-02-01", "until": "2026-01-01"}, "exchange them"),
        ("get_execution", {"id": "nix"}, "no execution has the id 'nix' (give an execution_id"),
        ("get_execution", {"execution_id": "x"}, "no argument 'execution_id'"),
        ("record_feedback", {"id": "t"}, "the feedback about 't' says nothing (give accepted"),
        ("record_feedback", {"id": "t", "rating": 6}, "less than or equal to 5"),
        ("record_feedback", {"id": "t", "rating": "good"}, "rating='good' is not understood"),
        ("record_feedback", {"id": "t", "revoke": True}, "revoke needs a feedback_id"),
        ("record_feedback", {"accepted": True}, "the argument 'id' is missing: What it is about"),
        ("describe_store", {"verbose": True}, "no argument 'verbose' (it takes none)"),
        ("recomend", {}, "there is no tool 'recomend' (did you mean 'recommend'?)"),
    ],
)
def test_a_refusal_says_what_and_how(
    tool: str, given: dict[str, Any], says: str, demo_server: Served
) -> None:
    said = refused(demo_server.url, tool, **given)

    assert says in said
    assert "Traceback" not in said
    assert "pydantic" not in said
    assert len(said) < 700


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("recommend", {}),
        ("recommend", {"task_type": "", "repo": "null", "min_success": "", "default": None}),
        ("recommend", {"candidates": "fast, premium", "cost_weight": "0.1"}),
        ("recommend", {"candidates": '["fast", "premium"]'}),
        ("find_similar_executions", {"text": "cart", "limit": "3", "outcome": ""}),
        ("find_solutions", {"task": "", "error_type": "null"}),
        ("list_executions", {"since": "2026-01-01", "outcome": None}),
        ("get_stats", {"by": "model_tier/pool_type"}),
    ],
)
def test_what_can_be_understood_is(tool: str, given: dict[str, Any], demo_server: Served) -> None:
    """Empty texts for what is left out, lists and numbers as texts, a date for a time."""
    answer = ask(demo_server.url, tool, **given)

    if given.get("candidates"):
        assert {arm["arm"] for arm in answer["candidates"]} == {"fast", "premium"}


@pytest.mark.parametrize(
    ("tool", "given", "note"),
    [
        ("recommend", {"task_type": "bugfix"}, "No execution has the task_type 'bugfix': did you "
         "mean 'bug_fix'?"),
        ("recommend", {"repo": "api"}, "did you mean 'shop/api'?"),
        ("recommend", {"candidates": ["fst", "premium"]}, "did you mean 'fast'?"),
        ("get_stats", {"environment": "prod"}, "No execution has the environment 'prod'"),
        ("find_similar_executions", {"text": "cart", "repo": "Shop/API"}, "'shop/api'"),
        ("list_executions", {"model_tier": "huge"}, "the model_tier 'huge': it knows '"),
    ],
)  # fmt: skip
def test_a_word_that_nobody_uses_is_told(
    tool: str, given: dict[str, Any], note: str, demo_server: Served
) -> None:
    """An answer about a repository that is not there would look like knowledge."""
    assert any(note in said for said in ask(demo_server.url, tool, **given)["notes"])


def test_words_that_are_alike() -> None:
    """Case and punctuation do not count; a part of a word is enough; what is far is left out."""
    known = ["shop/api", "shop/web", "platform/billing"]
    assert alike("Shop-API", known) == ["shop/api"]
    assert alike("billing", known) == ["platform/billing"]
    assert alike("shop/apu", known)[0] == "shop/api"
    assert alike("zzz", known) == []
    assert alike("", known) == []


def test_not_enough_evidence_is_an_answer(tmp_path: Path) -> None:
    """A store without executions: every tool answers, and recommends nothing."""
    path = tmp_path / "learning.duckdb"
    LearningDatabase(path)

    advice = ask(stdio(path), "recommend", task_type="bug_fix", default="small")
    found = ask(stdio(path), "find_solutions", task="anything")
    alike_ones = ask(stdio(path), "find_similar_executions", text="anything")

    assert (advice["choice"], advice["basis"]) == ("small", "insufficient")
    assert "Not enough evidence" in advice["explanation"]
    assert found["solutions"] == []
    assert "not enough evidence" in found["notes"][-1]
    assert "Nothing is known" in found["prompt"]
    assert alike_ones["executions"] == []
    assert "No execution with a task description fits" in alike_ones["notes"][0]


def test_what_cannot_be_found_yet_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that has no time to bring in all that is new says that it has not seen it."""
    path = tmp_path / "learning.duckdb"
    write(path, [task(number, f"thing {number}") for number in range(40)])
    monkeypatch.setattr(database, "CATCH_UP_SECONDS", 0.0)

    found = tool_named("find_similar_executions").call(
        Store(path, DrainSettings()), {"text": "thing 7"}
    )

    assert "Not every task can be found yet" in found["notes"][0]


def test_solutions_are_kept_for_a_while_only(solved_store: Path, tmp_path: Path) -> None:
    """A second question is answered from memory, and soon from the store again."""
    store = Store(copy_store(solved_store, tmp_path / "s.duckdb"), DrainSettings())
    first = store.library(None, 3)

    assert store.library(None, 3) is first
    assert store.library(None, 4) is not first
    store._libraries = {key: (0.0, found) for key, (_, found) in store._libraries.items()}
    again = store.library(None, 4)
    assert store.library(None, 4) is again
