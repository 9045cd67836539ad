"""An application whose attribute names nobody else uses."""

from __future__ import annotations

import sys

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from otel_learning import LearningSpanProcessor

store, profile = sys.argv[1:]
provider = TracerProvider()
provider.add_span_processor(LearningSpanProcessor(path=store, profile=profile))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("acme")

with tracer.start_as_current_span("handle") as span:
    span.set_attribute("acme.what", "order")
    span.set_attribute("acme.work_order", "WO-4711")
    span.set_attribute("acme.category", "migration")
    span.set_attribute("acme.lane", "express")
    span.set_attribute("acme.project", "warehouse")
    span.set_attribute("acme.done", True)
    span.set_attribute("acme.spent_usd", 0.42)

provider.shutdown()
