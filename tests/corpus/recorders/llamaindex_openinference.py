"""Records llama-index (RouterQueryEngine over three query engines; FunctionAgent with tools) with openinference-instrumentation-llama-index.

Pinned: llama-index-core==0.14.25 llama-index-llms-openai-like==0.8.1 openinference-instrumentation-llama-index==4.6.1 opentelemetry-sdk==1.45.2
Run: python llamaindex_openinference.py, in a venv with these.
"""
import asyncio
import json
import logging

from llama_index.core import Document, SummaryIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.query_engine import CustomQueryEngine, RouterQueryEngine
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools import QueryEngineTool
from llama_index.llms.openai_like import OpenAILike
from openinference.instrumentation import using_attributes
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor

from common_b import ROUTER_MODEL, TIMEOUT_S, FakeLLM, Task, provider, under, versions, write

TIERS = {"fast": ("gpt-4.1-mini", "gpt-4o-mini"), "balanced": ("gpt-4o", "gpt-4.1"), "premium": ("gpt-5", "gpt-4o")}

TASKS = [
    Task("rq-0101", "contract_question", "What notice period does the warehouse lease require?", "legal-docs", "fast"),
    Task("rq-0102", "contract_comparison", "Compare the liability caps of the two carrier agreements and say which is stricter", "legal-docs", "premium", {"gpt-5": ["500*"]}),
    Task("rq-0103", "policy_lookup", 'May staff use the "pool car" on Sundays?', "hr-handbook", "fast", {"gpt-4.1-mini": ["timeout*"]}),
    Task("rq-0104", "summary", "Summarise the minutes of the works council meeting in Nürnberg", "hr-handbook", "balanced"),
    Task("rq-0105", "contract_comparison", "List the clauses on data protection that differ between the vendors", "legal-docs", "balanced", {"gpt-4o": ["429*"]}),
    Task("rq-0106", "summary", "Condense the audit findings of the year into one page for the board", "finance-reports", "premium", {"gpt-5": ["401*"], "gpt-4o": ["401*"]}),
    Task("rq-0107", "policy_lookup", "How long are invoices kept, and where?", "finance-reports", "fast"),
    Task("rq-0108", "contract_question", "Who bears the cost of a delayed customs clearance?", "legal-docs", "balanced", {"gpt-4o": ["503"]}, extra={"retries": 2}),
    Task("rq-0109", "calculation", "Work out the yearly cost of the lease with two percent indexation", "finance-reports", "balanced", tools=("lookup_rate",), extra={"agent": True}),
    Task("rq-0110", "calculation", "Estimate the penalty for eleven late deliveries & show the steps", "legal-docs", "premium", tools=("lookup_rate", "lookup_rate"), stream=True, extra={"agent": True}),
    Task("rq-0111", "calculation", "How much budget is left for training after the autumn courses?", "finance-reports", "fast", {"gpt-4.1-mini": ["500*"]}, extra={"agent": True}),
    Task("rq-0112", "calculation", "Project the fuel cost if prices rise by a tenth", "finance-reports", "balanced", {"gpt-4o": ["400ctx*"], "gpt-4.1": ["429*"]}, extra={"agent": True}),
]


def lookup_rate(query: str) -> str:
    """Looks up a rate in the tables."""
    return "rate: 4.2"


def reply(req, task):
    """The selector wants JSON; the rest is the server's default."""
    if task and req["model"] == ROUTER_MODEL and "choices" in json.dumps(req["messages"]):
        return json.dumps([{"choice": list(TIERS).index(task.tier) + 1, "reason": f"a {task.tier} engine is enough"}])
    return None


class TierEngine(CustomQueryEngine):
    """Answers from the documents with the first model of the tier, else with the second."""
    url: str
    models: tuple
    retries: int

    def custom_query(self, query_str: str):
        index = SummaryIndex.from_documents([Document(text="Clause 7: the notice period is three months. Clause 9: costs are shared.")])
        for i, name in enumerate(self.models):
            try: return str(index.as_query_engine(llm=model(self.url, name, self.retries)).query(query_str))
            except Exception:
                if i: raise


def model(url, name, retries=0, **kw): return OpenAILike(model=name, api_base=url, api_key="sk-fake", is_chat_model=True, is_function_calling_model=True, context_window=32000, max_retries=retries, timeout=TIMEOUT_S, **kw)


def ask_router(task, url):
    about = {"fast": "short factual look-ups", "balanced": "ordinary questions", "premium": "comparisons and long reasoning"}
    tools = [QueryEngineTool.from_defaults(TierEngine(url=url, models=m, retries=task.extra.get("retries", 0)), name=f"{t}_engine", description=f"{t}: {about[t]}") for t, m in TIERS.items()]
    return RouterQueryEngine(LLMSingleSelector.from_defaults(llm=model(url, ROUTER_MODEL)), tools, llm=model(url, ROUTER_MODEL)).query(task.text)


async def ask_agent(task, url):
    """No router here: the caller fixed the tier."""
    for i, name in enumerate(TIERS[task.tier]):
        agent = FunctionAgent(name=f"{task.tier}_calculator", tools=[lookup_rate], llm=model(url, name, additional_kwargs={"stream_options": {"include_usage": True}} if task.stream else {}), streaming=task.stream, system_prompt="You calculate.")
        try: return await agent.run(task.text)
        except Exception:
            if i: raise


def handle(task, url):
    meta = {"request_id": task.id, "intent": task.type, "collection": task.repo}
    with under(task), using_attributes(session_id=task.session, metadata=meta):
        try:
            asyncio.run(ask_agent(task, url)) if "agent" in task.extra else ask_router(task, url)
            return dict(success=True)
        except Exception as e: return dict(success=False, error_type=type(e).__name__, error_message=str(e)[:300])


def leaf(s, spans):
    a = s["attributes"]
    inner = any(o["parent_id"] == s["span_id"] and o["attributes"].get("openinference.span.kind") == "LLM" for o in spans)
    if a.get("openinference.span.kind") != "LLM" or inner or s["name"].endswith("_prepare_chat_with_tools"): return None
    return dict(input=a.get("llm.token_count.prompt"), output=a.get("llm.token_count.completion"), router=str(a.get("llm.model_name")).startswith(ROUTER_MODEL))


def mask(task, truth, spans, result):
    agent = "agent" in task.extra
    return {"task_id": ["profile", "key `request_id` of the JSON in `metadata`"], "task_type": ["profile", "key `intent` of the JSON in `metadata`"], "repo": ["profile", "key `collection` of the JSON in `metadata`"],
            "task_description": ["content_prompt", "only inside recorded prompts"] if agent else ["content_task", "only as recorded input of the root"],
            "model_tier": ["no", "only inside a recorded agent definition"] if agent else ["no", "only as an index into the choices recorded by the selector"],
            **({"attempt_count": ["no", "a span of kind LLM (_prepare_chat_with_tools) makes no call: two countings possible"]} if agent else {}),
            **({"grouping": ["no", "separate traces with no shared key but the metadata's request_id: one execution each is accepted"]} if len(truth["trace_ids"]) > 1 else {}),
            **({"error_type": None} if "retries" in task.extra else {})}


def main():
    logging.disable(logging.WARNING)
    tp, rec = provider("contract-desk")
    LlamaIndexInstrumentor().instrument(tracer_provider=tp)
    llm = FakeLLM(TASKS, reply)
    results = {t.id: handle(t, llm.url) for t in TASKS}
    write("llamaindex_openinference", tasks=TASKS, results=results, recorder=rec, log=llm.log, versions=versions("llama-index-core", "llama-index-llms-openai-like", "openinference-instrumentation-llama-index"), leaf=leaf, mask=mask,
          notes="no app spans: RouterQueryEngine with an LLM selector over three engines (fallback inside the engine), and FunctionAgent runs; request facts in a JSON metadata by using_attributes")


if __name__ == "__main__": main()
