"""Records Microsoft agent-framework: a ticket workflow (triage -> one of three workers -> quality gate) with its own instrumentation.

Pinned: agent-framework-core==1.23.0 agent-framework-openai==1.17.0 openai==3.54.0 opentelemetry-sdk==1.45.2
Run: python ms_agent_framework.py, in a venv with these.
"""
import asyncio
from typing import Annotated

from agent_framework import Agent, Executor, WorkflowBuilder, WorkflowContext, handler
from agent_framework.observability import enable_instrumentation, get_tracer
from agent_framework.openai import OpenAIChatClient, OpenAIChatCompletionClient
from openai import AsyncOpenAI
from opentelemetry import trace
from opentelemetry.trace import Link, Status, StatusCode

from common_b import ROUTER_MODEL, TIMEOUT_S, FakeLLM, Task, provider, under, versions, write

MODELS = {"fast": ("gpt-4.1-mini", "gpt-4o-mini"), "balanced": ("gpt-4o", "gpt-4.1"), "premium": ("gpt-5", "gpt-4o")}

TASKS = [
    Task("INC-2041", "password_reset", 'User cannot reset the password: the page says "token expired" after the second click', "it/identity", "fast", quality=0.91, feedback="accepted"),
    Task("INC-2042", "network", "VPN drops every ten minutes for the Zürich office since the gateway upgrade", "it/network", "balanced", {"gpt-4o": ["429*"]}, tools=("search_kb",), quality=0.74),
    Task("INC-2043", "incident_analysis", "Find the root cause of last night's checkout outage from the timeline and the alert storm", "shop/checkout", "premium", {"gpt-5": ["500*"]}, tools=("search_kb", "read_log"), quality=0.66, feedback="rejected"),
    Task("INC-2044", "access_request", "Grant the contractor read access to the billing dashboards until the end of March", "it/identity", "fast", stream=True, quality=0.88),
    Task("INC-2045", "network", "DNS lookups for internal names fail on the guest wireless after a roaming event", "it/network", "balanced", {"gpt-4o": ["503"]}, quality=0.79, extra={"retry": True}),
    Task("INC-2046", "incident_analysis", "Explain why the nightly export wrote an empty file although the job was green", "data/export", "premium", tools=("read_log",), stream=True, quality=0.83, feedback="accepted"),
    Task("INC-2047", "hardware", "Laptop battery swells; what do I do with it & who orders the replacement?", None, "fast", {"gpt-4.1-mini": ["timeout*"]}, quality=0.7),
    Task("INC-2048", "incident_analysis", "Correlate the queue backlog with yesterday's deploy of the pricing service", "shop/pricing", "premium", {"gpt-5": ["401*"], "gpt-4o": ["401*"]}),
    Task("INC-2049", "access_request", 'Remove "admin" from the shared mailbox of the Köln team', "it/identity", "fast", quality=0.94),
    Task("INC-2050", "hardware", "Docking station does not wake the second screen after the firmware update", None, "balanced", {"gpt-4o": ["500*"], "gpt-4.1": ["503*"]}),
    Task("INC-2051", "password_reset", "Locked account of a returning employee, identity already verified by phone", "it/identity", "fast", quality=0.89, feedback="accepted", session="s2"),
    Task("INC-2052", "network", "Packet loss between the two data centres rises at noon, draft a hypothesis and a test plan", "it/network", "premium", quality=0.81, session="s2"),
    Task("INC-2053", "incident_analysis", "Summarise the duplicate payment complaints of this week and their common factor", "shop/payments", "balanced", {"gpt-4o": ["400ctx*"]}, quality=0.62, session="s2"),
    Task("INC-2054", "hardware", "Order form for a left-handed mouse keeps rejecting the cost centre", None, "fast", tools=("search_kb",), quality=0.9, session="s3", extra={"direct": True}),
    Task("INC-2055", "access_request", "Temporary sudo on the build host for the toolchain migration", "ci/build", "balanced", quality=0.77, session="s3", extra={"direct": True}),
]


def search_kb(query: Annotated[str, "what to look for"]) -> str:
    """Search the knowledge base."""
    return f"KB-118: notes about {query}"


def read_log(query: Annotated[str, "words to grep"]) -> str:
    """Read the log lines around an incident."""
    return f"12:01 WARN {query} retried"


class Desk:
    """The app: agents per model, and the graph around them."""

    def __init__(self, url):
        self.url, self.tracer = url, get_tracer("helpdesk.app", "2.3.0")

    def agent(self, name, model, instructions, retries=0, tools=(search_kb, read_log)):
        http = AsyncOpenAI(base_url=self.url, api_key="sk-fake", max_retries=retries, timeout=TIMEOUT_S)
        kind = OpenAIChatClient if model == "gpt-5" else OpenAIChatCompletionClient
        return Agent(kind(model=model, async_client=http), instructions, name=name, tools=list(tools) or None)

    async def ask(self, tier, task):
        """The first model of the tier, else its fallback."""
        for i, model in enumerate(MODELS[tier]):
            agent = self.agent(f"{tier}_worker" + ("_backup" if i else ""), model, "You solve IT tickets.", retries=int("retry" in task.extra))
            try:
                if not task.stream: return (await agent.run(task.text)).text
                return "".join([u.text or "" async for u in agent.run(task.text, stream=True)])
            except Exception:
                if i: raise

    async def triage(self, task):
        out = await self.agent("triage", ROUTER_MODEL, "Answer fast, balanced or premium.", tools=()).run(task.text)
        trace.get_current_span().set_attribute("triage.tier", out.text)
        return out.text

    def workflow(self, task):
        desk = self

        class Triage(Executor):
            @handler
            async def run(self, text: str, ctx: WorkflowContext[str]) -> None: await ctx.send_message(await desk.triage(task))

        class Worker(Executor):
            @handler
            async def run(self, tier: str, ctx: WorkflowContext[str]) -> None: await ctx.send_message(await desk.ask(tier, task))

        class Gate(Executor):
            @handler
            async def run(self, answer: str, ctx: WorkflowContext[None, str]) -> None:
                trace.get_current_span().add_event("gen_ai.evaluation.result", {"gen_ai.evaluation.name": "resolution_quality", "gen_ai.evaluation.score.value": task.quality, "gen_ai.evaluation.score.label": "pass"})
                await ctx.yield_output(answer)

        first, gate = Triage(id="triage"), Gate(id="quality_gate")
        b = WorkflowBuilder(name="ticket_workflow", description="triage, solve, check", start_executor=first)
        for tier in MODELS:
            w = Worker(id=f"worker_{tier}")
            b.add_edge(first, w, condition=lambda m, tier=tier: m == tier).add_edge(w, gate)
        return b.build()

    async def handle(self, task):
        with under(task), self.tracer.start_as_current_span("handle_ticket", attributes={"ticket.id": task.id, "ticket.category": task.type, "ticket.title": task.text, "session.id": task.session, **({"ticket.repository": task.repo} if task.repo else {})}) as span:
            try:
                if "direct" in task.extra:
                    await self.ask(await self.triage(task), task)
                    span.add_event("gen_ai.evaluation.result", {"gen_ai.evaluation.name": "resolution_quality", "gen_ai.evaluation.score.value": task.quality})
                else: await self.workflow(task).run(task.text)
                span.set_attribute("ticket.state", "resolved")
                return dict(success=True, quality_score=task.quality, user_feedback=task.feedback, context=span.get_span_context())
            except Exception as e:
                span.set_attribute("ticket.state", "escalated")
                span.set_status(Status(StatusCode.ERROR, str(e)[:120]))
                return dict(success=False, error_type=type(e).__name__, error_message=str(e)[:300])

    def feedback(self, task, context):
        """The user's verdict comes later, as a span of another trace that links to the ticket's."""
        good = task.feedback == "accepted"
        with self.tracer.start_as_current_span("ticket_feedback", context=trace.set_span_in_context(trace.INVALID_SPAN), links=[Link(context, {"link.reason": "feedback"})], attributes={"ticket.id": task.id, "feedback.accepted": good, "feedback.rating": 5 if good else 2}): pass


def leaf(s, spans):
    a = s["attributes"]
    if a.get("gen_ai.operation.name") != "chat": return None
    return dict(input=a.get("gen_ai.usage.input_tokens"), output=a.get("gen_ai.usage.output_tokens"), router=a.get("gen_ai.request.model") == ROUTER_MODEL)


def mask(task, truth, spans, result):
    m = {"success": ["yes", "root UNSET: ticket.state and the children" if truth["success"] else "ERROR on the root"], "task_type": ["profile", "app's own attribute name `ticket.category`"],
         "task_id": ["profile", "app's own attribute name `ticket.id`"], "task_description": ["profile", "app's own attribute name `ticket.title`"], "repo": ["yes", "ticket.repository"],
         "model_tier": ["yes", "triage.tier, on the triage executor's span" if "direct" not in task.extra else "triage.tier, on the root"]}
    if task.feedback: m |= {"user_feedback": ["yes", "a later span of another trace, linked and with the same ticket.id"], "user_rating_truth": 5 if task.feedback == "accepted" else 2}
    if "retry" in task.extra: m["error_type"] = None
    return m


async def main():
    tp, rec = provider("helpdesk", **{"service.version": "2.3.0", "deployment.environment.name": "test"})
    enable_instrumentation(enable_sensitive_data=True)
    llm = FakeLLM(TASKS)
    desk, results = Desk(llm.url), {}
    for i in range(0, len(TASKS), 3):
        group = TASKS[i:i + 3]
        for t, r in zip(group, await asyncio.gather(*map(desk.handle, group))): results[t.id] = r
    for t in TASKS:
        if t.feedback and results[t.id]["success"]: desk.feedback(t, results[t.id]["context"])
    write("ms_agent_framework", tasks=TASKS, results=results, recorder=rec, log=llm.log, versions=versions("agent-framework-core", "agent-framework-openai", "openai"), leaf=leaf, mask=mask,
          notes="agent-framework's own spans (sensitive data on) below app span handle_ticket; workflow with conditional edges, two tasks as plain agent calls; premium tier on the Responses API; feedback as linked spans of other traces")


if __name__ == "__main__": asyncio.run(main())
