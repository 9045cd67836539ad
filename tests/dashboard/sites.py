"""Stores to look at, and a real server that shows one."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import UUID

import uvicorn
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from starlette.applications import Starlette

from otel_learning import (
    AsyncLearningDatabase,
    FeedbackRecord,
    LearningDatabase,
    LearningSpanExporter,
)
from otel_learning.attributes import ROUTE_CONFIDENCE, ROUTE_EXPERIMENT, ROUTE_VARIANT
from otel_learning.cli.demo.orchestrator import SECOND, Orchestrator
from otel_learning.learning import experiments, policy_life
from otel_learning.learning.policy_evidence import Wanted
from otel_learning.server.dashboard import routes
from otel_learning.store import lease, rows
from otel_learning.store.day_keys import note_days
from otel_learning.store.policy_rows import scope
from otel_learning.store.rollups import day_of
from tests.store import filled

CANARY = "<script>document.title='pwned'</script>\"'><img src=x onerror=alert(1)>"
"""What every text of the hostile store holds."""


@dataclass(frozen=True)
class Site:
    """A server, and the store that it shows."""

    address: str
    store: Path

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
        """Status, headers and text of an answer."""
        try:
            with urlopen(Request(self.address + path, headers=headers), timeout=30) as found:
                return found.status, dict(found.headers), found.read().decode()
        except HTTPError as error:
            return error.code, dict(error.headers), error.read().decode()


@contextlib.contextmanager
def serving(store: Path, **options: Any) -> Iterator[Site]:
    """A real server over a store, on a port of its own, until the block ends."""
    app = Starlette(routes=routes())
    app.state.database = AsyncLearningDatabase(store, **options)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="warning", lifespan="off", ws="none", http="h11",
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive() and time.monotonic() < deadline, "the server did not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Site(f"http://127.0.0.1:{port}", store)
    finally:
        server.should_exit = True
        thread.join(20)
        # Playwright has an event loop in this thread, and there is one per thread at most.
        closing = threading.Thread(target=lambda: asyncio.run(app.state.database.close()))
        closing.start()
        closing.join(20)


TASKS = 1_200
EXPERIMENT = "fast or balanced"
PAUSE_SECONDS = 45 * 60


@dataclass(frozen=True)
class _Choice:
    """What the busy store's router chooses, and how sure it says it is."""

    arm: str
    propensity: float
    confidence: float
    variant: str | None

    def attributes(self) -> Mapping[str, str | float]:
        said: dict[str, str | float] = {ROUTE_CONFIDENCE: self.confidence}
        if self.variant is not None:
            said |= {ROUTE_EXPERIMENT: EXPERIMENT, ROUTE_VARIANT: self.variant}
        return said


class _Chooser:
    """A router that explores and is too sure of itself, as a policy of the demo's."""

    def __init__(self) -> None:
        self._random = random.Random(11)

    def choose(self, context: Mapping[str, Any], *, candidates: Collection[str]) -> _Choice:
        complexity = context["complexity_score"]
        confidence = min(0.99, max(0.5, 1.02 - complexity / 300 + self._random.gauss(0, 0.05)))
        confidence = round(confidence, 3)
        if 40 <= complexity < 55:
            variant = self._random.choice("AB")
            return _Choice("fast" if variant == "A" else "balanced", 0.5, confidence, variant)
        best = "fast" if complexity < 40 else "balanced" if complexity < 70 else "premium"
        shares = {name: 0.1 if name != best else 0.8 for name in candidates}
        arm = self._random.choices(list(shares), list(shares.values()))[0]
        return _Choice(arm, shares[arm], confidence, None)


def busy(path: Path) -> Path:
    """A store of some weeks, made by the demo's orchestrator; with feedback and an experiment."""
    now = time.time_ns()
    exporter = LearningSpanExporter(path=path)
    provider = TracerProvider(
        resource=Resource({"deployment.environment.name": "production", "service.name": "acme"})
    )
    provider.add_span_processor(SimpleSpanProcessor(_Batches(exporter)))
    start = now - round(TASKS * PAUSE_SECONDS) * SECOND
    Orchestrator(seed=7, start_ns=start, prefix="task", policy=_Chooser(),
                 tracer_provider=provider).run(TASKS, PAUSE_SECONDS)  # fmt: skip
    provider.shutdown()
    with LearningDatabase(path) as database:
        newest = database.executions(limit=1)[0]
        database.record_feedback(
            FeedbackRecord(target_kind="execution_id", target_id=str(newest.execution_id),
                           accepted=True, rating=4, comment="Just what was needed", source="review")
        )  # fmt: skip
        experiments.create(database, EXPERIMENT, variants=["A", "B"], by="model_tier",
                           arms=["fast", "balanced"], note="is fast enough?")  # fmt: skip
        moment = datetime.now(UTC)
        wanted = Wanted(scope("model_tier", "complexity_score"), None, 0.1, None,
                        cool_down=timedelta(hours=0))  # fmt: skip
        proposal = policy_life.draft(database, wanted, moment)
        assert proposal is not None
        version = policy_life.store_proposal(
            database, proposal, actor=policy_life.PERSON, mode="observe", now=moment
        )
        policy_life.apply(database, version, actor=policy_life.PERSON, mode="observe", now=moment,
                          overrule=True)  # fmt: skip
        database.drain()
    return path


class _Batches(SpanExporter):
    """Hands spans on by the thousand, as a batch processor would, in order."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._waiting: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._waiting += spans
        if len(self._waiting) >= 2_000:
            self.force_flush()
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        self._exporter.export(self._waiting)
        self._waiting = []
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self) -> None:
        self.force_flush()
        self._exporter.shutdown()


def hostile(path: Path) -> Path:
    """A store in which whatever a span can name is an attack."""
    started = datetime.now(UTC) - timedelta(days=1)
    made = []
    for number in range(12):
        row = filled.make(number, random.Random(1))
        row |= dict.fromkeys(
            ("task_id", "session_id", "service_name", "environment", "task_type",
             "task_description", "repo", "model_tier", "model", "requested_model", "provider",
             "pool_type", "swarm_topology", "agent", "selector", "experiment", "variant",
             "policy_version", "error_message", "error_class", "solution_summary", "producer",
             "profile"),
            CANARY,
        )  # fmt: skip
        row |= {
            "execution_id": UUID(int=number + 1),
            "started_at": int((started + timedelta(minutes=number)).timestamp()) * 10**9,
            "success": number % 3 > 0, "error_type": None if number % 3 else "timeout",
            "actual_cost": 0.01 * number, "cost_source": "reported", "cost_estimate": 0.02,
            "routing_confidence": 0.6, "duration_seconds": 3.0, "settled": True,
            "complete": True, "metadata": '{"k": "<script>"}',
        }  # fmt: skip
        row["day"] = day_of(row["started_at"])
        made.append({name: row[name] for name in rows.EXECUTION})
    with LearningDatabase(path):
        pass
    with lease.exclusive(path, 10), lease.connection(path, 10) as con:
        rows.insert(con, "settled_executions", rows.table(made, rows.EXECUTION), rows.EXECUTION)
        note_days(con, made)
    return path
