"""The application: what receives, advises and shows, put together."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from otel_learning import __version__, settings
from otel_learning.capture.pipeline import pipeline_for
from otel_learning.errors import (
    EmbeddingError,
    InputError,
    OtelLearningError,
    StoreLockedError,
)
from otel_learning.knowledge.async_database import AsyncLearningDatabase
from otel_learning.server import api, dashboard, health, otlp, steering
from otel_learning.server.access import Access, Guard, problem
from otel_learning.server.metrics import Metrics
from otel_learning.server.receiver import NoReceiver, Receiver
from otel_learning.server.refusal import RETRY_SECONDS
from otel_learning.store.drain import DrainSettings
from otel_learning.store.lake.address import is_lake
from otel_learning.store.lake.catalog import LakeError

logger = logging.getLogger("otel_learning")

PARTS: Final = (api, steering, otlp, health)
"""Modules whose routes are part of the description."""
READ_SECONDS: Final = 10.0
"""How long a question waits for a store that another program holds."""
STALL_SECONDS: Final = 5.0
"""The end of the server stores what waits, as long as that much time brings some of it in."""


def create_app(
    path: str | Path | None = None, *, token: str | None = None, hosts: Iterable[str] = ()
) -> FastAPI:
    """The server as an ASGI application; `app.state.database` is the store that it serves.

    Whoever runs it runs its lifespan too: at its end, everything that was received is stored.

    Args:
        path: the store, or a lake's address; None for the one that the settings name.
        token: what a request has to carry; None lets everybody in who reaches the server.
        hosts: names, beside this machine's own, under which it may be asked without a token.
    """
    chosen, problems = settings.load({"path": path})
    # A lake is only read: nothing is received, and nothing has to be stored at the end.
    pipeline = None if is_lake(chosen.path) else pipeline_for({"path": path})
    for said in problems if pipeline is None else ():
        logger.warning("otel_learning: %s", said)
    app = FastAPI(
        title="otel-learning",
        version=__version__,
        description="Receives OpenTelemetry, and says what was learned from it.",
        docs_url=None,  # its pages would load scripts from elsewhere
        redoc_url=None,
        lifespan=_lifespan,
        separate_input_output_schemas=False,
    )
    app.state.pipeline = pipeline
    app.state.settings = pipeline.settings if pipeline else chosen
    app.state.metrics = Metrics(pipeline)
    app.state.receiver = Receiver(pipeline, app.state.metrics) if pipeline else NoReceiver()
    app.state.access = Access(token, frozenset(name.lower() for name in hosts))
    app.state.database = AsyncLearningDatabase(
        pipeline.path if pipeline else chosen.path, timeout_seconds=READ_SECONDS,
        settings=DrainSettings.of(app.state.settings),
    )  # fmt: skip
    app.state.read_seconds = READ_SECONDS
    for part in PARTS:
        app.include_router(part.router)
    app.router.routes.extend(dashboard.routes())
    app.add_middleware(Guard, access=app.state.access, metrics=app.state.metrics)
    for error, handler in _HANDLERS.items():
        app.add_exception_handler(error, handler)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await run_in_threadpool(app.state.receiver.close)
        await run_in_threadpool(_store_all, app)
        await app.state.database.close()


def _store_all(app: FastAPI) -> None:
    pipeline = app.state.pipeline
    if pipeline is None:
        return
    waiting = pipeline.spool.size()
    while not pipeline.force_flush(STALL_SECONDS):
        left = pipeline.spool.size()
        if left >= waiting:
            holder = f", which {pipeline.holder} holds" if pipeline.holder else ""
            logger.warning("otel_learning: %d bytes wait in %s for the store%s; nothing is lost",
                           left, pipeline.spool.folder, holder)  # fmt: skip
            break
        waiting = left
    pipeline.release(0.0)


# ---------------------------------------------------------------------------------- errors


async def _package_error(_: Request, error: Any) -> Response:
    message, hint = str(error.args[0]), error.hint
    if isinstance(error, InputError):
        return problem(400, message, hint)
    if isinstance(error, StoreLockedError | LakeError):
        return problem(503, message, hint, RETRY_SECONDS)
    if isinstance(error, EmbeddingError):
        return problem(501, message, hint)
    return problem(500, message, hint)


async def _invalid(request: Request, error: Any) -> Response:
    """Names every argument that cannot be understood."""
    said = []
    media = request.headers.get("content-type", "")
    if request.method == "POST" and "json" not in media:
        # The body was not read as JSON, and its fields are all that would be missed.
        named = f"the Content-Type {media[:100]!r} is not taken" if media else "no Content-Type"
        return problem(415, named, "send application/json")
    for issue in error.errors():
        place = ".".join(str(part) for part in issue["loc"] if part not in ("body", "query"))
        if issue["type"] == "json_invalid":
            return problem(400, f"the body is not JSON: {issue['ctx']['error']}")
        said.append(f"{place}: {issue['msg']}" if place else str(issue["msg"]))
    return problem(422, "; ".join(said), "see /openapi.json")


async def _http_error(request: Request, error: Any) -> Response:
    if error.status_code == 404 and _is_for_people(request):
        return dashboard.unknown(request.url.path, str(request.scope.get("root_path", "")))
    hint = {404: "see /openapi.json", 405: "see /openapi.json"}.get(error.status_code)
    answer = problem(error.status_code, str(error.detail), hint)
    answer.headers.update(error.headers or {})
    return answer


def _is_for_people(request: Request) -> bool:
    """Whether a browser asks for a page; what asks the API reads JSON."""
    programs = ("/api/", "/v1/")
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(
        programs
    )


async def _missing_extra(_: Request, error: Any) -> Response:
    return problem(501, f"this needs {error.name}, which is not installed",
                   "pip install otel-learning[serve]")  # fmt: skip


async def _fault(request: Request, error: Any) -> Response:
    logger.error("otel_learning: %s failed", request.url.path, exc_info=error)
    return problem(500, f"a fault of the server: {type(error).__name__}", "see its log")


_HANDLERS: Final[dict[Any, Any]] = {
    OtelLearningError: _package_error,
    RequestValidationError: _invalid,
    HTTPException: _http_error,
    ModuleNotFoundError: _missing_extra,
    Exception: _fault,
}
