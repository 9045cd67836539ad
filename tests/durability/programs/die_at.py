"""Exports 30 tasks in three batches and is killed at the n-th passing of a failpoint.

Prints `ack FIRST LAST` for every batch that `export` called a success.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from opentelemetry.sdk.trace.export import SpanExportResult

from otel_learning import LearningSpanExporter
from otel_learning.store import failpoints, rollups
from tests.durability.harness import call_attributes, number_of, span, tasks

path, point, passing = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
seen = 0


def die(name: str) -> None:
    global seen
    if name == point:
        seen += 1
        if seen == passing:
            os.kill(os.getpid(), signal.SIGKILL)


failpoints.hook = die
rollups.QUIET_SECONDS = 0.2  # type: ignore[misc]
exporter = LearningSpanExporter(path=path, settle_after=0.2, drain="on")
# Incomplete from the start: its root never comes, so it is settled when it has been quiet.
orphan = span(number_of("orphan"), 2, call_attributes(), parent=1, name="chat")
if exporter.export([orphan]) is SpanExportResult.SUCCESS:
    print("ack orphan", flush=True)
for first in (0, 10, 20):
    if exporter.export(tasks("t", first, first + 10)) is SpanExportResult.SUCCESS:
        print("ack", first, first + 10, flush=True)
    if first < 20:
        exporter.force_flush()
time.sleep(0.3)
exporter.force_flush()
exporter.force_flush()
print("survived", flush=True)
