"""Receives OTLP, whichever way it came: parsed, observed, and in the spool before it is answered.

R1 holds over the network: an answer that says yes means that kill -9 loses nothing of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from otel_learning.capture.pipeline import Pipeline
from otel_learning.capture.quiet import RateLimited, own_thread_context
from otel_learning.errors import SpoolFullError
from otel_learning.server.limits import PARSERS, Gate, busy, gunzipped
from otel_learning.server.metrics import Metrics
from otel_learning.server.refusal import Reason, Refusal
from otel_learning.server.signals import Signal
from otel_learning.store.lake.address import ONLY_READ

logger = logging.getLogger("otel_learning")

_WHY_CHARACTERS: Final = 500
"""Of what a partial success says; the names of spans are anybody's."""


class NoReceiver:
    """In the place of a receiver where a lake is served, which is only read."""

    def __init__(self) -> None:
        self.gate = Gate()

    async def receive(self, signal: Signal, body: bytes, *, is_json: bool, is_gzip: bool) -> Any:
        """Raises Refusal."""
        raise self._refusal()

    def check_room(self) -> None:
        """Raises Refusal."""
        raise self._refusal()

    def close(self) -> None:
        """There is nothing to wait for."""

    def _refusal(self) -> Refusal:
        return Refusal(
            Reason.NOT_HERE, ONLY_READ, "send to a server of a store, which is published"
        )


class Receiver:
    """Takes requests of one store, from as many senders as there are."""

    def __init__(self, pipeline: Pipeline, metrics: Metrics) -> None:
        self.gate = Gate()
        self._pipeline = pipeline
        self._metrics = metrics
        self._warned = RateLimited(logger)
        self._parsers = ThreadPoolExecutor(PARSERS, thread_name_prefix="otel-learning-receive")

    async def receive(self, signal: Signal, body: bytes, *, is_json: bool, is_gzip: bool) -> Any:
        """The response message to a request that has come whole; what it sent is durable then.

        Raises:
            Refusal: it cannot be taken, now or ever; nothing of it was stored.
        """  # fmt: skip
        if not signal.kept:
            self._metrics.discarded.labels(signal.name).inc()
            return signal.response()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._parsers, self._store, signal, body, is_json, is_gzip
        )

    def check_room(self) -> None:
        """Before a body is read: raises Refusal where it could not be stored anyway."""
        try:
            self._pipeline.check_room()
        except SpoolFullError as error:
            raise busy(str(error.args[0])) from error
        except OSError as error:
            raise busy(f"the spool cannot be read: {error}") from error

    def close(self) -> None:
        """Waits for what is being stored; nothing is received any more."""
        self._parsers.shutdown()

    def _store(self, signal: Signal, body: bytes, is_json: bool, is_gzip: bool) -> Any:
        """Runs in a thread: everything between the bytes of a request and those of the spool."""
        started = time.perf_counter()
        with own_thread_context():
            try:
                if is_gzip:
                    body = gunzipped(body)
                message = signal.parse(body, is_json=is_json)
                return self._keep(signal, message)
            except Refusal:
                raise
            except SpoolFullError as error:
                raise busy(str(error.args[0])) from error
            except OSError as error:
                self._warned.warning("otel_learning: the spool could not be written: %s", error)
                raise busy(f"the spool could not be written: {error}") from error
            except Exception as error:  # whatever a sender sends, the others must be served
                self._warned.exception("otel_learning: a request could not be stored")
                said = f"a fault of the receiver: {type(error).__name__}"
                raise Refusal(Reason.FAILED, said) from error
            finally:
                self._metrics.seconds.labels(signal.name).observe(time.perf_counter() - started)

    def _keep(self, signal: Signal, message: Any) -> Any:
        assert signal.observe is not None
        refused: list[str] = []
        count, observations = signal.observe(self._pipeline, message, refused)
        unstorable = len(observations) - self._pipeline.put(observations)
        if unstorable:
            refused.append("it holds values that cannot be stored")
        rejected = len(refused) - bool(unstorable) + unstorable
        self._metrics.received.labels(signal.name).inc(count)
        self._metrics.observations.labels(signal.name).inc(len(observations) - unstorable)
        response = signal.response()
        if rejected:
            self._metrics.rejected.labels(signal.name).inc(rejected)
            setattr(response.partial_success, signal.rejected, rejected)
            others = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
            why = f"{refused[0][:_WHY_CHARACTERS]}{others}"
            response.partial_success.error_message = why
        return response
