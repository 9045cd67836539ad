"""Advice, executions, search, solutions and feedback over HTTP."""

from __future__ import annotations

import logging
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from otel_learning.capture.pipeline import Pipeline
from otel_learning.errors import InputError
from otel_learning.knowledge.async_database import AsyncLearningDatabase
from otel_learning.learning import recommend as advice
from otel_learning.learning.recommendation import Recommendation
from otel_learning.records import ExecutionDetail, FeedbackRecord, SolutionRecord
from otel_learning.server.answers import (
    Executions,
    FeedbackReceipt,
    Found,
    Problem,
    Statistics,
)
from otel_learning.server.questions import (
    AdviceQuestion,
    ExecutionsQuestion,
    Feedback,
    SearchQuestion,
    SolutionsQuestion,
    StatisticsQuestion,
)
from otel_learning.store.async_database import in_thread
from otel_learning.store.feedback_ids import target_of
from otel_learning.store.lake.address import refuse_lake

logger = logging.getLogger("otel_learning")

PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "An argument is not what the question takes."},
    401: {"model": Problem, "description": "The token is missing or wrong."},
    403: {"model": Problem, "description": "A web page of another origin asks, or for no name "
                                           "of ours."},
    422: {"model": Problem, "description": "An argument is unknown, missing or of another kind."},
    503: {"model": Problem, "description": "The store is held by another program; Retry-After."},
}  # fmt: skip

BODY_PROBLEMS: dict[int | str, dict[str, Any]] = {
    413: {"model": Problem, "description": "The body has more than a megabyte."},
    415: {"model": Problem, "description": "The body is not JSON."},
}

router = APIRouter(prefix="/api", tags=["Advice and knowledge"], responses=PROBLEMS)


@router.get("/recommend")
async def recommend(
    request: Request, question: Annotated[AdviceQuestion, Query()]
) -> Recommendation:
    """Say which arm suits a task, with the evidence beside it.

    A store that cannot be read gives the default, and a reason that says so: this never fails a
    router, unless it asks what cannot be understood.
    """
    answer = await run_in_threadpool(
        lambda: advice.recommend(request.app.state.database, **question.arguments())
    )
    request.app.state.metrics.advice.labels(answer.basis).inc()
    return answer


@router.get("/stats", response_model=Statistics)
async def stats(
    request: Request, question: Annotated[StatisticsQuestion, Query()]
) -> dict[str, Any]:
    """Show what is known of each arm: success with its interval, cost, time, support."""
    return await run_in_threadpool(
        lambda: advice.evidence(request.app.state.database, **question.model_dump())
    )


@router.get("/executions")
async def executions(
    request: Request, question: Annotated[ExecutionsQuestion, Query()]
) -> Executions:
    """List executions that fit every filter, newest first, page by page."""
    database: AsyncLearningDatabase = request.app.state.database
    page = await database.executions_page(
        limit=question.limit, after=question.after, **question.filters()
    )
    return Executions(executions=page.executions, next=page.next)


@router.get(
    "/executions/{execution_id}",
    responses={404: {"model": Problem, "description": "There is no such execution."}},
)
async def execution(request: Request, execution_id: UUID) -> ExecutionDetail:
    """Show one execution with its attempts and what was said about it."""
    database: AsyncLearningDatabase = request.app.state.database
    found = await database.execution(execution_id)
    if found is None:
        raise HTTPException(404, f"there is no execution {execution_id}")
    return found


@router.get("/search")
async def search(request: Request, question: Annotated[SearchQuestion, Query()]) -> list[Found]:
    """Find executions whose task is like a text, the most similar first."""
    database: AsyncLearningDatabase = request.app.state.database
    found = await database.search(
        question.q, limit=question.limit, exact=question.exact, **question.filters()
    )
    return [Found.of(match) for match in found]


@router.get("/solutions")
async def solutions(
    request: Request, question: Annotated[SolutionsQuestion, Query()]
) -> list[SolutionRecord]:
    """Show what worked before, how surely, and what did not help."""
    database: AsyncLearningDatabase = request.app.state.database
    found = await database.solutions(
        min_support=question.min_support, environment=question.environment, as_of=question.as_of
    )
    return found[: question.limit]


@router.post("/feedback", responses=BODY_PROBLEMS)
async def feedback(request: Request, said: Feedback) -> FeedbackReceipt:
    """Say how good a result was, also long after, or before its telemetry has come.

    Several words about one execution stand beside each other; the same `feedback_id` again
    replaces what it said.
    """
    pipeline: Pipeline | None = request.app.state.pipeline
    database: AsyncLearningDatabase = request.app.state.database
    refuse_lake(database.path)
    if said.comment is not None and request.app.state.settings.content == "none":
        raise InputError("a comment is not stored while CONTENT is none", "leave comment out")
    kind, target = said.target
    if kind == "span_id" and ":" not in target:
        said_target = target
        target = await in_thread(database, lambda store: target_of(store, kind, said_target))
    given = said.model_dump(
        include={"accepted", "rating", "comment", "source", "quality_score", "issue", "visibility",
                 "given_at", "revoked"}
    )  # fmt: skip
    record = FeedbackRecord(
        feedback_id=said.feedback_id or uuid4(), target_kind=kind, target_id=target.lower()
        if kind in ("trace_id", "span_id", "execution_id") else target, **given,
    )  # fmt: skip
    receipt = FeedbackReceipt(feedback_id=await database.record_feedback(record))
    if pipeline is not None:
        pipeline.spooled(1)
    return receipt
