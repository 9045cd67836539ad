"""A small AI orchestrator, instrumented with the plain OpenTelemetry API and nothing else.

It takes coding tasks, routes each to a tier, calls models (simulated, with a clock of its own),
retries, falls back, runs tools, and hears later what a person thought of the result. It knows
nothing of any exporter: whoever runs it decides by environment variables where its spans go.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry._logs import LogRecord, get_logger
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, TracerProvider

SECOND: Final = 1_000_000_000
EXPLORE: Final = 0.15
"""How often the router tries a tier that it would not choose; it logs the probability."""


@dataclass(frozen=True)
class Tier:
    name: str
    model: str
    provider: str
    fallback: str
    """The tier that takes over where this one's provider does not answer."""
    skill: float
    """The complexity, 0..100, at which every second task succeeds."""
    tokens_per_second: float
    pool: str


TIERS: Final = {
    "fast": Tier("fast", "gpt-4o-mini", "openai", "balanced", 52, 120, "shared"),
    "balanced": Tier("balanced", "gpt-4.1", "openai", "premium", 80, 70, "shared"),
    "premium": Tier("premium", "claude-sonnet-4-5", "anthropic", "balanced", 104, 55, "reserved"),
}


@dataclass(frozen=True)
class Kind:
    """A kind of task: what people ask for, and how hard it usually is."""

    name: str
    requests: tuple[str, ...]
    complexity: int
    tools: tuple[str, ...]


KINDS: Final = (
    Kind("bug_fix", (
        "Fix the crash when a cart is empty", "Stop the retry loop from hammering the payment API",
        "Make the date filter include the last day", "Fix the leak of connections on timeouts",
    ), 45, ("read_file", "run_tests")),
    Kind("documentation", (
        "Document the rate limits of the public API", "Explain how to rotate the signing keys",
        "Write a changelog entry for the new filters",
    ), 18, ("read_file",)),
    Kind("refactoring", (
        "Split the billing module into invoices and payments",
        "Replace the hand-written cache with the shared one",
        "Move the permission checks out of the views",
    ), 62, ("read_file", "search_code", "run_tests")),
    Kind("test_generation", (
        "Cover the edge cases of the price calculation", "Add tests for the import of old orders",
    ), 34, ("read_file", "run_tests")),
    Kind("architecture", (
        "Design the move of the order history to cold storage",
        "Propose how to split the monolith's scheduler",
    ), 82, ("search_code",)),
)  # fmt: skip
REPOS: Final = ("shop/api", "shop/web", "platform/billing")


class ProviderError(Exception):
    """A provider did not answer as it should."""


class RateLimitError(ProviderError):
    pass


class ProviderTimeout(ProviderError):
    pass


class Choice(Protocol):
    """What a policy says of one task."""

    @property
    def arm(self) -> str | None: ...
    @property
    def propensity(self) -> float | None: ...
    def attributes(self) -> Mapping[str, str | float]: ...


class Policy(Protocol):
    """Whatever tells the router what to choose; the demo works without one."""

    def choose(self, context: Mapping[str, Any], *, candidates: Collection[str]) -> Choice: ...


class Orchestrator:
    """Carries tasks out, one after the other, in simulated time.

    Args:
        seed: the same seed gives the same tasks, choices and outcomes.
        start_ns: when the first task comes in.
        prefix: makes the task ids of one run differ from those of another.
        policy: asked for each task; where it has nothing to say, the router's own thresholds
            stand.
        tracer_provider: where spans go; None is the one of the process.
    """

    def __init__(
        self, seed: int, start_ns: int, prefix: str, *,
        policy: Policy | None = None, tracer_provider: TracerProvider | None = None,
    ) -> None:  # fmt: skip
        self._random = random.Random(seed)
        self._now = start_ns
        self._prefix = prefix
        self._numbers = itertools.count(1)
        self._policy = policy
        self._tracer = trace.get_tracer(
            "acme.orchestrator", "2.3.0", tracer_provider=tracer_provider
        )
        self._logger = get_logger("acme.feedback")

    @property
    def now_ns(self) -> int:
        """The simulated time, in nanoseconds since 1970."""
        return self._now

    def run(self, tasks: int, pause_seconds: float) -> None:
        """Carries that many tasks out; `pause_seconds` lie between two of them."""
        for _ in range(tasks):
            self._task()
            self._pass(pause_seconds * self._random.uniform(0.3, 1.7))

    # ----------------------------------------------------------------------- a task

    def _task(self) -> None:
        choose = self._random
        kind = choose.choices(KINDS, weights=(5, 3, 3, 3, 1))[0]
        repo = choose.choice(REPOS)
        complexity = min(98, max(3, round(choose.gauss(kind.complexity, 14))))
        task_id = f"{self._prefix}-{next(self._numbers):03d}"
        with self._span("orchestrator.task", {
            "task.id": task_id,
            "task.type": kind.name,
            "task.description": choose.choice(kind.requests),
            "task.repo": repo,
            "task.file_count": max(1, round(complexity / 12 + choose.uniform(-1, 2))),
        }) as task:  # fmt: skip
            self._plain("GET /issues/{id}", {"http.request.method": "GET"}, 0.08)
            tier = self._route(complexity, kind, repo)
            answered = self._work(task, tier, complexity)
            if answered is not None:
                for tool in kind.tools:
                    self._tool(tool)
            self._plain("INSERT results", {"db.system.name": "postgresql"}, 0.01)
            self._finish(task, answered, complexity)
        self._hear_back(task, task_id, answered, complexity)

    def _route(self, complexity: int, kind: Kind, repo: str) -> Tier:
        """Chooses a tier by complexity, and now and then another one, to learn from it."""
        with self._span("router.select") as span:
            if self._random.random() < 0.3:
                self._call("gpt-4.1-nano", "openai", (180, 12), 0.3)
            best = "fast" if complexity < 40 else "balanced" if complexity < 70 else "premium"
            weights = {name: EXPLORE / 2 if name != best else 1 - EXPLORE for name in TIERS}
            name = self._random.choices(list(weights), list(weights.values()))[0]
            propensity = weights[name]
            if self._policy is not None:
                choice = self._policy.choose(
                    {"task_type": kind.name, "repo": repo, "complexity_score": complexity},
                    candidates=TIERS,
                )
                if choice.arm is not None and choice.propensity is not None:
                    name, propensity = choice.arm, choice.propensity
                    span.set_attributes(choice.attributes())
            tier = TIERS[name]
            span.set_attributes({
                "router.tier": name,
                "router.model": tier.model,
                "router.strategy": "complexity-threshold",
                "router.complexity": complexity,
                "router.propensity": propensity,
                "router.estimated_cost_usd": round(0.00004 * (1 + complexity) * 1.6, 6),
                "pool.type": tier.pool,
                "swarm.topology": "pair" if kind.name == "architecture" else "single",
            })  # fmt: skip
        return tier

    def _work(self, task: Span, tier: Tier, complexity: int) -> Tier | None:
        """Asks the tier's model, a second time after a failure, then the next tier's."""
        for current, tries in ((tier, 2), (TIERS[tier.fallback], 1)):
            if current is not tier:
                task.add_event("fallback", {
                    "from": tier.model, "to": current.model, "reason": "provider unavailable",
                }, self._now)  # fmt: skip
            for _ in range(tries):
                tokens = (400 + complexity * self._random.randint(30, 60),
                          120 + complexity * self._random.randint(6, 14))  # fmt: skip
                seconds = tokens[1] / current.tokens_per_second
                try:
                    self._call(current.model, current.provider, tokens, seconds,
                               self._provider_trouble())  # fmt: skip
                except ProviderTimeout:
                    self._pass(1.0)
                except RateLimitError:
                    # Asking again at once does not help against a limit.
                    break
                else:
                    return current
        return None

    def _provider_trouble(self) -> ProviderError | None:
        chance = self._random.random()
        if chance < 0.05:
            return RateLimitError("429 Too Many Requests")
        if chance < 0.08:
            return ProviderTimeout("no answer within 20 s")
        return None

    def _finish(self, task: Span, answered: Tier | None, complexity: int) -> None:
        if answered is None:
            error = ProviderError("no provider answered")
            task.record_exception(error, timestamp=self._now)
            task.set_status(Status(StatusCode.ERROR, str(error)))
            task.set_attribute("task.outcome", "failure")
            return
        chance = 1 / (1 + 2.718281828 ** ((complexity - answered.skill) / 12))
        passed = self._random.random() < chance
        task.set_attribute("task.outcome", "success" if passed else "failure")
        quality = 55 + 40 * chance if passed else 35 * chance
        task.set_attribute("task.quality_score", round(quality + self._random.uniform(-4, 4), 1))
        if not passed:
            task.set_attribute("error.type", "QualityGateFailed")
            task.set_status(Status(StatusCode.ERROR, "2 checks failed after the change"))

    def _hear_back(self, task: Span, task_id: str, answered: Tier | None, complexity: int) -> None:
        """Later, some people say what they think: most as a log event, some on a span."""
        if answered is None or self._random.random() > 0.35:
            return
        pleased = self._random.random() < 1.1 - complexity / 140
        rating = self._random.choice((4, 5) if pleased else (1, 2, 3))
        if self._random.random() < 0.75:
            self._logger.emit(
                LogRecord(
                    timestamp=self._now + 600 * SECOND,
                    event_name="learning.feedback",
                    attributes={
                        "learning.task.id": task_id,
                        "learning.feedback.accepted": pleased,
                        "learning.feedback.rating": rating,
                        "learning.feedback.source": "review",
                    },
                )
            )
            return
        late = self._tracer.start_span(
            "review.submitted", context=otel_context.Context(), start_time=self._now + 900 * SECOND,
            links=[Link(task.get_span_context())],
            attributes={"feedback.accepted": pleased, "feedback.rating": rating},
        )  # fmt: skip
        late.end(self._now + 901 * SECOND)

    # ------------------------------------------------------------------------ spans

    def _call(
        self, model: str, provider: str, tokens: tuple[int, int], seconds: float,
        trouble: ProviderError | None = None,
    ) -> None:  # fmt: skip
        """One model call, as the GenAI conventions write it down."""
        with self._span(f"chat {model}", {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
        }, SpanKind.CLIENT) as span:  # fmt: skip
            if trouble is not None:
                self._pass(20.0 if isinstance(trouble, ProviderTimeout) else 0.2)
                span.record_exception(trouble, timestamp=self._now)
                span.set_attribute("error.type", type(trouble).__name__)
                span.set_status(Status(StatusCode.ERROR, str(trouble)))
                raise trouble
            self._pass(seconds)
            span.set_attributes({
                "gen_ai.response.model": model,
                "gen_ai.response.id": f"chatcmpl-{self._random.getrandbits(64):016x}",
                "gen_ai.response.finish_reasons": ("stop",),
                "gen_ai.usage.input_tokens": tokens[0],
                "gen_ai.usage.output_tokens": tokens[1],
            })  # fmt: skip

    def _tool(self, name: str) -> None:
        with self._span(f"execute_tool {name}", {
            "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name,
        }):  # fmt: skip
            self._pass(self._random.uniform(0.2, 2.5))

    def _plain(self, name: str, attributes: Mapping[str, Any], seconds: float) -> None:
        """What surrounds a task in any program, and tells nothing about routing."""
        with self._span(name, attributes, SpanKind.CLIENT):
            self._pass(seconds * self._random.uniform(0.5, 2))

    @contextmanager
    def _span(
        self, name: str, attributes: Mapping[str, Any] | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> Iterator[Span]:  # fmt: skip
        """A span in simulated time, current while it lasts."""
        span = self._tracer.start_span(name, kind=kind, attributes=attributes, start_time=self._now)
        try:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                yield span
        finally:
            span.end(self._now)

    def _pass(self, seconds: float) -> None:
        self._now += round(seconds * SECOND)
