"""Records crewai (a Flow that routes, then runs a Crew) with openinference-instrumentation-crewai and -openai.

Pinned: crewai==1.15.30 openinference-instrumentation-crewai==1.1.21 openinference-instrumentation-openai==0.1.66 openai==2.54.0 opentelemetry-sdk==1.45.2
Run: python crewai_openinference.py, in a venv with these. crewai_native.py records the same app by crewai's own tracing.
"""
import json
import os
import tempfile

os.environ.update(CREWAI_DISABLE_TELEMETRY="true", CREWAI_DISABLE_TRACKING="true", CREWAI_TRACING_ENABLED="false", CREWAI_DISABLE_VERSION_CHECK="true", CREWAI_STORAGE_DIR=tempfile.mkdtemp(), HOME=tempfile.mkdtemp(), OPENAI_API_KEY="sk-fake")

from concurrent.futures import ThreadPoolExecutor
import contextvars

from crewai import LLM, Agent, Crew
from crewai import Task as CrewTask
from crewai.flow.flow import Flow, listen, or_, router, start
from crewai.tools import tool
from pydantic import BaseModel

from common_b import ROUTER_MODEL, TIMEOUT_S, FakeLLM, Task, provider, under, versions, write

MODELS = {"fast": ("gpt-4.1-mini", "gpt-4o-mini"), "balanced": ("gpt-4o", "gpt-4.1"), "premium": ("gpt-4.1", "gpt-4o")}

TASKS = [
    Task("lead-301", "competitor_brief", "Collect the public pricing of three cargo bike makers and name the gaps", "growth/market-intel", "balanced", tools=("web_lookup",), quality=0.82),
    Task("lead-302", "blog_post", 'Write a post named "Why small fleets win" for the spring campaign', "growth/website", "premium", {"gpt-4.1": ["500*"]}, quality=0.71),
    Task("lead-303", "ad_copy", "Five headlines for the winter tyre offer, at most 30 characters each", "growth/ads", "fast", quality=0.93),
    Task("lead-304", "email_sequence", "Three mails that win back customers from Österreich who paused their plan", "growth/crm", "balanced", {"gpt-4o": ["429*"]}, quality=0.77),
    Task("lead-305", "ad_copy", "One line for the tram poster about free returns", "growth/ads", "fast", {"gpt-4.1-mini": ["timeout*"]}, quality=0.8),
    Task("lead-306", "competitor_brief", "Summarise what analysts say of the new leasing rules for fleets", "growth/market-intel", "premium", {"gpt-4.1": ["401*"], "gpt-4o": ["401*"]}),
    Task("lead-307", "blog_post", "Explain battery care in winter to a beginner", "growth/website", "balanced", stream=True, quality=0.85),
    Task("lead-308", "email_sequence", "Reminder mails for the unfinished onboarding, polite & short", "growth/crm", "fast", {"gpt-4.1-mini": ["503"]}, quality=0.79, extra={"retry": True}),
    Task("lead-309", "persona", "Describe the dispatcher persona of a flower wholesaler", "growth/research", "balanced", quality=0.88, session="s2"),
    Task("lead-310", "persona", "Interview guide for the night shift managers of bakeries", "growth/research", "premium", tools=("web_lookup",), quality=0.9, session="s2"),
    Task("lead-311", "competitor_brief", "Rank the app store reviews of rivals by complaint", "growth/market-intel", "balanced", {"gpt-4o": ["500*"], "gpt-4.1": ["503*"]}, session="s2"),
    Task("lead-312", "blog_post", "Turn the customer story of the Bäckerei Grünwald into a short article", "growth/website", "fast", quality=0.86, session="s2"),
]


class State(BaseModel):
    id: str = ""
    brief: str = ""
    content_type: str = ""
    project: str = ""
    tier: str = ""
    score: float = 0.0


@tool("web_lookup")
def web_lookup(query: str) -> str:
    """Looks a thing up on the web."""
    return f"two articles about {query}"


def flow_for(task, url):
    llm = lambda name, **kw: LLM(model="openai/" + name, base_url=url, api_key="sk-fake", timeout=TIMEOUT_S, max_retries=int("retry" in task.extra), **kw)

    class MarketingFlow(Flow[State]):
        @start()
        def classify(self):
            self.state.tier = llm(ROUTER_MODEL).call(f"Which tier, fast, balanced or premium? {self.state.brief}")
            return self.state.tier

        @router(classify)
        def choose_tier(self): return self.state.tier

        @listen(or_("fast", "balanced", "premium"))
        def produce(self):
            for i, name in enumerate(MODELS[self.state.tier]):
                writer = Agent(role=f"{self.state.tier} writer", goal="Deliver usable copy", backstory="Writes for a bike company.", llm=llm(name, stream=task.stream), tools=[web_lookup] if task.tools else [], max_retry_limit=0, verbose=False)
                job = CrewTask(name=self.state.content_type, description="{brief}", expected_output="finished text", agent=writer)
                try: return Crew(name=f"{self.state.tier}_crew", agents=[writer], tasks=[job], verbose=False).kickoff(inputs={"brief": self.state.brief, "project": self.state.project}).raw
                except Exception:
                    if i: raise

        @listen(produce)
        def review(self):
            self.state.score = task.quality
            return {"score": task.quality}

    return MarketingFlow(suppress_flow_events=False)


def handle(task, url, around):
    with under(task), around(task):
        try:
            flow_for(task, url).kickoff(inputs={"id": task.id, "brief": task.text, "content_type": task.type, "project": task.repo})
            return dict(success=True, quality_score=task.quality)
        except Exception as e:
            return dict(success=False, error_type=type(e).__name__, error_message=str(e)[:300])


def run_all(url, around, workers=1):
    with ThreadPoolExecutor(workers) as pool: return dict(zip([t.id for t in TASKS], pool.map(lambda t: contextvars.copy_context().run(handle, t, url, around), TASKS)))


def leaf(s, spans):
    a = s["attributes"]
    if a.get("openinference.span.kind") != "LLM": return None
    model = a.get("llm.model_name") or json.loads(a.get("llm.invocation_parameters") or "{}").get("model")
    return dict(input=a.get("llm.token_count.prompt"), output=a.get("llm.token_count.completion"), router=str(model).startswith(ROUTER_MODEL))


def mask(task, truth, spans, result):
    return {"task_id": ["profile", "only inside the span names Flow_<id>.<method>; the key `task_id` is crewai's own, new for every Crew"], "task_type": ["profile", "key `task_name`"],
            "repo": ["profile", "key `project` of the JSON in `crew_inputs`"], "task_description": ["content_task", "only as recorded input (crew_inputs, output of the task)"],
            "model_tier": ["profile", "output.value of the flow node choose_tier (flow.node.type = router)"], "quality_score": ["profile", "output.value of the flow node review"] if truth["quality_score"] is not None else None,
            **({"error_type": None} if "retry" in task.extra else {})}


def main():
    from openinference.instrumentation import using_session
    from openinference.instrumentation.crewai import CrewAIInstrumentor
    from openinference.instrumentation.openai import OpenAIInstrumentor
    tp, rec = provider("marketing-crew")
    CrewAIInstrumentor().instrument(tracer_provider=tp)
    OpenAIInstrumentor().instrument(tracer_provider=tp)
    llm = FakeLLM(TASKS)
    results = run_all(llm.url, lambda t: using_session(t.session))
    write("crewai_openinference", tasks=TASKS, results=results, recorder=rec, log=llm.log, versions=versions("crewai", "openinference-instrumentation-crewai", "openinference-instrumentation-openai", "openai"), leaf=leaf, mask=mask,
          notes="no app spans: Flow (classify, router, produce, review) that kicks off a one-task Crew per model; crewai's native OpenAI provider")


if __name__ == "__main__": main()
