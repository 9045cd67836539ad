"""What the store holds, as typed records: executions, attempts, feedback, solutions, policies.

Field names and meanings are those of the SQL views. Unknown is None, never a default that
looks like knowledge (rule R4).
"""

from __future__ import annotations

import math
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, NamedTuple, Self
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field


class ErrorType(StrEnum):
    """The family an error belongs to; the class as recorded stays in `error_class`."""

    TIMEOUT = "timeout"
    RATE_LIMIT = "rate_limit"
    NETWORK = "network"
    AUTHENTICATION = "authentication"
    VALIDATION = "validation"
    CONTENT_FILTER = "content_filter"
    QUALITY_GATE = "quality_gate"
    CANCELLED = "cancelled"
    CRASH = "crash"
    UNKNOWN = "unknown"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_enum_values=False)

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON-ready values; `from_dict` restores it exactly."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The record that `to_dict` described. Raises pydantic.ValidationError on bad values."""
        return cls.model_validate(values)


class PredictionError(BaseModel):
    """How far the cost estimate was from the actual cost; each None where it cannot be known."""

    model_config = ConfigDict(frozen=True)

    cost_error: float | None = None
    """Actual minus estimate, USD: positive where the task cost more than was thought."""
    cost_error_abs: float | None = None
    """The size of that difference, USD."""
    cost_error_log: float | None = None
    """Natural logarithm of actual / estimate: 0 is exact, 0.69 is twice the estimate."""


class Attempt(_Record):
    """One model call inside an execution."""

    execution_id: UUID
    ordinal: int = Field(ge=1)
    trace_id: str | None = None
    span_id: str | None = None
    started_at: datetime | None = None
    duration_seconds: float | None = Field(default=None, ge=0)
    role: Literal["work", "router"] = "work"
    model: str | None = None
    requested_model: str | None = None
    provider: str | None = None
    response_id: str | None = None
    input_tokens: int | None = Field(default=None, ge=0)
    output_tokens: int | None = Field(default=None, ge=0)
    cost: float | None = Field(default=None, ge=0)
    success: bool | None = None
    error_type: ErrorType | None = None
    error_class: str | None = None
    reason: Literal["initial", "retry", "fallback"] = "initial"


class ExecutionRecord(_Record):
    """One task, carried out: what was asked, what was chosen, how it went, what it cost."""

    execution_id: UUID = Field(default_factory=uuid4)
    task_id: str | None = None
    run: int = Field(default=1, ge=1)
    trace_ids: tuple[str, ...] = ()
    session_id: str | None = None
    user_hash: str | None = None
    environment: str | None = None
    service_name: str | None = None

    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration_seconds: float | None = Field(default=None, ge=0)
    recorded_at: datetime | None = None
    updated_at: datetime | None = None

    task_type: str | None = None
    task_description: str | None = None
    repo: str | None = None
    file_count: int | None = Field(default=None, ge=0)
    estimated_tokens: int | None = Field(default=None, ge=0)

    model_tier: str | None = None
    model: str | None = None
    requested_model: str | None = None
    provider: str | None = None
    pool_type: str | None = None
    swarm_topology: str | None = None
    agent: str | None = None
    selector: str | None = None
    routing_confidence: float | None = Field(default=None, ge=0, le=1)
    complexity_score: float | None = Field(default=None, ge=0, le=100)
    propensity: float | None = Field(default=None, ge=0, le=1)
    propensity_of: str | None = None
    policy_version: str | None = None
    experiment: str | None = None
    variant: str | None = None

    success: bool | None = None
    success_source: str | None = None
    quality_score: float | None = Field(default=None, ge=0, le=100)
    error_type: ErrorType | None = None
    error_class: str | None = None
    error_message: str | None = None
    fallback_used: bool | None = None

    cost_estimate: float | None = Field(default=None, ge=0)
    actual_cost: float | None = Field(default=None, ge=0)
    cost_source: Literal["reported", "priced"] | None = None
    input_tokens: int | None = Field(default=None, ge=0)
    output_tokens: int | None = Field(default=None, ge=0)
    router_cost: float | None = Field(default=None, ge=0)
    attempt_count: int = Field(default=0, ge=0)
    failed_attempt_count: int = Field(default=0, ge=0)

    peak_memory_mb: float | None = Field(default=None, ge=0)
    cpu_time_seconds: float | None = Field(default=None, ge=0)
    user_accepted: bool | None = None
    user_rating: float | None = Field(default=None, ge=1, le=5)
    feedback_count: int = Field(default=0, ge=0)
    solution_summary: str | None = None

    producer: str | None = None
    profile: str | None = None
    settled: bool = False
    complete: bool = False
    dropped_attributes: int = Field(default=0, ge=0)
    sampling_ratio: float | None = Field(default=None, ge=0, le=1)
    metadata: dict[str, Any] = Field(default_factory=dict)

    def calculate_embedding_content(self) -> str:
        """The text that stands for this task when tasks are compared by meaning.

        Only what is known before the task is carried out: an outcome or a chosen tier in the
        text would make a plain description compare with something else, and leak the answer.
        The store's own search compares descriptions alone; type and repository are its filters.
        """
        parts = (
            ("Task", self.task_type),
            ("Description", self.task_description),
            ("Repository", self.repo),
        )
        return " | ".join(f"{label}: {value}" for label, value in parts if value)

    def calculate_prediction_error(self) -> PredictionError:
        """How far `cost_estimate` was from `actual_cost`: signed, absolute and as a log ratio.

        All None where either is missing; the log ratio also where one of them is zero.
        """
        estimate, actual = self.cost_estimate, self.actual_cost
        if estimate is None or actual is None:
            return PredictionError()
        signed = actual - estimate
        ratio = math.log(actual / estimate) if actual > 0 and estimate > 0 else None
        return PredictionError(cost_error=signed, cost_error_abs=abs(signed), cost_error_log=ratio)


FeedbackTarget = Literal[
    "task_id", "execution_id", "trace_id", "span_id", "session_id", "response_id"
]
FeedbackVisibility = Literal["private", "team", "public"]
"""To whom an export may show a word: to nobody, whole to the team, or without names to all."""
FeedbackIssue = Literal["wrong_model", "too_slow", "poor_quality", "other"]


def rating_of_answers(
    *,
    model_appropriate: bool | None = None,
    speed_acceptable: bool | None = None,
    expectations_met: bool | None = None,
) -> float | None:
    """The rating, 1..5, that the answers to three questions stand for: the share of yes.

    A question that was not answered says nothing, least of all no; None where none was.
    """
    answers = (model_appropriate, speed_acceptable, expectations_met)
    given = [answer for answer in answers if answer is not None]
    return 1.0 + 4.0 * sum(given) / len(given) if given else None


class FeedbackRecord(_Record):
    """What a person or a check said about an execution, under the id it was said about."""

    feedback_id: UUID = Field(default_factory=uuid4)
    target_kind: FeedbackTarget = "task_id"
    target_id: str = Field(min_length=1, max_length=512)
    given_at: datetime | None = None
    accepted: bool | None = None
    rating: float | None = Field(default=None, ge=1, le=5)
    comment: str | None = Field(default=None, max_length=2000)
    source: str | None = None
    quality_score: float | None = Field(default=None, ge=0, le=100)
    issue: FeedbackIssue | None = None
    visibility: FeedbackVisibility = "private"
    revoked: bool = False
    execution_id: UUID | None = None
    """The execution it was resolved to; None while that execution is not known."""


class ExecutionDetail(_Record):
    """One execution with all that belongs to it."""

    execution: ExecutionRecord
    attempts: list[Attempt]
    """Its model calls, in order."""
    feedback: list[FeedbackRecord]
    """What was said about it and not taken back, in the order of time."""


class Page(NamedTuple):
    """Some executions of a longer list, newest first."""

    executions: list[ExecutionRecord]
    next: str | None
    """Where the next page begins, for `after`; None on the last page."""


class SolutionRecord(_Record):
    """A pattern that worked, with the evidence for it."""

    pattern_id: UUID = Field(default_factory=uuid4)
    extracted_at: datetime | None = None
    task_context: str
    solution_summary: str
    success_rate: float = Field(ge=0, le=1)
    usage_count: int = Field(default=0, ge=0)
    repos_used_in: tuple[str, ...] = ()
    error_type: str | None = None
    """The error that most of its uses followed."""
    success_low: float | None = Field(default=None, ge=0, le=1)
    success_high: float | None = Field(default=None, ge=0, le=1)
    """The 90 % interval of the rate."""
    support: int = Field(default=0, ge=0)
    """Uses with a known outcome."""
    task_types: tuple[str, ...] = ()
    helped: bool | None = None
    """Whether it does better, or worse, than executions of the same types without it."""
    last_used_at: datetime | None = None
    evidence: tuple[UUID, ...] = ()
    """Executions behind it."""


class QualityPolicy(_Record):
    """How strictly a repository is checked, and why."""

    policy_id: UUID = Field(default_factory=uuid4)
    repo: str
    project_maturity: Literal["new", "developing", "mature", "stable"]
    coverage_threshold: float = Field(ge=0, le=100)
    """The test coverage asked for, in percent."""
    strictness_level: Literal["lenient", "standard", "strict"] = "standard"
    last_adjusted: datetime | None = None
    adjustment_reason: str | None = None
