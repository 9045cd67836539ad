"""Learns from an orchestrator's OpenTelemetry spans: which route suits which task.

The public names are loaded when they are first asked for, so that importing the exporter does
not import DuckDB, Arrow or pydantic.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from otel_learning.capture.log_exporter import LearningLogExporter
    from otel_learning.capture.processor import LearningSpanProcessor
    from otel_learning.capture.span_exporter import LearningSpanExporter
    from otel_learning.errors import (
        ConfigurationError,
        EmbedderUnavailableError,
        EmbeddingError,
        InputError,
        MappingError,
        OtelLearningError,
        SchemaUpgradeError,
        SchemaVersionError,
        SpoolFullError,
        StoreError,
        StoreLockedError,
        StoreMissingError,
    )
    from otel_learning.knowledge.async_database import AsyncLearningDatabase
    from otel_learning.knowledge.database import LearningDatabase
    from otel_learning.learning.recommend import recommend
    from otel_learning.learning.recommendation import Recommendation
    from otel_learning.records import (
        Attempt,
        ErrorType,
        ExecutionDetail,
        ExecutionRecord,
        FeedbackRecord,
        Page,
        QualityPolicy,
        SolutionRecord,
    )

_HOMES = {
    "AsyncLearningDatabase": "knowledge.async_database",
    "Attempt": "records",
    "ConfigurationError": "errors",
    "EmbedderUnavailableError": "errors",
    "EmbeddingError": "errors",
    "ErrorType": "records",
    "ExecutionDetail": "records",
    "ExecutionRecord": "records",
    "FeedbackRecord": "records",
    "InputError": "errors",
    "LearningDatabase": "knowledge.database",
    "LearningLogExporter": "capture.log_exporter",
    "LearningSpanExporter": "capture.span_exporter",
    "LearningSpanProcessor": "capture.processor",
    "MappingError": "errors",
    "OtelLearningError": "errors",
    "Page": "records",
    "QualityPolicy": "records",
    "Recommendation": "learning.recommendation",
    "SchemaUpgradeError": "errors",
    "SchemaVersionError": "errors",
    "SolutionRecord": "records",
    "SpoolFullError": "errors",
    "StoreError": "errors",
    "StoreLockedError": "errors",
    "StoreMissingError": "errors",
    "recommend": "learning.recommend",
}

__all__ = [
    "AsyncLearningDatabase",
    "Attempt",
    "ConfigurationError",
    "EmbedderUnavailableError",
    "EmbeddingError",
    "ErrorType",
    "ExecutionDetail",
    "ExecutionRecord",
    "FeedbackRecord",
    "InputError",
    "LearningDatabase",
    "LearningLogExporter",
    "LearningSpanExporter",
    "LearningSpanProcessor",
    "MappingError",
    "OtelLearningError",
    "Page",
    "QualityPolicy",
    "Recommendation",
    "SchemaUpgradeError",
    "SchemaVersionError",
    "SolutionRecord",
    "SpoolFullError",
    "StoreError",
    "StoreLockedError",
    "StoreMissingError",
    "recommend",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
