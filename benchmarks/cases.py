"""The exporters that are compared: ours, OpenTelemetry's own, and two stores at their limits.

A case is built in a fresh process, in a folder of its own; nothing heavy is imported before.
"""

from __future__ import annotations

import importlib
import importlib.util
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SpanExporter,
    SpanExportResult,
)

OURS = "ours"
OURS_EXPORT = "ours_export"
OURS_PROCESSOR = "ours_processor"
NOOP = "noop"
OTLP_HTTP = "otlp_http"
BARE = "bare_duckdb"
SQLITE = "sqlite"
JSON_FILE = "otlp_json_file"
_JSON_FILE_MODULE = "opentelemetry.exporter.otlp.json.file"


class Noop(SpanExporter):
    """Takes spans and forgets them: what the application and the SDK cost by themselves."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


class ConsoleFile(ConsoleSpanExporter):
    """The SDK's console exporter, writing to a file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")
        super().__init__(out=self._file)

    def shutdown(self) -> None:
        self._file.close()


@dataclass
class Subject:
    """A case at work, whether it is an exporter or a processor."""

    exporter: SpanExporter | None = None
    processor: SpanProcessor | None = None
    flushes: bool = True
    """Whether force_flush has something to do: with DRAIN=off, another process drains."""
    handed: int = 0
    """Spans that reached the exporter; what a full queue dropped did not."""

    def give(self, spans: Sequence[ReadableSpan]) -> None:
        """Ended spans, straight in."""
        if self.exporter is not None:
            result = self.exporter.export(spans)
            if result is not SpanExportResult.SUCCESS:
                raise RuntimeError("export() returned FAILURE")
        elif self.processor is not None:
            for span in spans:
                self.processor.on_end(span)
        self.handed += len(spans)

    def as_processor(self) -> SpanProcessor:
        """As an application registers it: an exporter behind a default BatchSpanProcessor."""
        if self.processor is not None:
            return self.processor
        if self.exporter is None:
            raise ValueError("a subject is an exporter or a processor")
        original = self.exporter.export

        def counted(spans: Sequence[ReadableSpan]) -> SpanExportResult:
            self.handed += len(spans)
            return original(spans)

        self.exporter.export = counted  # type: ignore[method-assign]
        return BatchSpanProcessor(self.exporter)

    def flush(self) -> None:
        """Until everything given can be queried, where that means something."""
        target = self.exporter or self.processor
        if self.flushes and target is not None and not target.force_flush(60_000):
            raise RuntimeError("force_flush() returned False")

    def close(self) -> None:
        target = self.exporter or self.processor
        if target is not None:
            target.shutdown()


@dataclass(frozen=True)
class Case:
    """How to build one, and which modes say something about it."""

    title: str
    build: Callable[[Path, int], Subject]
    modes: frozenset[str]
    receiver: Literal["http", "grpc"] | None = None
    stored: Callable[[Path], int] | None = field(default=None)
    """Tasks in its store, counted after shutdown."""


def _ours(folder: Path, _: int, **settings: Any) -> Subject:
    from otel_learning import LearningSpanExporter

    exporter = LearningSpanExporter(path=folder / "store.duckdb", **settings)
    return Subject(exporter=exporter, flushes=settings.get("drain") != "off")


def _ours_processor(folder: Path, _: int) -> Subject:
    from otel_learning import LearningSpanProcessor

    return Subject(processor=LearningSpanProcessor(path=folder / "store.duckdb"))


def _ours_stored(folder: Path) -> int:
    from otel_learning import LearningDatabase

    with LearningDatabase(folder / "store.duckdb") as database:
        rows, different = database.sql(
            "SELECT count(*), count(DISTINCT execution_id) FROM executions"
        )[0]
    if rows != different:
        raise RuntimeError(f"{rows} rows of {different} executions: some are stored twice")
    return int(rows)


def _otlp(kind: str) -> Callable[[Path, int], Subject]:
    def build(_: Path, port: int) -> Subject:
        module = importlib.import_module(f"opentelemetry.exporter.otlp.proto.{kind}.trace_exporter")
        if kind == "http":
            exporter = module.OTLPSpanExporter(endpoint=f"http://127.0.0.1:{port}/v1/traces")
        else:
            exporter = module.OTLPSpanExporter(endpoint=f"http://127.0.0.1:{port}", insecure=True)
        return Subject(exporter=exporter)

    return build


def _json_file(folder: Path, _: int) -> Subject:
    module = importlib.import_module(_JSON_FILE_MODULE)
    return Subject(exporter=module.FileSpanExporter(path=str(folder / "spans.jsonl")))


def has_json_file() -> bool:
    """Whether this interpreter has opentelemetry-exporter-otlp-json-file."""
    try:
        return importlib.util.find_spec(_JSON_FILE_MODULE) is not None
    except ModuleNotFoundError:
        return False


def _bare(folder: Path, _: int) -> Subject:
    from limits import BareDuckDB

    return Subject(exporter=BareDuckDB(folder / "bare.duckdb"))


def _bare_stored(folder: Path) -> int:
    import duckdb

    with duckdb.connect(str(folder / "bare.duckdb"), read_only=True) as connection:
        return int(connection.execute("SELECT count(*) FROM records").fetchall()[0][0])


def _sqlite(folder: Path, _: int) -> Subject:
    from limits import PlainSQLite

    return Subject(exporter=PlainSQLite(folder / "plain.sqlite"))


def _sqlite_stored(folder: Path) -> int:
    connection = sqlite3.connect(folder / "plain.sqlite")
    try:
        return int(connection.execute("SELECT count(*) FROM records").fetchone()[0])
    finally:
        connection.close()


_ALL = frozenset(("direct", "low", "contend", "flood", "memory", "plain"))
_FILE = frozenset(("direct", "contend", "flood", "memory"))

CASES: dict[str, Case] = {
    OURS: Case("LearningSpanExporter", _ours, _ALL, stored=_ours_stored),
    OURS_EXPORT: Case(
        "its export() alone (DRAIN=off)", lambda folder, port: _ours(folder, port, drain="off"),
        frozenset(("direct",)), stored=_ours_stored,
    ),
    OURS_PROCESSOR: Case(
        "LearningSpanProcessor", _ours_processor,
        frozenset(("direct", "contend", "flood", "memory", "plain")), stored=_ours_stored,
    ),
    OTLP_HTTP: Case(
        "OTLP/HTTP exporter", _otlp("http"),
        frozenset(("direct", "contend", "flood", "memory", "plain")), receiver="http",
    ),
    "otlp_grpc": Case(
        "OTLP/gRPC exporter", _otlp("grpc"), frozenset(("direct", "contend", "flood", "memory")),
        receiver="grpc",
    ),
    "console_file": Case(
        "ConsoleSpanExporter to a file",
        lambda folder, _: Subject(exporter=ConsoleFile(folder / "spans.json")), _FILE,
    ),
    JSON_FILE: Case("OTLP JSON file exporter", _json_file, _FILE),
    SQLITE: Case(
        "sqlite3, commit per batch", _sqlite,
        frozenset(("direct", "low", "contend", "flood", "memory")), stored=_sqlite_stored,
    ),
    BARE: Case(
        "bare Arrow to DuckDB (limit)", _bare,
        frozenset(("direct", "low", "contend", "flood", "memory")), stored=_bare_stored,
    ),
    NOOP: Case(
        "nothing", lambda *_: Subject(exporter=Noop()),
        frozenset(("contend", "flood", "memory")),
    ),
}  # fmt: skip
"""In the order of the table."""
