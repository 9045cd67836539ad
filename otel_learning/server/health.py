"""For whoever keeps the server running: is it alive, is it ready, what does it count."""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from otel_learning.errors import SpoolFullError, StoreError

router = APIRouter(tags=["Health"])


class Alive(BaseModel):
    status: str = Field(default="ok", description="Always `ok`.")


class Ready(BaseModel):
    """Whether telemetry is taken now; where a lake is served, whether it answers."""

    ready: bool
    why: str | None = Field(default=None, description="Why it is not.")
    spool_bytes: int | None = Field(default=None, description="Bytes that wait to be stored.")
    store_held_by: str | None = Field(
        default=None,
        description="The program that holds the store file; what is sent waits in the spool.",
    )


@router.get("/healthz")
async def healthz() -> Alive:
    """Say that the process answers."""
    return Alive()


@router.get(
    "/readyz", response_model=Ready, responses={503: {"model": Ready, "description": "Not now."}}
)
async def readyz(request: Request) -> Response:
    """Say whether what is sent now would be stored durably."""
    pipeline = request.app.state.pipeline
    try:
        if pipeline is None:
            await request.app.state.database.sql("SELECT EXISTS (FROM executions)")
            found = Ready(ready=True)
        else:
            await run_in_threadpool(pipeline.check_room)
            found = Ready(
                ready=True, spool_bytes=pipeline.waiting_bytes, store_held_by=pipeline.holder
            )
    except (SpoolFullError, StoreError, OSError) as error:
        found = Ready(ready=False, why=str(error.args[0] if error.args else error))
    return JSONResponse(found.model_dump(), 200 if found.ready else 503)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Give the server's own figures in the text format of Prometheus."""
    registry = request.app.state.metrics.registry
    return Response(await run_in_threadpool(generate_latest, registry),
                    media_type=CONTENT_TYPE_LATEST)  # fmt: skip
