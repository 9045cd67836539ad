"""A LiteLLM Router that is told by a policy file. Argument: the address of an endpoint."""

import asyncio
import sys

from litellm import Router
from opentelemetry import trace

from otel_learning.integrations.litellm import PolicyHook, PolicyPlugin
from otel_learning.policy_reader import PolicyReader

URL = sys.argv[1]
TASKS = 40

plugin = PolicyPlugin(PolicyReader("learning.duckdb"))
router = Router(
    model_list=[
        {
            "model_name": "auto",
            "litellm_params": {"model": f"openai/{model}", "api_base": URL, "api_key": "none"},
        }
        for model in ("gpt-4o-mini", "gpt-4.1")
    ],
    plugins=[plugin],
)
tracer = trace.get_tracer("shop.orchestrator")


async def main() -> None:
    for number in range(TASKS):
        kind = "bug_fix" if number % 2 else "docs"
        with tracer.start_as_current_span("orchestrator.task") as span:
            span.set_attribute("task.id", f"ticket-{number}")
            span.set_attribute("task.type", kind)
            answer = await router.acompletion(
                model="auto",
                messages=[{"role": "user", "content": "please"}],
                metadata={"task_type": kind},
            )
            span.set_attribute("task.success", bool(answer.choices[0].message.content))


async def through_the_proxy() -> None:
    """What the proxy does before a call: `auto` becomes a group, any other name stays."""
    hook = PolicyHook(PolicyReader("learning.duckdb"), default="gpt-4o-mini")

    async def asked(model: str, kind: str) -> str:
        request = {"model": model, "metadata": {"task_type": kind}}
        return str((await hook.async_pre_call_hook(None, None, request, "completion"))["model"])

    drawn = {await asked("auto", "bug_fix") for _ in range(200)}
    assert drawn == {"gpt-4.1", "gpt-4o-mini"}, drawn
    assert await asked("auto", "docs") == "gpt-4o-mini"
    assert await asked("other", "bug_fix") == "other"


asyncio.run(main())
asyncio.run(through_the_proxy())
