"""LiteLLM's own router and its own OpenTelemetry callback; one model is overloaded.

Nothing here is about learning but the two lines that register the exporter.
"""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # the price table of the package, no download
os.environ["USE_OTEL_LITELLM_REQUEST_SPAN"] = "true"  # one span per call, also where one is current

import litellm
from fake_openai import fake_openai
from litellm.integrations.opentelemetry import OpenTelemetry, OpenTelemetryConfig
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from otel_learning import LearningDatabase, LearningSpanProcessor


def main() -> None:
    logging.getLogger("LiteLLM").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, fake_openai(overloaded=("gpt-4o",)) as url:
        store = Path(folder) / "learning.duckdb"
        provider = TracerProvider()
        provider.add_span_processor(LearningSpanProcessor(path=store))
        trace.set_tracer_provider(provider)
        litellm.callbacks = [OpenTelemetry(config=OpenTelemetryConfig(), tracer_provider=provider)]
        router = litellm.Router(
            model_list=[
                _deployment("balanced", "gpt-4o", url),
                _deployment("fast", "gpt-4o-mini", url),
            ],
            fallbacks=[{"balanced": ["fast"]}],
            num_retries=0,
        )
        tracer = trace.get_tracer("my.orchestrator")
        for number, tier in enumerate(("fast", "balanced"), start=1):
            with tracer.start_as_current_span("task") as task:
                task.set_attribute("task.id", f"task-{number}")
                task.set_attribute("task.type", "bug_fix")
                task.set_attribute("router.tier", tier)
                router.completion(tier, messages=[{"role": "user", "content": "Fix the bug."}])
                task.set_attribute("task.outcome", "success")
        # LiteLLM reports a call from a thread of its own, some after the task has ended.
        litellm.litellm_core_utils.thread_pool_executor.executor.shutdown(wait=True)
        provider.shutdown()

        with LearningDatabase(store) as database:
            for record in database.executions():
                print(f"{record.task_id}: tier {record.model_tier}, model {record.model}, "
                      f"success {record.success}, fallback {record.fallback_used}")  # fmt: skip
                for attempt in database.attempts(record.execution_id):
                    print(f"  {attempt.ordinal}. {attempt.requested_model}: {attempt.reason}, "
                          f"success {attempt.success}")  # fmt: skip


def _deployment(name: str, model: str, url: str) -> dict[str, object]:
    return {
        "model_name": name,
        "litellm_params": {"model": f"openai/{model}", "api_base": url, "api_key": "none"},
    }


if __name__ == "__main__":
    main()
