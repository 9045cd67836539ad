"""Records google_adk (and, with --legacy, google_adk_legacy): a dispatcher agent of the Agent Development Kit that transfers to one worker agent per tier, all on LiteLlm models.

google-adk 2.13.0, litellm 1.106.2, openai 2.54.0, opentelemetry-sdk 1.44.0, mcp (LiteLLM imports it). Run: python google_adk.py [--legacy]
--legacy pins ADK's telemetry schema 1 (`invocation`, `call_llm`, content as gcp.vertex.agent.*), which older deployments send.
No app spans: ADK's own only. The ADK session is the task; type and repository live in the session's state. premium falls back inside LiteLLM
(`fallbacks=`); for the others the app runs a stand-in worker in the same session: a second trace.
"""
import asyncio, json, logging, os, sys
os.environ.update(LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_LOG="ERROR", OTEL_SERVICE_NAME="devdesk")
LEGACY = "--legacy" in sys.argv
os.environ.update({"ADK_TELEMETRY_SCHEMA_VERSION_OPT_IN": "1"} if LEGACY else {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY"})
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
import common, litellm
recorder = common.Recorder()
trace.set_tracer_provider(TracerProvider())
trace.get_tracer_provider().add_span_processor(recorder)

from google.adk.agents import LlmAgent, RunConfig
from google.adk.agents.run_config import StreamingMode
from google.adk.models.lite_llm import LiteLlm
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService
from google.genai import types
from common import CHAINS, ROUTER, ROUTER_PROMPT, TASKS, TOOLS

logging.disable(logging.ERROR); litellm.suppress_debug_info = True
endpoint, sessions = common.Endpoint(), InMemorySessionService()
def llm(name, **more): return LiteLlm(model="openai/" + name, api_base=endpoint.url, api_key="sk-test", timeout=1.0, max_retries=1, **more)
def read_file(path: str) -> dict:
    """Reads a file of the repository."""
    return {"text": TOOLS["read_file"][1](path)}
def search_code(query: str) -> dict:
    """Searches the repository."""
    return {"hits": TOOLS["search_code"][1](query)}
def worker(tier, name, model): return LlmAgent(name=name, model=model, description=f"{tier} tasks", instruction="You are a coding agent for {repo}. The task is of type {kind}.", tools=[read_file, search_code])

def dispatcher():
    models = {tier: llm(first) for tier, (first, _) in CHAINS.items()}
    models["premium"] = llm(CHAINS["premium"][0], fallbacks=[{"model": "openai/" + CHAINS["premium"][1], "api_base": endpoint.url, "api_key": "sk-test"}])
    return LlmAgent(name="dispatcher", model=llm(ROUTER), instruction=ROUTER_PROMPT + " Transfer to the worker of that tier.", sub_agents=[worker(t, f"{t}_worker", m) for t, m in models.items()])

async def once(agent, task, session):
    runner, text = Runner(app_name="devdesk", agent=agent, session_service=sessions), None
    config = RunConfig(streaming_mode=StreamingMode.SSE if task.stream else StreamingMode.NONE)
    async for event in runner.run_async(user_id=session.user_id, session_id=session.id, new_message=types.Content(role="user", parts=[types.Part(text=task.description)]), run_config=config):
        if event.error_code: raise RuntimeError(f"{event.error_code}: {event.error_message}")
        if event.is_final_response() and event.content: text = event.content.parts[0].text
    return text

async def run(task, slots):
    async with slots:
        session = await sessions.create_session(app_name="devdesk", user_id=("dana", "mo", "priya")[task.n % 3], session_id=f"dd-{500 + task.n}", state={"repo": task.repo, "kind": task.type})
        try: await once(dispatcher(), task, session)
        except Exception as e:
            if task.tier == "premium": return task, session.id, type(e).__name__
            try: await once(worker(task.tier, f"{task.tier}_standin", llm(CHAINS[task.tier][1])), task, session)
            except Exception as e: return task, session.id, type(e).__name__
        return task, session.id, None

async def main():
    slots = asyncio.Semaphore(2)
    return await asyncio.gather(*(run(t, slots) for t in TASKS))
done = asyncio.run(main())
spans = list(recorder.spans)
if "--dump" in sys.argv: print(json.dumps(spans, indent=1, ensure_ascii=False)); print(done, file=sys.stderr); sys.exit()
tasks, masks, traces = [], [], {}
for s in spans: traces.setdefault(s["attributes"].get("gen_ai.conversation.id"), {}).setdefault(s["trace_id"])
for task, task_id, error in done:
    seen, mine = [], list(traces[task_id])
    for a in (s["attributes"] for s in spans if s["trace_id"] in mine and s["attributes"].get("gen_ai.operation.name") == "generate_content"):
        seen.append((a.get("gen_ai.usage.input_tokens"), a.get("gen_ai.usage.output_tokens"), a["gen_ai.request.model"].endswith(ROUTER)))
    t = common.truth(endpoint, task, task_id, mine, error is None, error)
    hidden = task.tier == "premium" and t["fallback_used"]
    both = ("no", "LiteLLM's own fallback: the spans name the first model only") if hidden else ("no", "the stand-in is a trace of its own, joined by the session id only") if len(mine) > 1 else ("yes", "derived from the order of attempts")
    tasks.append(t)
    masks.append(common.mask(t, seen, task_id=("profile", "the app's session id (gen_ai.conversation.id) is the task"), task_type=("no", "session state is on no span"), repo=("no", "session state is on no span"),
                             task_description=("content_prompt", "only inside recorded prompts"), model_tier=("profile", "only inside an agent name chosen by the app"), fallback_used=both,
                             grouping=("no", "only the session id joins the traces, and a session may hold many tasks") if len(mine) > 1 else "yes",
                             model=("no", both[1]) if hidden else "yes", success=("yes", "ERROR inside the last trace; roots stay UNSET") if error else ("yes", "derived: root UNSET, last model call ended without error")))
common.write("google_adk_legacy" if LEGACY else "google_adk", spans, tasks, masks, endpoint, common.versions("google-adk", "litellm", "openai", "opentelemetry-sdk"),
             "ADK's own spans, no app spans; the session is the task; client retries are invisible; premium falls back inside LiteLLM" + ("; telemetry schema 1: call_llm repeats the tokens of generate_content" if LEGACY else "; content capture SPAN_ONLY"))
