"""What is answered over HTTP: the shape of each answer, as the description shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from otel_learning.knowledge.search import Match
from otel_learning.records import ErrorType, ExecutionRecord


class Problem(BaseModel):
    """Why a request was not served."""

    error: str = Field(description="What happened, with the value that is meant.")
    hint: str | None = Field(default=None, description="What to do about it.")


class Executions(BaseModel):
    """Some executions, newest first."""

    executions: list[ExecutionRecord]
    next: str | None = Field(
        default=None, description="Where the next page begins, for `after`; null on the last."
    )


class Found(BaseModel):
    """One execution whose task is like the text."""

    execution_id: UUID
    similarity: float = Field(description="0..1; 1 is the same text.")
    task_description: str | None
    repo: str | None
    task_type: str | None
    success: bool | None
    task_id: str | None
    started_at: datetime | None
    model_tier: str | None
    error_type: ErrorType | None
    solution_summary: str | None
    vector_similarity: float
    word_share: float | None

    @classmethod
    def of(cls, match: Match) -> Found:
        record = match.execution
        return cls(
            similarity=match.similarity, vector_similarity=match.vector_similarity,
            word_share=match.word_share,
            **{name: getattr(record, name) for name in cls.model_fields
               if name in ExecutionRecord.model_fields},
        )  # fmt: skip


class FeedbackReceipt(BaseModel):
    """Feedback is durable; the next question sees it."""

    feedback_id: UUID


class Arm(BaseModel):
    """What is known of one arm."""

    model_config = ConfigDict(extra="allow")

    arm: str
    success_rate: float | None
    success_low: float | None
    success_high: float | None
    expected_cost: float | None
    expected_duration_seconds: float | None
    support: int
    outcomes_known: float | None
    mean_quality: float | None


class Statistics(BaseModel):
    """What is known of every arm."""

    by: str
    environment: str | None
    task_type: str | None
    repo: str | None
    basis: str
    half_life_days: float | None
    reasons: list[str]
    arms: list[Arm]
    off_policy: dict[str, Any]


class ExperimentSummary(BaseModel):
    name: str
    state: str
    decision: str | None
    metric: str
    variants: list[str]
    created_at: datetime | None
    ended_at: datetime | None


class ExperimentVariant(BaseModel):
    model_config = ConfigDict(extra="allow")

    variant: str
    support: int = Field(description="Known outcomes.")
    mean: float | None
    low: float | None
    high: float | None


class ExperimentFinding(BaseModel):
    """What the outcomes of an experiment say."""

    model_config = ConfigDict(extra="allow")

    name: str
    state: str
    decision: str | None
    variants: list[ExperimentVariant]


class AssignedVariant(BaseModel):
    variant: str
    arm: str | None = Field(default=None, description="What the variant stands for.")
    state: str = Field(description="The experiment's.")


class PolicyStatus(BaseModel):
    """What is in force and in the shadow, and what happened."""

    model_config = ConfigDict(extra="allow")

    mode: str
    active: dict[str, Any] | None
    shadow: dict[str, Any] | None
    history: list[dict[str, Any]]
