"""OTLP over gRPC: the same requests as over HTTP, in the same event loop, within the same bounds.

Messages are taken as bytes and parsed in a thread: grpcio's own deserialising would hold the
event loop up. They are read as a stream of one, so that who may not send is refused unread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc import aio

from otel_learning.server import limits
from otel_learning.server.access import Access
from otel_learning.server.metrics import Metrics
from otel_learning.server.receiver import Receiver
from otel_learning.server.refusal import Reason, Refusal
from otel_learning.server.signals import SIGNALS, Signal

_DETAILS: Final = "grpc-status-details-bin"
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", limits.BODY_BYTES),
    ("grpc.max_concurrent_streams", limits.REQUESTS_AT_ONCE),
    # Two servers on one port would each get half of the spans.
    ("grpc.so_reuseport", 0),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


class GrpcServer:
    """Listens for OTLP/gRPC on one address."""

    def __init__(self, receiver: Receiver, access: Access, metrics: Metrics) -> None:
        self._receiver = receiver
        self._access = access
        self._metrics = metrics
        self._reading = asyncio.Semaphore(limits.MESSAGES_AT_ONCE)
        self._server: Any = None

    async def start(self, address: str) -> int:
        """Listens, and returns the port. Raises RuntimeError where the address cannot be had."""
        self._server = aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers((_Methods(self._handler),))
        port = self._server.add_insecure_port(address)
        await self._server.start()
        return int(port)

    async def stop(self, grace_seconds: float) -> None:
        """Takes no further request, and waits for those that are being taken."""
        if self._server is not None:
            await self._server.stop(grace_seconds)

    def _handler(self, signal: Signal) -> Callable[[Any, Any], Awaitable[bytes]]:
        async def export(messages: Any, context: Any) -> bytes:
            code = 0
            try:
                return await self._export(signal, messages, context)
            except Refusal as refusal:
                code = refusal.reason.grpc
                await _abort(context, refusal)
                raise AssertionError("abort() does not return") from refusal
            finally:
                self._metrics.requests.labels("grpc", signal.method, _CODES[code].name).inc()

        return export

    async def _export(self, signal: Signal, messages: Any, context: Any) -> bytes:
        given = dict(context.invocation_metadata() or ())
        self._access.check_token(str(given.get("authorization", "")))
        if signal.kept:
            self._receiver.check_room()
        with self._receiver.gate.entered() as load:
            body = await self._message(messages)
            load.add(len(body))
            response = await self._receiver.receive(signal, body, is_json=False, is_gzip=False)
        return bytes(response.SerializeToString())

    async def _message(self, messages: Any) -> bytes:
        """The request's one message. Raises Refusal: others take too long, or this one does."""
        try:
            async with asyncio.timeout(limits.IDLE_SECONDS):
                await self._reading.acquire()
        except TimeoutError:
            raise limits.busy("many other messages are being read") from None
        try:
            async with asyncio.timeout(limits.REQUEST_SECONDS):
                return bytes(await anext(aiter(messages), b""))
        except TimeoutError:
            raise limits.slow() from None
        finally:
            self._reading.release()


class _Methods(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, handler: Callable[[Signal], Any]) -> None:
        self._handlers = {
            f"/{signal.method.lstrip('/')}": grpc.stream_unary_rpc_method_handler(handler(signal))
            for signal in SIGNALS
        }

    def service(self, details: Any) -> Any:
        return self._handlers.get(details.method)


async def _abort(context: Any, refusal: Refusal) -> None:
    trailing: tuple[tuple[str, bytes], ...] = ()
    if refusal.retry_seconds is not None and refusal.reason is Reason.BUSY:
        status = status_pb2.Status(code=refusal.reason.grpc, message=str(refusal))
        delay = error_details_pb2.RetryInfo()
        delay.retry_delay.seconds = refusal.retry_seconds
        status.details.add().Pack(delay)
        trailing = ((_DETAILS, status.SerializeToString()),)
    await context.abort(_CODES[refusal.reason.grpc], str(refusal), trailing)
