"""What both exporters are in someone's program: guests. They keep, flush, end, and never raise."""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from otel_learning.capture.self_metrics import ExportMetrics, size_of

if TYPE_CHECKING:
    from otel_learning.capture.pipeline import Pipeline

logger = logging.getLogger("otel_learning")


class Guest:
    """The life of an exporter, whatever it exports; the first base, before the SDK's class."""

    _signal: ClassVar[str]
    """What it exports: span or log."""

    def __init__(self, path: Any = None, **settings: Any) -> None:
        self._pipeline: Pipeline | None = None
        self._closed = False
        self._metrics = ExportMetrics(f"learning_{self._signal}_exporter", self._signal)
        try:
            from otel_learning.capture.pipeline import pipeline_for

            self._pipeline = pipeline_for({"path": path, **settings})
        except Exception:  # an exception here would turn all telemetry of the application off
            logger.exception(
                "otel_learning: the %s exporter could not be set up and stays off", self._signal
            )

    @abstractmethod
    def _keep(self, pipeline: Pipeline, batch: Any) -> bool:
        """Spools what a batch says, and returns whether it is kept."""

    def _export(self, batch: Any) -> bool:
        """Whether the batch was kept; what was not is counted."""
        pipeline = self._pipeline
        if pipeline is None:
            return False
        if self._closed:
            pipeline.count_loss(f"{self._signal} export after shutdown", size_of(batch))
            return False
        started = time.perf_counter()
        try:
            kept = self._keep(pipeline, batch)
        except Exception as error:  # the application must not notice
            pipeline.count_loss(
                f"{self._signal} batch that could not be exported", size_of(batch), error
            )
            kept = False
        self._metrics.record(size_of(batch), time.perf_counter() - started, failed=not kept)
        return kept

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """True once everything exported before is in the store and can be queried."""
        if self._pipeline is None:
            return False
        try:
            return self._pipeline.force_flush(timeout_millis / 1000)
        except Exception:  # the application must not notice
            logger.exception("otel_learning: force_flush failed")
            return False

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """Stores what waits, within the time given. What does not get in stays in the spool."""
        if self._closed:
            return
        self._closed = True
        if self._pipeline is not None:
            try:
                self._pipeline.release(timeout_millis / 1000)
            except Exception:  # other processors' shutdown comes after ours
                logger.exception("otel_learning: shutdown failed; what waits stays in the spool")
