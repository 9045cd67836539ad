"""A LangGraph graph with a router node and a worker per tier. It has no spans of its own.

Argument: the address of an OpenAI-compatible endpoint.
"""

import sys
from typing import TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph

URL = sys.argv[1]


def model(name: str) -> ChatOpenAI:
    return ChatOpenAI(
        model=name, base_url=URL, api_key="none", max_retries=0, use_responses_api=False
    )


class State(TypedDict, total=False):
    question: str
    tier: str
    answer: str


def route(state: State) -> State:
    found = model("gpt-4.1-nano").invoke(f"simple or hard? {state['question']}").content
    return {"tier": "hard" if "hard" in str(found) else "simple"}


def simple(state: State) -> State:
    return {"answer": str(model("gpt-4o-mini").invoke(state["question"]).content)}


def hard(state: State) -> State:
    chain = model("broken").with_fallbacks([model("gpt-4.1")])
    return {"answer": str(chain.invoke(state["question"]).content)}


graph = StateGraph(State)
graph.add_node("router", route)
graph.add_node("simple", simple)
graph.add_node("hard", hard)
graph.add_edge(START, "router")
graph.add_conditional_edges("router", lambda state: state["tier"], ["simple", "hard"])
graph.add_edge("simple", END)
graph.add_edge("hard", END)
app = graph.compile(name="solve")

for task_id, question in (("issue-1", "rename a flag"), ("issue-2", "a hard one")):
    app.invoke(
        {"question": question},
        {"metadata": {"task_id": task_id, "task_type": "coding", "repo": "acme/shop"}},
    )
