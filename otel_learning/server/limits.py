"""Bounds on what is received at once: bytes of one request, of all requests, and their number.

A sender beyond them is asked to come again; nothing waits without a bound in memory.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from otel_learning.server.refusal import Reason, Refusal

BODY_BYTES: Final = 64 * 1024**2
"""Of one request, before and after decompression."""
QUESTION_BYTES: Final = 1024**2
"""Of one request of the API; the longest comment is some kilobytes."""
BYTES_AT_ONCE: Final = 256 * 1024**2
"""Of all requests that are being received or wait to be parsed."""
REQUESTS_AT_ONCE: Final = 128
MESSAGES_AT_ONCE: Final = 32
"""Of gRPC that are being read: how large one is, is not known before it is whole."""
IDLE_SECONDS: Final = 10.0
"""A sender that is silent for so long in the middle of a request is given up."""
REQUEST_SECONDS: Final = 60.0
"""A request that is not whole by then is given up, however steadily it trickles."""
PARSERS: Final = 2
"""Threads that parse and store. Python computes in one at a time; writing overlaps with it."""


class Load:
    """What one request takes of the bounds."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.bytes = 0

    def add(self, count: int) -> None:
        """So many bytes more have come. Raises Refusal: too many for this request, or for all."""
        self.bytes += count
        self._gate.bytes += count
        if self.bytes > BODY_BYTES:
            raise too_large()
        if self._gate.bytes > BYTES_AT_ONCE:
            raise busy(f"{self._gate.bytes} bytes are being received at once")


class Gate:
    """Counts what is being received; of one event loop, and so without a lock."""

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0

    @contextmanager
    def entered(self) -> Iterator[Load]:
        """The time that one request takes. Raises Refusal: too many others are being received."""
        if self.requests >= REQUESTS_AT_ONCE:
            raise busy(f"{self.requests} requests are being received at once")
        self.requests += 1
        load = Load(self)
        try:
            yield load
        finally:
            self.requests -= 1
            self.bytes -= load.bytes


async def read(parts: AsyncIterable[bytes], took: Callable[[int], None]) -> bytes:
    """A whole body, as long as it comes in time.

    Args:
        parts: as they come.
        took: told how much has come; raises Refusal where it is too much.

    Raises:
        Refusal: it was too slow, or too much.
    """
    found = []
    loop = asyncio.get_running_loop()
    last = loop.time() + REQUEST_SECONDS
    try:
        async with asyncio.timeout_at(min(last, loop.time() + IDLE_SECONDS)) as timeout:
            async for part in parts:
                took(len(part))
                found.append(part)
                timeout.reschedule(min(last, loop.time() + IDLE_SECONDS))
    except TimeoutError:
        raise slow() from None
    return b"".join(found)


def too_large(most: int = BODY_BYTES, hint: str = "send smaller batches") -> Refusal:
    return Refusal(Reason.TOO_LARGE, f"the request has more than {most} bytes", hint)


def busy(why: str) -> Refusal:
    return Refusal(Reason.BUSY, why, "send it again a little later")


def slow() -> Refusal:
    return Refusal(Reason.SLOW, "the request was not whole in time", "send smaller batches")


def gunzipped(body: bytes) -> bytes:
    """What a gzip stream holds; a small one that would be huge is given up in the middle.

    Raises:
        Refusal: it is none, it is cut short, or it holds more than `BODY_BYTES`.
    """
    parts: list[bytes] = []
    room = BODY_BYTES
    while body:
        stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            part = stream.decompress(body, room + 1)
        except zlib.error as error:
            raise Refusal(Reason.MALFORMED, f"the body is not gzip: {error}") from error
        if len(part) > room:
            raise too_large()
        if not stream.eof:
            raise Refusal(Reason.MALFORMED, "the gzip body is cut short")
        room -= len(part)
        parts.append(part)
        body = stream.unused_data  # a stream may have several members (RFC 1952, 2.2)
    return b"".join(parts)
