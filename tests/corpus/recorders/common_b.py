"""Records span fixtures: a scripted fake OpenAI endpoint, a processor that keeps every ended span, and the three files of a producer.

Pinned: opentelemetry-sdk as named in each recorder; this file itself needs the SDK only. Truth comes from the server's own log of
requests: a request belongs to the task whose text it contains, so no marker has to be put into prompts, headers or spans.
"""
import contextlib
import contextvars
import dataclasses
import gzip
import http.server
import json
import os
import re
import sys
import threading
import time
from collections import Counter, defaultdict
from importlib.metadata import version
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent
ROUTER_MODEL = "gpt-4.1-nano"
SNAPSHOTS = {"gpt-4.1-nano": "gpt-4.1-nano-2025-04-14", "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14", "gpt-4o": "gpt-4o-2024-08-06",
             "gpt-4o-mini": "gpt-4o-mini-2024-07-18", "gpt-5": "gpt-5-2025-08-07", "gpt-4.1": "gpt-4.1-2025-04-14"}
FAULTS = {"429": (429, "rate_limit_exceeded", "Rate limit reached for {m} on tokens per min (TPM): Limit 30000, Used 29512. Please try again in 1.4s."),
          "500": (500, "server_error", "The server had an error while processing your request. Sorry about that!"),
          "503": (503, "service_unavailable", "The engine is currently overloaded, please try again later."),
          "401": (401, "invalid_api_key", "Incorrect API key provided: sk-fa**ke. You can find your API key in the settings."),
          "404": (404, "model_not_found", "The model `{m}` does not exist or you do not have access to it."),
          "400ctx": (400, "context_length_exceeded", "This model's maximum context length is 128000 tokens. However, your messages resulted in 131842 tokens.")}
TIMEOUT_S = 1.0
"""What clients are to use as their timeout; the fault `timeout` answers later than that."""


@dataclasses.dataclass
class Task:
    id: str
    type: str
    text: str
    repo: str | None
    tier: str
    faults: dict = dataclasses.field(default_factory=dict)
    """model -> kinds of failure of its successive calls; a trailing `*` repeats the last one for ever."""
    tools: tuple = ()
    """Names of the tools the model asks for before it answers."""
    stream: bool = False
    quality: float | None = None
    feedback: str | None = None
    session: str = "s1"
    extra: dict = dataclasses.field(default_factory=dict)

    @property
    def needle(self):
        """The longest piece of the text that no quoting or escaping changes."""
        return max(re.split(r'[^A-Za-z0-9 .,/_-]', self.text), key=len)


# ---------------------------------------------------------------------------------------------- the fake endpoint
class FakeLLM:
    """OpenAI chat completions and responses, plain and streamed, on 127.0.0.1. `reply(request, task)` may return text or (tool, args)."""

    def __init__(self, tasks, reply=None, router_model=ROUTER_MODEL):
        self.tasks, self.log, self.lock, self.used, self.ids, self.custom, self.router_model = tasks, [], threading.Lock(), defaultdict(list), {}, reply, router_model
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *a): pass

            def do_POST(self):
                raw = self.rfile.read(int(self.headers["content-length"]))
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    outer.serve(self, json.loads(raw))

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def serve(self, h, req):
        flat = json.dumps(req, ensure_ascii=False)
        task = next((t for t in self.tasks if t.needle in flat), None) or self.ids.get(req.get("previous_response_id"))
        model, router = req["model"], req["model"] == self.router_model
        entry = dict(path=h.path.split("?")[0], model=model, stream=bool(req.get("stream")), router_call=router, task=task and task.id)
        with self.lock:
            self.log.append(entry)
            plan, n = (task.faults.get(model, []) if task else []), len(self.used[entry["task"], model])
            self.used[entry["task"], model].append(1)
        kind = plan[n] if n < len(plan) else plan[-1] if plan and plan[-1].endswith("*") else None
        if kind: return self.fail(h, entry, kind.rstrip("*"), model)
        time.sleep(0.01)
        text, tool = self.answer(req, task)
        tin = len(json.dumps(req)) // 4
        tout = max(4, len(text or json.dumps(tool)) // 4)
        entry.update(status=200, kind=None, input_tokens=tin, output_tokens=tout, response_model=SNAPSHOTS.get(model, model), finish="stop", tool_calls=[tool[0]] if tool else [])
        (self.responses if h.path.endswith("/responses") else self.chat)(h, req, entry, text, tool)

    def fail(self, h, entry, kind, model):
        if kind == "timeout":
            entry.update(status=None, kind=kind, message="(no answer in time)")
            time.sleep(TIMEOUT_S + 0.6)
            h.close_connection = True
            return
        if kind == "filter":
            entry.update(status=400, kind=kind, message="The response was filtered due to the prompt triggering our content management policy.")
            return self.send(h, 400, {"error": {"message": entry["message"], "type": "invalid_request_error", "code": "content_filter", "param": "prompt"}})
        status, code, msg = FAULTS[kind]
        entry.update(status=status, kind=kind, message=msg.format(m=model))
        self.send(h, status, {"error": {"message": entry["message"], "type": code, "code": code, "param": None}})

    def answer(self, req, task):
        got = self.custom(req, task) if self.custom else None
        if got is not None: return (None, got) if isinstance(got, tuple) else (got, None)
        if task is None: return "noted", None
        if req["model"] == self.router_model: return task.tier, None
        done = sum(m.get("role") == "tool" or m.get("type") == "function_call_output" for m in req.get("messages") or req.get("input") or [] if isinstance(m, dict))
        if req.get("tools") and done < len(task.tools): return None, (task.tools[done], {"query": task.needle.strip()[:30]})
        return f"Result for the {task.type} request: handled step by step, checked against the notes, and summed up in {3 + len(task.text) % 5} points.", None

    def send(self, h, status, body):
        data = json.dumps(body).encode()
        h.send_response(status)
        h.send_header("content-type", "application/json")
        h.send_header("content-length", str(len(data)))
        h.end_headers()
        h.wfile.write(data)

    def sse(self, h, chunks, done=True, named=False):
        h.send_response(200)
        h.send_header("content-type", "text/event-stream")
        h.send_header("connection", "close")
        h.end_headers()
        for c in chunks:
            h.wfile.write(((f"event: {c['type']}\n" if named else "") + f"data: {json.dumps(c)}\n\n").encode())
        if done: h.wfile.write(b"data: [DONE]\n\n")
        h.close_connection = True

    def chat(self, h, req, entry, text, tool):
        rid, model = f"chatcmpl-{len(self.log):06d}", entry["response_model"]
        calls = [{"id": f"call_{len(self.log):06d}", "type": "function", "function": {"name": tool[0], "arguments": json.dumps(tool[1])}}] if tool else None
        usage = {"prompt_tokens": entry["input_tokens"], "completion_tokens": entry["output_tokens"], "total_tokens": entry["input_tokens"] + entry["output_tokens"],
                 "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0}}
        head = {"id": rid, "created": int(time.time()), "model": model, "system_fingerprint": "fp_fake"}
        finish = "tool_calls" if tool else "stop"
        if not req.get("stream"):
            msg = {"role": "assistant", "content": text, "refusal": None, **({"tool_calls": calls} if tool else {})}
            return self.send(h, 200, {**head, "object": "chat.completion", "choices": [{"index": 0, "message": msg, "logprobs": None, "finish_reason": finish}], "usage": usage})
        part = lambda delta, fin=None: {**head, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": fin}]}
        out = [part({"role": "assistant", "content": ""})]
        out += [part({"tool_calls": [{"index": 0, **calls[0]}]})] if tool else [part({"content": w + " "}) for w in text.split(" ")]
        out.append(part({}, finish))
        if (req.get("stream_options") or {}).get("include_usage"): out.append({**head, "object": "chat.completion.chunk", "choices": [], "usage": usage})
        else: entry["usage_sent"] = False
        self.sse(h, out)

    def responses(self, h, req, entry, text, tool):
        rid = f"resp_{len(self.log):06d}"
        self.ids[rid] = next((t for t in self.tasks if t.id == entry["task"]), None)
        item = ({"id": f"fc_{rid}", "type": "function_call", "status": "completed", "call_id": f"call_{rid}", "name": tool[0], "arguments": json.dumps(tool[1])} if tool else
                {"id": f"msg_{rid}", "type": "message", "status": "completed", "role": "assistant", "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]})
        usage = {"input_tokens": entry["input_tokens"], "output_tokens": entry["output_tokens"], "total_tokens": entry["input_tokens"] + entry["output_tokens"],
                 "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
        base = {"id": rid, "object": "response", "created_at": int(time.time()), "error": None, "incomplete_details": None, "instructions": None, "metadata": {}, "model": entry["response_model"],
                "parallel_tool_calls": True, "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0}
        full = {**base, "status": "completed", "output": [item], "usage": usage}
        if not req.get("stream"): return self.send(h, 200, full)
        out = [{"type": "response.created", "response": {**base, "status": "in_progress", "output": [], "usage": None}}, {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress", **({"arguments": ""} if tool else {"content": []})}}]
        if tool: out += [{"type": "response.function_call_arguments.delta", "item_id": item["id"], "output_index": 0, "delta": item["arguments"]}, {"type": "response.function_call_arguments.done", "item_id": item["id"], "output_index": 0, "arguments": item["arguments"]}]
        else:
            out.append({"type": "response.content_part.added", "item_id": item["id"], "output_index": 0, "content_index": 0, "part": {"type": "output_text", "text": "", "annotations": []}})
            out += [{"type": "response.output_text.delta", "item_id": item["id"], "output_index": 0, "content_index": 0, "delta": w + " ", "logprobs": []} for w in text.split(" ")]
            out.append({"type": "response.output_text.done", "item_id": item["id"], "output_index": 0, "content_index": 0, "text": text, "logprobs": []})
        out += [{"type": "response.output_item.done", "output_index": 0, "item": item}, {"type": "response.completed", "response": full}]
        self.sse(h, [{**c, "sequence_number": i} for i, c in enumerate(out)], done=False, named=True)


# ---------------------------------------------------------------------------------------------- keeping the spans
CURRENT = contextvars.ContextVar("task", default=None)
"""The task under way: tells which task a new trace belongs to, and is on no span."""


@contextlib.contextmanager
def under(task):
    token = CURRENT.set(task.id)
    try: yield
    finally: CURRENT.reset(token)


def make_recorder():
    from opentelemetry.sdk.trace import SpanProcessor

    class Recorder(SpanProcessor):
        def __init__(self): self.spans, self.traces, self.started = [], {}, 0

        def on_start(self, span, parent_context=None):
            self.started += 1
            if CURRENT.get(): self.traces.setdefault(span.get_span_context().trace_id, CURRENT.get())

        def on_end(self, span): self.spans.append(span)

    return Recorder()


def provider(service, set_global=True, **resource):
    """A TracerProvider that records; returns (provider, recorder)."""
    from opentelemetry import trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    rec, tp = make_recorder(), TracerProvider(resource=Resource.create({"service.name": service, **resource}))
    tp.add_span_processor(rec)
    if set_global: trace.set_tracer_provider(tp)
    return tp, rec


SCRUB = [(re.compile(r"(/[^\s\"',:()\\]+)*/(site|dist)-packages/"), "/site-packages/"), (re.compile(r"(/[^\s\"',:()\\]+)*/lib/python3\.\d+/"), "/python3/"),
         (re.compile(re.escape(str(OUT)) + r"/recorders/"), "/app/"), (re.compile(re.escape(os.path.expanduser("~"))), "/home/user"), (re.compile(re.escape(os.uname().nodename)), "host")]


def scrub(v):
    if isinstance(v, str):
        for pat, to in SCRUB: v = pat.sub(to, v)
        return v
    if isinstance(v, (list, tuple)): return [scrub(x) for x in v]
    if isinstance(v, dict): return {k: scrub(x) for k, x in v.items()}
    return v


def as_dict(s):
    c, sc = s.context, s.instrumentation_scope
    res = {k: v for k, v in s.resource.attributes.items() if not k.startswith(("host.", "process.", "os."))}
    return scrub(dict(
        name=s.name, trace_id=f"{c.trace_id:032x}", span_id=f"{c.span_id:016x}", trace_flags=int(c.trace_flags), trace_state=c.trace_state.to_header() if c.trace_state else "",
        parent_id=f"{s.parent.span_id:016x}" if s.parent else None, parent_is_remote=bool(s.parent and s.parent.is_remote), kind=s.kind.name, start_time_unix_nano=s.start_time, end_time_unix_nano=s.end_time,
        status=dict(code=s.status.status_code.name, description=s.status.description), attributes=dict(s.attributes or {}),
        events=[dict(name=e.name, time_unix_nano=e.timestamp, attributes=dict(e.attributes or {})) for e in s.events],
        links=[dict(trace_id=f"{l.context.trace_id:032x}", span_id=f"{l.context.span_id:016x}", attributes=dict(l.attributes or {})) for l in s.links],
        dropped=dict(attributes=s.dropped_attributes, events=s.dropped_events, links=s.dropped_links), resource=dict(attributes=res, schema_url=s.resource.schema_url or ""),
        scope=dict(name=sc.name, version=sc.version or "", schema_url=sc.schema_url or "", attributes=dict(sc.attributes or {})) if sc else None))


# ---------------------------------------------------------------------------------------------- truth and mask
def truth_of(task, calls, traces, result):
    """What the server saw of one task, and what the app made of it."""
    ok, bad = [c for c in calls if c["kind"] is None], [c for c in calls if c["kind"]]
    work = [c for c in calls if not c["router_call"]]
    good = [c for c in work if c["kind"] is None]
    seq = [c["model"] for c in work]
    attempted = list(dict.fromkeys(seq))
    # A fallback: a failed work call was followed by a call to another model, whatever came of that.
    fell = any(a["kind"] and b["model"] != a["model"] for a, b in zip(work, work[1:]))
    final = good[-1] if good else None
    total = lambda cs, k: sum(c[k] for c in cs)
    return dict(
        task_id=result.get("task_id", task.id), task_type=task.type, description=task.text, repo=task.repo, tier_selected=result.get("tier", task.tier), trace_ids=traces,
        models_attempted=attempted, final_model=final and final["model"], response_model=final and final["response_model"], fallback_used=result.get("fallback_used", fell), http_calls=len(calls), failed_http_calls=len(bad),
        error_kinds=[c["kind"] for c in bad], input_tokens=total(ok, "input_tokens"), output_tokens=total(ok, "output_tokens"), input_tokens_without_router_calls=total(good, "input_tokens"),
        output_tokens_without_router_calls=total(good, "output_tokens"), tools_used=[t for c in ok for t in c["tool_calls"]], success=result["success"], error_type=result.get("error_type"),
        error_message=result.get("error_message"), quality_score=result.get("quality_score"), user_feedback=result.get("user_feedback"), cost_usd_reported=result.get("cost"), session=task.session,
        streamed=task.stream, calls=calls)


def write(name, *, tasks, results, recorder, log, versions, notes, leaf, mask, extra_truth=None):
    """Writes the three files. `leaf(span, spans of the task)` -> dict(input, output, router) of a span that stands for ONE model call, else None; `mask(task, truth, spans, result)` -> classes per field."""
    spans = [as_dict(s) for s in recorder.spans]
    owner = {f"{t:032x}": task for t, task in recorder.traces.items()}
    of = defaultdict(list)
    for s in spans: of[owner.get(s["trace_id"])].append(s)
    expected, masks, trouble = [], {}, []
    for t in tasks:
        mine, calls = of[t.id], [{k: v for k, v in c.items() if k != "task"} for c in log if c["task"] == t.id]
        truth = truth_of(t, calls, list(dict.fromkeys(s["trace_id"] for s in mine)), results[t.id])
        if extra_truth: truth.update(extra_truth(t, truth, mine, results[t.id]) or {})
        seen = [x for x in (leaf(s, mine) for s in mine) if x]
        count = lambda key: {"all": [sum(x[key] or 0 for x in seen)], "work": [sum(x[key] or 0 for x in seen if not x["router"])]}
        m = {k: ["yes"] for k in ("task_id", "task_type", "repo", "task_description", "model_tier", "grouping", "success", "fallback_used", "error_type", "input_tokens", "output_tokens", "attempt_count")}
        if truth["final_model"]: m["model"] = ["yes"]
        for f, k in (("quality_score", "quality_score"), ("user_feedback", "user_feedback"), ("actual_cost", "cost_usd_reported")):
            if truth[k] is not None: m[f] = ["yes"]
        m["fallback_used"] = ["yes", "derived from the order of attempts"]
        m.update(input_tokens_accept=count("input"), output_tokens_accept=count("output"), attempt_count_accept={"all": [len(seen)], "work": [sum(not x["router"] for x in seen)]}, model_tier_truth=truth["tier_selected"])
        m.update({k: v for k, v in mask(t, truth, mine, results[t.id]).items() if k in m or k.endswith(("_truth", "_accept"))})
        if truth["repo"] is None: m.pop("repo")
        if truth["task_type"] is None: m.pop("task_type")
        if truth["tier_selected"] is None: m.pop("model_tier")
        m = {k: v for k, v in m.items() if v is not None}
        m = {k: v for k, v in m.items() if not k.endswith("_accept") or k[:-7] in m}
        for a, b in (("input_tokens", "input_tokens"), ("output_tokens", "output_tokens")):
            if a in m and truth[b] not in m[a + "_accept"]["all"]: trouble.append(f"{t.id}: {a} on spans {m[a + '_accept']['all']}, truth {truth[b]} ({m[a][0]})")
        if "attempt_count" in m and len(calls) not in m["attempt_count_accept"]["all"]: trouble.append(f"{t.id}: {len(seen)} call spans, {len(calls)} requests ({m['attempt_count'][0]})")
        expected.append(truth)
        masks[truth["task_id"]] = m
    ids = {s["span_id"] for s in spans}
    orphans = [s["name"] for s in spans if s["parent_id"] and s["parent_id"] not in ids]
    file = dict(producer=name, versions=versions, notes=notes, n_tasks=len(tasks), n_spans=len(spans), n_traces=len({s["trace_id"] for s in spans}), n_success=sum(t["success"] for t in expected),
                unattributed_http_calls=sum(c["task"] is None for c in log), spans_of_no_task=len(of[None]), orphans=len(orphans), scopes=dict(Counter(f"{s['scope']['name']}@{s['scope']['version']}" for s in spans)), tasks=expected)
    with open(OUT / f"{name}.jsonl.gz", "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", mtime=0, filename="", compresslevel=9) as z:
        for s in spans: z.write((json.dumps(s, ensure_ascii=False) + "\n").encode())
    dump = lambda kind, d: (OUT / f"{name}.{kind}.json").write_text(json.dumps(scrub(d), ensure_ascii=False, indent=1) + "\n", encoding="utf8")
    dump("expected", file)
    dump("recoverable", dict(producer=name, classes="yes | profile (app's own names) | content_task | content_prompt | no", tasks=masks))
    print(f"{name}: {len(spans)} spans, {file['n_traces']} traces, {len(tasks)} tasks, {file['n_success']} fine, {(OUT / f'{name}.jsonl.gz').stat().st_size} bytes; started {recorder.started}; orphans {orphans[:5]}; "
          f"of no task {len(of[None])} {sorted({s['name'] for s in of[None]})[:6]}; unattributed calls {file['unattributed_http_calls']}; no trace: {[t['task_id'] for t in expected if not t['trace_ids']]}")
    for line in trouble: print("  differs:", line)


def versions(*names): return {n: version(n) for n in (*names, "opentelemetry-sdk")}


def tree(spans, trace=None, keys=(), out=sys.stdout):
    """Prints span trees, for looking at a recording."""
    kids = defaultdict(list)
    for s in spans: kids[s["parent_id"] if any(p["span_id"] == s["parent_id"] for p in spans if p["trace_id"] == s["trace_id"]) else None].append(s)

    def show(s, depth):
        print("  " * depth + s["name"], {"ERROR": "!", "OK": "+", "UNSET": ""}[s["status"]["code"]], s["scope"]["name"], {k: s["attributes"].get(k) for k in keys if k in s["attributes"]}, [e["name"] for e in s["events"]], "link" if s["links"] else "", file=out)
        for k in sorted(kids[s["span_id"]], key=lambda k: k["start_time_unix_nano"]): show(k, depth + 1)

    for s in kids[None]:
        if trace is None or s["trace_id"] == trace: show(s, 0)
