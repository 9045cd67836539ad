"""Runs the server as a process: addresses, signals, and an end at which everything is stored."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from otel_learning.server.addresses import ListenError, bracketed, listen
from otel_learning.server.grpc import GrpcServer

CONNECTIONS: Final = 1024
"""Open at once; further ones are told to come again."""
IDLE_SECONDS: Final = 75
"""Between two requests. Senders come every 5 s or so, and must not find the connection closed."""
HEAD_SECONDS: Final = 10.0
"""A connection that has not said by then what it wants is closed."""
GRACE_SECONDS: Final = 10.0
"""How long the end waits for requests that are being answered."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the server listens; a gRPC port of 0 is none."""

    host: str
    port: int
    grpc_port: int

    def http(self, port: int) -> str:
        return f"http://{bracketed(self.host)}:{port}"

    @property
    def grpc(self) -> str | None:
        return f"{bracketed(self.host)}:{self.grpc_port}" if self.grpc_port else None


def reserve(addresses: Addresses) -> socket.socket:
    """The socket for HTTP, once it is known that both ports can be had. Raises ListenError."""
    taken = listen(addresses.host, addresses.port)
    if addresses.grpc_port:
        try:
            # grpcio listens by itself, and would say the same in several lines of its own.
            listen(addresses.host, addresses.grpc_port, "--grpc-port").close()
        except ListenError:
            taken.close()
            raise
    return taken


def serve(
    app: FastAPI,
    addresses: Addresses,
    taken: socket.socket,
    ready: Callable[[str, str | None], None],
) -> signal.Signals | None:
    """Serves until a signal ends it, and stores everything that was received.

    Args:
        app: what `create_app` made.
        addresses: where to listen.
        taken: what `reserve` gave for them.
        ready: called with both addresses once requests are taken.

    Returns the signal that ended it.

    Raises:
        ListenError: somebody else took the gRPC port in the meantime.
    """
    with taken:
        return asyncio.run(_serve(app, addresses, taken, ready))


async def _serve(
    app: FastAPI, addresses: Addresses, taken: socket.socket,
    ready: Callable[[str, str | None], None],
) -> signal.Signals | None:  # fmt: skip
    config = uvicorn.Config(
        app, http=_PatientProtocol, ws="none", lifespan="on", log_config=None, access_log=False,
        server_header=False, proxy_headers=False, limit_concurrency=CONNECTIONS,
        timeout_keep_alive=IDLE_SECONDS, timeout_graceful_shutdown=int(GRACE_SECONDS),
    )  # fmt: skip
    server = _Server(config)
    ended = _end_on_signals(server)
    grpc = GrpcServer(app.state.receiver, app.state.access, app.state.metrics)
    if addresses.grpc is not None:
        try:
            await grpc.start(addresses.grpc)
        except RuntimeError as error:
            raise ListenError(f"cannot listen on {addresses.grpc}", "see --grpc-port") from error
    server.when_started = lambda: ready(addresses.http(taken.getsockname()[1]), addresses.grpc)
    server.when_stopping = lambda: grpc.stop(GRACE_SECONDS)
    await server.serve(sockets=[taken])
    return ended[0] if ended else None


class _Server(uvicorn.Server):
    """uvicorn's server, with somebody else's signals, and a second door to close."""

    when_started: Callable[[], None]
    when_stopping: Callable[[], Any]

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self.when_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Before the lifespan ends, at whose end everything is stored.
        await self.when_stopping()
        await super().shutdown(sockets)


class _PatientProtocol(H11Protocol):
    """Patient for `HEAD_SECONDS`: uvicorn would wait for ever for the head of a request."""

    _head_timer: asyncio.TimerHandle | None = None

    _answered = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._answered = True
        self._watch()

    def _watch(self) -> None:
        """The timer runs while the first head is awaited, or any that has begun to come.

        A connection that is idle between two requests is uvicorn's to close.
        """
        begun = not self._answered or bool(self.conn.trailing_data[0])
        if self.conn.their_state is not h11.IDLE or not begun or self.transport.is_closing():
            self._unwatch()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _unwatch(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if self.conn.their_state is h11.IDLE:
            self.transport.close()


def _end_on_signals(server: uvicorn.Server) -> list[signal.Signals]:
    """Both ask for an orderly end; the second one, for a quick one. What is spooled is safe."""
    ended: list[signal.Signals] = []

    def end(which: signal.Signals) -> None:
        if ended:
            server.force_exit = True
        ended.append(which)
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for which in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(which, end, which)
    return ended


def quiet_libraries() -> None:
    """Leaves the words on stderr to us."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    for name in ("uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.ERROR)
