"""A deterministic orchestrator: three spans per task, and ten plain HTTP and DB spans if asked.

The root tells about the task (20 attributes), the router about its choice (12), the pool about
the work (11, and one more when it failed). One task in twenty fails with an exception event that
carries a stack trace. The same seed gives the same attributes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import Span, Status, StatusCode, Tracer

SPANS_PER_TASK = 3
PLAIN_SPANS_PER_TASK = 10
FAILURE_RATE = 0.05
SECOND = 1_000_000_000

_KINDS = ("summarize", "bugfix", "refactor", "extract", "plan", "review")
_TIERS = ("small", "medium", "large")
_POOLS = ("local", "gpu", "burst", "spot", "batch")
_FRAMES = "".join(
    f'  File "/srv/orchestrator/workers/step_{n}.py", line {61 + 7 * n}, in call_{n}\n'
    f"    return await self.transport.send(request, deadline=self.deadline)\n"
    for n in range(7)
)
_STACK = f"Traceback (most recent call last):\n{_FRAMES}WorkerTimeout: no answer in 30 s\n"


class WorkerTimeout(RuntimeError):
    """What a failed task's pool span records."""


class Orchestrator:
    """Carries out tasks, which here means: emits their spans."""

    def __init__(self, tracer: Tracer, *, plain: bool = False, seed: int = 20260) -> None:
        self._tracer = tracer
        self._plain = plain
        self._random = random.Random(seed)
        self.done = 0

    def task(self, at_ns: int | None = None) -> None:
        """One task. Its spans start at `at_ns`, or now."""
        draw = self._random
        number, self.done = self.done, self.done + 1
        tier = draw.randrange(len(_TIERS))
        failed = draw.random() < FAILURE_RATE
        cost = draw.random() * 0.05
        took_ms = 20 + draw.random() * 1500
        root_attributes = {
            "task.id": f"t-{draw.getrandbits(48):012x}-{number}",
            "task.name": f"stage_{number % 40}",
            "task.type": _KINDS[number % len(_KINDS)],
            "task.priority": number % 5,
            "task.complexity": draw.random(),
            "task.domain": f"area-{number % 12}",
            "task.prompt_hash": f"{draw.getrandbits(128):032x}",
            "task.input_tokens": draw.randrange(50, 8000),
            "task.max_tokens": 4096,
            "task.user_id": f"user-{draw.randrange(500)}",
            "task.session_id": f"session-{number // 20}",
            "task.workflow_id": f"flow-{number // 7}",
            "task.retry_count": 0,
            "task.timeout_s": 30.0,
            "task.tags": ("production", f"tier-{tier}"),
            "task.language": "python",
        }
        with self._span("task.execute", root_attributes, None, at_ns, took_ms + 4) as root:
            inside = trace.set_span_in_context(root)
            self._route(inside, number, tier, cost, at_ns)
            self._work(inside, number, failed, cost, took_ms, at_ns)
            root.set_attributes(
                {
                    "task.success": not failed,
                    "task.quality_score": draw.random(),
                    "task.total_cost_usd": cost,
                    "task.description": f"Carry out stage {number} for the customer's document set",
                }
            )
            if failed:
                root.set_status(Status(StatusCode.ERROR, "the pool failed"))

    def _route(
        self, inside: Context, number: int, tier: int, cost: float, at_ns: int | None
    ) -> None:
        draw = self._random
        attributes = {
            "router.tier": _TIERS[tier],
            "router.model": f"model-{_TIERS[tier]}-4",
            "router.confidence": draw.random(),
            "router.cost_estimate_usd": cost * 0.9,
            "router.strategy": "bandit",
            "router.candidates": _TIERS,
            "router.reason": f"complexity suits tier {tier}",
            "router.latency_estimate_ms": draw.random() * 900,
            "router.fallback": False,
            "router.version": "v3",
            "router.feature_count": 17,
            "router.explore": number % 10 == 0,
        }
        with self._span("router.route_task", attributes, inside, _later(at_ns, 1), 2):
            pass

    def _work(
        self, inside: Context, number: int, failed: bool, cost: float, took_ms: float,
        at_ns: int | None,
    ) -> None:  # fmt: skip
        draw = self._random
        attributes = {
            "pool.name": draw.choice(_POOLS),
            "pool.worker_id": f"worker-{draw.randrange(64)}",
            "pool.attempt": 1,
        }
        start = _later(at_ns, 3)
        with self._span("pool.execute", attributes, inside, start, took_ms) as span:
            if self._plain:
                self._calls(trace.set_span_in_context(span), number, start)
            if failed:
                error = WorkerTimeout(f"no answer in 30 s (task {number})")
                span.record_exception(error, {"exception.stacktrace": _STACK}, start)
                span.set_status(Status(StatusCode.ERROR, "timeout"))
                span.set_attribute("pool.error_type", "WorkerTimeout")
            span.set_attributes(
                {
                    "pool.success": not failed,
                    "pool.duration_ms": took_ms,
                    "pool.tokens_in": draw.randrange(50, 8000),
                    "pool.tokens_out": draw.randrange(10, 2000),
                    "pool.cost_usd": cost,
                    "pool.memory_mb": draw.random() * 512,
                    "pool.cpu_ms": draw.random() * 100,
                    "pool.queue_ms": draw.random() * 20,
                }
            )

    def _calls(self, inside: Context, number: int, at_ns: int | None) -> None:
        """What instrumentation of a web client and a database adds to every trace."""
        for call in range(PLAIN_SPANS_PER_TASK):
            if call % 2:
                name, attributes = "SELECT documents", {
                    "db.system.name": "postgresql",
                    "db.namespace": "documents",
                    "db.query.text": "SELECT body FROM documents WHERE id = $1",
                    "server.address": "db.internal",
                    "server.port": 5432,
                }  # fmt: skip
            else:
                name, attributes = "GET", {
                    "http.request.method": "GET",
                    "url.full": f"https://files.internal/v1/documents/{number}/{call}",
                    "http.response.status_code": 200,
                    "server.address": "files.internal",
                    "network.protocol.version": "1.1",
                }  # fmt: skip
            with self._span(name, attributes, inside, _later(at_ns, call), 1):
                pass

    @contextmanager
    def _span(
        self, name: str, attributes: dict[str, object], inside: Context | None, at_ns: int | None,
        took_ms: float,
    ) -> Iterator[Span]:  # fmt: skip
        # An empty context, not the current one: a task's root has no parent.
        parent = Context() if inside is None else inside
        span = self._tracer.start_span(name, parent, attributes=attributes, start_time=at_ns)  # type: ignore[arg-type]
        try:
            yield span
        finally:
            span.end(None if at_ns is None else at_ns + int(took_ms * 1e6))


def _later(at_ns: int | None, milliseconds: int) -> int | None:
    return None if at_ns is None else at_ns + milliseconds * 1_000_000


class Keep(SpanProcessor):
    """Keeps ended spans, as an exporter would get them."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def tracer(*processors: SpanProcessor) -> Tracer:
    """A tracer of its own provider, with an orchestrator's resource."""
    resource = Resource.create(
        {
            "service.name": "orchestrator",
            "service.version": "2.4.1",
            "deployment.environment.name": "benchmark",
        }
    )
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    for processor in processors:
        provider.add_span_processor(processor)
    return provider.get_tracer("orchestrator")


def prebuilt(tasks: int, *, plain: bool = False, seed: int = 20260) -> list[ReadableSpan]:
    """The ended spans of so many tasks, in the order in which they ended."""
    keep = Keep()
    orchestrator = Orchestrator(tracer(keep), plain=plain, seed=seed)
    for _ in range(tasks):
        orchestrator.task()
    return keep.spans
