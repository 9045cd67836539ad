"""A small WSGI application that emits one task per request; gunicorn loads it before it forks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel_learning import LearningSpanExporter
from tests.durability.harness import call_attributes, task_attributes

exporter = LearningSpanExporter(path=os.environ["STORE"])
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=200))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("wsgi")
# The master uses what the workers will use: the hard case of a fork.
with tracer.start_as_current_span("task", attributes=task_attributes("preload")):
    pass
provider.force_flush()
exporter.force_flush()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    name = environ["PATH_INFO"].strip("/")
    with (
        tracer.start_as_current_span("task", attributes=task_attributes(name)),
        tracer.start_as_current_span("chat", attributes=call_attributes()),
    ):
        time.sleep(0.02)  # so that one worker cannot answer everything
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
