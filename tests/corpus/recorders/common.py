"""Shared by the corpus recorders: fake LLM endpoint, task list, recording span processor, and the writer of the three files.

Each recorder runs in its own virtual environment with the real, unmodified packages; only `opentelemetry-sdk` is needed here.

The endpoint finds the task of a request by its description (unique per task) in the request's text, so that prompts need no
marker, and keeps a log of every HTTP request: the truth in `*.expected.json` is made from that log, never from the spans.
"""
import collections, gzip, http.server, json, os, re, socket, threading, time, zlib

OUT = os.environ.get("CORPUS_OUT") or os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CHAINS = {"fast": ["gpt-4o-mini", "gpt-4o"], "balanced": ["gpt-4o", "gpt-4.1"], "premium": ["gpt-5", "gpt-4.1"]}
ROUTER = "gpt-4.1-nano"
DATED = {"gpt-4o-mini": "gpt-4o-mini-2024-07-18", "gpt-4o": "gpt-4o-2024-08-06", "gpt-4.1": "gpt-4.1-2025-04-14", "gpt-5": "gpt-5-2025-08-07", ROUTER: ROUTER + "-2025-04-14"}
ROUTER_PROMPT = "You are a dispatcher. Answer with one word: fast, balanced or premium."
WORK_PROMPT = "You are a coding agent for {repo}."
MESSAGES = {"429": "Rate limit reached for {model} on requests per min (RPM): Limit 3, Used 3.", "500": "The server had an error while processing your request. Sorry about that!",
            "503": "The engine is currently overloaded, please try again later.", "401": "Incorrect API key provided: sk-***. You can find your API key at your account page.",
            "404": "The model `{model}` does not exist or you do not have access to it.",
            "400ctx": "This model's maximum context length is 128000 tokens. However, your messages resulted in 131204 tokens."}
TYPES = {"429": "rate_limit_exceeded", "500": "server_error", "503": "server_error", "401": "invalid_request_error", "404": "invalid_request_error", "400ctx": "invalid_request_error"}
CODES = {"429": "rate_limit_exceeded", "401": "invalid_api_key", "404": "model_not_found", "400ctx": "context_length_exceeded"}

Task = collections.namedtuple("Task", "n type description repo tier faults tool stream score feedback")
def _t(n, type, description, repo, tier, faults=None, tool=None, stream=False, score=None, feedback=None):
    return Task(n, type, description, repo, tier, faults or {}, tool, stream, score, feedback)

# faults: model -> kinds of its first calls; a last "*" repeats the one before it for ever
TASKS = [
    _t(1, "code_generation", "Add a `--dry-run` flag to the import command and document it in the README", "acme/cli", "fast", score=0.91, feedback="good"),
    _t(2, "bug_fix", "Orders with more than 100 line items time out; find the N+1 query and fix it", "acme/shop-api", "balanced", tool="search_code", score=0.84),
    _t(3, "bug_fix", "Fix \"TypeError: Cannot read properties of undefined (reading 'id')\" in the checkout wizard", "acme/web", "balanced", {"gpt-4o": ["429", "*"]}, score=0.72),
    _t(4, "refactoring", "Split PaymentService into a gateway port and two adapters; keep the public API stable", "acme/billing-api", "premium", {"gpt-5": ["500", "*"]}, score=0.66, feedback="bad"),
    _t(5, "documentation", "Übersetze die Hilfeseite „Rechnungen prüfen“ ins Englische – Ton wie bisher", "acme/docs", "fast", stream=True, score=0.95, feedback="good"),
    _t(6, "test_writing", "Write property-based tests for the money rounding helper (half-even, negative amounts)", "acme/billing-api", "balanced", {"gpt-4o": ["timeout", "*"]}, score=0.58),
    _t(7, "code_review", "Review the diff that replaces requests by httpx in the webhook worker", "acme/hooks", "premium", stream=True, score=0.88),
    _t(8, "code_generation", "Implement a sliding-window rate limiter with {limit, window} read from YAML", "acme/gateway", "premium", {"gpt-5": ["401", "*"]}, tool="read_file", score=0.77),
    _t(9, "bug_fix", "Scheduler skips the run at 02:30 on the day the clocks change (Europe/Zürich)", "acme/cron", "balanced", {"gpt-4o": ["500"]}, score=0.81),
    _t(10, "refactoring", "Replace the hand-rolled LRU cache by functools.lru_cache where the semantics allow it", "acme/cli", "fast", {"gpt-4o-mini": ["429"]}, score=0.69, feedback="good"),
    _t(11, "test_writing", "Add regression tests for the CSV importer: quoted newlines, BOM, and empty trailing columns", "acme/import", "balanced", {"gpt-4o": ["503", "*"], "gpt-4.1": ["500", "*"]}, feedback="bad"),
    _t(12, "documentation", "Describe the \"retry budget\" setting, its default and when to raise it", "acme/docs", "fast", tool="read_file", score=0.9),
    _t(13, "code_review", "Check the new SQL migration for locks on the invoices table (PostgreSQL 15)", "acme/billing-api", "premium", tool="search_code", score=0.83, feedback="good"),
    _t(14, "code_generation", "Generate a typed client from openapi.yaml and wire it into the façade package", "acme/web", "balanced", {"gpt-4o": ["400ctx", "*"], "gpt-4.1": ["429", "*"]}),
    _t(15, "bug_fix", "Memory grows by 40 MB per hour in the thumbnail worker; suspect the Pillow image handles", "acme/media", "fast", {"gpt-4o-mini": ["503", "*"]}, stream=True, score=0.63),
]

# ------------------------------------------------------------------------------------------------ the fake endpoint
def texts(x):
    """All strings inside a JSON value."""
    if isinstance(x, str): yield x
    elif isinstance(x, dict):
        for v in x.values(): yield from texts(v)
    elif isinstance(x, list):
        for v in x: yield from texts(v)

class Endpoint:
    """OpenAI-compatible: /v1/chat/completions and /v1/responses, both with streaming, and /v1/embeddings. `log`: one dict per request, in order."""
    def __init__(self, tasks=TASKS, slow=2.5, router_text=lambda task: task.tier):
        self.router_text, self.tasks, self.slow, self.log, self.seen, self.lock = router_text, list(tasks), slow, [], collections.Counter(), threading.Lock()
        outer = self
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            def log_message(self, *a): pass
            def do_GET(self): self.reply(200, {"object": "list", "data": []})
            def do_POST(self):
                raw, path = self.rfile.read(int(self.headers.get("content-length") or 0)), self.path.split("?")[0]
                if not path.startswith("/v1/") or path.endswith("/traces"): return self.reply(200, {})   # a vendor's own exporter, made harmless
                try: outer.answer(self, path, json.loads(raw or b"{}"))
                except (BrokenPipeError, ConnectionResetError): self.close_connection = True
            def reply(self, status, obj):
                data = json.dumps(obj).encode()
                self.send_response(status); self.send_header("content-type", "application/json"); self.send_header("content-length", str(len(data))); self.end_headers(); self.wfile.write(data)
            def events(self, items):
                self.send_response(200); self.send_header("content-type", "text/event-stream"); self.send_header("connection", "close"); self.end_headers()
                for i in items:
                    name = f"event: {i['type']}\n" if isinstance(i, dict) and "type" in i else ""
                    self.wfile.write(f"{name}data: {i if isinstance(i, str) else json.dumps(i)}\n\n".encode()); self.wfile.flush()
                self.close_connection = True
        http.server.ThreadingHTTPServer.request_queue_size = 64
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler); self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, h, path, body):
        said = list(texts(body.get("messages") or body.get("input"))) + list(texts(body.get("instructions")))
        task = next((t for t in self.tasks if any(t.description in s for s in said)), None)
        model, stream = body.get("model", ""), bool(body.get("stream"))
        is_router = path.endswith("/embeddings") or model == ROUTER
        rec = dict(task=task and task.n, path=path, model=model, stream=stream, router_call=is_router)
        with self.lock:
            self.log.append(rec); call = self.seen[(task and task.n, model)]; self.seen[(task and task.n, model)] += 1; serial = len(self.log)
        kinds = list(task.faults.get(model, [])) if task and not is_router else []
        kind = kinds[call] if call < len(kinds) and kinds[call] != "*" else kinds[-2] if kinds and kinds[-1] == "*" else None
        if kind == "timeout":
            rec.update(status=None, kind=kind); time.sleep(self.slow); return h.reply(504, {"error": {"message": "too late"}})
        if kind:
            status = int(kind[:3]); message = MESSAGES[kind].format(model=model); rec.update(status=status, kind=kind, message=message)
            return h.reply(status, {"error": {"message": message, "type": TYPES[kind], "param": None, "code": CODES.get(kind)}})
        used_in = max(8, len(json.dumps({k: body.get(k) for k in ("messages", "input", "instructions", "tools") if body.get(k)}, ensure_ascii=False)) // 4)
        if path.endswith("/embeddings"):
            rec.update(status=200, input_tokens=used_in, output_tokens=0)
            return h.reply(200, {"object": "list", "model": model, "data": [{"object": "embedding", "index": 0, "embedding": [0.1] * 8}], "usage": {"prompt_tokens": used_in, "total_tokens": used_in}})
        tool, text = self.decide(task, body, is_router)
        used_out = 55 if tool else max(1, len(text) // 4) + (0 if is_router else 120 + 13 * (serial % 7) + 31 * (task.n if task else 0))
        cached = 64 if any(m.get("role") == "tool" or m.get("type") == "function_call_output" for m in (body.get("messages") or body.get("input") or []) if isinstance(m, dict)) else 0
        rec.update(status=200, kind=None, input_tokens=used_in, output_tokens=used_out, cached_tokens=cached, response_model=DATED.get(model, model), tool_calls=[tool[0]] if tool else [])
        time.sleep(0.01 + 0.004 * (serial % 5))
        send = self.responses if path.endswith("/responses") else self.chat
        send(h, body, f"{serial:04x}{zlib.crc32(repr((model, used_in)).encode()):08x}", DATED.get(model, model), text, tool, used_in, used_out, cached, stream)

    def decide(self, task, body, is_router):
        """(name, arguments) of a tool to call or None, and the text to say otherwise."""
        names = [t.get("name") or t.get("function", {}).get("name") for t in body.get("tools") or []]
        if is_router and not any(n and n.startswith("transfer_to_") for n in names): return None, self.router_text(task) if task else "fast"
        turns = [m for m in body.get("messages") or body.get("input") or [] if isinstance(m, dict)]
        if task:
            hand = next((n for n in names if n and n.startswith("transfer_to_") and n != "transfer_to_agent" and task.tier in n), None)
            if hand: return (hand, {}), ""
            if is_router and "transfer_to_agent" in names: return ("transfer_to_agent", {"agent_name": f"{task.tier}_worker"}), ""
            used = any(c.get("function", {}).get("name") == task.tool for m in turns for c in m.get("tool_calls") or []) or any(m.get("type") == "function_call" and m.get("name") == task.tool for m in turns)
            if task.tool in names and not used: return (task.tool, {"path": "src/app.py"} if task.tool == "read_file" else {"query": "invoice"}), ""
        return None, f"Done: {task.description if task else 'ok'}. All checks pass."

    def chat(self, h, body, i, model, text, tool, used_in, used_out, cached, stream):
        usage = {"prompt_tokens": used_in, "completion_tokens": used_out, "total_tokens": used_in + used_out, "prompt_tokens_details": {"cached_tokens": cached}, "completion_tokens_details": {"reasoning_tokens": 0}}
        head = {"id": "chatcmpl-" + i, "created": 1795000000, "model": model, "system_fingerprint": "fp_fake"}
        calls = [{"id": "call_" + i, "type": "function", "function": {"name": tool[0], "arguments": json.dumps(tool[1])}}] if tool else None
        finish = "tool_calls" if tool else "stop"
        if not stream:
            return h.reply(200, {**head, "object": "chat.completion", "service_tier": "default", "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": None if tool else text, **({"tool_calls": calls} if tool else {})}}], "usage": usage})
        chunk = lambda delta, end=None: {**head, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": end}]}
        parts = [chunk({"role": "assistant", "tool_calls": [{"index": 0, **calls[0]}]})] if tool else [chunk({"role": "assistant", "content": ""})] + [chunk({"content": text[k:k + 40]}) for k in range(0, len(text), 40)]
        tail = [{**head, "object": "chat.completion.chunk", "choices": [], "usage": usage}] if (body.get("stream_options") or {}).get("include_usage") else []
        h.events(parts + [chunk({}, finish)] + tail + ["[DONE]"])

    def responses(self, h, body, i, model, text, tool, used_in, used_out, cached, stream):
        item = ({"type": "function_call", "id": "fc_" + i, "call_id": "call_" + i, "name": tool[0], "arguments": json.dumps(tool[1]), "status": "completed"} if tool else
                {"type": "message", "id": "msg_" + i, "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": text, "annotations": []}]})
        full = {"id": "resp_" + i, "object": "response", "created_at": 1795000000, "status": "completed", "model": model, "output": [item], "parallel_tool_calls": True, "tool_choice": "auto", "tools": body.get("tools") or [],
                "error": None, "incomplete_details": None, "instructions": body.get("instructions"), "metadata": {}, "temperature": 1.0, "top_p": 1.0,
                "usage": {"input_tokens": used_in, "input_tokens_details": {"cached_tokens": cached}, "output_tokens": used_out, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": used_in + used_out}}
        if not stream: return h.reply(200, full)
        steps = [("response.created", {"response": {**full, "status": "in_progress", "output": [], "usage": None}}), ("response.output_item.added", {"output_index": 0, "item": {**item, **({"arguments": ""} if tool else {"content": []})}})]
        if not tool:
            steps += [("response.content_part.added", {"item_id": item["id"], "output_index": 0, "content_index": 0, "part": {"type": "output_text", "text": "", "annotations": []}}),
                      ("response.output_text.delta", {"item_id": item["id"], "output_index": 0, "content_index": 0, "delta": text, "logprobs": []})]
        steps += [("response.output_item.done", {"output_index": 0, "item": item}), ("response.completed", {"response": full})]
        h.events([{"type": n, "sequence_number": k, **d} for k, (n, d) in enumerate(steps)])

TOOLS = {"read_file": ("path", lambda path: f"# {path}\nclass App: ..."), "search_code": ("query", lambda query: f"src/app.py:12: # {query}")}
def schema(name):
    """The chat-completions definition of a tool of TOOLS."""
    arg = TOOLS[name][0]
    return {"type": "function", "function": {"name": name, "description": name.replace("_", " "), "parameters": {"type": "object", "properties": {arg: {"type": "string"}}, "required": [arg]}}}

# ------------------------------------------------------------------------------------------------ recording
PATHS = [(re.compile(r"(?:/[\w.+@-]+)+/site-packages/"), "site-packages/"), (re.compile(r"(?:/[\w.+@-]+)*/recorders/"), "app/"), (re.compile(r"(?:/[\w.+@-]+)+/lib/python3\.\d+/"), "python/"),
         (re.compile(r"/(?:home|root|tmp|work|Users)/[\w./+@-]*"), "/home/app")]
def scrub(v):
    if isinstance(v, str):
        for p, r in PATHS: v = p.sub(r, v)
        return v.replace(socket.gethostname(), "host")
    if isinstance(v, (list, tuple)): return [scrub(x) for x in v]
    return v
def attributes(a): return {k: scrub(v) for k, v in (a or {}).items()}

def as_dict(s):
    """A ReadableSpan in the corpus's shape."""
    c, p, sc, r = s.get_span_context(), s.parent, s.instrumentation_scope, s.resource
    return {"name": scrub(s.name), "trace_id": f"{c.trace_id:032x}", "span_id": f"{c.span_id:016x}", "trace_flags": int(c.trace_flags), "trace_state": c.trace_state.to_header() if c.trace_state else "",
            "parent_id": f"{p.span_id:016x}" if p else None, "parent_is_remote": bool(p.is_remote) if p else False, "kind": s.kind.name, "start_time_unix_nano": s.start_time, "end_time_unix_nano": s.end_time,
            "status": {"code": s.status.status_code.name, "description": scrub(s.status.description)}, "attributes": attributes(s.attributes),
            "events": [{"name": e.name, "time_unix_nano": e.timestamp, "attributes": attributes(e.attributes)} for e in s.events],
            "links": [{"trace_id": f"{l.context.trace_id:032x}", "span_id": f"{l.context.span_id:016x}", "attributes": attributes(l.attributes)} for l in s.links],
            "dropped": {"attributes": s.dropped_attributes, "events": s.dropped_events, "links": s.dropped_links},
            "resource": {"attributes": attributes({k: v for k, v in r.attributes.items() if not k.startswith(("host.", "process.", "os."))}), "schema_url": r.schema_url or ""},
            "scope": {"name": sc.name, "version": sc.version or "", "schema_url": sc.schema_url or "", "attributes": attributes(sc.attributes)}}

class Receiver:
    """An OTLP/HTTP trace receiver (protobuf) for packages that export from a provider or process of their own. Needs `opentelemetry-proto`."""
    def __init__(self, into=None):
        import gzip as gz
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest as Request
        self.spans, self.lock = [] if into is None else into, threading.Lock()
        outer = self
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            def log_message(self, *a): pass
            def do_POST(self):
                raw = self.rfile.read(int(self.headers.get("content-length") or 0))
                if self.path.endswith("/traces"):
                    found = list(outer.decode(Request.FromString(gz.decompress(raw) if self.headers.get("content-encoding") == "gzip" else raw)))
                    with outer.lock: outer.spans.extend(found)
                self.send_response(200); self.send_header("content-type", "application/x-protobuf"); self.send_header("content-length", "0"); self.end_headers()
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler); self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1/traces"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @staticmethod
    def decode(request):
        def value(v):
            kind = v.WhichOneof("value")
            if kind == "array_value": return [value(x) for x in v.array_value.values]
            if kind == "kvlist_value": return json.dumps({x.key: value(x.value) for x in v.kvlist_value.values})
            return getattr(v, kind) if kind else None
        keys = lambda kvs: attributes({k.key: value(k.value) for k in kvs})
        for rs in request.resource_spans:
            resource = {"attributes": {k: v for k, v in keys(rs.resource.attributes).items() if not k.startswith(("host.", "process.", "os."))}, "schema_url": rs.schema_url}
            for ss in rs.scope_spans:
                scope = {"name": ss.scope.name, "version": ss.scope.version, "schema_url": ss.schema_url, "attributes": keys(ss.scope.attributes)}
                for s in ss.spans:
                    yield {"name": scrub(s.name), "trace_id": s.trace_id.hex(), "span_id": s.span_id.hex(), "trace_flags": s.flags & 0xFF, "trace_state": s.trace_state, "parent_id": s.parent_span_id.hex() or None,
                           "parent_is_remote": bool(s.flags & 0x200), "kind": ("INTERNAL", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")[s.kind], "start_time_unix_nano": s.start_time_unix_nano, "end_time_unix_nano": s.end_time_unix_nano,
                           "status": {"code": ("UNSET", "OK", "ERROR")[s.status.code], "description": scrub(s.status.message) or None}, "attributes": keys(s.attributes),
                           "events": [{"name": e.name, "time_unix_nano": e.time_unix_nano, "attributes": keys(e.attributes)} for e in s.events],
                           "links": [{"trace_id": l.trace_id.hex(), "span_id": l.span_id.hex(), "attributes": keys(l.attributes)} for l in s.links],
                           "dropped": {"attributes": s.dropped_attributes_count, "events": s.dropped_events_count, "links": s.dropped_links_count}, "resource": resource, "scope": scope}

class Recorder:
    """A span processor that keeps ended spans in order; not derived from the SDK's, so that this module imports nothing."""
    def __init__(self): self.spans, self.lock = [], threading.Lock()
    def on_start(self, span, parent_context=None): pass
    def _on_ending(self, span): pass
    def on_end(self, span):
        if span.get_span_context().trace_flags.sampled:
            with self.lock: self.spans.append(as_dict(span))
    def shutdown(self): pass
    def force_flush(self, timeout_millis=30000): return True

# ------------------------------------------------------------------------------------------------ truth and masks
def truth(endpoint, task, task_id, trace_ids, success, error_type=None, tier=None, **more):
    """The expected record of a task from the endpoint's log. `more`: quality_score, user_feedback, cost_usd_reported where the app wrote them."""
    calls = [{k: v for k, v in c.items() if k != "task"} for c in endpoint.log if c["task"] == task.n]
    work = [c for c in calls if not c["router_call"]]; good = [c for c in calls if c["status"] == 200]; bad = [c for c in calls if c["status"] != 200]
    models = list(dict.fromkeys(c["model"] for c in work)); done = [c for c in work if c["status"] == 200]
    add = lambda cs, k: sum(c.get(k, 0) for c in cs)
    pairs = list(zip(work, work[1:]))
    return {"n": task.n, "task_id": task_id, "task_type": task.type, "description": task.description, "repo": task.repo, "expected_tier": task.tier, "trace_ids": list(trace_ids), "models_attempted": models,
            "final_model": done[-1]["model"] if done else None, "response_model": done[-1]["response_model"] if done else None,
            "fallback_used": any(a["status"] != 200 and a["model"] != b["model"] for a, b in pairs), "http_calls": len(calls), "failed_http_calls": len(bad), "error_kinds": list(dict.fromkeys(c["kind"] for c in bad)),
            "input_tokens": add(good, "input_tokens"), "output_tokens": add(good, "output_tokens"), "input_tokens_without_router_calls": add(done, "input_tokens"), "output_tokens_without_router_calls": add(done, "output_tokens"),
            "tools_used": [t for c in done for t in c.get("tool_calls", []) if not t.startswith("transfer_to_")], "tier_selected": tier or task.tier, "success": success, "error_type": error_type,
            "same_model_http_retries": sum(a["status"] != 200 and a["model"] == b["model"] for a, b in pairs), **more, "calls": calls}

def mask(task, visible, **classes):
    """The recoverable record of a task. `visible`: (input, output, is_router) per model call that a span shows; classes: field="yes" or (class, reason)."""
    base = dict(task_id="yes", task_type="yes", repo="yes", task_description="yes", model_tier="yes", grouping="yes", model="yes", success="yes", fallback_used=("yes", "derived from the order of attempts"), error_type="yes",
                input_tokens="yes", output_tokens="yes", attempt_count="yes")
    for f, key in (("quality_score", "quality_score"), ("user_feedback", "user_feedback"), ("actual_cost", "cost_usd_reported")):
        if task.get(key) is not None: base[f] = "yes"
    out = {}
    for f, c in {**base, **classes}.items():
        if c is not None and (f in base or f == "user_rating_truth"): out[f] = [c] if isinstance(c, str) else list(c) if isinstance(c, tuple) else c
    work = [v for v in visible if not v[2]]
    for f, pick in (("input_tokens", lambda vs: sum(v[0] or 0 for v in vs)), ("output_tokens", lambda vs: sum(v[1] or 0 for v in vs)), ("attempt_count", len)):
        out[f + "_accept"] = {"all": [pick(visible)], "work": [pick(work)]}
    out["model_tier_truth"] = task["tier_selected"]
    return out

TOKEN_KEYS = (("gen_ai.usage.input_tokens", "llm.token_count.prompt"), ("gen_ai.usage.output_tokens", "llm.token_count.completion"))
def versions(*names):
    from importlib.metadata import version
    return {n: version(n) for n in names}

def write(name, spans, tasks, masks, endpoint, packages, notes, **more):
    """NAME.jsonl.gz, NAME.expected.json, NAME.recoverable.json; and a check of what must hold for any recording."""
    owned = {x for t in tasks for x in t["trace_ids"]}; traces = {s["trace_id"] for s in spans}; ids = {s["span_id"] for s in spans}
    lost = [s["name"] for s in spans if s["parent_id"] and s["parent_id"] not in ids]
    scopes = collections.Counter(f"{s['scope']['name']}@{s['scope']['version']}" for s in spans)
    naive = [sum(v for s in spans for k, v in s["attributes"].items() if k in keys and isinstance(v, (int, float))) for keys in TOKEN_KEYS]
    for t in tasks: t.pop("n", None)
    body = {"producer": name, "versions": packages, "notes": notes, "n_tasks": len(tasks), "n_spans": len(spans), "n_traces": len(traces), "n_success": sum(bool(t["success"]) for t in tasks),
            "unattributed_http_calls": sum(c["task"] is None for c in endpoint.log), "unowned_traces": len(traces - owned), "orphan_spans": len(lost),
            "naive_token_sum_over_all_spans": {"input": naive[0], "output": naive[1], "truth_input": sum(t["input_tokens"] for t in tasks), "truth_output": sum(t["output_tokens"] for t in tasks)},
            "scopes": dict(scopes), **more, "tasks": tasks}
    path = lambda end: os.path.join(OUT, f"{name}.{end}")
    with open(path("jsonl.gz"), "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", mtime=0, filename="", compresslevel=9) as z:
        for s in spans: z.write((json.dumps(s, ensure_ascii=False) + "\n").encode())
    dump = lambda end, obj: open(path(end), "w", encoding="utf8").write(json.dumps(obj, ensure_ascii=False, indent=0) + "\n")
    dump("expected.json", body)
    dump("recoverable.json", {"producer": name, "classes": "yes | profile (app's own names) | content_task | content_prompt | no", "tasks": {t["task_id"]: m for t, m in zip(tasks, masks)}})
    print({k: v for k, v in body.items() if k not in ("tasks", "notes")}, os.path.getsize(path("jsonl.gz")), "bytes")
    for t, m in zip(tasks, masks):
        for f in ("input_tokens", "output_tokens"):
            if t[f] not in m[f + "_accept"]["all"]: print("  visible tokens differ:", t["task_id"], f, t[f], m[f + "_accept"]["all"])
    return body
