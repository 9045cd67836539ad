"""Rule R3: whatever a span holds, `export` returns; what is not kept is counted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

from otel_learning import LearningSpanExporter
from otel_learning.attributes import TASK_ID
from otel_learning.mapping.profile import load
from otel_learning.store.drain import Drainer
from tests.durability import harness

_FLAGS = TraceFlags(TraceFlags.SAMPLED)
_PROFILES = load()
_KNOWN = {key for profile in _PROFILES for keys in profile.fields.values() for key in keys}
_KNOWN |= {key for profile in _PROFILES for key in (*profile.containers, *profile.roles)}
_KEYS = [*sorted(key for key in _KNOWN if "*" not in key), "", "x", "\ud800", "a" * 300]

_texts = st.one_of(
    st.text(max_size=40),
    st.sampled_from((
        "\ud800 lone", "\x00", "a\x00b", "{", "[" * 5000, '{"a":' * 2000, "1e999", "-1", "NaN",
        "٣", "x" * 200_000, "none", "true", '{"cost": NaN, "x": [1, {"y": null}]}',
        "9" * 5000, "0x10", "  ", "\u202e", "TaskStatus.COMPLETED",
    )),
)  # fmt: skip
_scalars = st.one_of(
    st.none(), st.booleans(), _texts, st.integers(), st.floats(), st.binary(max_size=30),
    st.sampled_from((10**400, -(10**400), 2**63, -(2**63) - 1, float("inf"), -0.0, 1e308)),
)  # fmt: skip
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(tuple),
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(_KEYS), _texts), inner, max_size=4),
    ),
    max_leaves=8,
)
_attributes = st.dictionaries(st.sampled_from(_KEYS), _values, max_size=12)
_times = st.one_of(
    st.none(), st.integers(-(2**70), 2**70), st.integers(0, 2**62),
    st.sampled_from((0, -1, harness.START_NS, harness.START_NS + 1, 4_102_444_800 * 10**9)),
)  # fmt: skip
_ids = st.integers(1, 5)
"""Few, so that spans repeat and parents go round in circles."""


@st.composite
def _spans(draw: st.DrawFn) -> ReadableSpan:
    trace, parent = draw(_ids), draw(st.one_of(st.none(), _ids))
    scope = draw(st.one_of(st.none(), _texts))
    return ReadableSpan(
        name=draw(_texts),
        context=SpanContext(trace, draw(_ids), False, _FLAGS),
        parent=None if parent is None else SpanContext(trace, parent, draw(st.booleans()), _FLAGS),
        resource=Resource(draw(st.just({}))),
        attributes=draw(_attributes),
        events=[
            Event(draw(_texts), draw(_attributes), draw(_times))
            for _ in range(draw(st.integers(0, 2)))
        ],
        links=[Link(SpanContext(draw(_ids), draw(_ids), True, _FLAGS), draw(_attributes))]
        if draw(st.booleans())
        else [],
        status=Status(StatusCode.ERROR, draw(_texts)) if draw(st.booleans()) else Status(),
        start_time=draw(_times),
        end_time=draw(_times),
        instrumentation_scope=None if scope is None else InstrumentationScope(scope),
    )


class _Endless(ReadableSpan):
    """A span whose very attributes raise."""

    @property
    def attributes(self) -> Any:
        raise RuntimeError("no attributes today")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile") / "learning.duckdb"


@pytest.fixture(scope="module")
def exporter(path: Path) -> Iterator[LearningSpanExporter]:
    exporter = LearningSpanExporter(path=path, drain="off")
    yield exporter
    exporter.shutdown()


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow,
                                                            HealthCheck.data_too_large],
)  # fmt: skip
@given(batch=st.lists(_spans(), min_size=1, max_size=4))
def test_hostile_spans(exporter: LearningSpanExporter, batch: list[ReadableSpan]) -> None:
    """Nested, cyclic, empty, huge, absurd in time: a result comes back, never an exception."""
    assert exporter.export(batch) in (SpanExportResult.SUCCESS, SpanExportResult.FAILURE)


def test_hostile_spans_do_not_stop_a_drain(exporter: LearningSpanExporter, path: Path) -> None:
    """What hypothesis made goes into the store, or is set aside: the next task gets in."""
    exporter.export(harness.task("sound"))
    began = time.monotonic()
    report = Drainer(path).drain(30)
    assert time.monotonic() - began < 30
    assert harness.stored_tasks(path)["sound"] == 1
    harness.assert_no_row_twice(path)
    assert report.broken == []


def test_parents_in_a_circle(tmp_path: Path) -> None:
    """Two spans that are each other's parent, one that is its own: drained, in one execution."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    call = harness.call_attributes()
    spans = [
        harness.span(1, 1, call, parent=2), harness.span(1, 2, call, parent=1),
        harness.span(1, 3, call, parent=3), harness.span(1, 4, {"x": 1}, parent=5),
        harness.span(1, 5, {"x": 1}, parent=4), harness.span(1, 6, call, parent=4),
        harness.span(2, 1, {TASK_ID: "a"}, parent=2), harness.span(2, 2, {TASK_ID: "b"}, parent=1),
    ]  # fmt: skip
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    assert exporter.force_flush(10_000)
    rows = harness.query(path, "SELECT task_id FROM executions ORDER BY 1 NULLS LAST")
    assert rows == [("a",), ("b",), (None,)]
    exporter.shutdown()


def test_a_very_deep_chain(tmp_path: Path) -> None:
    """Six thousand spans below one another: no recursion, no square of their number."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    spans = [harness.span(1, 1, harness.task_attributes("deep"))]
    spans += [harness.span(1, i, {"gen_ai.operation.name": "invoke_agent"}, parent=i - 1)
              for i in range(2, 6_000)]  # fmt: skip
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    began = time.monotonic()
    assert exporter.force_flush(30_000)
    assert time.monotonic() - began < 10
    assert harness.stored_tasks(path) == {"deep": 1}
    exporter.shutdown()


@pytest.mark.parametrize("batch", [None, 7, [None], [object()], "spans", iter(())])
def test_what_is_no_batch_of_spans(tmp_path: Path, batch: Any) -> None:
    """Not even a caller's mistake makes it raise."""
    exporter = LearningSpanExporter(path=tmp_path / "learning.duckdb", drain="off")
    assert exporter.export(batch) in (SpanExportResult.SUCCESS, SpanExportResult.FAILURE)
    exporter.shutdown()


def test_a_span_that_raises_costs_itself_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One span that cannot be mapped is counted, said, and stored as a loss; its batch goes in."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    bad = _Endless("bad", SpanContext(9, 9, False, _FLAGS))
    batch = [*harness.task("a"), bad, *harness.task("b")]
    assert exporter.export(batch) is SpanExportResult.SUCCESS
    assert exporter.force_flush()
    assert harness.stored_tasks(path) == {"a": 1, "b": 1}
    assert harness.query(path, "SELECT reason, count FROM losses") == [
        ("span that could not be mapped", 1)
    ]
    assert "1 lost (RuntimeError: no attributes today)" in caplog.text
    exporter.shutdown()


def test_a_scope_that_cannot_be_encoded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A lone surrogate in a scope's name costs at most its own observation, not the batch."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    bad = harness.span(5, 1, harness.task_attributes("bad"), scope="\ud800scope")
    result = exporter.export([*harness.task("good"), bad])
    assert exporter.force_flush()
    stored = harness.stored_tasks(path)
    assert stored["good"] == 1
    lost = harness.query(path, "SELECT coalesce(sum(count), 0) FROM losses")[0][0]
    assert len(stored) + lost == 2
    assert (result is SpanExportResult.SUCCESS) is (lost == 0)
    exporter.shutdown()


class _Interrupt(ReadableSpan):
    @property
    def attributes(self) -> Any:
        raise KeyboardInterrupt


def test_base_exceptions_pass(tmp_path: Path) -> None:
    """Ctrl-C and SystemExit are not ours to swallow; afterwards everything works as before."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    exporter.export([_Endless("bad", SpanContext(9, 9, False, _FLAGS))])  # a loss waits now
    with pytest.raises(KeyboardInterrupt):
        exporter.export([_Interrupt("now", SpanContext(9, 8, False, _FLAGS))])
    exporter.export(harness.task("after"))
    assert exporter.force_flush()
    assert harness.stored_tasks(path) == {"after": 1}
    assert harness.query(path, "SELECT sum(count) FROM losses") == [(1,)]
    exporter.shutdown()
