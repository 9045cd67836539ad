"""The span exporter: what `OTEL_TRACES_EXPORTER=learning` names."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_learning.capture.self_metrics import ExportMetrics, size_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_learning.capture.pipeline import Pipeline

logger = logging.getLogger("otel_learning")


class LearningSpanExporter(SpanExporter):
    """Turns an orchestrator's spans into execution records in a DuckDB file.

    When `export` has returned SUCCESS, killing the process loses nothing of the batch. It never
    raises and never waits for DuckDB: it writes one file, and a thread of its own moves what
    waits into the store.

    Args:
        path: the store file; `learning.duckdb` in the working directory by default.
        settings: any other setting by its name in lower case, as the declarative configuration
            passes them. One that is unknown or unusable is named in a warning, nothing more.
    """

    def __init__(self, path: Any = None, **settings: Any) -> None:
        self._pipeline: Pipeline | None = None
        self._closed = False
        self._metrics = ExportMetrics("learning_span_exporter", "span")
        try:
            from otel_learning.capture.pipeline import pipeline_for

            self._pipeline = pipeline_for({"path": path, **settings})
        except Exception:  # an exception here would turn all telemetry of the application off
            logger.exception("otel_learning: the exporter could not be set up and stays off")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Spools the spans' observations. FAILURE means that they were not kept, and counted."""
        pipeline = self._pipeline
        if pipeline is None:
            return SpanExportResult.FAILURE
        if self._closed:
            pipeline.count_loss("export after shutdown", size_of(spans))
            return SpanExportResult.FAILURE
        started = time.perf_counter()
        try:
            kept = pipeline.export(spans)
        except Exception as error:  # the application must not notice
            pipeline.count_loss("batch that could not be exported", size_of(spans), error)
            kept = False
        self._metrics.record(size_of(spans), time.perf_counter() - started, failed=not kept)
        return SpanExportResult.SUCCESS if kept else SpanExportResult.FAILURE

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
