"""The pages as routes: an address in, HTML out; what goes wrong is a page too."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from otel_learning.errors import (
    InputError,
    OtelLearningError,
    SchemaUpgradeError,
    SchemaVersionError,
    StoreError,
    StoreLockedError,
    StoreMissingError,
)
from otel_learning.server.dashboard import asked as asking
from otel_learning.server.dashboard import catalogue, html
from otel_learning.server.dashboard.assets import KINDS, asset, version
from otel_learning.server.dashboard.catalogue import Entry
from otel_learning.server.dashboard.pages.common import Gone
from otel_learning.store.async_database import in_thread
from otel_learning.store.lake.catalog import LakeError

if TYPE_CHECKING:
    from starlette.requests import Request

    from otel_learning.store.database import LearningDatabase

POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing is loaded but our own style sheet and script, and nothing inline is run."""
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_log: Final = logging.getLogger(__name__)


def routes() -> list[BaseRoute]:
    """All pages, and their style sheet and script below `/static`.

    The application they are put into has an `AsyncLearningDatabase` as `state.database`.
    """
    found: list[BaseRoute] = [
        Route(entry.address, _endpoint(entry), methods=["GET"], name=f"dashboard {entry.address}")
        for entry in catalogue.entries()
    ]
    found += [
        Route(f"/static/{name}", _static(name), methods=["GET"], name=f"dashboard {name}")
        for name in KINDS
    ]
    return found


def _endpoint(entry: Entry) -> Callable[[Request], object]:
    async def endpoint(request: Request) -> Response:
        given = request.query_params.multi_items()
        places = {name: str(value) for name, value in request.path_params.items()}
        base = str(request.scope.get("root_path", ""))

        def answer(database: LearningDatabase) -> str:
            wanted = asking.parse(given, entry.takes)
            return html.page(entry, entry.build(database, wanted, places), wanted, base)

        try:
            text = await in_thread(request.app.state.database, answer)
        except Exception as error:
            return failed(error, base)
        return HTMLResponse(text, headers=HEADERS)

    return endpoint


def unknown(path: str, base: str = "") -> Response:
    """The page for an address that is none of ours."""
    return failed(Gone(f"there is no page {path}", "the pages are named above"), base)


def failed(error: Exception, base: str = "") -> Response:
    """The page that says what went wrong, and the way out."""
    status, title, text, command = _said(error)
    if status == 500:
        _log.error("a page of the dashboard failed", exc_info=error)
    hint = getattr(error, "hint", None) or ""
    return HTMLResponse(
        html.trouble(status, title, text, hint, command, base), status, headers=HEADERS
    )


def _said(error: Exception) -> tuple[int, str, str, str | None]:
    """Status, title, what happened, and a command that helps."""
    text = str(error.args[0]) if error.args else type(error).__name__
    if isinstance(error, InputError):
        return 400, "This address cannot be understood", text, None
    if isinstance(error, Gone):
        return 404, "There is no such thing here", text, None
    if isinstance(error, StoreMissingError):
        return 503, "There is no store yet", text, "otel-learning demo"
    if isinstance(error, StoreLockedError):
        return 503, "The store is busy", text, "otel-learning doctor"
    if isinstance(error, SchemaUpgradeError):
        return 503, "The store has to be upgraded", text, "otel-learning migrate upgrade"
    if isinstance(error, SchemaVersionError):
        return 503, "The store is newer than this release", text, None
    if isinstance(error, LakeError):
        return 503, "The lake cannot be reached", text, None
    if isinstance(error, StoreError):
        return 503, "The store cannot be read", text, "otel-learning doctor"
    if isinstance(error, ModuleNotFoundError):
        return 501, "A library is missing", text, "pip install 'otel-learning[serve,learn]'"
    if isinstance(error, OtelLearningError):
        return 500, "This page could not be made", text, "otel-learning doctor"
    return 500, "This page could not be made", "The log of the server says why.", None


# ----------------------------------------------------------------------------------- static


def _static(name: str) -> Callable[[Request], object]:
    async def endpoint(request: Request) -> Response:
        tag = f'"{version(name)}"'
        headers = {
            "ETag": tag,
            "Cache-Control": "public, max-age=86400",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(asset(name), media_type=KINDS[name], headers=headers)

    return endpoint
