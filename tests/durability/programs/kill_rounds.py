"""Round after round: a child exports and acknowledges, and is killed at some moment.

Prints one acknowledged task id per line. The children are forked, so that a round costs no
start of an interpreter; this process itself never opens the store.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from opentelemetry.sdk.trace.export import SpanExportResult

from otel_learning import LearningSpanExporter
from tests.durability.harness import tasks

path, rounds, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
chance = random.Random(seed)


def child(number: int, acknowledge: int) -> None:
    luck = random.Random(f"{seed} {number}")
    exporter = LearningSpanExporter(path=path, settle_after=0.5)
    first = 0
    while True:
        last = first + luck.choice((1, 1, 3, 17, 64))
        if exporter.export(tasks(f"r{seed}.{number}", first, last)) is SpanExportResult.SUCCESS:
            os.write(acknowledge, f"r{seed}.{number} {first} {last}\n".encode())
        first = last
        if luck.random() < 0.2:
            exporter.force_flush(1000)


LearningSpanExporter(path=path)._pipeline._prepare()  # type: ignore[union-attr]
for number in range(rounds):
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(receive)
        try:
            child(number, send)
        finally:
            os._exit(1)
    os.close(send)
    acknowledged = os.read(receive, 65536)
    until = time.monotonic() + chance.uniform(0.0, 0.5)
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.05))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while piece := os.read(receive, 65536):
        acknowledged += piece
    os.close(receive)
    sys.stdout.write(acknowledged.decode())
sys.stdout.flush()
