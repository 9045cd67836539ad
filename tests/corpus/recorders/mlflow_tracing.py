"""Records mlflow_tracing (and, with --semconv, mlflow_semconv): an issue bot traced by MLflow's autologging and @mlflow.trace, exported by MLflow's OTLP path.

mlflow-tracing 3.17.2, openai 3.54.0, opentelemetry-sdk 1.41.0 (+ exporter-otlp-proto-http). Run: python mlflow_tracing.py [--semconv]
With opentelemetry-sdk 1.45 this mlflow loses every root span whose trace has tags ("Cannot mutate immutable BoundedAttributes"), hence 1.41.
--semconv sets MLFLOW_ENABLE_OTEL_GENAI_SEMCONV, which translates mlflow.* attributes to gen_ai.* before the export.
"""
import json, os, sys, time
import common
from common import CHAINS, ROUTER, ROUTER_PROMPT, TASKS, TOOLS, WORK_PROMPT

endpoint, receiver = common.Endpoint(), common.Receiver()
NAME = "mlflow_semconv" if "--semconv" in sys.argv else "mlflow_tracing"
os.environ.update(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=receiver.url, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="http/protobuf", OTEL_SERVICE_NAME="issue-bot", OTEL_BSP_SCHEDULE_DELAY="200", MLFLOW_DISABLE_TELEMETRY="true", MLFLOW_TRACKING_URI=endpoint.url[:-3])
# a remote tracking server: with the default local store mlflow-tracing needs packages it does not install (sqlparse, yaml)
if "--semconv" in sys.argv: os.environ["MLFLOW_ENABLE_OTEL_GENAI_SEMCONV"] = "true"
import mlflow, openai
from mlflow.entities import SpanType
mlflow.openai.autolog()
client = openai.OpenAI(api_key="sk-test", base_url=endpoint.url, max_retries=0, timeout=1.0)

@mlflow.trace(name="route", span_type=SpanType.CHAIN)
def route(title):
    answer = client.chat.completions.create(model=ROUTER, max_completion_tokens=4, messages=[{"role": "system", "content": ROUTER_PROMPT}, {"role": "user", "content": title}])
    return {"tier": answer.choices[0].message.content.strip()}

@mlflow.trace(name="call_tool", span_type=SpanType.TOOL)
def call_tool(name, arguments): return TOOLS[name][1](**arguments)

@mlflow.trace(span_type=SpanType.AGENT)
def work(issue, model, repo, tool, stream):
    messages = [{"role": "system", "content": WORK_PROMPT.format(repo=repo)}, {"role": "user", "content": issue}]
    while True:
        if stream:
            parts = client.chat.completions.create(model=model, messages=messages, stream=True, stream_options={"include_usage": True})
            return "".join(p.choices[0].delta.content or "" for p in parts if p.choices)
        more = {"tools": [common.schema(tool)]} if tool else {}
        said = client.chat.completions.create(model=model, messages=messages, **more).choices[0].message
        if not said.tool_calls: return said.content
        messages.append(said.model_dump(exclude_none=True))
        for c in said.tool_calls: messages.append({"role": "tool", "tool_call_id": c.id, "content": call_tool(c.function.name, json.loads(c.function.arguments))})

class AllModelsFailed(Exception): pass

@mlflow.trace(name="handle_issue", span_type=SpanType.AGENT)
def handle(issue, number):
    task = by_number[number]
    mlflow.update_current_trace(tags={"task_id": number, "category": task.type, "repo": task.repo}, session_id=f"board-{task.n % 4}", user=("dana", "mo")[task.n % 2])
    tier = route(issue)["tier"]
    mlflow.update_current_trace(tags={"tier": tier})
    for model in CHAINS[tier]:
        for retry in range(2):
            try: return work(issue, model, task.repo, task.tool, task.stream)
            except (openai.RateLimitError, openai.InternalServerError): continue
            except openai.OpenAIError: break
        mlflow.get_current_active_span().add_event(mlflow.entities.SpanEvent(name="fallback", attributes={"from_model": model}))
    raise AllModelsFailed(f"no model of tier {tier} answered")

by_number = {f"#{400 + t.n}": t for t in TASKS}
def run(item):
    number, task = item
    try: handle(task.description, number=number); ok, error = True, None
    except AllModelsFailed as e: ok, error = False, type(e).__name__
    return task, number, ok, error   # quality and feedback would be mlflow.log_feedback: assessments of the tracking server, no spans

done = [run(item) for item in by_number.items()]   # one at a time: while one thread waits in an autologged call, MLflow leaves out other threads' calls
time.sleep(1.5)
spans = list(receiver.spans)
if "--dump" in sys.argv: print(json.dumps(spans, indent=1, ensure_ascii=False)); sys.exit()
tasks, masks, roots = [], [], {}
for s in spans: roots.setdefault(s["attributes"].get("mlflow.traceTag.task_id"), set()).add(s["trace_id"])
for task, number, ok, error in done:
    traces = sorted(roots[number]); seen = []
    for s in (s for s in spans if s["trace_id"] in traces and s["name"].startswith(("Completions", "chat"))):
        a = s["attributes"]; used = json.loads(a.get("mlflow.chat.tokenUsage") or "{}")
        seen.append((a.get("gen_ai.usage.input_tokens", used.get("input_tokens")), a.get("gen_ai.usage.output_tokens", used.get("output_tokens")), ROUTER in str(a.get("model", a.get("gen_ai.request.model")))))
    t = common.truth(endpoint, task, number, traces, ok, error, quality_score=task.score, user_feedback=task.feedback and {"good": "accepted", "bad": "rejected"}[task.feedback])
    tasks.append(t)
    masks.append(common.mask(t, seen, task_type=("profile", "trace tag `category`"), task_description=("content_prompt", "only inside recorded prompts") if "--semconv" in sys.argv else ("content_task", "recorded input of the root (mlflow.spanInputs, JSON)"),
                             **{f: ("no", "assessments go to the tracking server") for f in ("quality_score", "user_feedback") if t[f] is not None}))
common.write(NAME, spans, tasks, masks, endpoint, common.versions("mlflow-tracing", "openai", "opentelemetry-sdk"),
             "MLflow's own OTLP export of @mlflow.trace and autologged OpenAI calls; values are JSON strings; trace tags reach the root span only, session and user reach none" + ("; MLFLOW_ENABLE_OTEL_GENAI_SEMCONV=true" if "--semconv" in sys.argv else ""))
