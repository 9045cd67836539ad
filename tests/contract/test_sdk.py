"""The contract with the SDK's processors, as they really call us."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from otel_learning import LearningSpanExporter, LearningSpanProcessor
from tests.durability import harness


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "learning.duckdb"


@pytest.fixture
def exporter(path: Path) -> Iterator[LearningSpanExporter]:
    exporter = LearningSpanExporter(path=path)
    yield exporter
    exporter.shutdown()


def _emit_in_threads(provider: TracerProvider, threads: int, number: int) -> None:
    def emit(name: int) -> None:
        tracer = provider.get_tracer("t")
        for i in range(number):
            attributes = harness.task_attributes(f"{name}-{i}")
            with (
                tracer.start_as_current_span("task", attributes=attributes),
                tracer.start_as_current_span("chat", attributes=harness.call_attributes()),
            ):
                pass

    started = [threading.Thread(target=emit, args=(n,)) for n in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


def test_simple_processor_from_threads(path: Path, exporter: LearningSpanExporter) -> None:
    """SimpleSpanProcessor exports on every thread that ends a span, without a lock."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    _emit_in_threads(provider, 6, 40)
    assert exporter.force_flush()
    assert len(harness.stored_tasks(path)) == 240
    assert harness.query(path, "SELECT count(*) FROM attempts") == [(240,)]


def test_two_processors_on_one_exporter(path: Path, exporter: LearningSpanExporter) -> None:
    """Two batch processors hand over every span twice, at once: each task is there once."""
    provider = TracerProvider(shutdown_on_exit=False)
    for _ in range(2):
        provider.add_span_processor(
            BatchSpanProcessor(exporter, schedule_delay_millis=20, max_export_batch_size=16)
        )
    _emit_in_threads(provider, 4, 50)
    assert provider.force_flush()
    assert exporter.force_flush()
    assert set(harness.stored_tasks(path).values()) == {1}
    assert len(harness.stored_tasks(path)) == 200
    harness.assert_no_row_twice(path)


@pytest.mark.parametrize("batch", [(), [], tuple(harness.task("t")), harness.task("t")])
def test_batches_of_any_shape(path: Path, exporter: LearningSpanExporter, batch: Any) -> None:
    """Empty ones, tuples and lists."""
    assert exporter.export(batch) is SpanExportResult.SUCCESS
    assert exporter.force_flush() is True
    if batch:
        assert harness.stored_tasks(path) == {"t": 1}


def test_several_resources_in_one_batch(path: Path, exporter: LearningSpanExporter) -> None:
    """The same task id in two environments is two executions, with a service each."""
    exporter.export([
        harness.span(n, 1, harness.task_attributes("t"), resource={
            "service.name": f"service-{n}", "deployment.environment.name": environment,
        })
        for n, environment in ((1, "prod"), (2, "dev"))
    ])  # fmt: skip
    assert exporter.force_flush()
    rows = harness.query(path, "SELECT environment, service_name, run FROM executions ORDER BY 1")
    assert rows == [("dev", "service-2", 1), ("prod", "service-1", 1)]


def test_what_was_not_sampled_does_not_arrive(path: Path) -> None:
    """Our own processor keeps to the sampled flag, as the SDK's do."""
    processor = LearningSpanProcessor(path=path)
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    with provider.get_tracer("t").start_as_current_span("t"):
        pass
    provider.shutdown()
    assert not path.exists()


def test_beside_the_in_memory_exporter(path: Path, exporter: LearningSpanExporter) -> None:
    """A round trip: ids and times are those that the SDK's own exporter was given."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "s"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    _emit_in_threads(provider, 1, 5)
    assert exporter.force_flush()
    expected = sorted(
        (f"{s.context.trace_id:032x}", (s.start_time or 0) // 1000, "s")
        for s in memory.get_finished_spans() if s.parent is None and s.context is not None
    )  # fmt: skip
    rows = harness.query(
        path, "SELECT trace_ids[1], epoch_us(started_at), service_name FROM executions ORDER BY 1"
    )
    assert rows == expected


def test_timeouts_are_honoured(path: Path, exporter: LearningSpanExporter) -> None:
    """With another thread in the middle of the store, flush and shutdown return in time."""
    from otel_learning.store import lease

    exporter.export(harness.task("t"))
    assert exporter.force_flush()
    exporter.export(harness.task("u"))
    with lease.exclusive(path, 5):
        began = time.monotonic()
        assert exporter.force_flush(300) is False
        assert time.monotonic() - began < 1
        began = time.monotonic()
        exporter.shutdown(timeout_millis=300)
        assert time.monotonic() - began < 1.5
    assert harness.segments_of(path)


def test_the_provider_shuts_every_processor_down(tmp_path: Path) -> None:
    """An exporter of ours with nothing but trouble does not keep the next one from its end."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    bad = LearningSpanExporter(path=tmp_path)  # a folder
    provider.add_span_processor(BatchSpanProcessor(bad))
    provider.add_span_processor(BatchSpanProcessor(memory))
    _emit_in_threads(provider, 1, 3)
    began = time.monotonic()
    provider.shutdown()
    assert time.monotonic() - began < 10
    assert len(memory.get_finished_spans()) == 6


def test_self_metrics(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`otel.sdk.exporter.span.exported` counts what was exported, with an error where it failed."""
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    monkeypatch.setattr(metrics, "get_meter", provider.get_meter)
    exporter = LearningSpanExporter(path=path)
    exporter.export(harness.task("t"))
    exporter.export(7)  # type: ignore[arg-type]
    data = reader.get_metrics_data()
    assert data is not None
    points = {
        metric.name: [((p.attributes or {}).get("error.type"), getattr(p, "value", None))
                      for p in metric.data.data_points]
        for resource in data.resource_metrics for scope in resource.scope_metrics
        for metric in scope.metrics
    }  # fmt: skip
    assert sorted(points["otel.sdk.exporter.span.exported"], key=str) == [
        ("not_kept", 1), (None, 2)
    ]  # fmt: skip
    assert "otel.sdk.exporter.operation.duration" in points
    exporter.shutdown()
    provider.shutdown()
