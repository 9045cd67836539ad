"""Records Haystack (triage LLM -> ConditionalRouter -> FallbackChatGenerator -> review) with its own tracing by opentelemetry-haystack, content tracing on.

Pinned: haystack-ai==3.4.0 opentelemetry-haystack==2.0.0 openai==3.54.0 opentelemetry-sdk==1.45.2
Run: python haystack_otel.py, in a venv with these.
"""
import json
import logging
import os

os.environ.update(HAYSTACK_CONTENT_TRACING_ENABLED="true", HAYSTACK_TELEMETRY_ENABLED="false")

from haystack import Pipeline, component, tracing
from haystack.components.generators.chat import FallbackChatGenerator, OpenAIChatGenerator
from haystack.components.joiners import BranchJoiner
from haystack.components.routers import ConditionalRouter
from haystack.dataclasses import ChatMessage
from haystack.utils import Secret
from haystack_integrations.tracing.opentelemetry import OpenTelemetryTracer

from common_b import ROUTER_MODEL, TIMEOUT_S, FakeLLM, Task, provider, under, versions, write

MODELS = {"fast": ("gpt-4.1-mini", "gpt-4o-mini"), "balanced": ("gpt-4o", "gpt-4.1"), "premium": ("gpt-5", "gpt-4o")}

TASKS = [
    Task("case-9001", "diagnosis_code", "Find the billing code for a sprained ankle with X-ray", "clinic-billing", "fast", quality=0.9),
    Task("case-9002", "letter", "Write the discharge letter for the patient with the hip replacement", "clinic-letters", "premium", {"gpt-5": ["500*"]}, quality=0.78),
    Task("case-9003", "summary", 'Summarise the notes headed "follow-up" of the last three visits', "clinic-letters", "balanced", {"gpt-4o": ["429*"]}, quality=0.82),
    Task("case-9004", "diagnosis_code", "Which code applies to a Grünholzfraktur of the forearm?", "clinic-billing", "fast", {"gpt-4.1-mini": ["timeout*"]}, quality=0.74),
    Task("case-9005", "letter", "Draft an invitation to the yearly check-up", "clinic-letters", "fast", quality=0.95),
    Task("case-9006", "summary", "Condense the lab results of the spring into five lines", "clinic-letters", "balanced", {"gpt-4o": ["401*"], "gpt-4.1": ["401*"]}),
    Task("case-9007", "triage_question", "Does a fever of 38.4 after vaccination need a visit?", None, "premium", quality=0.87),
    Task("case-9008", "triage_question", "What to ask a caller who reports dizziness & nausea?", None, "balanced", {"gpt-4o": ["503"]}, quality=0.8, extra={"retries": 1}),
    Task("case-9009", "letter", "Turn the referral into plain language for the patient", "clinic-letters", "balanced", stream=True, quality=0.85),
    Task("case-9010", "summary", "List open findings of the ward round", "clinic-letters", "premium", {"gpt-5": ["503*"], "gpt-4o": ["500*"]}),
]


def generator(url, model, task, retries=0, **kw): return OpenAIChatGenerator(Secret.from_token("sk-fake"), model=model, api_base_url=url, timeout=TIMEOUT_S, max_retries=retries, **kw)


def pipeline(url, task):
    @component
    class Review:
        """Scores the answer; the app keeps the score in the pipeline's output."""

        @component.output_types(score=float, answer=str)
        def run(self, replies: list[ChatMessage]): return {"score": task.quality, "answer": replies[0].text}

    p = Pipeline(metadata={"name": "clinic_assistant"})
    p.add_component("triage", generator(url, ROUTER_MODEL, task))
    p.add_component("tier_router", ConditionalRouter([{"condition": f"{{{{ replies[0].text == '{t}' }}}}", "output": "{{ question }}", "output_name": t, "output_type": list[ChatMessage]} for t in MODELS], unsafe=True))
    p.add_component("joined", BranchJoiner(list[ChatMessage]))
    p.add_component("review", Review())
    p.connect("triage.replies", "tier_router.replies")
    stream = {"streaming_callback": lambda chunk: None, "generation_kwargs": {"stream_options": {"include_usage": True}}} if task.stream else {}
    for t, models in MODELS.items():
        p.add_component(f"{t}_llm", FallbackChatGenerator([generator(url, m, task, task.extra.get("retries", 0), **stream) for m in models]))
        p.connect(f"tier_router.{t}", f"{t}_llm.messages")
        p.connect(f"{t}_llm.replies", "joined")
    p.connect("joined.value", "review.replies")
    return p


def handle(task, url):
    ask = [ChatMessage.from_user(task.text)]
    tags = {"case.id": task.id, "case.kind": task.type, **({"case.project": task.repo} if task.repo else {})}
    with under(task):
        try:
            with tracing.tracer.trace("handle_case", tags=tags) as span:
                out = pipeline(url, task).run({"triage": {"messages": ask}, "tier_router": {"question": ask}})
                span.set_tag("case.score", out["review"]["score"])
            return dict(success=True, quality_score=task.quality)
        except Exception as e: return dict(success=False, error_type=type(e).__name__, error_message=str(e)[:300])


def leaf(s, spans):
    a = s["attributes"]
    if a.get("haystack.component.type") != "OpenAIChatGenerator": return None
    router = a["haystack.component.name"] == "triage"
    over = s if router else next(o for o in spans if o["span_id"] == s["parent_id"])  # a fallback's generators leave their output on the component around them
    text = "" if s["status"]["code"] == "ERROR" else over["attributes"].get("haystack.component.output") or ""
    usage = (json.loads(text)["replies"][0]["meta"].get("usage") or {}) if text.startswith("{") and "usage" in text else {}
    return dict(input=usage.get("prompt_tokens"), output=usage.get("completion_tokens"), router=router)


def mask(task, truth, spans, result):
    inside = ["profile", "only inside the JSON of haystack.component.output (replies[].meta)"]
    m = dict.fromkeys(("input_tokens", "output_tokens"), inside) | {
        "task_id": ["profile", "app's own attribute name `case.id`"], "task_type": ["profile", "app's own attribute name `case.kind`"], "repo": ["profile", "app's own attribute name `case.project`"],
        "task_description": ["content_prompt", "only inside recorded inputs of the pipeline"], "model_tier": ["profile", "text of triage's reply, or the component <tier>_llm that ran"],
        "attempt_count": ["profile", "spans whose haystack.component.type is a generator; no key says that a model was called"], "success": ["yes", "derived: root UNSET" if truth["success"] else "ERROR on the root"]}
    if truth["final_model"]: m["model"] = inside
    if truth["quality_score"] is not None: m["quality_score"] = ["profile", "app's own attribute name `case.score`"]
    if truth["fallback_used"]: m["fallback_used"] = ["profile", "successful_chat_generator_index inside haystack.component.output"] if truth["success"] else ["no", "failed calls name no model"]
    if "retries" in task.extra: m["error_type"] = None
    return m


def main():
    logging.disable(logging.ERROR)
    tp, rec = provider("clinic-assistant")
    tracing.enable_tracing(OpenTelemetryTracer(tp.get_tracer("haystack")))
    llm = FakeLLM(TASKS)
    results = {t.id: handle(t, llm.url) for t in TASKS}
    write("haystack_otel", tasks=TASKS, results=results, recorder=rec, log=llm.log, versions=versions("haystack-ai", "opentelemetry-haystack", "openai"), leaf=leaf, mask=mask,
          notes="haystack.pipeline.run and haystack.component.run spans below the app's own handle_case (made by Haystack's tracer); models and usage only inside the JSON of haystack.component.output")


if __name__ == "__main__": main()
