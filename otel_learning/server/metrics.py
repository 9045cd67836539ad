"""What the server tells Prometheus about itself. Nothing that is learned rests on these counts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from otel_learning.capture.pipeline import Pipeline

_NAME: Final = "otel_learning"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """The counters of one application, in a registry of its own.

    Args:
        pipeline: of the store; None where a lake is served, which nothing waits for.
    """

    def __init__(self, pipeline: Pipeline | None) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        if pipeline is not None:
            self.registry.register(_Store(pipeline))
        self.requests = Counter(
            f"{_NAME}_requests", "Requests by protocol, what was asked for, and the answer's code.",
            ("protocol", "route", "code"), registry=self.registry,
        )  # fmt: skip
        self.received = self._counter("received_items", "Spans and log records received.")
        self.observations = self._counter(
            "observations", "Observations stored: what tells about an execution."
        )
        self.rejected = self._counter(
            "rejected_items", "Spans and log records that could not be taken, each said so."
        )
        self.discarded = self._counter(
            "discarded_requests", "Requests of a signal that is not kept."
        )
        self.seconds = Histogram(
            f"{_NAME}_store_seconds", "Time from a whole request to its being durable.",
            ("signal",), buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.advice = Counter(
            f"{_NAME}_advice", "Recommendations by what they rest on.", ("basis",),
            registry=self.registry,
        )  # fmt: skip

    def _counter(self, name: str, help_text: str) -> Counter:
        return Counter(f"{_NAME}_{name}", help_text, ("signal",), registry=self.registry)


class _Store(Collector):
    """What is asked of the pipeline and the file system when somebody looks."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def describe(self) -> list[Metric]:
        return []  # so that registering does not touch the disk

    def collect(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily(f"{_NAME}_spool_bytes", "Bytes that wait to be stored.")
        with contextlib.suppress(OSError):
            waiting.add_metric([], self._pipeline.waiting_bytes)
        yield waiting
        yield GaugeMetricFamily(
            f"{_NAME}_spool_limit_bytes", "Beyond this, requests are asked to come again.",
            self._pipeline.settings.spool_limit,
        )  # fmt: skip
        yield GaugeMetricFamily(
            f"{_NAME}_store_bytes", "Size of the store file.", _size(self._pipeline.path)
        )
        yield GaugeMetricFamily(
            f"{_NAME}_store_held", "1 while another program holds the store file.",
            1 if self._pipeline.holder else 0,
        )  # fmt: skip
        lost = CounterMetricFamily(f"{_NAME}_lost", "What was not kept.", labels=["reason"])
        for reason, count in list(self._pipeline.lost.items()):
            lost.add_metric([reason], count)
        yield lost


def _size(file: Path) -> int:
    with contextlib.suppress(OSError):
        return file.stat().st_size
    return 0
