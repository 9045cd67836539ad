"""Records the app of crewai_openinference.py by crewai's own tracing (telemetry_session with a span processor), no instrumentation package.

Pinned: crewai==1.15.30 openai==2.54.0 opentelemetry-sdk==1.45.2
Run: python crewai_native.py, in a venv with these.
"""
import contextlib
import uuid

from crewai_openinference import ROUTER_MODEL, TASKS, FakeLLM, run_all, versions, write

from crewai.telemetry.tracing import telemetry_session
from opentelemetry.sdk.resources import Resource

from common_b import CURRENT, make_recorder


def leaf(s, spans):
    a = s["attributes"]
    if s["name"] != "call llm": return None
    return dict(input=a.get("gen_ai.usage.input_tokens"), output=a.get("gen_ai.usage.output_tokens"), router=str(a.get("gen_ai.request.model")).endswith(ROUTER_MODEL))


def mask(task, truth, spans, result):
    other = sum(s["attributes"].get("gen_ai.operation.name") == "chat" and s["name"] != "call llm" for s in spans)
    return {"task_id": ["profile", "crewai.flow.id of the root; crewai.task.id is crewai's own, new for every Crew"], "task_type": ["profile", "crewai.task.name"], "task_description": ["yes", "crewai.task.description"],
            "repo": ["profile", "key `project` of the JSON in crewai.crew.inputs"], "model_tier": ["profile", "crewai.method.result of the router method choose_tier"],
            "quality_score": ["profile", "crewai.flow.result and crewai.method.result of review"] if truth["quality_score"] is not None else None,
            "error_type": None if "retry" in task.extra else ["yes", "error.type is _OTHER, the HTTP status is in the status text"],
            **({"attempt_count": ["no", "crewai overwrote the operation name of task and agent spans with `chat`: two countings possible"]} if other else {})}


def main():
    rec = make_recorder()

    class Owner:
        """Handlers run in crewai's own threads: a trace is owned by the task whose session it came from."""

        def __init__(self, task): self.task = task

        def on_start(self, span, parent_context=None):
            token = CURRENT.set(self.task)
            rec.on_start(span)
            CURRENT.reset(token)

        def on_end(self, span): rec.on_end(span)
        def _on_ending(self, span): pass
        def shutdown(self): pass
        def force_flush(self, timeout_millis=0): return True

    llm = FakeLLM(TASKS)

    @contextlib.contextmanager
    def session(task):
        with telemetry_session(str(uuid.uuid4()), "marketing-crew", processors=[Owner(task.id)], resource=Resource.create({"service.name": "marketing-crew"}), attributes={"gen_ai.conversation.id": task.session}): yield

    results = run_all(llm.url, session)
    write("crewai_native", tasks=TASKS, results=results, recorder=rec, log=llm.log, versions=versions("crewai", "openai"), leaf=leaf, mask=mask,
          notes="crewai's own event-driven spans (crewai.telemetry.tracing), one session and one provider per flow run; same app as crewai_openinference")


if __name__ == "__main__": main()
