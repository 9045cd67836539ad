"""An application that traces its tasks, and has no line about where the spans go."""

from __future__ import annotations

from opentelemetry import trace

tracer = trace.get_tracer("my.orchestrator")

for number, tier in enumerate(("fast", "balanced", "fast"), start=1):
    with tracer.start_as_current_span("task") as task:
        task.set_attribute("task.id", f"task-{number}")
        task.set_attribute("task.type", "documentation")
        task.set_attribute("router.tier", tier)
        task.set_attribute("task.outcome", "success" if number != 2 else "failure")
