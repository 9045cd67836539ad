"""Records logfire_openai: a worker that uses logfire.instrument_openai() and logfire.span with message templates and keyword attributes.

logfire 5.2.0, openai 3.54.0, opentelemetry-sdk 1.45.2. Run: python logfire_openai.py
Nothing is sent: send_to_logfire=False, an additional span processor records. Streaming answers are a span and a separate log span of the request;
`pending_span`s are not kept by the processor (they have no end of their own). The client retries nothing; retries are the app's.
"""
import concurrent.futures, json, sys
import common, logfire, openai
from common import CHAINS, ROUTER, ROUTER_PROMPT, TASKS, TOOLS, WORK_PROMPT

endpoint, recorder = common.Endpoint(), common.Recorder()
logfire.configure(send_to_logfire=False, console=False, service_name="repo-worker", service_version="0.4", environment="prod", additional_span_processors=[recorder], inspect_arguments=False)
client = openai.OpenAI(api_key="sk-test", base_url=endpoint.url, max_retries=0, timeout=1.0)
logfire.instrument_openai(client)

def pick_tier(task):
    with logfire.span("pick tier") as span:
        if len(task.description) < 75: tier, reason = task.tier, "short"   # a heuristic; otherwise a cheap model
        else:
            answer = client.chat.completions.create(model=ROUTER, max_completion_tokens=4, messages=[{"role": "system", "content": ROUTER_PROMPT}, {"role": "user", "content": task.description}])
            tier, reason = answer.choices[0].message.content.strip(), "classifier"
        span.set_attributes({"tier": tier, "reason": reason})
        return tier

def ask(task, model):
    messages = [{"role": "system", "content": WORK_PROMPT.format(repo=task.repo)}, {"role": "user", "content": task.description}]
    while True:
        if task.stream:
            parts = client.chat.completions.create(model=model, messages=messages, stream=True, stream_options={"include_usage": True})
            return "".join(p.choices[0].delta.content or "" for p in parts if p.choices)
        if task.n % 4 == 0 and not task.tool:   # some teams have moved on
            return client.responses.create(model=model, instructions=messages[0]["content"], input=task.description).output_text
        more = {"tools": [common.schema(task.tool)]} if task.tool else {}
        said = client.chat.completions.create(model=model, messages=messages, **more).choices[0].message
        if not said.tool_calls: return said.content
        messages.append(said.model_dump(exclude_none=True))
        for c in said.tool_calls:
            with logfire.span("run tool {tool}", tool=c.function.name, arguments=json.loads(c.function.arguments)): text = TOOLS[c.function.name][1](**json.loads(c.function.arguments))
            messages.append({"role": "tool", "tool_call_id": c.id, "content": text})

def work(task, span):
    tier = pick_tier(task)
    span.set_attribute("tier", tier)
    for model in CHAINS[tier]:
        for retry in range(2):
            try: text = ask(task, model); span.set_attribute("model", model); return text
            except openai.OpenAIError as e:
                last = e
                if not isinstance(e, (openai.RateLimitError, openai.InternalServerError)): break
                logfire.warn("attempt {attempt} with {model} failed", attempt=retry + 1, model=model)
        logfire.warn("falling back from {from_model}", from_model=model, _exc_info=last)
    raise last

def run(task):
    task_id, ok, error = f"rw-{task.n:03d}", True, None
    try:
        with logfire.span("task {task_id}: {title}", task_id=task_id, title=task.description, task_type=task.type, repo=task.repo, labels=[task.type, "bot"], _tags=["worker"]) as span:
            trace = f"{span.get_span_context().trace_id:032x}"
            work(task, span)
            logfire.info("checks for {task_id} passed: {quality_score:.2f}", task_id=task_id, quality_score=task.score)
    except openai.OpenAIError as e: ok, error = False, type(e).__name__
    if task.feedback: logfire.info("feedback for {task_id}", task_id=task_id, accepted=task.feedback == "good", rating=4 if task.feedback == "good" else 2)
    return task, task_id, trace, ok, error

with concurrent.futures.ThreadPoolExecutor(2) as pool: done = list(pool.map(run, TASKS))
spans = list(recorder.spans)
if "--dump" in sys.argv: print(json.dumps(spans, indent=1, ensure_ascii=False)); sys.exit()
tasks, masks = [], []
for task, task_id, trace, ok, error in done:
    traces = list(dict.fromkeys([trace] + [s["trace_id"] for s in spans if s["attributes"].get("task_id") == task_id]))   # feedback is a log of its own trace
    mine = [s for s in spans if s["trace_id"] == trace and s["scope"]["name"] == "logfire.openai"]
    seen = []
    for s in (s for s in mine if s["kind"] == "CLIENT"):
        a = s["attributes"]
        if "gen_ai.usage.input_tokens" not in a and s["status"]["code"] != "ERROR":   # streamed: usage is on the log span that follows
            a = next((x["attributes"] for x in mine if x["attributes"].get("logfire.span_type") == "log"), a)
        seen.append((a.get("gen_ai.usage.input_tokens"), a.get("gen_ai.usage.output_tokens"), a["gen_ai.request.model"] == ROUTER))
    t = common.truth(endpoint, task, task_id, traces, ok, error, quality_score=task.score if ok else None, user_feedback=task.feedback and {"good": "accepted", "bad": "rejected"}[task.feedback])
    own = lambda key: ("profile", f"app's own attribute name `{key}`")
    tasks.append(t)
    masks.append(common.mask(t, seen, task_description=own("title"), user_feedback=("profile", "bare `accepted` and `rating` on a log span `feedback for {task_id}`") if task.feedback else None,
                             user_rating_truth={"good": 4, "bad": 2}.get(task.feedback), success="yes" if not ok else ("yes", "derived: root UNSET, last model call ended without error")))
common.write("logfire_openai", spans, tasks, masks, endpoint, common.versions("logfire", "openai", "opentelemetry-sdk"),
             "logfire.span templates, logs are zero-length spans; a streamed call is a CLIENT span without usage and a log span (parent flagged remote) with it; feedback is a trace of its own with the task_id")
