"""A LiteLLM Router with a fallback. It knows nothing of who reads its spans.

Arguments: the address of an OpenAI-compatible endpoint, and `otel` for LiteLLM's own callback.
"""

import sys

import litellm
from litellm import Router
from opentelemetry import trace

URL = sys.argv[1]
if "otel" in sys.argv[2:]:
    litellm.callbacks = ["otel"]
TASKS = [
    ("ticket-1", "bug_fix", "acme/shop", "cheap"),
    ("ticket-2", "refactoring", "acme/cli", "strong"),
]

router = Router(
    model_list=[
        {
            "model_name": name,
            "litellm_params": {"model": f"openai/{model}", "api_base": URL, "api_key": "none"},
        }
        for name, model in (("cheap", "gpt-4o-mini"), ("strong", "broken"), ("spare", "gpt-4.1"))
    ],
    fallbacks=[{"strong": ["spare"]}],
    num_retries=0,
    disable_cooldowns=True,
)
tracer = trace.get_tracer("shop.orchestrator")

for task_id, kind, repository, tier in TASKS:
    with tracer.start_as_current_span("orchestrator.task") as span:
        span.set_attribute("task.id", task_id)
        span.set_attribute("task.type", kind)
        span.set_attribute("task.repository", repository)
        with tracer.start_as_current_span("router.select_model") as choice:
            choice.set_attribute("router.selected_tier", tier)
        answer = router.completion(
            model=tier, messages=[{"role": "user", "content": f"please do {task_id}"}]
        )
        span.set_attribute("task.success", bool(answer.choices[0].message.content))
