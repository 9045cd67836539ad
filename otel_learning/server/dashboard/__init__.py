"""The dashboard: pages that answer questions about a store, rendered on the server.

`routes()` are the pages of a server; the module `report` makes one file of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.routing import BaseRoute

__all__ = ["routes", "unknown"]


def routes() -> list[BaseRoute]:
    """All pages, from `/` on, and what they need below `/static`.

    The application they are put into has an `AsyncLearningDatabase` as `state.database`.

    Raises:
        ModuleNotFoundError: the extra `serve` is not installed.
    """
    from otel_learning.server.dashboard.site import routes as made
    from otel_learning.server.dashboard.warming import warm

    warm()
    return made()


def unknown(path: str, base: str = "") -> Response:
    """The page that a browser gets for an address that is none of ours."""
    from otel_learning.server.dashboard.site import unknown as made

    return made(path, base)
