"""What each tool takes. The descriptions are read by agents; what agents get wrong is met here.

Agents send empty texts for arguments that they mean to leave out, and lists as texts. Both are
understood. A name that is not an argument is refused: an agent that misspells `repo` would
otherwise get, and believe, an answer about all repositories.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from otel_learning.records import ErrorType, FeedbackIssue, FeedbackTarget

_LEFT_OUT: Final = ("", "null", "none")
"""What agents write where they mean to give nothing."""
LIMIT_MOST: Final = 50


def _is_left_out(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in _LEFT_OUT)


def _as_list(value: Any) -> Any:
    """A list that was sent as a text: `["a", "b"]` or `a, b`."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return [part.strip() for part in value.split(",") if part.strip()]


def _in_utc(moment: datetime | None) -> datetime | None:
    if moment is None or moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=UTC)


def _stripped(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty; say it in some words")
    return text.strip()


_Said = Annotated[str, AfterValidator(_stripped)]
_Moment = Annotated[datetime | None, AfterValidator(_in_utc)]
_Outcome = Literal["success", "failure", "unknown"] | None
_TaskType = Annotated[
    str | None,
    Field(
        description="The kind of task in the words of the orchestrator; describe_store lists "
        "them. Leave out for all kinds.",
        examples=["bug_fix", "documentation"],
    ),
]
_Repo = Annotated[
    str | None,
    Field(
        description="The repository as the orchestrator names it; describe_store lists them. "
        "Leave out for all.",
        examples=["shop/api"],
    ),
]
_Environment = Annotated[
    str | None,
    Field(
        description="Whose executions count. Leave out for the environment with most of them; "
        "development and production are never mixed.",
        examples=["production"],
    ),
]
_By = Annotated[
    str,
    Field(
        description="What is to be compared: model_tier, pool_type, swarm_topology, "
        "requested_model, agent, provider; or several of them joined by '/'.",
        examples=["model_tier", "model_tier/pool_type"],
    ),
]


def _limit(default: int, most: int = LIMIT_MOST) -> Any:
    return Field(default=default, ge=1, le=most, description=f"How many at most, 1 to {most}.")


class Arguments(BaseModel):
    """What a call may carry, and nothing else."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_max_length=20_000)

    @model_validator(mode="before")
    @classmethod
    def _leave_out(cls, given: Any) -> Any:
        """Takes away what agents send for arguments that they mean to leave out."""
        if not isinstance(given, dict):
            return given
        optional = {name for name, field in cls.model_fields.items() if not field.is_required()}
        return {k: v for k, v in given.items() if k not in optional or not _is_left_out(v)}


class NoArguments(Arguments):
    """Nothing."""


class Recommend(Arguments):
    """Which arm to choose."""

    task_type: _TaskType = None
    repo: _Repo = None
    description: Annotated[
        str | None,
        Field(
            description="The task in words. Outcomes of similar tasks then count more.",
            examples=["Fix the crash when a cart is empty"],
        ),
    ] = None
    by: _By = "model_tier"
    candidates: Annotated[
        list[str] | None,
        BeforeValidator(_as_list),
        Field(
            description="The arms that you can choose from, if these are not all that the store "
            "has seen.",
            examples=[["fast", "premium"]],
        ),
    ] = None
    cost_weight: Annotated[
        float,
        Field(
            ge=0,
            description="The success (0..1) that you would give up to save the whole cost of the "
            "dearest arm: 0 looks at success alone, 0.05 prefers the cheaper of nearly equal "
            "arms, 0.5 saves wherever it can.",
        ),
    ] = 0.05
    min_success: Annotated[
        float | None, Field(description="Only arms that succeed at least so often, 0..1.")
    ] = None
    max_cost: Annotated[
        float | None, Field(description="Only arms that cost at most so much per task, USD.")
    ] = None
    default: Annotated[
        str | None, Field(description="What `choice` is to be where there is not enough evidence.")
    ] = None
    environment: _Environment = None


class Stats(Arguments):
    """What is known of every arm."""

    by: _By = "model_tier"
    task_type: _TaskType = None
    repo: _Repo = None
    environment: _Environment = None
    limit: Annotated[int, _limit(20)] = 20


class Similar(Arguments):
    """Executions whose task is like a text."""

    text: Annotated[
        _Said,
        Field(
            description="The task in any words, as you would describe it to a colleague.",
            examples=["checkout fails when the cart is empty"],
        ),
    ]
    repo: _Repo = None
    task_type: _TaskType = None
    outcome: Annotated[
        _Outcome, Field(description="Only executions that ended so: success, failure, unknown.")
    ] = None
    limit: Annotated[int, _limit(5)] = 5


class Solutions(Arguments):
    """What worked before."""

    task: Annotated[
        str | None,
        Field(
            description="The task at hand in words: only what was used for similar tasks, and "
            "`prompt` speaks of it. Leave out for the best of all.",
            examples=["requests to the payment API time out"],
        ),
    ] = None
    error_type: Annotated[
        ErrorType | None,
        Field(description="Only what was used after that error."),
    ] = None
    min_support: Annotated[
        int, Field(ge=1, description="Known outcomes behind a solution at least.")
    ] = 3
    environment: _Environment = None
    limit: Annotated[int, _limit(5, 20)] = 5


class OneExecution(Arguments):
    """One execution."""

    id: Annotated[
        _Said,
        Field(
            description="Its execution_id as other tools return it; or a task_id or trace_id, of "
            "which the latest run is shown.",
            examples=["3f6c1e1c-6a5b-5d59-9a54-0a3e5c1d2b7f", "JIRA-481"],
        ),
    ]


class Executions(Arguments):
    """Executions, the newest first."""

    repo: _Repo = None
    task_type: _TaskType = None
    model_tier: Annotated[str | None, Field(description="Only of that tier.")] = None
    outcome: Annotated[
        _Outcome, Field(description="Only executions that ended so: success, failure, unknown.")
    ] = None
    error_type: Annotated[
        ErrorType | None,
        Field(description="Only such as ended with that error."),
    ] = None
    since: Annotated[
        _Moment,
        Field(description="Started then or later; ISO 8601, UTC where no zone is given.",
              examples=["2026-11-01T00:00:00Z"]),
    ] = None  # fmt: skip
    until: Annotated[_Moment, Field(description="Started before; as `since`.")] = None
    limit: Annotated[int, _limit(10)] = 10
    after: Annotated[
        str | None,
        Field(description="The `next` of the page before, unchanged, for the next page."),
    ] = None


class Insights(Arguments):
    """What stands out."""

    environment: _Environment = None
    limit: Annotated[int, _limit(5, 20)] = 5


class Feedback(Arguments):
    """How good a result was."""

    id: Annotated[
        _Said,
        Field(
            description="What it is about: an execution_id or task_id; also a trace, span, "
            "session or model response id.",
            examples=["JIRA-481"],
        ),
    ]
    accepted: Annotated[
        bool | None,
        Field(description="Whether the result was taken: merged, deployed, used."),
    ] = None
    rating: Annotated[
        Annotated[float, Field(ge=1, le=5)] | None,
        Field(description="1 (poor) to 5 (excellent)."),
    ] = None
    comment: Annotated[
        Annotated[str, Field(max_length=2000)] | None,
        Field(description="Why, in a sentence. No secrets, no code."),
    ] = None
    issue: Annotated[
        FeedbackIssue | None,
        Field(description="What was wrong with it."),
    ] = None
    source: Annotated[
        str,
        Field(
            max_length=100,
            description="Who says so, always in the same words: how far a source is believed "
            "follows from how often it agreed with outcomes. Name the check or the person, "
            "`agent` for your own opinion.",
            examples=["unit-tests", "code-review", "agent"],
        ),
    ] = "agent"
    kind: Annotated[
        FeedbackTarget | None,
        Field(description="What kind of id it is; found out where it is left out."),
    ] = None
    feedback_id: Annotated[
        UUID | None,
        Field(
            description="The feedback_id of an earlier answer, to replace what was said then "
            "instead of saying something more."
        ),
    ] = None
    revoke: Annotated[bool, Field(description="Take back what was said under `feedback_id`.")] = (
        False
    )
