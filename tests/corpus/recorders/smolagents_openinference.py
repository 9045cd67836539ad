"""Records smolagents (ToolCallingAgent) with openinference-instrumentation-smolagents; task facts go where Phoenix users put them (using_attributes).

Pinned: smolagents[openai]==1.26.0 openinference-instrumentation-smolagents==0.1.43 openinference-instrumentation==0.1.72 opentelemetry-sdk==1.45.2
Run: python smolagents_openinference.py, in a venv with these.
"""
import json
import logging
from concurrent.futures import ThreadPoolExecutor

from openinference.instrumentation import OITracer, TraceConfig, using_attributes
from openinference.instrumentation.smolagents import SmolagentsInstrumentor
from opentelemetry.trace import StatusCode
from smolagents import ToolCallingAgent, tool
from smolagents.models import ChatMessage, OpenAIModel

from common_b import TIMEOUT_S, FakeLLM, Task, provider, under, versions, write

ROUTER = "llama-3.2-3b-instruct"
MODELS = {"small": ("mistral-small-2506", "qwen3-14b"), "medium": ("qwen3-32b", "mistral-small-2506"), "large": ("deepseek-v3.2", "qwen3-32b")}

TASKS = [
    Task("q-7f31", "fact_lookup", "Which year did the Gotthard base tunnel open for regular traffic?", "geo-atlas", "small", tools=("search_docs",), quality=1.0, feedback="accepted"),
    Task("q-7f32", "data_analysis", "Compare the median delivery time of March with that of February and explain the difference", "logistics-notebooks", "medium", {"qwen3-32b": ["429*"]}, tools=("run_sql",), quality=0.8),
    Task("q-7f33", "report_writing", 'Write the "Lessons learned" chapter of the Straßenbahn pilot, two pages', "mobility-reports", "large", {"deepseek-v3.2": ["500*"]}, tools=("search_docs", "run_sql"), quality=0.55, feedback="rejected"),
    Task("q-7f34", "fact_lookup", "How many member states has the customs union today?", "geo-atlas", "small", quality=1.0),
    Task("q-7f35", "data_analysis", "Find outliers in the meter readings of district 7", "energy-notebooks", "medium", tools=("run_sql", "run_sql"), quality=0.7),
    Task("q-7f36", "translation", 'Translate "Der Zug fährt über die Brücke" and keep the line breaks', None, "small", {"mistral-small-2506": ["timeout*"]}, quality=0.9),
    Task("q-7f37", "report_writing", "Draft the executive summary of the yearly water quality report", "water-reports", "large", {"deepseek-v3.2": ["503"]}, quality=0.85, extra={"retries": 1}),
    Task("q-7f38", "data_analysis", "Join the sensor table with the weather table and check the correlation of rain and delay", "energy-notebooks", "large", {"deepseek-v3.2": ["401*"], "qwen3-32b": ["401*"]}),
    Task("q-7f39", "translation", "Render the safety notice for passengers into plain English", "mobility-reports", "small", quality=0.95, feedback="accepted"),
    Task("q-7f3a", "fact_lookup", "Who maintains the signalling standard used on the northern line?", "geo-atlas", "medium", tools=("search_docs", "search_docs", "search_docs", "search_docs", "search_docs"), extra={"endless": True}),
    Task("q-7f3b", "data_analysis", "Plot daily ridership, then tell which stops lost most passengers", "mobility-notebooks", "medium", tools=("broken_tool",), quality=0.6),
    Task("q-7f3c", "report_writing", "Outline a funding request for the cargo tram extension", "mobility-reports", "large", quality=0.88, extra={"stream": True}),
]


@tool
def search_docs(query: str) -> str:
    """Searches the document store.

    Args:
        query: What to search for.
    """
    return f"3 passages about {query}"


@tool
def run_sql(query: str) -> str:
    """Runs a read-only query.

    Args:
        query: The statement.
    """
    return "rows: 42"


@tool
def broken_tool(query: str) -> str:
    """Draws a chart.

    Args:
        query: What to draw.
    """
    raise RuntimeError("chart backend not configured")


def reply(req, task):
    """An agent's turn: the next tool call, then final_answer; smolagents shows past calls as assistant messages."""
    if task is None or req["model"] == ROUTER or not req.get("tools"): return None
    done = sum(m["role"] == "assistant" for m in req["messages"])
    if done < len(task.tools): return task.tools[done], {"query": task.needle.strip()[:30]}
    return "final_answer", {"answer": f"Answer to the {task.type} question: done in {len(task.tools) + 1} steps, with sources."}


def model(url, name, retries=0):
    return OpenAIModel(name, api_base=url, api_key="sk-fake", client_kwargs={"max_retries": retries, "timeout": TIMEOUT_S}, retry=False)


def solve(tier, task, url):
    """Runs the tier's agent, and another one on the second model if the first gives up."""
    for i, name in enumerate(MODELS[tier]):
        agent = ToolCallingAgent([search_docs, run_sql, broken_tool], model(url, name, task.extra.get("retries", 0)), name=f"{tier}_agent", max_steps=4, verbosity_level=0)
        try:
            if "stream" in task.extra: return "success", str(list(agent.run(task.text, stream=True))[-1])
            run = agent.run(task.text, return_full_result=True)
            return run.state, str(run.output)
        except Exception:
            if i: raise


def answer(task, url, tracer):
    meta = {"question_id": task.id, "topic": task.type, **({"repo": task.repo} if task.repo else {})}
    with under(task), using_attributes(session_id=f"chat-{task.session}", user_id="u-19", metadata=meta, tags=["research", task.type]):
        with tracer.start_as_current_span("answer_question", openinference_span_kind="chain") as root:
            root.set_input(task.text)
            try:
                tier = model(url, ROUTER).generate([ChatMessage(role="user", content=f"Reply small, medium or large for: {task.text}")]).content
                root.set_attribute("metadata", json.dumps({**meta, "model_tier": tier}))
                state, text = solve(tier, task, url)
                root.set_output(text)
                ok = state == "success"
                root.set_status(StatusCode.OK if ok else StatusCode.ERROR, None if ok else state)
                if ok: root.set_attributes({"evaluations.0.evaluation.name": "correctness", "evaluations.0.evaluation.score": task.quality, "evaluations.0.evaluation.annotator_kind": "LLM"})
                if task.feedback: root.set_attributes({"annotations.0.annotation.name": "user_feedback", "annotations.0.annotation.label": "thumbs_up" if task.feedback == "accepted" else "thumbs_down",
                                                       "annotations.0.annotation.score": 1.0 if task.feedback == "accepted" else 0.0, "annotations.0.annotation.annotator_kind": "HUMAN"})
                return dict(success=ok, quality_score=task.quality if ok else None, user_feedback=task.feedback, error_type=None if ok else "AgentMaxStepsError" if "endless" in task.extra else "RuntimeError")
            except Exception as e:
                root.record_exception(e)
                root.set_status(StatusCode.ERROR, str(e)[:160])
                return dict(success=False, error_type=type(e).__name__, error_message=str(e)[:300])


def leaf(s, spans):
    a = s["attributes"]
    if a.get("openinference.span.kind") != "LLM": return None
    return dict(input=a.get("llm.token_count.prompt"), output=a.get("llm.token_count.completion"), router=ROUTER in (a.get("llm.model_name"), json.loads(a.get("llm.invocation_parameters") or "{}").get("model")) or "small, medium or large" in str(a.get("input.value")))


def mask(task, truth, spans, result):
    return {**({"fallback_used": ["no", "the span of a failed call names no model: a retry looks the same"]} if truth["fallback_used"] else {}),
            **({"error_type": None} if "retries" in task.extra or "endless" in task.extra else {}),"task_id": ["profile", "key `question_id` of the JSON in `metadata`"], "task_type": ["profile", "key `topic` of the JSON in `metadata`"], "repo": ["yes", "key `repo` of the JSON in `metadata`"],
            "task_description": ["content_task", "only as recorded input of the root"], "model_tier": ["yes", "key `model_tier` of the JSON in the root's `metadata`"],
            "quality_score": ["yes", "evaluations.0.evaluation.score"] if truth["quality_score"] is not None else None, "user_feedback": ["yes", "annotations.0.annotation.*, kind HUMAN"] if task.feedback else None}


def main():
    logging.disable(logging.WARNING)
    tp, rec = provider("research-desk")
    SmolagentsInstrumentor().instrument(tracer_provider=tp)
    llm = FakeLLM(TASKS, reply, router_model=ROUTER)
    tracer = OITracer(tp.get_tracer("research_desk"), TraceConfig())
    with ThreadPoolExecutor(2) as pool: results = dict(zip([t.id for t in TASKS], pool.map(lambda t: answer(t, llm.url, tracer), TASKS)))
    write("smolagents_openinference", tasks=TASKS, results=results, recorder=rec, log=llm.log, versions=versions("smolagents", "openinference-instrumentation-smolagents", "openinference-instrumentation"), leaf=leaf, mask=mask,
          notes="ToolCallingAgent under an app CHAIN span; using_attributes puts session, tags and a JSON metadata on every span; the AGENT span of a run that raised is never ended, so its children are orphans")


if __name__ == "__main__": main()
