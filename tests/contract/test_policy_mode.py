"""MODE=act in an application: the policy file is written, and the application feels nothing."""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from pathlib import Path

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from otel_learning import LearningSpanProcessor
from otel_learning.capture import policy_thread
from otel_learning.learning import policy_file
from tests.learning.policy_world import Router

THREAD = "otel_learning policy"


def _one_task(store: Path, mode: str) -> TracerProvider:
    provider = TracerProvider(
        resource=Resource({"deployment.environment.name": "production"}), shutdown_on_exit=False
    )
    provider.add_span_processor(LearningSpanProcessor(path=store, mode=mode))
    with provider.get_tracer("app").start_as_current_span("task") as span:
        span.set_attribute("learning.task.id", f"mine-{random.random()}")
        span.set_attribute("learning.route.model_tier", "small")
    assert provider.force_flush()
    return provider


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    router = Router(tmp_path / "s.duckdb")
    router.run(600)
    return router.store


def test_with_mode_act_the_file_is_written_by_another_process(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asks for it: the application only exports, and soon routers follow a policy."""
    monkeypatch.setattr(policy_thread, "LOOK_SECONDS", 0.2)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(p for p in sys.path if p))
    provider = _one_task(store, "act")

    deadline = time.monotonic() + 60
    while policy_file.in_place(store) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    provider.shutdown()

    found = policy_file.in_place(store)
    assert found is not None
    assert found["environment"] == "production"
    assert THREAD not in _threads()


def test_without_it_there_is_no_thread(store: Path) -> None:
    """`observe`, the default, starts nothing and writes nothing."""
    provider = _one_task(store, "observe")

    assert THREAD not in _threads()
    provider.shutdown()
    assert list(store.parent.glob("*policy*")) == []


def test_one_look_for_all_processes_of_a_store(store: Path) -> None:
    """Whoever looks says so in a stamp; the others leave it at that."""
    from otel_learning.capture.quiet import RateLimited
    from otel_learning.settings import load

    settings, _ = load({"path": store, "mode": "act"})
    warned = RateLimited(policy_thread.logger)
    first = policy_thread.PolicyThread(store, settings, warned, look_seconds=60)
    second = policy_thread.PolicyThread(store, settings, warned, look_seconds=60)

    assert [first._due(), second._due(), first._due()] == [True, False, False]
