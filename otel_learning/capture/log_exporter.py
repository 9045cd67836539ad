"""The log exporter: feedback and evaluations that arrive as log events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult

from otel_learning.capture.exporting import Guest

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord

    from otel_learning.capture.pipeline import Pipeline
    from otel_learning.observation import Observation


class LearningLogExporter(Guest, LogRecordExporter):
    """Stores the log events that a profile lists; every other log record costs next to nothing.

    `learning.feedback` and `gen_ai.evaluation.result` are listed. Takes the same settings as
    `LearningSpanExporter`, and shares its spool and thread where both name the same store.
    """

    _signal = "log"

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Spools the feedback among the records."""
        kept = self._export(batch)
        return LogRecordExportResult.SUCCESS if kept else LogRecordExportResult.FAILURE

    def _keep(self, pipeline: Pipeline, batch: Sequence[ReadableLogRecord]) -> bool:
        return pipeline.record(observe_logs(pipeline, batch))


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
