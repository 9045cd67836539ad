"""Serves the tools over streamable HTTP: to this machine alone, or to whoever has the token.

A web page that somebody looks at could ask a server on the same machine, by having a name of its
own resolve to it. The SDK refuses requests for names that are not known to be ours, and such as a
page of another origin sends.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.datastructures import Headers

from otel_learning.server.access import Access, refused
from otel_learning.server.addresses import bracketed
from otel_learning.server.mcp.serving import build
from otel_learning.server.refusal import Refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from otel_learning.server.mcp.work import Store

PATH: Final = "/mcp"
GRACE_SECONDS: Final = 5
"""How long the end waits for calls that are being answered."""
_OWN_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")


def create_app(store: Store, host: str, token: str | None, hosts: Iterable[str] = ()) -> ASGIApp:
    """The ASGI application; `hosts` are names under which it may be asked beside this machine's."""
    names = [*_OWN_NAMES, bracketed(host), *hosts]
    app = build(store).streamable_http_app(
        streamable_http_path=PATH, json_response=True, stateless_http=True,
        transport_security=TransportSecuritySettings(
            allowed_hosts=[allowed for name in names for allowed in (name, f"{name}:*")],
            allowed_origins=[
                allowed
                for name in names
                for scheme in ("http", "https")
                for allowed in (f"{scheme}://{name}", f"{scheme}://{name}:*")
            ],
        ),
    )  # fmt: skip
    return app if token is None else _TokenRequired(app, token)


def serve_http(app: ASGIApp, taken: socket.socket, ready: Callable[[], None]) -> signal.Signals:
    """Serves until SIGTERM or SIGINT, and returns which; `ready` is called once it serves."""
    ended: list[signal.Signals] = []

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

        def handle_exit(self, sig: int, frame: Any) -> None:
            # Not kept for raising it again, which would end the process with the signal itself.
            self.force_exit = bool(ended)
            ended.append(signal.Signals(sig))
            self.should_exit = True

    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, ws="none", lifespan="on",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )  # fmt: skip
    with taken:
        Server(config).run(sockets=[taken])
    return ended[0] if ended else signal.SIGTERM


class _TokenRequired:
    """Lets through what carries the token, and nothing else."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._access = Access(token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._access.check_token(Headers(scope=scope).get("authorization", ""))
            except Refusal as refusal:
                answer = refused(refusal)
                answer.headers["WWW-Authenticate"] = "Bearer"
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)
