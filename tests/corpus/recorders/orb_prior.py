"""Emits the spans of the earlier orchestrator by the plain OTel API, after its description: orb_prior (as emitted) and orb_prior_bodai (its planned keys).

Pinned: opentelemetry-sdk==1.45.2. No package of that orchestrator is used; span names, keys and their faults follow the notes on it, scope names are guesses.
Run: python orb_prior.py, in a venv with the SDK.
"""
import time

from opentelemetry.trace import SpanKind, Status, StatusCode

from common_b import Task, provider, under, versions, write

# extra: how (mcp | cli | ingest | query | execute | ai | llm), and what that way of running needs
TASKS = [
    Task("wf-3f2a91c0", "code_sweep", "sweep", "billing-api", None, extra=dict(how="mcp", adapter="prefect", repos=["billing-api"], result={"status": "success"})),
    Task("wf-77b0e4d2", "quality_check", "quality", None, None, extra=dict(how="mcp", adapter="agno", repos=["billing-api", "web-shop", "träger-app"], result={"status": "success"})),
    Task("wf-0c19aa53", "code_sweep", "sweep", None, None, extra=dict(how="mcp", adapter="prefect", repos=[], raises=TimeoutError("workflow wf-0c19aa53 timed out after 300 s"), kinds=["timeout"])),
    Task("wf-5e8d2b17", "quality_check", "quality", "web-shop", None, extra=dict(how="mcp", adapter="agno", repos=["web-shop"], result={"status": "error", "error": 'upload of the summary for "web-shop": connection refused by provider'}, kinds=["503"])),
    Task("wf-9a4471fe", "dependency_update", "update", "etl", None, extra=dict(how="mcp", adapter="prefect", repos=["etl"], result_type="list")),
    Task("wf-c2d60b88", "dependency_update", "update", None, None, extra=dict(how="cli", adapter="prefect", repos=["etl", "web-shop"])),
    Task("wf-d81f3c04", "code_sweep", "sweep", "scheduler", None, extra=dict(how="cli", adapter="agno", repos=["scheduler"])),
    Task("wf-e6507b29", "quality_check", "quality", None, None, extra=dict(how="cli", adapter="agno", repos=[], fails=True)),
    Task("ingest-1", "ingest", "ingest", "web-shop", None, extra=dict(how="ingest", status="success")),
    Task("ingest-2", "ingest", "ingest", "empty-repo", None, extra=dict(how="ingest", error=("ValueError", "no readable documents: bad encoding"))),
    Task("query-1", "query", 'Where is the "void invoice" endpoint & who calls it?', "billing-api", None, extra=dict(how="query", status="success")),
    Task("query-2", "query", "Which module parses the Prüfziffer?", "billing-api", None, extra=dict(how="query", error=("ConnectionError", "connection to the vector store lost"), kinds=["503"])),
    Task("rag-0042", "rag_query", "", None, None, extra=dict(how="execute", ok=3, bad=0)),
    Task("rag-0043", "rag_query", "", None, None, extra=dict(how="execute", ok=0, bad=2, again=(2, 0))),
    Task("unknown-a", "rag_query", "", None, None, extra=dict(how="execute", ok=1, bad=0, id="unknown")),
    Task("unknown-b", "code_search", "", None, None, extra=dict(how="execute", ok=0, bad=2, id="unknown", kinds=[])),
    Task("chat-1", None, "Explain the retry policy of the job queue", None, None, extra=dict(how="ai", client="claude", model="claude-sonnet-4-5", tokens=(412, 958))),
    Task("chat-2", "documentation", "Write the changelog of the last sprint", None, None, extra=dict(how="llm", model="qwen2.5-coder-32b", tokens=(655, 301))),
]

# The planned contract: task class, selector, pool, outcome and duration on one span; two ways of naming, with and without the prefix.
BODAI = [
    Task("wf-1b70c3aa", "code_generation", "", "billing-api", None, extra=dict(selector="least_loaded", pool="pool_local_7", outcome="success")),
    Task("wf-1b70c3ab", "code_review", "", "web-shop", None, extra=dict(selector="affinity", pool="pool_k8s_2", outcome="error")),
    Task("wf-1b70c3ac", "debugging", "", "web-shop", None, extra=dict(selector="round_robin", pool="pool_local_7", outcome="timeout", kinds=["timeout"])),
    Task("wf-1b70c3ad", "documentation", "", "etl", None, extra=dict(selector="random", pool="pool_k8s_2", outcome="success")),
    Task("wf-1b70c3ae", "code_generation", "", "etl", None, extra=dict(selector="least_loaded", pool="pool_k8s_2", outcome="success", bare=True)),
    Task("wf-1b70c3af", "testing", "", "scheduler", None, extra=dict(selector="affinity", pool="pool_local_7", outcome="error", bare=True)),
    Task("wf-1b70c3b0", "testing", "", "scheduler", None, extra=dict(selector="affinity", pool="pool_local_7", outcome="timeout", bare=True, kinds=["timeout"])),
    Task("wf-1b70c3b1", "debugging", "", "billing-api", None, extra=dict(selector="peer_affinity", pool="pool_k8s_2", outcome="success", cli=True)),
    Task("wf-1b70c3b2", "code_review", "", "träger-app", None, extra=dict(selector="round_robin", pool="pool_local_7", outcome="error", cli=True)),
    Task("wf-1b70c3b3", "documentation", "", "träger-app", None, extra=dict(selector="random", pool="pool_k8s_2", outcome="success", cli=True, bare=True)),
]

PATH = "/srv/checkouts/"


class Orb:
    def __init__(self, tp):
        self.core, self.mcp, self.rag = tp.get_tracer("mahavishnu.core.observability"), tp.get_tracer("mcp_common.middleware.mahavishnu"), tp.get_tracer("mahavishnu.engines.llamaindex_adapter")

    def tool(self, name):
        return self.mcp.start_as_current_span(f"mcp.tools.call.{name}", kind=SpanKind.SERVER, attributes={"rpc.system": "mcp", "rpc.method": "tools/call", "service.name": "mahavishnu", "service.namespace": "bodai",
            "service.environment": "test", "mcp.message.type": "request", "mcp.component.name": name, "mcp.tool.name": name})

    def workflow(self, task, more=None):
        """Opened and closed BEFORE the work: no duration, no outcome."""
        attrs = {"workflow.id": task.id, "workflow.adapter": task.extra.get("adapter", "prefect"), "workflow.task_type": task.type, "workflow.start_time": "2026-11-22T10:00:00+00:00"}
        with self.core.start_as_current_span(f"workflow.{task.id}", attributes=attrs | (more or {})): pass
        time.sleep(0.01)

    def repos(self, task):
        """One per repository that went well, opened when it is done."""
        for r in task.extra["repos"]:
            time.sleep(0.005)
            with self.core.start_as_current_span(f"repo.process.{r}", attributes={"repo.path": PATH + r, "workflow.id": task.id}): pass

    def run_mcp(self, task):
        x = task.extra
        with self.tool("trigger_workflow") as span:
            self.workflow(task)
            self.repos(task)
            if "raises" in x: raise x["raises"]
            if "result_type" in x: span.set_attribute("mcp.result.type", x["result_type"])
            else: span.set_attributes({"mcp.result." + k: v for k, v in x["result"].items()})

    def run_cli(self, task):
        self.workflow(task)
        self.repos(task)

    def rag_span(self, name, task, first, noise, prefix, last):
        x = task.extra
        with self.rag.start_as_current_span(name, attributes=first) as span:
            for n, attrs in noise:
                with self.rag.start_as_current_span("llamaindex." + n, attributes=attrs): time.sleep(0.004)
            span.set_attribute(prefix + ".duration_seconds", 0.02)
            if "error" in x:  # the string "ERROR" is no StatusCode: the SDK drops it and the status stays UNSET
                span.set_attributes({"error.type": x["error"][0], "error.message": x["error"][1]})
                span.set_status("ERROR", x["error"][1])
            else: span.set_attributes({prefix + ".status": x["status"], **last})

    def run_ingest(self, task):
        self.rag_span("llamaindex.ingest", task, {"repo.path": PATH + task.repo, "repo.name": task.repo, "llamaindex.operation": "ingest", "vector.backend": "pgvector"},
                      [("enhance_documents", {"doc.count": "12"}), ("parse_nodes", {"doc.count": "12", "nodes.count": 88}), ("create_index", {"vector.backend": "pgvector", "index.nodes_count": 88})], "ingest",
                      {"ingest.documents_count": 12, "ingest.nodes_count": 88, "ingest.index_id": "idx_" + task.repo, "ingest.file_types": "['.py', '.md']"})

    def run_query(self, task):
        self.rag_span("llamaindex.query", task, {"repo.path": PATH + task.repo, "repo.name": task.repo, "query.text": task.text[:100], "query.top_k": 5, "vector.backend": "pgvector"},
                      [("find_index", {"index.found": True, "index.id": "idx_" + task.repo}), ("execute_query", {"response.sources_count": 5})], "query", {"query.sources_count": 5})

    def run_execute(self, task):
        x = task.extra
        for ok, bad in [(x["ok"], x["bad"]), *([x["again"]] if "again" in x else [])]:
            with self.rag.start_as_current_span("llamaindex.execute", attributes={"task.type": task.type, "task.id": x.get("id", task.id), "repos.count": str(ok + bad), "llamaindex.operation": "execute"}) as span:
                time.sleep(0.005)
                span.set_attributes({"execute.success_count": ok, "execute.failure_count": bad, "execute.status": "partial_failure" if bad else "success"})

    def run_ai(self, task):
        a, b = task.extra["tokens"]
        with self.core.start_as_current_span(f"{task.extra['client']}.interaction", attributes={"ai.prompt": task.text, "ai.prompt.length": len(task.text), "ai.model": task.extra["model"]}) as span:
            with self.core.start_as_current_span(f"{task.extra['client']}.processing"): time.sleep(0.01)
            span.set_attributes({"ai.response": "First wait, then try again.", "ai.response.length": 27, "ai.prompt.tokens": a, "ai.response.tokens": b, "ai.total_tokens": a + b, "ai.duration_ms": 10.4})

    def run_llm(self, task):
        a, b = task.extra["tokens"]
        with self.core.start_as_current_span("tool_execution", attributes={"tool": "generate", "operation": "write", "task.class": task.type, "llm.model": task.extra["model"], "llm.provider": "ollama"}) as span:
            span.set_attributes({"llm.prompt_tokens": a, "llm.completion_tokens": b, "llm.total_tokens": a + b})

    def run_bodai(self, task):
        x = task.extra
        keys = {"task_class": task.type, "selector": x["selector"], "outcome": x["outcome"], "pool_id": x["pool"], "duration_ms": 20.5}
        keys = {("" if "bare" in x else "bodai.") + k: v for k, v in keys.items()}
        x["repos"] = [task.repo]

        def work():
            self.workflow(task)
            with self.core.start_as_current_span("pool.route_execute", attributes={"workflow.id": task.id}) as span:
                time.sleep(0.02)
                span.set_attributes(keys)
            if x["outcome"] == "success": self.repos(task)

        if "cli" in x: return work()
        with self.tool("pool_route_execute") as span:
            work()
            span.set_attribute("mcp.result.type", "dict")


def run(tasks, name, notes, mask, extra_truth):
    tp, rec = provider("mahavishnu", set_global=False, **{"service.version": "1.0.0"})
    orb, results = Orb(tp), {}
    for t in tasks:
        with under(t):
            try: getattr(orb, "run_" + t.extra.get("how", "bodai"))(t)
            except TimeoutError: pass
        results[t.id] = {"success": succeeded(t), "tier": None, "error_type": t.extra.get("error", [type(t.extra["raises"]).__name__ if "raises" in t.extra else None])[0]}
    write(name, tasks=tasks, results=results, recorder=rec, log=[], versions=versions(), notes=notes, leaf=leaf, mask=mask, extra_truth=extra_truth)


def succeeded(t):
    x = t.extra
    if "outcome" in x: return x["outcome"] == "success"
    if "again" in x: return not x["again"][1]
    return not (x.get("error") or x.get("raises") or x.get("bad") or x.get("fails") or x.get("result", {}).get("status") == "error")


def leaf(s, spans):
    a = s["attributes"]
    if "ai.total_tokens" in a: return dict(input=a["ai.prompt.tokens"], output=a["ai.response.tokens"], router=False)
    if "llm.total_tokens" in a: return dict(input=a["llm.prompt_tokens"], output=a["llm.completion_tokens"], router=False)


def extra_truth(t, truth, spans, result):
    x, out = t.extra, {"error_kinds": t.extra.get("kinds", []), "pool_id": t.extra.get("pool"), "selector": t.extra.get("selector"), "adapter": t.extra.get("adapter")}
    if "tokens" in x:
        (a, b) = x["tokens"]
        out |= dict(input_tokens=a, output_tokens=b, input_tokens_without_router_calls=a, output_tokens_without_router_calls=b, models_attempted=[x["model"]], final_model=x["model"], response_model=x["model"])
    return out


def mask(t, truth, spans, result):
    """Only what such spans can hold; no span names an attempt, a tier, a cost or a score."""
    x = t.extra
    how = x.get("how", "bodai")
    m = dict(fallback_used=None, attempt_count=None, task_description=None, grouping=["yes"])
    if "tokens" not in x: m |= dict(input_tokens=None, output_tokens=None)
    if not (truth["error_kinds"] or truth["error_type"] in ("ValueError", "RuntimeError")): m |= dict(error_type=None)
    if how in ("mcp", "cli", "bodai"): m |= dict(task_id=["yes", "workflow.id"], task_type=["yes", "workflow.task_type"], repo=["yes", "basename of repo.path"])
    if how == "mcp" and "result_type" in x: m |= dict(success=["no", "only mcp.result.type: the outcome is in a metric"])
    if how == "mcp" and not x["repos"]: m |= dict(repo=None)
    if how == "cli": m |= dict(success=["no", "no span holds the outcome; it is in a metric"], grouping=["yes", "several root traces of one workflow.id"] if x["repos"] else ["yes"])
    if how in ("ingest", "query"): m |= dict(task_id=["no", "in no span"], task_type=["profile", "llamaindex.operation or the span name"], success=["yes", "status attribute, else error.type under a root that is UNSET"])
    if how == "query": m |= dict(task_description=["content_task", "query.text"])
    if how == "execute": m |= dict(task_id=["no", 'task.id is the word "unknown"'] if x.get("id") else ["yes"], success=["yes", "failure_count and status"])
    if how in ("ai", "llm"): m |= dict(task_id=["no", "in no span"], success=["no", "UNSET, and no outcome anywhere"])
    if how == "ai": m |= dict(task_description=["content_task", "ai.prompt"])
    if how == "llm": m |= dict(task_type=["yes", "task.class"])
    if how == "bodai":
        m |= dict(success=["yes", "outcome" if "bare" in x else "bodai.outcome"], grouping=["yes", "several root traces of one workflow.id"] if "cli" in x else ["yes"])
        if not truth["success"]: m |= dict(repo=None)  # repo.process spans follow success only
    return m


if __name__ == "__main__":
    run(TASKS, "orb_prior", "spans after the notes on the earlier orchestrator: MCP-enclosed and CLI workflows, llamaindex.*, two sample clients; several facts are in no span", mask, extra_truth)
    run(BODAI, "orb_prior_bodai", "the same orchestrator with the planned keys on pool.route_execute: with prefix bodai. and, in a part, without", mask, extra_truth)
