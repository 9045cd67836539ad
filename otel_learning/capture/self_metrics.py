"""Metrics about the exporters themselves, as the SDK's own exporters give them.

Names and attributes follow OpenTelemetry's SDK metrics conventions (`otel.sdk.exporter.*`).
Off unless `OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED=true`, as in the SDK.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sized
from typing import Any

_instances = itertools.count()


def size_of(batch: object) -> int:
    """How many items a batch has; a batch that is none counts as one."""
    return len(batch) if isinstance(batch, Sized) else 1


class ExportMetrics:
    """Counts what an exporter exported and lost, and how long it took."""

    def __init__(self, component_type: str, signal: str) -> None:
        self._type = component_type
        self._signal = signal
        self._name = f"{component_type}/{next(_instances)}"
        self._on = os.environ.get("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "").lower() == "true"
        self._instruments: tuple[Any, Any] | None = None

    def record(self, count: int, seconds: float, *, failed: bool) -> None:
        if not self._on:
            return
        try:
            self._record(count, seconds, failed)
        except Exception:  # an application's meter provider must not break its exports
            self._on = False

    def _record(self, count: int, seconds: float, failed: bool) -> None:
        if self._instruments is None:
            from opentelemetry import metrics

            # Asked for at the first export: the meter provider is set up after the exporters.
            meter = metrics.get_meter("otel_learning")
            self._instruments = (
                meter.create_counter(
                    f"otel.sdk.exporter.{self._signal}.exported", f"{{{self._signal}}}"
                ),
                meter.create_histogram("otel.sdk.exporter.operation.duration", "s"),
            )  # fmt: skip
        attributes = {"otel.component.type": self._type, "otel.component.name": self._name}
        if failed:
            attributes["error.type"] = "not_kept"
        exported, duration = self._instruments
        exported.add(count, attributes)
        duration.record(seconds, attributes)
