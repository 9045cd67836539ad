"""The tools: when to call each, what it takes, what it answers; and how a call is carried out.

The descriptions are written for the model that reads them before it has seen any of our pages.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from otel_learning.errors import OtelLearningError
from otel_learning.server.mcp import answers, arguments, work
from otel_learning.server.mcp.work import Store

_logger = logging.getLogger(__name__)
_SHOWN_CHARACTERS: Final = 80
"""Of a value that an error names."""

INSTRUCTIONS: Final = """\
This server answers from the record of an AI orchestrator: which tasks it carried out, with which \
model tier, pool or topology, how they ended and what they cost.

Before a task: `recommend` says which arm suits it, `find_solutions` what worked before, \
`find_similar_executions` how such tasks went. After it: `record_feedback` with what a test, a \
check or a person said of the result. `get_stats`, `get_insights` and `list_executions` show the \
record; `get_execution` one execution whole.

The words for task types, repositories and tiers are the orchestrator's own: call \
`describe_store` once to learn them. An argument that you leave out narrows nothing. null means \
unknown, never zero. `support` is the number of executions behind a figure, `low` and `high` its \
90 % interval. "Not enough evidence" is an answer: then decide as you would without this server. \
What is observational compares what happened, not what was tried on purpose; say so when you pass \
it on.\
"""


class ToolFailed(Exception):
    """A call that cannot be answered; the text tells the agent why, and the way out."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool, as agents see it, and the function behind it."""

    name: str
    title: str
    description: str
    arguments: type[arguments.Arguments]
    answer: type[BaseModel]
    work: Callable[[Store, Any], BaseModel]
    writes: bool = False

    @property
    def input_schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments."""
        return self.arguments.model_json_schema()

    @property
    def output_schema(self) -> dict[str, Any]:
        """JSON Schema of the answer."""
        return self.answer.model_json_schema(mode="serialization")

    def call(self, store: Store, given: Mapping[str, Any]) -> dict[str, Any]:
        """The answer as plain values.

        Raises:
            ToolFailed: the arguments cannot be understood, or the store cannot be asked.
        """
        try:
            asked = self.arguments.model_validate(dict(given))
        except ValidationError as error:
            raise ToolFailed(_refused(self, error)) from error
        try:
            return self.work(store, asked).model_dump(mode="json")
        except OtelLearningError as error:
            raise ToolFailed(str(error)) from error
        except ModuleNotFoundError as error:
            raise ToolFailed(
                f"{self.name} needs {error.name}, which is not installed beside this server "
                "(pip install otel-learning[mcp])"
            ) from error
        except Exception as error:
            # Whatever is wrong, the connection and its other tools stay; the log has the rest.
            _logger.exception("the tool %s failed", self.name)
            raise ToolFailed(
                f"{self.name} failed: {type(error).__name__}; the log of the server says more"
            ) from error


TOOLS: Final = (
    Tool(
        "recommend", "Recommend a route",
        "Which model tier (or pool, topology, model) to use for a task, from how earlier tasks "
        "went. Call it before you start or delegate a task, with what you know of it: task_type, "
        "repo, and the task in words as description; all are optional. `choice` is the arm that "
        "succeeds most for its cost. If `basis` is insufficient nothing is recommended: use your "
        "own default. If it is observational, the arms may have had easier or harder tasks. "
        "Example: {\"task_type\": \"bug_fix\", \"repo\": \"shop/api\"}.",
        arguments.Recommend, answers.Recommended, work.recommend,
    ),
    Tool(
        "find_solutions", "Find what worked before",
        "What solved tasks like this one before, and what did not: wordings from earlier "
        "summaries and changes of route after a failure, each with its success rate and support. "
        "Call it before you try to fix something, or after a first failure (with error_type). "
        "`prompt` is the same as a short text for your own context or a sub-agent's. "
        "Example: {\"task\": \"requests to the payment API time out\"}.",
        arguments.Solutions, answers.SolutionsFound, work.find_solutions,
    ),
    Tool(
        "find_similar_executions", "Find similar executions",
        "Executions whose task is like a text, by meaning and by words: how they were routed, how "
        "they ended, what they cost, what solved them. Call it to see precedents for a task; for "
        "advice rather than cases call recommend or find_solutions. "
        "Example: {\"text\": \"checkout fails when the cart is empty\", \"outcome\": \"success\"}.",
        arguments.Similar, answers.SimilarFound, work.find_similar_executions,
    ),
    Tool(
        "record_feedback", "Record feedback",
        "Says how good the result of an execution was. Call it once the outcome is known: tests "
        "ran, a person accepted or rejected the change, a defect showed up later. It adds a word "
        "and overwrites nothing; the next recommendation and search know it. It may come before "
        "the execution was recorded. Give at least one of accepted, rating, comment, issue. "
        "Example: {\"id\": \"JIRA-481\", \"accepted\": false, \"issue\": \"poor_quality\", "
        "\"comment\": \"breaks the nightly import\", \"source\": \"integration-tests\"}.",
        arguments.Feedback, answers.Said, work.record_feedback, writes=True,
    ),
    Tool(
        "get_stats", "Compare tiers or pools",
        "How each model tier, pool, topology, model or agent has done: success with its interval, "
        "cost, duration, quality, support. Call it to compare arms or to report; to choose one "
        "for a task call recommend. Example: {\"by\": \"pool_type\", \"task_type\": \"bug_fix\"}.",
        arguments.Stats, answers.StatsFound, work.get_stats,
    ),
    Tool(
        "list_executions", "List executions",
        "Executions in short, the newest first, by repository, kind, tier, outcome, error or "
        "time. Call it for questions such as what failed yesterday; it pages with after. "
        "Example: {\"outcome\": \"failure\", \"since\": \"2026-11-01\", \"limit\": 5}.",
        arguments.Executions, answers.ExecutionsFound, work.list_executions,
    ),
    Tool(
        "get_execution", "Show one execution",
        "One execution whole: task, route, outcome, cost, each model call with its error, and "
        "what was said about it. Call it with an id from another tool, or a task or trace id. "
        "Example: {\"id\": \"JIRA-481\"}.",
        arguments.OneExecution, answers.ExecutionFound, work.get_execution,
    ),
    Tool(
        "get_insights", "Show what stands out",
        "What stands out from chance in the record: changes in success or cost, failing "
        "combinations, cheaper arms that do as well, drift. Call it for a review or a weekly "
        "summary. Each sentence has its support and executions that show it. Example: {}.",
        arguments.Insights, answers.InsightsFound, work.get_insights,
    ),
    Tool(
        "describe_store", "Describe the record",
        "How much is recorded, since when, and which environments, repositories, task types, "
        "tiers, pools, models and errors there are, in the words that the other tools take. Call "
        "it once before the others. Example: {}.",
        arguments.NoArguments, answers.Described, work.describe_store,
    ),
)  # fmt: skip


def as_text(answer: Mapping[str, Any]) -> str:
    """The structured answer as the text beside it, for clients that show only text."""
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))


def tool_named(name: str) -> Tool:
    """Raises ToolFailed where there is none of that name."""
    for tool in TOOLS:
        if tool.name == name:
            return tool
    raise ToolFailed(f"there is no tool {name!r} ({_or_else(name, [tool.name for tool in TOOLS])})")


def _refused(tool: Tool, error: ValidationError) -> str:
    """What is wrong with the arguments, each with its value and what would be right."""
    fields = tool.arguments.model_fields
    said = []
    for one in error.errors(include_url=False):
        name = str(one["loc"][0]) if one["loc"] else "arguments"
        if one["type"] == "extra_forbidden":
            said.append(f"there is no argument {name!r} ({_or_else(name, list(fields))})")
        elif one["type"] == "missing":
            meaning = fields[name].description or ""
            said.append(f"the argument {name!r} is missing: {meaning}")
        else:
            value = repr(one["input"])
            if len(value) > _SHOWN_CHARACTERS:
                value = value[:_SHOWN_CHARACTERS] + "..."
            said.append(f"{name}={value} is not understood: {one['msg']}")
    return "; ".join(dict.fromkeys(said))


def _or_else(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, 1, 0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there are {', '.join(known)}" if known else "it takes none"
