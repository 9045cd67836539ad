"""What can be asked over HTTP: the arguments of each question, checked, and described."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from otel_learning.records import ErrorType, FeedbackIssue, FeedbackVisibility

IDS = ("task_id", "execution_id", "trace_id", "span_id", "session_id", "response_id")
TaskType = Annotated[str | None, Field(description="The kind of task; all where it is left out.")]
Repo = Annotated[str | None, Field(description="The repository; all where it is left out.")]
Environment = Annotated[
    str | None,
    Field(description="Whose executions teach; the one with most of them where it is left out."),
]
AsOf = Annotated[
    datetime | None, Field(description="Only executions that had ended before; ISO 8601, or UTC.")
]
By = Annotated[
    str, Field(description="The column that tells arms apart, or several: `model_tier/pool_type`.")
]


class Question(BaseModel):
    """Arguments of a question; one that is not known is named, not passed over."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class AdviceQuestion(Question):
    """Those of `recommend`."""

    task_type: TaskType = None
    repo: Repo = None
    description: Annotated[str | None, Field(max_length=20_000)] = Field(
        default=None, description="The task in words."
    )
    environment: Environment = None
    candidates: list[str] | None = Field(
        default=None,
        description="The arms to choose from: given several times, or with commas between them.",
    )
    by: By = "model_tier"
    cost_weight: float = Field(
        default=0.05, ge=0,
        description="The success, 0..1, that one would give up to save the dearest arm's cost.",
    )  # fmt: skip
    min_success: float | None = Field(
        default=None, ge=0, le=1, description="Only arms that succeed at least so often, 0..1."
    )
    max_cost: float | None = Field(
        default=None, ge=0, description="Only arms that cost at most so much, USD."
    )
    default: str | None = Field(default=None, description="The choice where evidence is missing.")
    as_of: AsOf = None

    def arguments(self) -> dict[str, Any]:
        """Those of `recommend`."""
        given = self.model_dump()
        if self.candidates is not None:
            said = [arm.strip() for each in self.candidates for arm in each.split(",")]
            given["candidates"] = [arm for arm in said if arm] or None
        return given


class StatisticsQuestion(Question):
    """Those of `stats`."""

    task_type: TaskType = None
    repo: Repo = None
    environment: Environment = None
    by: By = "model_tier"
    as_of: AsOf = None


class ExecutionFilters(Question):
    """Those of `LearningDatabase.executions`."""

    task_id: str | None = None
    execution_id: UUID | None = None
    trace_id: str | None = Field(default=None, description="Any trace of the execution, hex.")
    session_id: str | None = None
    user_hash: str | None = None
    environment: str | None = None
    service_name: str | None = None
    repo: str | None = None
    task_type: str | None = None
    model_tier: str | None = None
    model: str | None = None
    requested_model: str | None = None
    provider: str | None = None
    pool_type: str | None = None
    swarm_topology: str | None = None
    agent: str | None = None
    experiment: str | None = None
    variant: str | None = None
    error_type: ErrorType | None = None
    success: Literal["true", "false", "unknown"] | None = Field(
        default=None, description="`unknown`: the outcome is not known."
    )
    min_cost: float | None = Field(default=None, description="USD, inclusive.")
    max_cost: float | None = Field(default=None, description="USD, inclusive.")
    since: datetime | None = Field(default=None, description="Started then or later; ISO 8601.")
    until: datetime | None = Field(default=None, description="Started before.")
    complete: bool | None = None
    settled: bool | None = None

    def filters(self) -> Any:
        """Those of the store, as far as they were given."""
        given = {name: getattr(self, name) for name in ExecutionFilters.model_fields}
        outcome = {"true": True, "false": False, "unknown": "unknown", None: None}[self.success]
        return {
            name: value for name, value in {**given, "success": outcome}.items()
            if value is not None
        }  # fmt: skip


class ExecutionsQuestion(ExecutionFilters):
    limit: int = Field(default=100, ge=1, le=1000, description="Executions on one page.")
    after: str | None = Field(default=None, description="The `next` of the page before.")


class SearchQuestion(Question):
    """Those of `search`."""

    q: str = Field(min_length=1, max_length=20_000, description="A task, in any words.")
    repo: str | None = None
    task_type: str | None = None
    environment: str | None = None
    success: Literal["true", "false", "unknown"] | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = Field(default=10, ge=1, le=1000)
    exact: bool = Field(default=False, description="Compare every text, also in a large store.")

    def filters(self) -> Any:
        wanted = ExecutionFilters(
            **self.model_dump(include={"repo", "task_type", "environment", "success", "since",
                                       "until"})
        )  # fmt: skip
        return wanted.filters()


class SolutionsQuestion(Question):
    """Those of `solutions`."""

    min_support: int = Field(default=3, ge=1, description="Known outcomes behind one at least.")
    environment: Environment = None
    limit: int = Field(default=50, ge=1, le=1000)
    as_of: AsOf = None


class Feedback(BaseModel):
    """What a person or a check says about an execution, under one id of it."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    task_id: str | None = Field(default=None, min_length=1, max_length=512)
    execution_id: UUID | None = None
    trace_id: str | None = Field(default=None, pattern=r"^[0-9a-fA-F]{32}$")
    span_id: str | None = Field(
        default=None, pattern=r"^([0-9a-fA-F]{32}:)?[0-9a-fA-F]{16}$",
        description="TRACE_ID:SPAN_ID; the span alone where it is one of a known model call.",
    )  # fmt: skip
    session_id: str | None = Field(default=None, min_length=1, max_length=512)
    response_id: str | None = Field(default=None, min_length=1, max_length=512)

    accepted: StrictBool | None = Field(default=None, description="Whether the result was taken.")
    rating: float | None = Field(default=None, ge=1, le=5, description="1 (poor) to 5 (excellent).")
    comment: str | None = Field(default=None, max_length=2000, description="Why.")
    source: str | None = Field(
        default=None, max_length=200, description="Who says so: a person, a test, a check."
    )
    quality_score: float | None = Field(default=None, ge=0, le=100)
    issue: FeedbackIssue | None = Field(default=None, description="What was wrong.")
    visibility: FeedbackVisibility = Field(
        default="private", description="Whom an export may show it."
    )
    given_at: datetime | None = Field(default=None, description="When it was said; now.")
    feedback_id: UUID | None = Field(
        default=None,
        description="Of what was said before, to say it anew; or one of your own, so that a "
        "request that is sent twice counts once.",
    )
    revoked: bool = Field(default=False, description="Takes back what `feedback_id` said.")

    @model_validator(mode="after")
    def _whole(self) -> Feedback:
        given = [name for name in IDS if getattr(self, name) is not None]
        if len(given) != 1:
            named = f" ({', '.join(given)} are given)" if given else ""
            raise ValueError(f"give one of {', '.join(IDS)}{named}")
        if self.revoked and self.feedback_id is None:
            raise ValueError("revoked takes back a feedback_id: give it")
        return self

    @property
    def target(self) -> tuple[Any, str]:
        """The kind of id, and the id."""
        name = next(name for name in IDS if getattr(self, name) is not None)
        return name, str(getattr(self, name))


class Unit(BaseModel):
    """What is assigned to a variant."""

    model_config = ConfigDict(extra="forbid")

    unit_id: str = Field(min_length=1, max_length=512, description="The id of what is assigned.")
