"""Exports every second span of some corpora, in batches of 16, draining after each."""

from __future__ import annotations

import sys
from pathlib import Path

from opentelemetry.sdk.trace.export import SpanExportResult

from otel_learning import LearningSpanExporter
from tests import corpus_replay

path, half = Path(sys.argv[1]), int(sys.argv[2])
files = [corpus_replay.CORPUS / f"{name}.jsonl.gz" for name in sys.argv[3:]]
spans = [span for file in files for span in corpus_replay.load(file)]
mine = spans[half::2]
exporter = LearningSpanExporter(path=path)
for first in range(0, len(mine), 16):
    assert exporter.export(mine[first : first + 16]) is SpanExportResult.SUCCESS
    assert exporter.force_flush()
exporter.shutdown()
