"""The span processor: for people who register in code and emit in bursts.

It observes a span when it ends and keeps the observation, so that no queue of 2,048 spans can
overflow. A thread spools at 512 observations or 200 ms.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import weakref
from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.trace import SpanProcessor

from otel_learning.capture.quiet import own_thread_context

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from otel_learning.capture.pipeline import Pipeline
    from otel_learning.observation import Observation

logger = logging.getLogger("otel_learning")

SPOOL_OBSERVATIONS: Final = 512
SPOOL_SECONDS: Final = 0.2
SPOOL_LOCK_SECONDS: Final = 2.0
BUFFER_OBSERVATIONS: Final = 100_000
"""Observations held in memory at most, some 100 MB; further ones are counted as lost."""

_live: weakref.WeakSet[LearningSpanProcessor] = weakref.WeakSet()


class LearningSpanProcessor(SpanProcessor):
    """Register it with `provider.add_span_processor`; no exporter is needed beside it.

    Takes the settings of `LearningSpanExporter`. An observation is durable within 200 ms.
    """

    def __init__(self, path: Any = None, **settings: Any) -> None:
        self._pipeline: Pipeline | None = None
        self._closed = False
        try:
            from otel_learning.capture.pipeline import pipeline_for

            self._pipeline = pipeline_for({"path": path, **settings})
        except Exception:  # registering must not stop the application
            logger.exception("otel_learning: the processor could not be set up and stays off")
        self._reset()
        _live.add(self)

    def _reset(self) -> None:
        # A signal handler that shuts a provider down may interrupt whoever holds a lock here, so
        # the thread and the application share none but the one that is waited for with a bound.
        self._buffer: deque[Observation] = deque()
        self._start_lock = threading.RLock()
        self._spool_lock = threading.RLock()
        self._full: SimpleQueue[None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing: all there is to know is known when the span ends."""

    def on_end(self, span: ReadableSpan) -> None:
        """Keeps the span's observation; some microseconds."""
        pipeline = self._pipeline
        context = span.context
        if pipeline is None or context is None or not context.trace_flags.sampled:
            return
        try:
            observations = pipeline.observe_spans((span,))
            refused = self._keep(observations[0]) if observations else None
            if refused is not None:
                pipeline.count_loss(refused, 1)
        except Exception as error:  # it runs inside the application's own span.end()
            pipeline.count_loss("span that could not be observed", 1, error)

    def _keep(self, observation: Observation) -> str | None:
        """Puts it into the buffer; returns why not, where it cannot."""
        if self._closed:
            return "span after shutdown"
        if len(self._buffer) >= BUFFER_OBSERVATIONS:
            return "processor's buffer full"
        self._buffer.append(observation)
        if self._thread is None:
            self._start()
        if len(self._buffer) == SPOOL_OBSERVATIONS:
            self._full.put(None)
        if self._closed:  # since the first look; the last spooling may not have seen this one
            self._spool()
        return None

    def _start(self) -> None:
        with self._start_lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="otel_learning spool", daemon=True)
                # Without a thread (the interpreter ends) shutdown and force_flush spool.
                with contextlib.suppress(RuntimeError):
                    thread.start()
                    self._thread = thread

    def _run(self) -> None:
        with own_thread_context():
            while not self._closed:
                with contextlib.suppress(Empty):
                    self._full.get(timeout=SPOOL_SECONDS)
                self._spool()

    def _spool(self) -> None:
        pipeline = self._pipeline
        if pipeline is None:
            return
        # One at a time, so that what a caller of force_flush waits for is down when it returns.
        alone = self._spool_lock.acquire(timeout=SPOOL_LOCK_SECONDS)
        try:
            taken: list[Observation] = []
            with contextlib.suppress(IndexError):
                while True:
                    taken.append(self._buffer.popleft())
            if not taken:
                return
            try:
                pipeline.record(taken)
            except Exception as error:  # the thread must live on
                pipeline.count_loss("batch that could not be spooled", len(taken), error)
        finally:
            if alone:
                self._spool_lock.release()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """True once every span that ended before can be queried."""
        if self._pipeline is None:
            return False
        try:
            self._spool()
            return self._pipeline.force_flush(timeout_millis / 1000)
        except Exception:  # the application must not notice
            logger.exception("otel_learning: force_flush failed")
            return False

    def shutdown(self) -> None:
        """Stores what waits."""
        if self._closed:
            return
        self._closed = True
        self._full.put(None)
        try:
            self._spool()
            if self._pipeline is not None:
                self._pipeline.release(30.0)
        except Exception:  # other processors' shutdown comes after ours
            logger.exception("otel_learning: shutdown failed")


def _after_fork_in_child() -> None:
    # The parent spools what it has observed; the child starts empty.
    for processor in list(_live):
        processor._reset()


os.register_at_fork(after_in_child=_after_fork_in_child)
