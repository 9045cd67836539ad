"""`import`: brings OTLP JSON lines from files into the store, through the exporters' own path."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_learning.capture.otlp import is_otlp, logs_from_json, spans_from_json
from otel_learning.cli.exits import CommandFailed, say
from otel_learning.cli.otlp_files import Line, Lines
from otel_learning.errors import InputError, StoreLockedError
from otel_learning.settings import Settings
from otel_learning.store.database import LearningDatabase

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_learning.capture.log_exporter import LearningLogExporter
    from otel_learning.capture.span_exporter import LearningSpanExporter

BATCH: Final = 2_000
"""Spans and log records spooled together."""
FLUSH: Final = 20_000
"""Spans after which the store takes in what waits: a large file must not fill the spool."""
STORE_SECONDS: Final = 60.0
NAMED_LINES: Final = 20
"""Bad lines that are named one by one; further ones are only counted."""

Progress = Callable[[int], None]


@dataclass(slots=True)
class FileReport:
    """What one file held."""

    file: str
    good_lines: int = 0
    bad_lines: int = 0
    spans: int = 0
    log_records: int = 0
    error: str | None = None


@dataclass(slots=True)
class Report:
    """What an import did."""

    files: list[FileReport] = field(default_factory=list)
    bad_lines: list[dict[str, Any]] = field(default_factory=list)
    """Where the first bad lines are, and what is wrong with each."""
    executions: int = 0
    """Executions that are new or were put together anew."""

    def as_dict(self) -> dict[str, Any]:
        totals = {
            name: sum(getattr(file, name) for file in self.files)
            for name in ("good_lines", "spans", "log_records")
        }
        return {
            "executions": self.executions,
            **totals,
            "bad_lines": sum(file.bad_lines for file in self.files),
            "bad": self.bad_lines,
            "files": [asdict(file) for file in self.files],
        }


def import_files(files: list[Path], chosen: Settings, progress: Progress | None = None) -> Report:
    """Imports files one after the other; one that fails does not stop the others.

    Raises:
        CommandFailed: something could not be spooled.
        StoreLockedError: the store was not free in time; everything waits in the spool.
    """
    report = Report()
    started = time.time()
    into = _Into(chosen)
    try:
        for file in files:
            found = FileReport("<stdin>" if str(file) == "-" else str(file))
            report.files.append(found)
            try:
                lines = Lines(file)
            except OSError as error:
                found.error = f"it cannot be read: {error.strerror or error}"
                continue
            for line in lines:
                why = line.bad or into.take(line, found)
                if why is not None:
                    _note_bad(report, found, line.number, why)
                else:
                    found.good_lines += 1
                if progress is not None:
                    progress(lines.position)
            if not found.good_lines:
                found.error = "it has not one line of OTLP JSON"
    finally:
        into.finish()
    if into.used:
        database = LearningDatabase(into.path)
        report.executions = database.sql(
            "SELECT count(*) FROM executions WHERE updated_at >= to_timestamp(?)", [started]
        )[0][0]
    return report


def _note_bad(report: Report, found: FileReport, number: int, why: str) -> None:
    found.bad_lines += 1
    if len(report.bad_lines) < NAMED_LINES:
        report.bad_lines.append({"file": found.file, "line": number, "why": why})
        say(f"{found.file}:{number}: skipped: {' '.join(why.split())[:300]}")


class _Into:
    """The way into the store: the exporters, made when the first good line has been read."""

    def __init__(self, chosen: Settings) -> None:
        self.path = chosen.path.expanduser().resolve()
        # Whoever imports wants the records, whatever an application here leaves to others.
        self._settings = {**chosen.model_dump(exclude={"path"}), "drain": "on"}
        self._exporters: tuple[LearningSpanExporter, LearningLogExporter] | None = None
        self._spans: list[ReadableSpan] = []
        self._logs: list[ReadableLogRecord] = []
        self._since_flush = 0

    @property
    def used(self) -> bool:
        return self._exporters is not None

    def take(self, line: Line, found: FileReport) -> str | None:
        """Takes a line's spans and log records in; why not, where it has none to give."""
        if not is_otlp(line.document):
            return "it is JSON, but has none of OTLP's lists (resourceSpans, resourceLogs)"
        try:
            spans, logs = spans_from_json(line.document), logs_from_json(line.document)
        except InputError as error:
            return str(error)
        found.spans += len(spans)
        found.log_records += len(logs)
        self._spans += spans
        self._logs += logs
        if len(self._spans) + len(self._logs) >= BATCH:
            self._export()
        return None

    def _export(self) -> None:
        if self._exporters is None:
            from otel_learning.capture.log_exporter import LearningLogExporter
            from otel_learning.capture.span_exporter import LearningSpanExporter

            self._exporters = (
                LearningSpanExporter(path=self.path, **self._settings),
                LearningLogExporter(path=self.path, **self._settings),
            )
        spans, logs = self._exporters
        kept = not self._spans or spans.export(self._spans).name == "SUCCESS"
        kept &= not self._logs or logs.export(self._logs).name == "SUCCESS"
        if not kept:
            raise CommandFailed(
                f"what was read could not be put down beside {self.path}",
                "is the disk or the spool full? otel-learning status says what waits",
            )
        self._since_flush += len(self._spans) + len(self._logs)
        self._spans, self._logs = [], []
        if self._since_flush >= FLUSH:
            self._since_flush = 0
            spans.force_flush(int(STORE_SECONDS * 1000))

    def finish(self) -> None:
        """Stores what is left. Raises StoreLockedError where it has to wait in the spool."""
        if self._spans or self._logs:
            self._export()
        if self._exporters is None:
            return
        spans, logs = self._exporters
        stored = spans.force_flush(int(STORE_SECONDS * 1000))
        logs.shutdown(1_000)
        spans.shutdown(1_000)
        if not stored:
            raise StoreLockedError(str(self.path), "another program; what was read waits beside it")
