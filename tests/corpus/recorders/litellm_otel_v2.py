"""Records litellm_otel_v2: an app that calls a LiteLLM proxy with the new OpenTelemetry engine and the complexity router.

litellm[proxy] 1.106.2, openai 2.54.0, opentelemetry-sdk 1.45.2 (+ exporter-otlp-proto-http). Run: python litellm_otel_v2.py
LITELLM_OTEL_V2=true switches the engine on; `route ...` phase spans and `litellm.routing.*` need the proxy, so it runs as a process of its own and
exports by OTLP to a local receiver. App and proxy share traces by `traceparent`; retries and fallbacks are the proxy's.
"""
import concurrent.futures, json, os, re, subprocess, sys, tempfile, time, urllib.request
import common, openai
from common import CHAINS, ROUTER, TASKS, TOOLS, WORK_PROMPT
from opentelemetry import propagate
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Status, StatusCode

LABELS = {"SIMPLE": "fast", "MEDIUM": "balanced", "COMPLEX": "premium", "REASONING": "deep"}
endpoint, recorder = common.Endpoint(router_text=lambda task: json.dumps({"tier": task.tier})), common.Recorder()
receiver = common.Receiver(into=recorder.spans)   # one list, in order of arrival
models = [dict(model_name=m, litellm_params=dict(model="openai/" + m, api_base=endpoint.url, api_key="sk-" + region, timeout=1.0), model_info=dict(id=f"{m}-{region}"))
          for m in (ROUTER, "gpt-4o-mini", "gpt-4o", "gpt-4.1", "gpt-5") for region in ("eu", "us")]   # two deployments each: a lone one is not retried
router = dict(model="auto_router/complexity_router", complexity_router_config=dict(classifier_type="llm", classifier_llm_config=dict(model=ROUTER, timeout_ms=3000), tier_labels=LABELS,
              tiers=dict(SIMPLE="gpt-4o-mini", MEDIUM="gpt-4o", COMPLEX="gpt-5", REASONING="gpt-5")))
config = dict(model_list=models + [dict(model_name="smart-router", litellm_params=router)],
              router_settings=dict(num_retries=1, retry_after=0, retry_policy=dict(RateLimitErrorRetries=1, InternalServerErrorRetries=1), fallbacks=[{c[0]: [c[1]]} for c in CHAINS.values()], disable_cooldowns=True),
              litellm_settings=dict(callbacks=["otel"]), general_settings=dict(master_key="sk-proxy"))
KEYS = "requester_metadata.task_id,requester_metadata.task_type,requester_metadata.repo"

def start_proxy(folder):
    path, port = os.path.join(folder, "config.yaml"), 4000 + os.getpid() % 20000
    with open(path, "w") as f: json.dump(config, f)   # JSON is YAML
    env = {**os.environ, "LITELLM_OTEL_V2": "true", "OTEL_EXPORTER": "otlp_http", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": receiver.url, "OTEL_SERVICE_NAME": "litellm-proxy", "OTEL_BSP_SCHEDULE_DELAY": "300",
           "LITELLM_OTEL_BAGGAGE_METADATA_KEYS": KEYS, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOCAL_POLICY_TEMPLATES": "True", "NO_PROXY": "*", "LITELLM_TELEMETRY": "False"}
    child = subprocess.Popen([os.path.join(os.path.dirname(sys.executable), "litellm"), "--config", path, "--host", "127.0.0.1", "--port", str(port)], env=env, cwd=folder,
                             stdout=open(os.path.join(folder, "proxy.log"), "w"), stderr=subprocess.STDOUT)
    for _ in range(240):
        try: urllib.request.urlopen(f"http://127.0.0.1:{port}/health/liveliness", timeout=1); return child, f"http://127.0.0.1:{port}"
        except OSError: time.sleep(0.5)
    child.terminate(); sys.exit(open(os.path.join(folder, "proxy.log")).read()[-3000:])

provider = TracerProvider(resource=Resource.create({"service.name": "build-bot", "service.version": "2.4.1"}))
provider.add_span_processor(recorder)
tracer = provider.get_tracer("buildbot.worker", "2.4.1")

def headers():
    h = {}; propagate.inject(h); return h

def solve(client, task, task_id):
    """The app knows neither tiers nor models: it asks `smart-router` and sends its ids as LiteLLM metadata."""
    messages = [{"role": "system", "content": WORK_PROMPT.format(repo=task.repo)}, {"role": "user", "content": task.description}]
    body = {"metadata": {"task_id": task_id, "task_type": task.type, "repo": task.repo, "tags": [task.type]}, "litellm_session_id": f"nightly-{task.n % 3}", "user": ("dana", "mo")[task.n % 2]}
    while True:
        more = {"tools": [common.schema(task.tool)]} if task.tool else {}
        if task.stream:
            parts = client.chat.completions.create(model="smart-router", messages=messages, stream=True, stream_options={"include_usage": True}, extra_body=body, extra_headers=headers())
            return "".join(p.choices[0].delta.content or "" for p in parts if p.choices)
        said = client.chat.completions.create(model="smart-router", messages=messages, extra_body=body, extra_headers=headers(), **more).choices[0].message
        if not said.tool_calls: return said.content
        messages.append({"role": "assistant", "tool_calls": [c.model_dump() for c in said.tool_calls]})
        for c in said.tool_calls:
            with tracer.start_as_current_span(f"tool {c.function.name}"): messages.append({"role": "tool", "tool_call_id": c.id, "content": TOOLS[c.function.name][1](**json.loads(c.function.arguments))})

def run(args):
    client, task = args; task_id = f"BB-{7000 + task.n}"
    with tracer.start_as_current_span("process task", attributes={"task.id": task_id, "task.title": task.description}, set_status_on_exception=False, record_exception=False) as span:
        try:
            solve(client, task, task_id); ok, error = True, None
            if task.score: span.set_attribute("task.quality_score", task.score)
            if task.feedback: span.add_event("user feedback", {"feedback.rating": {"good": 5, "bad": 2}[task.feedback], "feedback.accepted": task.feedback == "good"})
        except openai.OpenAIError as e:
            ok, error = False, type(e).__name__
            span.set_attribute("error.type", error); span.set_status(Status(StatusCode.ERROR, str(e)[:200]))
        return task, task_id, f"{span.get_span_context().trace_id:032x}", ok, error

with tempfile.TemporaryDirectory() as folder:
    child, url = start_proxy(folder)
    try:
        client = openai.OpenAI(api_key="sk-proxy", base_url=url, max_retries=0, timeout=30)
        with concurrent.futures.ThreadPoolExecutor(2) as pool: done = list(pool.map(run, [(client, t) for t in TASKS]))
        time.sleep(4)
    finally:
        child.terminate(); child.wait(20); log = open(os.path.join(folder, "proxy.log")).read()

mine = {d[2] for d in done}
spans = [s for s in recorder.spans if s["trace_id"] in mine]   # without the traces of the health checks
tasks, masks = [], []
for task, task_id, trace, ok, error in done:
    chats = [s["attributes"] for s in spans if s["trace_id"] == trace and s["attributes"].get("gen_ai.operation.name") == "chat"]
    seen = [(a.get("gen_ai.usage.input_tokens"), a.get("gen_ai.usage.output_tokens"), a.get("litellm.request.purpose") == "autorouter_classifier") for a in chats]
    cost = sum(a.get("litellm.cost.total", 0) for a in chats)
    rating = {"good": 5, "bad": 2}.get(task.feedback) if ok else None
    t = common.truth(endpoint, task, task_id, [trace], ok, error, quality_score=task.score if ok else None, user_feedback=task.feedback and ok and {"good": "accepted", "bad": "rejected"}[task.feedback] or None, cost_usd_reported=round(cost, 9))
    shown = {re.sub("-[0-9]{4}-.*", "", (a.get("litellm.provider.model") or "").split("/")[-1]) for a in chats}
    hidden = [m for m in t["models_attempted"] if m not in shown]
    tasks.append(t)
    masks.append(common.mask(t, seen, user_rating_truth=rating, fallback_used=("no", "the failed fallback call leaves a span `route <model>` but no call") if hidden else ("yes", "derived from the order of attempts"),
                             success="yes" if not ok else ("yes", "derived: root UNSET, last model call ended without error"), model=("yes", "litellm.provider.model or the response; the requested one is the alias `smart-router`")))
if "--dump" in sys.argv: print(json.dumps(spans, indent=1, ensure_ascii=False)); print(log[-3000:], file=sys.stderr); sys.exit()
common.write("litellm_otel_v2", spans, tasks, masks, endpoint, common.versions("litellm", "openai", "opentelemetry-sdk"),
             "LiteLLM proxy, LITELLM_OTEL_V2=true, complexity router with an LLM classifier (asked again for every call); the app's root span has remote children; tier truth is litellm.routing.tier_label")
