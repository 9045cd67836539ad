"""Experiments and policies over HTTP: looked at, and asked for a variant. Changes are the CLI's."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from otel_learning.learning import experiments, policy_file, policy_life
from otel_learning.server.answers import (
    AssignedVariant,
    ExperimentFinding,
    ExperimentSummary,
    PolicyStatus,
    Problem,
)
from otel_learning.server.api import BODY_PROBLEMS, PROBLEMS
from otel_learning.server.questions import AsOf, Question, Unit
from otel_learning.store.async_database import in_thread
from otel_learning.store.database import LearningDatabase

router = APIRouter(
    prefix="/api", tags=["Experiments and policies"], responses={
        **PROBLEMS,
        404: {"model": Problem, "description": "There is none of that name."},
    },
)  # fmt: skip


class FindingQuestion(Question):
    as_of: AsOf = Field(default=None, description="Only what was known before; ISO 8601.")


@router.get("/experiments")
async def list_experiments(request: Request) -> list[ExperimentSummary]:
    """List all experiments with their state and decision."""
    found = await in_thread(request.app.state.database, experiments.list_all)
    return [
        ExperimentSummary(
            name=e.definition.name, state=e.state, decision=e.decision,
            metric=e.definition.metric, variants=list(e.definition.variants),
            created_at=e.created_at, ended_at=e.ended_at,
        )
        for e in found
    ]  # fmt: skip


@router.get("/experiments/{name}", response_model=ExperimentFinding)
async def show_experiment(
    request: Request, name: str, question: Annotated[FindingQuestion, Query()]
) -> dict[str, Any]:
    """Show what the outcomes say: every variant with its interval, and the decision, if any."""

    def look(store: LearningDatabase) -> dict[str, Any]:
        _known(store, name)
        return experiments.show(store, name, as_of=question.as_of).to_dict()

    return await in_thread(request.app.state.database, look)


@router.post("/experiments/{name}/assign", responses=BODY_PROBLEMS)
async def assign(request: Request, name: str, unit: Unit) -> AssignedVariant:
    """Say which variant a unit gets: the same id, the same variant, everywhere and for good.

    Nothing is stored by it: what counts is the variant that the unit's spans name.
    """

    def choose(store: LearningDatabase) -> AssignedVariant:
        _known(store, name)
        return AssignedVariant(**experiments.assign(store, name, unit.unit_id)._asdict())

    return await in_thread(request.app.state.database, choose)


@router.get("/policy", response_model=PolicyStatus)
async def policy(request: Request) -> dict[str, Any]:
    """Show what is in force and in the shadow, whether promises are kept, and what happened."""
    mode = request.app.state.settings.mode
    return await in_thread(
        request.app.state.database, lambda store: policy_life.status(store, mode)
    )


@router.get("/policy/document")
async def policy_document(request: Request) -> dict[str, Any]:
    """Give the policy in force, as routers read it from `<store>.policy.json`."""

    def read() -> dict[str, Any] | None:
        path = request.app.state.database.path
        return None if policy_file.switched_off(path) else policy_file.in_place(path)

    found = await run_in_threadpool(read)
    if found is None:
        raise HTTPException(404, "no policy is in force")
    return found


def _known(store: LearningDatabase, name: str) -> None:
    if name not in {found.definition.name for found in experiments.list_all(store)}:
        raise HTTPException(404, f"there is no experiment {name!r}")
