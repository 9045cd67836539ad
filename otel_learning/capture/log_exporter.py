"""The log exporter: feedback and evaluations that arrive as log events."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult

from otel_learning.capture.self_metrics import ExportMetrics, size_of

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord

    from otel_learning.capture.pipeline import Pipeline
    from otel_learning.observation import Observation

logger = logging.getLogger("otel_learning")


class LearningLogExporter(LogRecordExporter):
    """Stores the log events that a profile lists; every other log record costs next to nothing.

    `learning.feedback` and `gen_ai.evaluation.result` are listed. Takes the same settings as
    `LearningSpanExporter`, and shares its spool and thread where both name the same store.
    """

    def __init__(self, path: Any = None, **settings: Any) -> None:
        self._pipeline: Pipeline | None = None
        self._closed = False
        self._metrics = ExportMetrics("learning_log_exporter", "log")
        try:
            from otel_learning.capture.pipeline import pipeline_for

            self._pipeline = pipeline_for({"path": path, **settings})
        except Exception:  # an exception here would turn all telemetry of the application off
            logger.exception("otel_learning: the log exporter could not be set up and stays off")

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Spools the feedback among the records."""
        pipeline = self._pipeline
        if pipeline is None:
            return LogRecordExportResult.FAILURE
        if self._closed:
            pipeline.count_loss("log export after shutdown", size_of(batch))
            return LogRecordExportResult.FAILURE
        started = time.perf_counter()
        try:
            kept = pipeline.record(observe_logs(pipeline, batch))
        except Exception as error:  # the application must not notice
            pipeline.count_loss("log batch that could not be exported", size_of(batch), error)
            kept = False
        self._metrics.record(size_of(batch), time.perf_counter() - started, failed=not kept)
        return LogRecordExportResult.SUCCESS if kept else LogRecordExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """True once everything exported before can be queried."""
        if self._pipeline is None:
            return False
        try:
            return self._pipeline.force_flush(timeout_millis / 1000)
        except Exception:  # the application must not notice
            logger.exception("otel_learning: force_flush failed")
            return False

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """Stores what waits, within the time given."""
        if self._closed:
            return
        self._closed = True
        if self._pipeline is not None:
            try:
                self._pipeline.release(timeout_millis / 1000)
            except Exception:  # other processors' shutdown comes after ours
                logger.exception("otel_learning: shutdown failed; what waits stays in the spool")


def observe_logs(
    pipeline: Pipeline, batch: Sequence[ReadableLogRecord], refused: list[str] | None = None
) -> list[Observation]:
    """The observations of log records; one that cannot be mapped is counted and left out.

    `refused`, where given, is told why, once for each.
    """
    observations = []
    for readable in batch:
        record = readable.log_record
        attributes = record.attributes or {}
        name = record.event_name or attributes.get("event.name")
        if not isinstance(name, str):
            continue
        try:
            scope = readable.instrumentation_scope
            observation = pipeline.mapper.log_event(
                name,
                attributes,
                trace_id=record.trace_id or 0,
                span_id=record.span_id or 0,
                time_ns=record.timestamp or record.observed_timestamp,
                resource=readable.resource,
                scope_name=scope.name if scope is not None else "",
            )
        except Exception as error:  # whatever a record holds, the others must get through
            pipeline.count_loss("log event that could not be mapped", 1, error)
            if refused is not None:
                refused.append(f"a log record could not be mapped: {type(error).__name__}")
            continue
        if observation is not None:
            observations.append(observation)
    return observations
