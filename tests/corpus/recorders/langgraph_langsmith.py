"""Records LangGraph by LangSmith's OpenTelemetry mode (no instrumentation package): router node, a worker node per tier with fallbacks, a grading node.

Pinned: langgraph==1.2.22 langchain-openai==1.7.3 langsmith[otel]==0.15.0 openai==3.54.0 opentelemetry-sdk==1.45.2
Run: python langgraph_langsmith.py, in a venv with these.
"""
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TypedDict

os.environ.update(LANGSMITH_TRACING="true", LANGSMITH_TRACING_MODE="otel", LANGSMITH_API_KEY="ls-fake", LANGSMITH_ENDPOINT="http://127.0.0.1:9", LANGSMITH_PROJECT="support-bot")

from langchain_core.tracers.langchain import wait_for_all_tracers
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph

from common_b import ROUTER_MODEL, TIMEOUT_S, FakeLLM, Task, provider, versions, write

MODELS = {"fast": ("gpt-4.1-mini", "gpt-4o-mini"), "balanced": ("gpt-4o", "gpt-4.1"), "premium": ("gpt-5", "gpt-4o")}

TASKS = [
    Task("sup-71", "bug_report", "The export button does nothing in the dark theme", "desk/frontend", "balanced", quality=0.83),
    Task("sup-72", "feature_request", "Plan how to add single sign-on for schools, with risks", "desk/identity", "premium", {"gpt-5": ["500*"]}, quality=0.75),
    Task("sup-73", "how_to", 'How do I rename a "space" without losing links?', "desk/docs", "fast", quality=0.94),
    Task("sup-74", "how_to", "Wie ändere ich die Sprache der Oberfläche? Explain in English please", "desk/docs", "fast", {"gpt-4.1-mini": ["timeout*"]}, quality=0.8),
    Task("sup-75", "bug_report", "Search returns deleted pages after a restore", "desk/search", "balanced", {"gpt-4o": ["429*"]}, quality=0.7),
    Task("sup-76", "feature_request", "Weigh offline editing against conflict resolution cost", "desk/sync", "premium", {"gpt-5": ["401*"], "gpt-4o": ["401*"]}),
    Task("sup-77", "billing", "Customer was charged twice in May & wants it explained", "desk/billing", "balanced", stream=True, quality=0.88, session="th-2"),
    Task("sup-78", "billing", "Which plan is cheapest for 14 occasional editors?", "desk/billing", "fast", {"gpt-4.1-mini": ["503"]}, quality=0.86, session="th-2", extra={"retries": 1}),
    Task("sup-79", "bug_report", "Crash on paste of a very large table", "desk/editor", "premium", quality=0.9, session="th-3"),
    Task("sup-80", "billing", "Draft a refund note for the cancelled annual plan", "desk/billing", "balanced", {"gpt-4o": ["400ctx*"], "gpt-4.1": ["500*"]}, session="th-3"),
]


class State(TypedDict, total=False):
    question: str
    tier: str
    answer: str
    grade: float


def graph(url, task):
    llm = lambda m, **kw: ChatOpenAI(model=m, base_url=url, api_key="sk-fake", timeout=TIMEOUT_S, max_retries=task.extra.get("retries", 0), use_responses_api=False, **kw)

    def worker(tier):
        first, second = (llm(m, streaming=task.stream, stream_usage=True) for m in MODELS[tier])
        chain = first.with_fallbacks([second])
        return lambda s: {"answer": chain.invoke(s["question"]).content}

    g = StateGraph(State)
    g.add_node("router", lambda s: {"tier": llm(ROUTER_MODEL).invoke(f"fast, balanced or premium? {s['question']}").content})
    g.add_node("grade", lambda s: {"grade": task.quality})
    for t in MODELS:
        g.add_node(f"{t}_worker", worker(t))
        g.add_edge(f"{t}_worker", "grade")
    g.add_edge(START, "router")
    g.add_conditional_edges("router", lambda s: f"{s['tier']}_worker", [f"{t}_worker" for t in MODELS])
    g.add_edge("grade", END)
    return g.compile(name="support_graph")


def handle(task, url):
    config = {"run_name": "support_request", "tags": ["prod"], "metadata": {"task_id": task.id, "task_kind": task.type, "repository": task.repo, "thread_id": task.session, "user_id": "u-4"}}
    try:
        graph(url, task).invoke({"question": task.text}, config)
        return dict(success=True, quality_score=task.quality)
    except Exception as e: return dict(success=False, error_type=type(e).__name__, error_message=str(e)[:300])


def leaf(s, spans):
    a = s["attributes"]
    if a.get("langsmith.span.kind") != "llm": return None
    return dict(input=a.get("gen_ai.usage.input_tokens"), output=a.get("gen_ai.usage.output_tokens"), router=str(a.get("gen_ai.request.model")).startswith(ROUTER_MODEL))


def mask(task, truth, spans, result):
    root = next(s for s in spans if not s["parent_id"])
    m = {"task_id": ["yes", "langsmith.metadata.task_id"], "task_type": ["yes", "langsmith.metadata.task_kind"], "repo": ["yes", "langsmith.metadata.repository"], "task_description": ["content_prompt", "only inside recorded prompts"],
         "model_tier": ["profile", "output of the app's node router"], "success": ["yes", "root status OK" if truth["success"] else "exception event on a root whose status is " + root["status"]["code"]]}
    if truth["quality_score"] is not None: m["quality_score"] = ["profile", "key `grade` of the app's graph state"]
    if "retries" in task.extra: m["error_type"] = None
    return m


def main():
    logging.disable(logging.ERROR)
    tp, rec = provider("support-bot")
    llm = FakeLLM(TASKS)
    with ThreadPoolExecutor(2) as pool: results = dict(zip([t.id for t in TASKS], pool.map(lambda t: handle(t, llm.url), TASKS)))
    wait_for_all_tracers()
    tp.force_flush()
    for s in rec.spans:  # LangSmith makes the spans in a thread of its own, so a trace's owner is read off its metadata
        if s.attributes.get("langsmith.metadata.task_id"): rec.traces[s.context.trace_id] = s.attributes["langsmith.metadata.task_id"]
    write("langgraph_langsmith", tasks=TASKS, results=results, recorder=rec, log=llm.log, versions=versions("langgraph", "langchain-openai", "langsmith", "openai"), leaf=leaf, mask=mask,
          notes="LangSmith's own OTel exporter; run metadata becomes langsmith.metadata.*; feedback would go through LangSmith's HTTP API and is on no span")


if __name__ == "__main__": main()
