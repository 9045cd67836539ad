"""Emits spans without a pause; SIGTERM's handler shuts the provider down, as many apps do.

Prints `acknowledged N` from the handler.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_learning import LearningSpanExporter, LearningSpanProcessor
from tests.durability.harness import task_attributes

provider = TracerProvider(shutdown_on_exit=False)
if sys.argv[2] == "own":
    provider.add_span_processor(LearningSpanProcessor(path=sys.argv[1]))
else:
    provider.add_span_processor(SimpleSpanProcessor(LearningSpanExporter(path=sys.argv[1])))
tracer = provider.get_tracer("t")
number = 0


def end(_: int, __: FrameType | None) -> None:
    done = number
    provider.shutdown()
    os.write(1, f"{done}\n".encode())
    os._exit(0)


signal.signal(signal.SIGTERM, end)
os.write(1, b"ready\n")
while True:
    with tracer.start_as_current_span("t", attributes=task_attributes(f"t-{number}")):
        pass
    number += 1
