"""Exports one task every few milliseconds for some seconds; prints its counts at the end."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from opentelemetry.sdk.trace.export import SpanExportResult

from otel_learning import LearningSpanExporter
from otel_learning.store import failpoints
from tests.durability.harness import task

path, name, seconds, pause = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
drains = 0


def count(point: str) -> None:
    global drains
    drains += point == "drain: after commit"


failpoints.hook = count
exporter = LearningSpanExporter(path=path)
until = time.monotonic() + seconds
number = slowest = 0.0
while time.monotonic() < until:
    spans = task(f"{name}-{int(number)}")
    began = time.monotonic()
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    slowest = max(slowest, time.monotonic() - began)
    number += 1
    time.sleep(pause)
steady = drains
if len(sys.argv) > 5:
    exporter.shutdown()
print(json.dumps({"tasks": int(number), "drains": steady, "slowest": slowest}))
