"""Registers the exporter in code, carries one task out, and reads its record."""

from __future__ import annotations

import tempfile
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel_learning import LearningDatabase, LearningSpanExporter


def carry_out(task_id: str) -> None:
    """A task as an orchestrator may trace it: its own span, a routing decision, a model call."""
    tracer = trace.get_tracer("my.orchestrator")
    with tracer.start_as_current_span("task") as task:
        task.set_attribute("task.id", task_id)
        task.set_attribute("task.type", "bug_fix")
        task.set_attribute("task.repo", "shop/api")
        with tracer.start_as_current_span("router.select") as route:
            route.set_attribute("router.tier", "fast")
            route.set_attribute("router.strategy", "complexity-threshold")
        with tracer.start_as_current_span("chat gpt-4o-mini") as call:
            call.set_attribute("gen_ai.operation.name", "chat")
            call.set_attribute("gen_ai.provider.name", "openai")
            call.set_attribute("gen_ai.request.model", "gpt-4o-mini")
            call.set_attribute("gen_ai.usage.input_tokens", 1200)
            call.set_attribute("gen_ai.usage.output_tokens", 300)
        task.set_attribute("task.outcome", "success")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "learning.duckdb"
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(LearningSpanExporter(path=store)))
        trace.set_tracer_provider(provider)

        carry_out("task-1")
        provider.shutdown()

        for record in LearningDatabase(store).executions(task_id="task-1"):
            print(f"{record.task_id}: {record.task_type} in {record.repo}")
            print(f"  tier {record.model_tier}, model {record.model}, success {record.success}")
            print(f"  {record.input_tokens} + {record.output_tokens} tokens, "
                  f"{record.actual_cost:.6f} USD ({record.cost_source})")  # fmt: skip


if __name__ == "__main__":
    main()
