"""What each tool answers. Short: an agent pays for every word. None is unknown, never zero.

The docstrings and descriptions are the output schema that agents read.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from otel_learning.records import Attempt, ExecutionRecord, FeedbackRecord

TEXT_CHARACTERS = 300
"""Of a description or a message in a list; get_execution shows them whole."""

Rate = Annotated[float | None, Field(description="0..1 of known outcomes; null is unknown.")]
Notes = Annotated[
    list[str],
    Field(description="What to know before you rely on this; words that the store does not know."),
]


class Answer(BaseModel):
    """A tool's answer."""

    model_config = ConfigDict(frozen=True)


class Arm(Answer):
    """What is known of one arm in this context."""

    arm: str
    success_rate: Rate
    success_low: Annotated[
        float | None, Field(description="The rate lies between low and high with 90 %.")
    ]
    success_high: float | None
    expected_cost: Annotated[float | None, Field(description="USD per task, mean.")]
    expected_duration_seconds: float | None
    support: Annotated[int, Field(description="Executions in this very context.")]
    outcomes_known: Annotated[float | None, Field(description="Share of them, 0..1.")]
    dominated: Annotated[
        bool, Field(description="Another arm is as successful and as cheap, and better in one.")
    ]


class Recommended(Answer):
    """Advice with its evidence."""

    choice: Annotated[
        str | None,
        Field(description="The arm to take; `default` or null where basis is insufficient."),
    ]
    basis: Annotated[
        Literal["randomised", "observational", "insufficient"],
        Field(
            description="randomised: compared as in an experiment. observational: arms may have "
            "had easier tasks. insufficient: nothing is recommended, decide without this."
        ),
    ]
    explanation: Annotated[str, Field(description="The same in words, for people.")]
    candidates: list[Arm]
    frontier: Annotated[
        list[str], Field(description="Arms that none beats in success and cost, cheapest first.")
    ]
    propensities: Annotated[
        dict[str, float],
        Field(description="For a router that explores: with which probability to take each arm."),
    ]
    reasons: Annotated[
        list[str], Field(description="Stable tokens, as few-here:ARM or repo-unseen.")
    ]
    snapshot_age_seconds: Annotated[
        float | None, Field(description="How old the view of the store is.")
    ]
    notes: Notes


class StatsArm(Arm):
    """What is known of one arm, with its quality."""

    mean_quality: Annotated[float | None, Field(description="0..100.")]


class StatsFound(Answer):
    """Every arm in a context."""

    by: str
    environment: str | None
    basis: Literal["randomised", "observational", "insufficient"]
    reasons: list[str]
    arms: Annotated[list[StatsArm], Field(description="The one with most executions first.")]
    left_out: Annotated[int, Field(description="Arms beyond `limit`.")]
    notes: Notes


class Brief(Answer):
    """One execution in short."""

    execution_id: UUID
    task_id: str | None
    task_description: str | None
    task_type: str | None
    repo: str | None
    model_tier: str | None
    model: str | None
    success: Annotated[bool | None, Field(description="null: nobody knows.")]
    error_type: str | None
    actual_cost: Annotated[float | None, Field(description="USD.")]
    duration_seconds: float | None
    quality_score: float | None
    started_at: datetime | None
    solution_summary: Annotated[str | None, Field(description="What solved it.")]


class Alike(Brief):
    """An execution whose task is like the text."""

    similarity: Annotated[float, Field(description="0..1; 1 is the same text.")]


class SimilarFound(Answer):
    """Executions whose task is like the text, the most similar first."""

    executions: list[Alike]
    notes: Notes


class ExecutionsFound(Answer):
    """Executions, the newest first."""

    executions: list[Brief]
    next: Annotated[
        str | None, Field(description="Give it as `after` for the next page; null: the last page.")
    ]
    notes: Notes


class Worked(Answer):
    """A solution with its evidence."""

    solution_summary: str
    error_type: Annotated[str | None, Field(description="The error that most uses followed.")]
    success_rate: float
    success_low: float
    success_high: float
    support: Annotated[int, Field(description="Uses with a known outcome.")]
    helped: Annotated[
        bool | None,
        Field(description="Better (true) or worse (false) than without it; null: not known."),
    ]
    repos: list[str]
    task_types: list[str]
    relevance: Annotated[
        float | None, Field(description="0..1: how like `task` the nearest task is.")
    ]
    evidence: Annotated[list[UUID], Field(description="Executions behind it, for get_execution.")]


class SolutionsFound(Answer):
    """What worked before, and what did not."""

    prompt: Annotated[
        str, Field(description="The same as a short text, to be put into a prompt as it is.")
    ]
    solutions: Annotated[list[Worked], Field(description="The surest first.")]
    notes: Notes


class ExecutionFound(Answer):
    """One execution with its model calls and what was said about it."""

    execution: ExecutionRecord
    attempts: Annotated[list[Attempt], Field(description="Model calls in order.")]
    attempts_left_out: int
    feedback: list[FeedbackRecord]


class Insight(Answer):
    """One thing that executions show."""

    sentence: str
    kind: str
    support: Annotated[int, Field(description="Executions that it is about.")]
    effect: float
    effect_unit: str
    evidence: Annotated[list[UUID], Field(description="Executions that show it.")]


class InsightsFound(Answer):
    """What stands out from chance, the most worthwhile first. It compares what happened."""

    environment: str | None
    insights: list[Insight]
    comparisons: Annotated[
        int, Field(description="How many were made; what is said is corrected for all of them.")
    ]
    executions: int
    notes: Notes


class Said(Answer):
    """What became of the feedback."""

    feedback_id: Annotated[UUID, Field(description="To replace or revoke it later.")]
    kind: str
    id: str
    resolved_to: Annotated[
        UUID | None,
        Field(description="The execution; null: none has this id yet, and it waits for one."),
    ]
    notes: Notes


class Word(Answer):
    """A value, and how many executions have it."""

    value: str | None
    executions: int


class Described(Answer):
    """What the store holds, in the words that the other tools take."""

    store: str
    executions: int
    outcomes_known: Annotated[float | None, Field(description="Share, 0..1.")]
    first_started_at: datetime | None
    last_started_at: datetime | None
    words: Annotated[
        dict[str, list[Word]],
        Field(description="Argument -> its values, the most frequent first; null is unknown."),
    ]
    notes: Notes


def brief(record: ExecutionRecord) -> Brief:
    """An execution as lists show it."""
    return Brief(**brief_fields(record))


def brief_fields(record: ExecutionRecord) -> dict[str, object]:
    """The fields of `Brief`, long texts cut."""
    found = {name: getattr(record, name) for name in Brief.model_fields}
    for name in ("task_description", "solution_summary"):
        found[name] = cut(found[name])
    found["error_type"] = str(record.error_type) if record.error_type else None
    return found


def cut(text: str | None) -> str | None:
    if text is None or len(text) <= TEXT_CHARACTERS:
        return text
    return text[: TEXT_CHARACTERS - 3] + "..."
