"""Emits spans of five home-grown orchestrators, each with attribute names of its own making (task/router/pool, task.kind, job, agent+llm, ai).

Pinned: opentelemetry-sdk==1.45.2. No package: the naming of real teams, over real HTTP calls to the fake endpoint.
Run: python plain_names.py, in a venv with the SDK.
"""
import json
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, Status, StatusCode

from common_b import ROUTER_MODEL, TIMEOUT_S, FakeLLM, Task, make_recorder, under, versions, write

MODELS = {"fast": ("gpt-4.1-mini", "gpt-4o-mini"), "balanced": ("gpt-4o", "gpt-4.1"), "premium": ("gpt-5", "gpt-4o")}
PRICE = {"gpt-4.1-nano": 1e-7, "gpt-4.1-mini": 4e-7, "gpt-4o-mini": 2e-7, "gpt-4o": 3e-6, "gpt-4.1": 2e-6, "gpt-5": 6e-6}
"""USD per token, in and out alike."""


def T(style, n, kind, text, repo, tier, faults=None, **kw):
    retry = kw.pop("retry", 0)
    return Task({"pool": "task-{:04d}", "kind": "T{:05d}", "job": "job_8c{:02d}", "agent": "run-{:03d}", "ai": "req-2026-{:03d}"}[style].format(n), kind, text, repo, tier, faults or {}, extra={"style": style, "retry": retry}, **kw)


TASKS = [
    T("pool", 1, "summarize", 'Sum up the release notes of "Aurora" for customers', "acme/docs", "fast", quality=0.91, feedback="accepted"),
    T("pool", 2, "codegen", "Write a parser for the tariff table with error recovery", "acme/tariff", "premium", {"gpt-5": ["500*"]}, quality=0.72),
    T("pool", 3, "review", "Review the patch that changes lock ordering in the scheduler", "acme/scheduler", "balanced", {"gpt-4o": ["401*"], "gpt-4.1": ["401*"]}),
    T("pool", 4, "classify", "Sort yesterday's support mails by urgency", "acme/support", "fast", {"gpt-4.1-mini": ["429"]}, retry=1, quality=0.85, feedback="rejected"),
    T("kind", 11, "bugfix", "Fix the off-by-one in the pagination of the invoice list", "billing-api", "balanced", quality=0.8, feedback="accepted"),
    T("kind", 12, "refactor", "Split the 900-line settings module without changing its API", "web-shop", "premium", {"gpt-5": ["429*"]}, quality=0.68),
    T("kind", 13, "docs", "Describe the größte known limits of the importer", "etl", "fast", {"gpt-4.1-mini": ["500*"], "gpt-4o-mini": ["503*"]}),
    T("kind", 14, "bugfix", "Stop the double submit on the checkout page", "web-shop", "balanced", {"gpt-4o": ["timeout"]}, retry=1, quality=0.77),
    T("job", 1, "extract", "Pull names, dates and sums from the scanned contracts", "paperless", "balanced", quality=0.87, feedback="accepted"),
    T("job", 2, "translate", 'Translate the manual, keep terms in "quotes" untouched', "manuals", "fast", {"gpt-4.1-mini": ["timeout*"]}, quality=0.64, feedback="rejected"),
    T("job", 3, "plan", "Plan the move of the archive to the new storage in five steps", "infra", "premium", {"gpt-5": ["503*"], "gpt-4o": ["500*"]}),
    T("job", 4, "extract", "List every part number in the repair log", "paperless", "fast", quality=0.96),
    T("agent", 1, "research", "Compare three queue libraries for the ingest service", "ingest", "premium", quality=0.9, feedback="accepted"),
    T("agent", 2, "bug_fix", "Find why the cache serves stale prices after a deploy", "shop", "balanced", {"gpt-4o": ["500*"]}, quality=0.7),
    T("agent", 3, "research", "Which regions break the latency budget, and since when?", "edge", "balanced", {"gpt-4o": ["400ctx*"], "gpt-4.1": ["400ctx*"]}),
    T("agent", 4, "test_gen", "Write property tests for the money type", "shop", "fast", {"gpt-4.1-mini": ["503"]}, retry=1, quality=0.83),
    T("ai", 1, "chat_reply", "Answer the customer who asks for a refund of half the order", None, "fast", quality=0.88, feedback="accepted"),
    T("ai", 2, "sql_generation", "Monthly revenue per region, without cancelled orders", None, "balanced", {"gpt-4o": ["429*"]}, quality=0.75),
    T("ai", 3, "chat_reply", "Explain the delivery delay to the Österreich customers & offer a voucher", None, "fast", {"gpt-4.1-mini": ["timeout*"], "gpt-4o-mini": ["500*"]}),
    T("ai", 4, "sql_generation", "Customers with more than three returns in a quarter", None, "premium", quality=0.93, feedback="rejected"),
]


class CallFailed(Exception):
    def __init__(self, code, message): super().__init__(message); self.code = code


class RateLimitError(CallFailed): pass
class ProviderError(CallFailed): pass
class AuthError(CallFailed): pass
class ContextTooLong(CallFailed): pass
class ModelTimeout(CallFailed): pass


def call(url, model, text):
    """(tokens in, tokens out, answer, model that answered)"""
    req = urllib.request.Request(url + "/chat/completions", json.dumps({"model": model, "messages": [{"role": "user", "content": text}]}).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(req, timeout=TIMEOUT_S) as f: body = json.load(f)
    except urllib.error.HTTPError as e:
        message = f"HTTP {e.code}: " + json.load(e)["error"]["message"]
        raise {429: RateLimitError, 401: AuthError, 400: ContextTooLong}.get(e.code, ProviderError)(e.code, message)
    except OSError: raise ModelTimeout(None, f"{model} did not answer within {TIMEOUT_S} s") from None
    u = body["usage"]
    return u["prompt_tokens"], u["completion_tokens"], body["choices"][0]["message"]["content"], body["model"]


def attempts(task, url, span_for, note, failed):
    """Tries the tier's models, each as often as allowed. Returns (cost, tokens in, tokens out), or raises the last error."""
    n = 0
    for i, model in enumerate(MODELS[task.tier]):
        for r in range(task.extra["retry"] + 1):
            n += 1
            with span_for(model, n, r, i) as span:
                t = time.perf_counter()
                try:
                    a, b, _, answered = call(url, model, task.text)
                    note(span, model, a, b, round((a + b) * PRICE[model], 8), round((time.perf_counter() - t) * 1000, 1), answered)
                    return round((a + b) * PRICE[model], 8), a, b
                except CallFailed as e:
                    failed(span, e)
                    last = e
    raise last


def style_pool(task, url, tr):
    """task.* / router.* / pool.*: a heuristic router, a pool span per try; feedback is an event on the root."""
    with tr.start_as_current_span("task.execute", attributes={"task.id": task.id, "task.type": task.type, "task.description": task.text, "task.repo": task.repo, "task.priority": 3, "task.session_id": task.session}) as root:
        with tr.start_as_current_span("router.route_task", attributes={"router.tier": task.tier, "router.model": MODELS[task.tier][0], "router.confidence": 0.83, "router.strategy": "heuristic", "router.candidates": ("fast", "balanced", "premium")}): pass
        span_for = lambda m, n, r, i: tr.start_as_current_span("pool.execute", attributes={"pool.name": f"{task.tier}-pool", "pool.worker_id": f"w-{n}", "pool.attempt": n, "pool.model": m})
        note = lambda s, m, a, b, c, ms, ans: s.set_attributes({"pool.success": True, "pool.tokens_in": a, "pool.tokens_out": b, "pool.cost_usd": c, "pool.duration_ms": ms})

        def failed(s, e):
            s.record_exception(e)
            s.set_status(Status(StatusCode.ERROR, str(e)[:80]))
            s.set_attributes({"pool.success": False, "pool.error_type": type(e).__name__})
        try: cost, *_ = attempts(task, url, span_for, note, failed)
        except CallFailed as e:
            root.set_attribute("task.success", False)
            root.set_status(Status(StatusCode.ERROR, "pool failed"))
            return dict(success=False, error_type=type(e).__name__)
        root.set_attributes({"task.success": True, "task.quality_score": task.quality, "task.total_cost_usd": cost})
        if task.feedback: root.add_event("task.feedback", {"accepted": task.feedback == "accepted", "rating": 4 if task.feedback == "accepted" else 1})
        return dict(success=True, quality_score=task.quality, user_feedback=task.feedback, cost=cost)


def style_kind(task, url, tr):
    """task.kind / task.status: the root never gets an error status; retries and fallbacks are worker spans; feedback is an attribute."""
    t0 = time.perf_counter()
    with tr.start_as_current_span(f"{task.type} task", attributes={"task.id": task.id, "task.kind": task.type, "task.prompt": task.text, "task.repository": task.repo}) as root:
        with tr.start_as_current_span("routing", attributes={"router.choice": task.tier, "route.reason": "prompt length and keywords"}): pass
        span_for = lambda m, n, r, i: tr.start_as_current_span("worker.run", attributes={"worker.pool": "cloud", "pool.type": "llm_api", "attempt": n, "model": m, "is_fallback": bool(i)})
        note = lambda s, m, a, b, c, ms, ans: s.set_attributes({"tokens_in": a, "tokens_out": b, "latency_ms": ms, "status": "ok"})
        kinds = {RateLimitError: "rate_limited", ModelTimeout: "timeout", AuthError: "unauthorized"}
        failed = lambda s, e: s.set_attributes({"status": "error", "error.kind": kinds.get(type(e), "provider_5xx"), "error.message": str(e)})
        try: cost, *_ = attempts(task, url, span_for, note, failed)
        except CallFailed as e:
            root.set_attributes({"task.status": "failed", "task.error": str(e), "latency_ms": round((time.perf_counter() - t0) * 1000, 1)})
            return dict(success=False, error_type=type(e).__name__)
        root.set_attributes({"task.status": "completed", "task.cost_usd": cost, "task.score": task.quality, "latency_ms": round((time.perf_counter() - t0) * 1000, 1), **({"task.feedback": "positive"} if task.feedback else {})})
        return dict(success=True, quality_score=task.quality, user_feedback=task.feedback, cost=cost)


def style_job(task, url, tr):
    """job.*: a model routes (a span of its own); cost in cents, score of 100; the review comes later in a trace of its own, with a link."""
    with tr.start_as_current_span("job", attributes={"job.id": task.id, "job.type": task.type, "job.input": task.text, "job.repo": task.repo, "job.state": "RUNNING"}) as root:
        with tr.start_as_current_span("job.classify", attributes={"job.step": "classify", "model.name": ROUTER_MODEL}) as s:
            a, b, tier, _ = call(url, ROUTER_MODEL, f"fast, balanced or premium? {task.text}")
            router_cost = round((a + b) * PRICE[ROUTER_MODEL], 8)
            s.set_attributes({"usage.prompt_tokens": a, "usage.completion_tokens": b, "job.tier": tier})
        span_for = lambda m, n, r, i: tr.start_as_current_span("job.attempt", attributes={"job.step": "work", "job.attempt": n, "model.name": m})
        note = lambda s, m, a, b, c, ms, ans: s.set_attributes({"usage.prompt_tokens": a, "usage.completion_tokens": b, "model.version": ans})

        def failed(s, e):
            s.set_attributes({"error.code": e.code or "ETIMEDOUT", "error.message": str(e)})
            s.set_status(Status(StatusCode.ERROR))
        try: cost, *_ = attempts(task, url, span_for, note, failed)
        except CallFailed as e:
            root.set_attribute("job.state", "FAILED")
            return dict(success=False, error_type=type(e).__name__)
        cost = round(cost + router_cost, 8)
        root.set_attributes({"job.state": "SUCCEEDED", "job.cost_cents": cost * 100, "job.score": round(task.quality * 100), "job.tier": tier})
        return dict(success=True, quality_score=task.quality, user_feedback=task.feedback, cost=cost, context=root.get_span_context())


def style_agent(task, url, tr):
    """agent.* and llm.*: totals repeated on the root; failed calls raise through their span; feedback is attributes of the root."""
    with tr.start_as_current_span("agent.run", attributes={"agent.name": "coder", "agent.task_id": task.id, "agent.task_type": task.type, "agent.goal": task.text, "agent.repo": task.repo}) as root:
        with tr.start_as_current_span("llm.call", attributes={"llm.purpose": "routing", "llm.model": ROUTER_MODEL}) as s:
            a0, b0, tier, _ = call(url, ROUTER_MODEL, f"fast, balanced or premium? {task.text}")
            s.set_attributes({"llm.tokens.input": a0, "llm.tokens.output": b0})
        root.add_event("agent.routed", {"tier": tier, "by": ROUTER_MODEL})
        root.set_attribute("agent.tier", tier)
        span_for = lambda m, n, r, i: tr.start_as_current_span("llm.call", attributes={"llm.purpose": "work", "llm.model": m, "llm.retry": r})
        note = lambda s, m, a, b, c, ms, ans: s.set_attributes({"llm.tokens.input": a, "llm.tokens.output": b, "llm.cost_usd": c, "llm.latency_ms": ms, "llm.response_model": ans})

        def failed(s, e):
            s.record_exception(e)
            s.set_status(Status(StatusCode.ERROR, f"{type(e).__name__}: {e}"))
        try: cost, a, b = attempts(task, url, span_for, note, failed)
        except CallFailed as e:
            root.set_attributes({"agent.outcome": "error", "agent.error": type(e).__name__})
            root.set_status(Status(StatusCode.ERROR))
            return dict(success=False, error_type=type(e).__name__)
        root.set_attributes({"agent.outcome": "success", "agent.quality": task.quality, "llm.tokens.input": a + a0, "llm.tokens.output": b + b0, "llm.cost_usd": cost})
        if task.feedback: root.set_attributes({"user.feedback": "thumbs_up", "user.rating": 5})
        return dict(success=True, quality_score=task.quality, user_feedback=task.feedback, cost=cost)


def style_ai(task, url, tr):
    """ai.*: the root is the handler and carries the outcome; numbers of the cost as a string; a fallback names the model it stands in for."""
    with tr.start_as_current_span("handle_request", attributes={"ai.request_id": task.id, "ai.operation": task.type, "ai.prompt": task.text, "ai.tier": task.tier, "ai.user": "u-7"}) as root:
        models = MODELS[task.tier]
        span_for = lambda m, n, r, i: tr.start_as_current_span("ai.completion", attributes={"ai.model": m, "ai.provider": "openai", **({"ai.fallback_from": models[0]} if i else {})})
        note = lambda s, m, a, b, c, ms, ans: s.set_attributes({"ai.usage.input_tokens": a, "ai.usage.output_tokens": b, "ai.cost": f"{c:.8f}", "ai.ok": True})
        failed = lambda s, e: s.set_attributes({"ai.ok": False, "ai.error": str(e)})
        try: cost, *_ = attempts(task, url, span_for, note, failed)
        except CallFailed as e:
            root.set_attributes({"ai.ok": False, "ai.error": "all models failed: " + str(e)})
            return dict(success=False, error_type=type(e).__name__)
        root.set_attributes({"ai.ok": True, "ai.eval.score": task.quality})
        if task.feedback: root.add_event("ai.feedback", {"value": 1 if task.feedback == "accepted" else -1})
        return dict(success=True, quality_score=task.quality, user_feedback=task.feedback, cost=float(f"{cost:.8f}"))


KEYS = {"pool": ("pool.tokens_in", "pool.tokens_out"), "kind": ("tokens_in", "tokens_out"), "job": ("usage.prompt_tokens", "usage.completion_tokens"), "agent": ("llm.tokens.input", "llm.tokens.output"), "ai": ("ai.usage.input_tokens", "ai.usage.output_tokens")}
CALLS = {"pool.execute": "pool", "worker.run": "kind", "job.attempt": "job", "job.classify": "job", "llm.call": "agent", "ai.completion": "ai"}


def leaf(s, spans):
    if s["name"] not in CALLS: return None
    a, (i, o) = s["attributes"], KEYS[CALLS[s["name"]]]
    return dict(input=a.get(i), output=a.get(o), router=ROUTER_MODEL in a.values())


def mask(t, truth, spans, result):
    """`profile` where only the team knows the meaning of the key, or where the fact needs the name's context."""
    m = {"pool": dict(user_rating_truth=4 if t.feedback == "accepted" else 1),
         "kind": dict(task_type=["yes", "task.kind"], task_description=["content_task", "task.prompt"], repo=["yes", "task.repository"], model_tier=["yes", "router.choice"], success=["yes", "task.status; the status stays UNSET"], quality_score=["yes", "task.score"]),
         "job": dict(task_description=["content_task", "job.input"], model_tier=["yes", "job.tier"], success=["yes", "job.state; the root's status stays UNSET"], quality_score=["yes", "job.score, of 100"], actual_cost=["yes", "job.cost_cents"],
                     user_feedback=["yes", "a later span of another trace, linked, with the same job.id"], user_rating_truth=5 if t.feedback == "accepted" else 2),
         "agent": dict(task_id=["yes", "agent.task_id"], task_type=["yes", "agent.task_type"], task_description=["profile", "agent.goal"], success=["yes", "agent.outcome"], quality_score=["yes", "agent.quality"], actual_cost=["yes", "the root repeats the last call's llm.cost_usd"], user_rating_truth=5),
         "ai": dict(task_id=["profile", "ai.request_id"], task_type=["profile", "ai.operation"], task_description=["content_task", "ai.prompt"], success=["yes", "ai.ok"], quality_score=["yes", "ai.eval.score"], actual_cost=["yes", "a number as a string"], user_feedback=["yes", "event ai.feedback, value 1 or -1"])}[t.extra["style"]]
    for key, fact in (("quality_score", "quality_score"), ("user_feedback", "user_feedback"), ("actual_cost", "cost_usd_reported"), ("user_rating_truth", "user_feedback")):
        if truth[fact] is None: m[key] = None
    return m


def main():
    rec, tracers = make_recorder(), {}
    for style, service in dict(pool="orchestrator", kind="dev-bot", job="doc-pipeline", agent="coding-agent", ai="shop-assistant").items():
        tp = TracerProvider(resource=Resource.create({"service.name": service, "deployment.environment": "test"}))
        tp.add_span_processor(rec)
        tracers[style] = tp.get_tracer(f"{service.replace('-', '_')}.tracing")
    llm = FakeLLM(TASKS)

    def one(t):
        with under(t): return globals()["style_" + t.extra["style"]](t, llm.url, tracers[t.extra["style"]])

    mixed = sorted(TASKS, key=lambda t: t.id[-1])  # so that the services' spans interleave
    with ThreadPoolExecutor(4) as pool: results = dict(zip([t.id for t in mixed], pool.map(one, mixed)))
    for t in TASKS:  # the reviews of the job pipeline come when all is done
        if t.extra["style"] == "job" and results[t.id].get("user_feedback"):
            good = t.feedback == "accepted"
            with tracers["job"].start_as_current_span("job.review", links=[Link(results[t.id]["context"])], attributes={"job.id": t.id, "review.verdict": "approved" if good else "rejected", "review.stars": 5 if good else 2}): pass
    write("plain_names", tasks=TASKS, results=results, recorder=rec, log=llm.log, versions=versions(), leaf=leaf, mask=mask,
          notes="five services with names of their own; four tasks each; HTTP truth from the fake endpoint; no error status in the styles kind, ai and at the roots of job")


if __name__ == "__main__": main()
