"""Records langfuse_sdk: a ticket-solving app that is traced with the Langfuse SDK and its OpenAI wrapper.

langfuse 5.0.4, openai 3.54.0, opentelemetry-sdk 1.45.2. Run: python langfuse_sdk.py
The app uses Langfuse's own idioms: @observe, propagate_attributes (user, session, tags, metadata), a generation per call by the wrapper, a tool
observation, an evaluator observation, level ERROR, cost_details set by hand, and scores through the HTTP API (which leave no span).
"""
import concurrent.futures, json, sys
import common, httpx
from common import CHAINS, ROUTER, ROUTER_PROMPT, TASKS, TOOLS, WORK_PROMPT
from langfuse import Langfuse, get_client, observe, propagate_attributes
from langfuse.openai import openai
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

endpoint, recorder = common.Endpoint(), common.Recorder()
provider = TracerProvider(resource=Resource.create({"service.name": "ticket-bot"}))
provider.add_span_processor(recorder)
Langfuse(public_key="pk-lf-test", secret_key="sk-lf-test", base_url=endpoint.url[:-3], tracer_provider=provider, environment="staging", release="2026.11.3")
client = openai.OpenAI(api_key="sk-test", base_url=endpoint.url, max_retries=0, timeout=1.0)
PRICE = {"gpt-4o-mini": (0.15, 0.6), "gpt-4o": (2.5, 10.0), "gpt-4.1": (2.0, 8.0), "gpt-5": (1.25, 10.0)}   # USD per million tokens

@observe(name="pick-tier")
def pick_tier(title):
    answer = client.chat.completions.create(name="tier-classifier", model=ROUTER, max_completion_tokens=4, messages=[{"role": "system", "content": ROUTER_PROMPT}, {"role": "user", "content": title}])
    tier = answer.choices[0].message.content.strip()
    get_client().update_current_span(metadata={"tier": tier, "strategy": "llm"})
    return tier

@observe(name="run-tool", as_type="tool")
def run_tool(name, arguments): return TOOLS[name][1](**arguments)

class GatewayError(Exception): pass

def gateway(model, messages, more):
    """The premium models sit behind an in-house gateway without an SDK: a generation made by hand, with usage and cost."""
    with get_client().start_as_current_observation(name="gateway-call", as_type="generation", model=model, input=messages) as generation:
        r = httpx.post(endpoint.url + "/chat/completions", json={"model": model, "messages": messages, **more}, timeout=1.0)
        if r.status_code != 200:
            message = f"HTTP {r.status_code}: {r.json()['error']['message']}"
            generation.update(level="ERROR", status_message=message); raise GatewayError(message)
        body = r.json(); used = body["usage"]; cached = used["prompt_tokens_details"]["cached_tokens"]
        cost = {"input": used["prompt_tokens"] * PRICE[model][0] / 1e6, "output": used["completion_tokens"] * PRICE[model][1] / 1e6}
        generation.update(output=body["choices"][0]["message"], cost_details={**cost, "total": sum(cost.values())},
                          usage_details={"input": used["prompt_tokens"] - cached, "input_cached_tokens": cached, "output": used["completion_tokens"], "total": used["total_tokens"]})
        return body["choices"][0]["message"]

def ask(task, tier, model):
    """One model until it stops calling tools."""
    messages = [{"role": "system", "content": WORK_PROMPT.format(repo=task.repo)}, {"role": "user", "content": task.description}]
    while True:
        if task.stream:
            parts = client.chat.completions.create(name="draft", model=model, messages=messages, stream=True, stream_options={"include_usage": True})
            return "".join(p.choices[0].delta.content or "" for p in parts if p.choices)
        more = {"tools": [common.schema(task.tool)]} if task.tool else {}
        if tier == "premium": said = gateway(model, messages, more)
        else: said = client.chat.completions.create(name="draft", model=model, messages=messages, temperature=0.2, metadata={"temperature_source": "default"}, **more).choices[0].message.model_dump(exclude_none=True)
        if not said.get("tool_calls"): return said["content"]
        messages.append(said)
        for c in said["tool_calls"]: messages.append({"role": "tool", "tool_call_id": c["id"], "content": run_tool(c["function"]["name"], json.loads(c["function"]["arguments"]))})

@observe(name="solve-ticket", as_type="agent")
def solve(ticket):
    task, langfuse = by_id[ticket["id"]], get_client()
    tier = pick_tier(ticket["title"])
    langfuse.update_current_span(metadata={"tier": tier})
    for model in CHAINS[tier]:
        for retry in range(2):
            try: text = ask(task, tier, model); break
            except (openai.OpenAIError, GatewayError) as e:
                last, text = e, None
                if not isinstance(e, (openai.RateLimitError, openai.InternalServerError)): break
        if text: break
        langfuse.create_event(name="fallback", level="WARNING", metadata={"from": model, "reason": type(last).__name__})
    if not text: raise last
    with langfuse.start_as_current_observation(name="self-check", as_type="evaluator", input=text) as check:
        check.update(output={"score": task.score, "comment": "compiles, tests green"})
        langfuse.score_current_trace(name="quality", value=task.score)
    return text

by_id = {f"LF-{1000 + t.n}": t for t in TASKS}
def run(task):
    ticket = {"id": f"LF-{1000 + task.n}", "title": task.description}
    trace_id = get_client().create_trace_id(seed=ticket["id"])
    meta = {"task_id": ticket["id"], "task_type": task.type, "repo": task.repo}
    try:
        with propagate_attributes(trace_name=f"ticket {task.type}", user_id=("dana", "mo", "priya")[task.n % 3], session_id=f"sprint-{30 + task.n // 6}", tags=[task.type, task.repo.split("/")[1]], metadata=meta):
            solve(ticket, langfuse_trace_id=trace_id); ok, error = True, None
    except (openai.OpenAIError, GatewayError) as e: ok, error = False, type(e).__name__
    if task.feedback: get_client().create_score(trace_id=trace_id, name="user-feedback", value=1 if task.feedback == "good" else 0, data_type="BOOLEAN")
    return task, ticket["id"], trace_id, ok, error

with concurrent.futures.ThreadPoolExecutor(3) as pool: done = list(pool.map(run, TASKS))
spans, tasks, masks = list(recorder.spans), [], []
for task, task_id, trace, ok, error in done:
    seen, cost = [], None
    for a in (s["attributes"] for s in spans if s["trace_id"] == trace and s["attributes"].get("langfuse.observation.type") == "generation"):
        used = json.loads(a.get("langfuse.observation.usage_details") or "{}")   # the wrapper keeps OpenAI's names, the app writes Langfuse's
        seen.append((used.get("prompt_tokens", used.get("input", 0) + used.get("input_cached_tokens", 0)), used.get("completion_tokens", used.get("output", 0)), a["langfuse.observation.model.name"].startswith(ROUTER)))
        total = json.loads(a.get("langfuse.observation.cost_details") or "{}").get("total")
        cost = (cost or 0) + total if total else cost
    t = common.truth(endpoint, task, task_id, [trace], ok, error, quality_score=task.score, user_feedback=task.feedback and {"good": "accepted", "bad": "rejected"}[task.feedback], cost_usd_reported=cost)
    tasks.append(t)
    masks.append(common.mask(t, seen, task_description=("content_task", "recorded input of the root observation (langfuse.observation.input, JSON)"), error_type=("yes", "only as the text of level ERROR's status message"),
                             success="yes" if not ok else ("yes", "derived: root UNSET, last model call ended without error"),
                             quality_score=("profile", "key `score` in the output of the app's evaluator observation") if task.score else None,
                             user_feedback=("no", "scores go through Langfuse's HTTP API") if task.feedback else None))
if "--dump" in sys.argv: print(json.dumps(spans, indent=1, ensure_ascii=False)); sys.exit()
common.write("langfuse_sdk", spans, tasks, masks, endpoint, common.versions("langfuse", "openai", "opentelemetry-sdk"),
             "@observe + langfuse.openai wrapper, premium tier by hand-made generations (only those carry a cost); trace attributes propagated to every observation; values are JSON strings; scores leave no span")
