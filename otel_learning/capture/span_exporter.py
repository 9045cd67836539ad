"""The span exporter: what `OTEL_TRACES_EXPORTER=learning` names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_learning.capture.exporting import Guest

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_learning.capture.pipeline import Pipeline


class LearningSpanExporter(Guest, SpanExporter):
    """Turns an orchestrator's spans into execution records in a DuckDB file.

    When `export` has returned SUCCESS, killing the process loses nothing of the batch. It never
    raises and never waits for DuckDB: it writes one file, and a thread of its own moves what
    waits into the store.

    Args:
        path: the store file; `learning.duckdb` in the working directory by default.
        settings: any other setting by its name in lower case, as the declarative configuration
            passes them. One that is unknown or unusable is named in a warning, nothing more.
    """

    _signal = "span"

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Spools the spans' observations. FAILURE means that they were not kept, and counted."""
        return SpanExportResult.SUCCESS if self._export(spans) else SpanExportResult.FAILURE

    def _keep(self, pipeline: Pipeline, batch: Sequence[ReadableSpan]) -> bool:
        return pipeline.export(batch)
