"""What `explain` explains: spans from a file, or an execution's observations from a store."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_learning.capture.otlp import is_otlp, spans_from_json
from otel_learning.cli.exits import CommandFailed, say
from otel_learning.cli.explaining import explain_observations, explain_spans
from otel_learning.cli.otlp_files import Lines
from otel_learning.errors import InputError
from otel_learning.mapping import profile
from otel_learning.mapping.observe import Mapper
from otel_learning.settings import Settings
from otel_learning.store.database import LearningDatabase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

SPANS_LIMIT: Final = 5_000
"""Spans that are explained; nobody reads more, and they are held in memory."""


def from_file(
    file: Path, chosen: Settings, profile_file: Path | None, trace_id: str | None
) -> dict[str, Any]:
    """Explains the spans of an OTLP JSON lines file, of one trace where it is named.

    Raises:
        InputError: the file cannot be read.
        CommandFailed: it holds no such span.
        ConfigurationError: the profile is not usable.
    """
    mapper = Mapper(profile.load(profile_file or chosen.profile), chosen.content)
    wanted = trace_id.replace("-", "").lower() if trace_id else None
    try:
        lines = Lines(file)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from error
    spans = list(islice(_spans(lines, wanted), SPANS_LIMIT + 1))
    if len(spans) > SPANS_LIMIT:
        say(f"only the first {SPANS_LIMIT} spans are explained; --trace-id chooses others")
    if not spans:
        of_trace = f" of trace {trace_id}" if trace_id else ""
        raise CommandFailed(f"{lines.name} holds no span{of_trace}")
    return explain_spans(mapper, spans[:SPANS_LIMIT], chosen.correlation_window)


def _spans(lines: Lines, trace_id: str | None) -> Iterator[ReadableSpan]:
    for line in lines:
        why = line.bad
        if why is None and not is_otlp(line.document):
            why = "it has none of OTLP's lists (resourceSpans)"
        try:
            spans = spans_from_json(line.document) if why is None else []
        except InputError as error:
            why, spans = str(error), []
        if why is not None:
            say(f"{lines.name}:{line.number}: skipped: {' '.join(why.split())[:300]}")
        for span in spans:
            if trace_id is None or f"{span.context.trace_id:032x}" == trace_id:
                yield span


def from_store(
    database: LearningDatabase,
    chosen: Settings,
    *,
    task_id: str | None,
    execution_id: str | None,
    trace_id: str | None,
) -> dict[str, Any]:
    """Explains executions that a store holds.

    Raises:
        CommandFailed: it holds no such execution, or its observations have left the ledger.
    """
    names = {"task id": task_id, "execution id": execution_id, "trace id": trace_id}
    given = ", ".join(f"{name} {value}" for name, value in names.items() if value)
    records = database.executions(task_id=task_id, execution_id=execution_id, trace_id=trace_id)
    if not records:
        raise CommandFailed(f"the store {database.path} holds no execution with {given}")
    traces = sorted({trace for record in records for trace in record.trace_ids})
    observations = database.observations(task_id=records[0].task_id, trace_ids=traces)
    found = explain_observations(observations, chosen.correlation_window)
    wanted = {str(record.execution_id) for record in records}
    found["executions"] = [e for e in found["executions"] if str(e["execution_id"]) in wanted]
    if not found["executions"]:
        raise CommandFailed(
            f"the observations of {given} have left the ledger",
            f"they are kept for {chosen.ledger_window / 86_400:g} days; the record stays: "
            'otel-learning query "FROM executions"',
        )
    return found
