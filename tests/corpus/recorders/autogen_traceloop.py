"""Records AutoGen (triage agent, then a one-agent team per model on a traced runtime) with its own spans and opentelemetry-instrumentation-openai below.

Pinned: autogen-agentchat==0.7.5 autogen-ext[openai]==0.7.5 openai==3.54.0 opentelemetry-instrumentation-openai==0.62.4 opentelemetry-sdk==1.45.2
Run: python autogen_traceloop.py, in a venv with these.
"""
import asyncio
import logging

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import TextMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import SingleThreadedAgentRuntime
from autogen_core.models import ModelFamily
from autogen_ext.models.openai import OpenAIChatCompletionClient
from opentelemetry.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.trace import StatusCode

from common_b import ROUTER_MODEL, TIMEOUT_S, FakeLLM, Task, provider, under, versions, write

MODELS = {"fast": ("gpt-4.1-mini", "gpt-4o-mini"), "balanced": ("gpt-4o", "gpt-4.1"), "premium": ("gpt-4.1", "gpt-4o")}

TASKS = [
    Task("REQ-501", "itinerary", "Plan two days in Graz for a school class of 24", "travel-desk", "balanced", tools=("timetable",), quality=0.84),
    Task("REQ-502", "rebooking", "Rebook the cancelled night train to Hamburg, keep the bikes", "travel-desk", "premium", {"gpt-4.1": ["500*"]}, tools=("timetable",), quality=0.7),
    Task("REQ-503", "faq", "May I take a folding bike on the 6:12 train?", "help-centre", "fast", quality=0.95, feedback="accepted"),
    Task("REQ-504", "complaint", 'Answer the complaint "no heating in coach 7" politely', "help-centre", "balanced", {"gpt-4o": ["429*"]}, quality=0.76),
    Task("REQ-505", "faq", "Which discount card fits a commuter between Linz and Wels?", "help-centre", "fast", {"gpt-4.1-mini": ["timeout*"]}, quality=0.81),
    Task("REQ-506", "rebooking", "Move the group of 60 to the early connection", "travel-desk", "premium", {"gpt-4.1": ["401*"], "gpt-4o": ["401*"]}),
    Task("REQ-507", "complaint", "Offer a refund for the missed connection at Salzburg & explain the form", "help-centre", "balanced", stream=True, quality=0.88, feedback="rejected"),
    Task("REQ-508", "itinerary", "Find a step-free route from the Südbahnhof to the clinic", "travel-desk", "fast", {"gpt-4.1-mini": ["503"]}, quality=0.9, extra={"retries": 1}),
    Task("REQ-509", "itinerary", "Weekend with two museums and little walking", "travel-desk", "balanced", quality=0.79),
    Task("REQ-510", "complaint", "Summarise the social media complaints of Monday's disruption", "help-centre", "premium", {"gpt-4.1": ["503*"], "gpt-4o": ["500*"]}),
]


async def timetable(query: str) -> str:
    """Looks up connections."""
    return "06:12, 07:12, 08:12"


class Desk:
    def __init__(self, url, tp): self.url, self.tp, self.tracer = url, tp, tp.get_tracer("travel_desk")

    def client(self, model, task):
        return OpenAIChatCompletionClient(model=model, base_url=self.url, api_key="sk-fake", max_retries=task.extra.get("retries", 0), timeout=TIMEOUT_S,
                                          model_info={"vision": False, "function_calling": True, "json_output": False, "family": ModelFamily.UNKNOWN, "structured_output": False})

    async def triage(self, task):
        agent = AssistantAgent("triage", model_client=self.client(ROUTER_MODEL, task), system_message="Answer fast, balanced or premium.")
        return (await agent.run(task=task.text)).messages[-1].content

    async def work(self, tier, task):
        for i, model in enumerate(MODELS[tier]):
            runtime = SingleThreadedAgentRuntime(tracer_provider=self.tp)
            runtime.start()
            worker = AssistantAgent(f"{tier}_worker", model_client=self.client(model, task), tools=[timetable], reflect_on_tool_use=True, model_client_stream=task.stream, system_message="You serve rail passengers.")
            team = RoundRobinGroupChat([worker], termination_condition=TextMessageTermination(f"{tier}_worker"), runtime=runtime)
            try: return await team.run(task=task.text)
            except Exception:
                if i: raise
            finally: await runtime.stop_when_idle()

    async def handle(self, task):
        with under(task), self.tracer.start_as_current_span("process_request", attributes={"request.id": task.id, "request.type": task.type, "request.project": task.repo}) as root:
            try:
                tier = await self.triage(task)
                root.set_attribute("request.tier", tier)
                await self.work(tier, task)
                root.set_attribute("request.quality", task.quality)
                if task.feedback: root.add_event("customer_feedback", {"rating": 5 if task.feedback == "accepted" else 1, "accepted": task.feedback == "accepted"})
                root.set_status(StatusCode.OK)
                return dict(success=True, quality_score=task.quality, user_feedback=task.feedback)
            except Exception as e:
                root.set_status(StatusCode.ERROR, type(e).__name__)
                return dict(success=False, error_type=type(e).__name__, error_message=str(e)[:300])


def leaf(s, spans):
    a = s["attributes"]
    if not s["scope"]["name"].startswith("opentelemetry.instrumentation.openai"): return None
    return dict(input=a.get("gen_ai.usage.input_tokens"), output=a.get("gen_ai.usage.output_tokens"), router=a.get("gen_ai.request.model") == ROUTER_MODEL)


def mask(task, truth, spans, result):
    m = {"task_id": ["profile", "app's own attribute name `request.id`"], "task_type": ["profile", "app's own attribute name `request.type`"], "repo": ["profile", "app's own attribute name `request.project`"],
         "task_description": ["content_prompt", "only inside recorded prompts"], "model_tier": ["yes", "request.tier"], "user_rating_truth": 5 if task.feedback == "accepted" else 1 if task.feedback else None}
    if truth["quality_score"] is not None: m["quality_score"] = ["profile", "app's own attribute name `request.quality`"]
    if task.stream: m |= dict.fromkeys(("input_tokens", "output_tokens"), ["no", "usage of a streamed call is on no span"])
    if "retries" in task.extra: m["error_type"] = None
    return m


async def main():
    logging.disable(logging.ERROR)
    tp, rec = provider("travel-desk", **{"service.version": "0.9.1"})
    OpenAIInstrumentor().instrument(tracer_provider=tp)
    llm = FakeLLM(TASKS)
    desk, results = Desk(llm.url, tp), {}
    for i in range(0, len(TASKS), 2):
        group = TASKS[i:i + 2]
        for t, r in zip(group, await asyncio.gather(*map(desk.handle, group))): results[t.id] = r
    write("autogen_traceloop", tasks=TASKS, results=results, recorder=rec, log=llm.log, versions=versions("autogen-agentchat", "autogen-ext", "openai", "opentelemetry-instrumentation-openai"), leaf=leaf, mask=mask,
          notes="AutoGen's own spans (agents, tools, message passing of the runtime) and the OpenAI instrumentation's calls below app span process_request")


if __name__ == "__main__": asyncio.run(main())
