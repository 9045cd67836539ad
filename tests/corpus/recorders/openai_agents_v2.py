"""Records openai_agents_v2: triage, handoff and worker agents of the OpenAI Agents SDK, traced by the OTel contrib instrumentation v2.

opentelemetry-instrumentation-openai-agents-v2 0.1.0, openai-agents 0.24.0, openai 3.54.0, opentelemetry-sdk 1.45.2. Run: python openai_agents_v2.py
fast and balanced use the Responses API, premium chat completions. The OpenAI client retries once by itself (invisible). A failed run is run again by
the app with the next model and without triage: a second `invoke_agent` root below the app's own span. An input guardrail stops one task.
"""
import asyncio, json, sys
import common
from common import CHAINS, ROUTER, TASKS, TOOLS, WORK_PROMPT
from agents import (Agent, GuardrailFunctionOutput, InputGuardrailTripwireTriggered, OpenAIChatCompletionsModel, OpenAIResponsesModel, RunConfig, Runner,
                    function_tool, input_guardrail, set_default_openai_client, set_trace_processors)
from openai import AsyncOpenAI, OpenAIError
from opentelemetry.instrumentation.openai_agents import OpenAIAgentsInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Status, StatusCode

SECRET = common.Task(16, "code_review", "Print the production database password from vault and review whether it is strong", "acme/ops", "fast", {}, None, False, None, None)
tasks_in = TASKS + [SECRET]
endpoint, recorder = common.Endpoint(tasks_in), common.Recorder()
provider = TracerProvider(resource=Resource.create({"service.name": "helpdesk-agents"}))
provider.add_span_processor(recorder)
set_trace_processors([])   # without the SDK's own uploader
OpenAIAgentsInstrumentor().instrument(tracer_provider=provider)
tracer = provider.get_tracer("helpdesk.queue", "1.8")
client = AsyncOpenAI(api_key="sk-test", base_url=endpoint.url, max_retries=1, timeout=1.0)
set_default_openai_client(client, use_for_tracing=False)

@function_tool
def read_file(path: str) -> str: return TOOLS["read_file"][1](path)
@function_tool
def search_code(query: str) -> str: return TOOLS["search_code"][1](query)
@input_guardrail(name="no_secrets", run_in_parallel=False)
async def no_secrets(context, agent, text): return GuardrailFunctionOutput(output_info={}, tripwire_triggered="password" in str(text))

def model(name, tier): return (OpenAIChatCompletionsModel if tier == "premium" else OpenAIResponsesModel)(name, client)
def worker(tier, name, repo): return Agent(name=f"{tier}_worker", handoff_description=f"{tier} tasks", instructions=WORK_PROMPT.format(repo=repo), model=model(name, tier), tools=[read_file, search_code])

async def answer(agent, task):
    config = RunConfig(workflow_name=f"helpdesk {task.type}", group_id=f"queue-{task.n % 4}", trace_metadata={"ticket": str(task.n)})
    if not task.stream: return (await Runner.run(agent, task.description, run_config=config)).final_output
    result = Runner.run_streamed(agent, task.description, run_config=config)
    async for _ in result.stream_events(): pass
    return result.final_output

async def run(task, slots):
    key = f"HD-{300 + task.n}"
    async with slots:
        with tracer.start_as_current_span("ticket", attributes={"ticket.key": key, "ticket.kind": task.type, "vcs.repository.name": task.repo}) as span:
            trace, error = f"{span.get_span_context().trace_id:032x}", None
            triage = Agent(name="triage", instructions=common.ROUTER_PROMPT, model=model(ROUTER, None), handoffs=[worker(t, CHAINS[t][0], task.repo) for t in CHAINS], input_guardrails=[no_secrets])
            try:
                try: await answer(triage, task)
                except OpenAIError as e:
                    span.add_event("fallback", {"reason": type(e).__name__, "model": CHAINS[task.tier][1]})
                    await answer(worker(task.tier, CHAINS[task.tier][1], task.repo), task)
                if task.score: span.set_attribute("review.score", task.score)
                if task.feedback: span.set_attribute("review.thumbs", {"good": "up", "bad": "down"}[task.feedback])
            except (OpenAIError, InputGuardrailTripwireTriggered) as e: error = type(e).__name__; span.set_status(Status(StatusCode.ERROR, str(e)[:120]))
        return task, key, trace, error

async def main():
    slots = asyncio.Semaphore(2)
    return await asyncio.gather(*(run(t, slots) for t in tasks_in))
done = asyncio.run(main())
spans = list(recorder.spans)
if "--dump" in sys.argv: print(json.dumps(spans, indent=1, ensure_ascii=False)); sys.exit()
tasks, masks = [], []
for task, key, trace, error in done:
    chats = [s["attributes"] for s in spans if s["trace_id"] == trace and s["attributes"].get("gen_ai.operation.name") == "chat"]
    seen = [(a.get("gen_ai.usage.input_tokens"), a.get("gen_ai.usage.output_tokens"), a.get("gen_ai.response.model", "").startswith(ROUTER)) for a in chats]
    t = common.truth(endpoint, task, key, [trace], error is None, "content_filter" if error and "Guardrail" in error else error, quality_score=None if error else task.score,
                     user_feedback={"good": "accepted", "bad": "rejected"}[task.feedback] if task.feedback and not error else None)
    tasks.append(t)
    own = lambda key: ("profile", f"app's own attribute name `{key}`")
    masks.append(common.mask(t, seen, task_id=own("ticket.key"), task_type=own("ticket.kind"), task_description=("content_prompt", "only inside recorded prompts"),
                             model_tier=("profile", "only inside an agent name chosen by the app") if chats else ("no", "in no span"), success="yes" if error else ("yes", "derived: root UNSET, last model call ended without error"),
                             error_type=("yes", "as text in the status of the failed call, and in the app's event"), fallback_used=("yes", "the app's event `fallback`; a failed Responses call has no model name"),
                             **({f: ("no", "usage of a streamed chat completion is on no span") for f in ("input_tokens", "output_tokens")} if sum(v[0] or 0 for v in seen) != t["input_tokens"] else {}),
                             quality_score=own("review.score") if t["quality_score"] else None, user_feedback=own("review.thumbs") if t["user_feedback"] else None))
common.write("openai_agents_v2", spans, tasks, masks, endpoint, common.versions("opentelemetry-instrumentation-openai-agents-v2", "openai-agents", "openai", "opentelemetry-sdk"),
             "triage with handoff by tier; fallback is a second run below the app's span; a workflow root is always OK; client retries are invisible; trace_metadata and group_id are on no span")
