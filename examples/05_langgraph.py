"""A LangGraph graph with a router node, seen through OpenInference's instrumentation."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TypedDict

from fake_openai import fake_openai
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.sdk.trace import TracerProvider

from otel_learning import LearningDatabase, LearningSpanProcessor


class State(TypedDict):
    """What the graph passes on."""

    request: str
    answer: str


def graph(url: str) -> object:
    """A router that looks at the request, and two workers."""

    def worker(model: str) -> object:
        chat = ChatOpenAI(model=model, base_url=url, api_key="none", max_retries=0)
        return lambda state: {"answer": chat.invoke(state["request"]).content}

    built = StateGraph(State)
    built.add_node("router", lambda state: {})
    built.add_node("worker_fast", worker("gpt-4o-mini"))
    built.add_node("worker_premium", worker("gpt-4o"))
    built.add_edge(START, "router")
    built.add_conditional_edges(
        "router", lambda state: "worker_premium" if len(state["request"]) > 40 else "worker_fast"
    )
    built.add_edge("worker_fast", END)
    built.add_edge("worker_premium", END)
    return built.compile()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, fake_openai() as url:
        store = Path(folder) / "learning.duckdb"
        provider = TracerProvider()
        provider.add_span_processor(LearningSpanProcessor(path=store))
        LangChainInstrumentor().instrument(tracer_provider=provider)
        app = graph(url)
        for number, request in enumerate(
            ("Fix the typo.", "Redesign how orders are archived, and say what it costs."), start=1
        ):
            # The instrumentation copies a run's metadata to its spans.
            app.invoke({"request": request}, config={
                "run_name": "coding_task",
                "metadata": {"task_id": f"task-{number}", "task_type": "bug_fix"},
            })  # fmt: skip
        provider.shutdown()

        for record in LearningDatabase(store).executions():
            print(f"{record.task_id}: {record.task_type}, model {record.model}, "
                  f"{record.input_tokens} + {record.output_tokens} tokens")  # fmt: skip


if __name__ == "__main__":
    main()
