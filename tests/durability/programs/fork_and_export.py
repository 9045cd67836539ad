"""Exports, forks, and exports on both sides, by the way its argument names."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel_learning import LearningSpanExporter, LearningSpanProcessor
from tests.durability.harness import call_attributes, task_attributes

path, way, processor = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
provider = TracerProvider()
exporter = None
if processor == "batch":
    exporter = LearningSpanExporter(path=path)
    provider.add_span_processor(BatchSpanProcessor(exporter))
else:
    provider.add_span_processor(LearningSpanProcessor(path=path))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("test")


def emit(prefix: str, number: int) -> None:
    for i in range(number):
        with (
            tracer.start_as_current_span("task", attributes=task_attributes(f"{prefix}-{i}")),
            tracer.start_as_current_span("chat", attributes=call_attributes()),
        ):
            pass


def flush() -> None:
    assert provider.force_flush()
    if exporter is not None:
        assert exporter.force_flush()


def child(name: str) -> None:
    emit(name, 20)
    flush()
    emit(f"{name}-again", 5)
    provider.shutdown()


if __name__ == "__main__":
    emit("before", 20)
    flush()
    emit("unflushed", 3)
    if way == "fork":
        pids = []
        for number in range(3):
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    child(f"child{number}")
                    status = 0
                finally:
                    os._exit(status)
            pids.append(pid)
            emit(f"between{number}", 5)
        statuses = [os.waitpid(pid, 0)[1] for pid in pids]
        assert statuses == [0, 0, 0], statuses
    else:
        context = multiprocessing.get_context("fork")
        workers = [context.Process(target=child, args=(f"child{n}",)) for n in range(3)]
        for number, worker in enumerate(workers):
            worker.start()
            emit(f"between{number}", 5)
        for worker in workers:
            worker.join()
            assert worker.exitcode == 0, worker.exitcode
    emit("after", 5)
    flush()
