"""Exports while no file may grow beyond a limit that DuckDB's store soon needs.

Prints how many tasks were acknowledged. SIGXFSZ is ignored, so a write fails with EFBIG.
"""

from __future__ import annotations

import logging
import resource
import signal
import sys
from pathlib import Path

from opentelemetry.sdk.trace.export import SpanExportResult

from otel_learning import LearningSpanExporter
from tests.durability.harness import tasks

logging.disable(logging.CRITICAL)
path = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
exporter = LearningSpanExporter(path=path)
kept = 0
while kept < 400:
    assert exporter.export(tasks("t", kept, kept + 50)) is SpanExportResult.SUCCESS
    kept += 50
    exporter.force_flush(500)
    if kept == 100:
        size = path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20_000, resource.RLIM_INFINITY))
flushed = exporter.force_flush(500)
exporter.shutdown(timeout_millis=500)
print(kept, flushed, flush=True)
