"""Spans to export, stores to look into, and programs to start: what the tests here share."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
START_NS = 1_760_000_000_000_000_000
SECOND_NS = 1_000_000_000
_FLAGS = TraceFlags(TraceFlags.SAMPLED)


def context(trace: int, span: int, remote: bool = False) -> SpanContext:
    return SpanContext(trace, span, remote, _FLAGS)


def span(
    trace: int,
    identity: int,
    attributes: Mapping[str, Any] | None = None,
    *,
    parent: int | None = None,
    name: str = "step",
    start_ns: int | None = None,
    seconds: float = 1.0,
    remote_parent: bool = False,
    events: tuple[Event, ...] = (),
    links: tuple[Link, ...] = (),
    error: str | None = None,
    resource: Mapping[str, Any] | None = None,
    scope: str = "test",
) -> ReadableSpan:
    """A finished span as a processor hands it over."""
    begun = START_NS if start_ns is None else start_ns
    return ReadableSpan(
        name=name,
        context=context(trace, identity),
        parent=None if parent is None else context(trace, parent, remote_parent),
        resource=Resource(resource or {}),
        attributes=dict(attributes or {}),
        events=events,
        links=links,
        status=Status(StatusCode.ERROR, error) if error else Status(StatusCode.UNSET),
        start_time=begun,
        end_time=begun + int(seconds * SECOND_NS),
        instrumentation_scope=InstrumentationScope(scope),
    )


def task_attributes(task_id: str, **more: Any) -> dict[str, Any]:
    return {
        "learning.task.id": task_id,
        "learning.task.type": "bug_fix",
        "learning.route.model_tier": "large",
        "learning.outcome.success": True,
        **more,
    }


def call_attributes(model: str = "m-1", **more: Any) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        **more,
    }


def number_of(task_id: str) -> int:
    """A trace number that no other task id of a test has."""
    return int.from_bytes(task_id.encode()[-15:].rjust(15, b"\1"), "big")


def task(task_id: str, *, start_ns: int = START_NS) -> list[ReadableSpan]:
    """A whole task: one model call below the task's own span, as processors give them."""
    trace = number_of(task_id)
    return [
        span(trace, 2, call_attributes(), parent=1, name="chat", start_ns=start_ns),
        span(trace, 1, task_attributes(task_id), name="task", start_ns=start_ns, seconds=2),
    ]


def tasks(prefix: str, first: int, last: int) -> list[ReadableSpan]:
    return [s for i in range(first, last) for s in task(f"{prefix}-{i}")]


def query(path: Path, sql: str, seconds: float = 10.0) -> list[tuple[Any, ...]]:
    """What plain DuckDB reads, with the retry that rule R6 asks of readers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with contextlib.closing(duckdb.connect(str(path), read_only=True)) as con:
                con.execute("SET TimeZone = 'UTC'")
                return con.execute(sql).fetchall()
        except (duckdb.IOException, duckdb.ConnectionException):
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.02)


def stored_tasks(path: Path) -> dict[str, int]:
    """Task id -> rows of it."""
    return dict(query(path, "SELECT task_id, count(*) FROM executions GROUP BY task_id"))


def assert_no_row_twice(path: Path) -> None:
    [(rows, distinct)] = query(
        path, "SELECT count(*), count(DISTINCT execution_id) FROM executions"
    )
    assert rows == distinct
    [(rows, distinct)] = query(
        path, "SELECT count(*), count(DISTINCT (execution_id, ordinal)) FROM attempts"
    )
    assert rows == distinct


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def start(
    program: str, *arguments: object, cwd: Path | None = None, **variables: str
) -> subprocess.Popen[str]:
    """A program of `programs/`, its stdout and stderr on pipes."""
    return subprocess.Popen(
        [sys.executable, str(PROGRAMS / f"{program}.py"), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=environment(**variables),
    )


def run(
    program: str, *arguments: object, seconds: float = 60.0, cwd: Path | None = None,
    **variables: str,
) -> str:  # fmt: skip
    """Runs a program to its end, which must be a good one, and returns its stdout."""
    process = start(program, *arguments, cwd=cwd, **variables)
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"{program} did not end:\n{out}\n{err}") from None
    assert process.returncode == 0, f"{program}: {process.returncode}\n{out}\n{err}"
    return out


@contextlib.contextmanager
def held(path: Path) -> Iterator[subprocess.Popen[str]]:
    """The store, held open for writing by a foreign program."""
    holder = start("hold", path)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        yield holder
    finally:
        holder.kill()
        holder.communicate()


def wait_for(condition: Any, seconds: float, what: str = "it") -> float:
    """Polls; returns the seconds it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"{what} did not happen in {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - began


def segments_of(path: Path) -> list[Path]:
    return sorted(Path(f"{path}.spool").glob("v*.json"))
