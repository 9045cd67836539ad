"""An application that knows OpenTelemetry's API only; all else is set from outside."""

import sys

from opentelemetry import trace

tracer = trace.get_tracer("app")
for i in range(int(sys.argv[1])):
    with tracer.start_as_current_span("task") as span:
        span.set_attribute("learning.task.id", f"t-{i}")
        span.set_attribute("learning.task.type", "bug_fix")
        span.set_attribute("learning.route.model_tier", "large")
        span.set_attribute("learning.outcome.success", True)
        here = span.get_span_context()
from opentelemetry._logs import get_logger  # noqa: E402

get_logger("app").emit(
    event_name="learning.feedback",
    attributes={"learning.task.id": "t-0", "learning.feedback.rating": 4},
)
print(type(trace.get_tracer_provider()).__name__)
