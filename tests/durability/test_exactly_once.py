"""Rule R2: executions are a function of the observations, whatever their order and batches."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from otel_learning import LearningDatabase, LearningSpanExporter
from tests import corpus_replay
from tests.durability import harness

_EXECUTIONS = (
    "SELECT * EXCLUDE (recorded_at, updated_at, settled) FROM executions ORDER BY execution_id"
)
_ATTEMPTS = "SELECT * FROM attempts ORDER BY execution_id, ordinal"

Rows = tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]


def _rows(path: Path) -> Rows:
    harness.assert_no_row_twice(path)
    return harness.query(path, _EXECUTIONS), harness.query(path, _ATTEMPTS)


def _feed(path: Path, spans: list[ReadableSpan], batch: int, flush_every: int = 1) -> Rows:
    """Exports in batches, with a drain after each `flush_every`th of them."""
    exporter = LearningSpanExporter(path=path)
    for number, first in enumerate(range(0, len(spans), batch)):
        assert exporter.export(spans[first : first + batch]) is SpanExportResult.SUCCESS
        if number % flush_every == 0:
            assert exporter.force_flush()
    assert exporter.force_flush()
    exporter.shutdown()
    return _rows(path)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return os.urandom(32)


@pytest.fixture(scope="module")
def recorded() -> dict[str, list[ReadableSpan]]:
    return {f.name.removesuffix(".jsonl.gz"): list(corpus_replay.load(f))
            for f in corpus_replay.corpora()}  # fmt: skip


@pytest.fixture
def new_store(tmp_path: Path, key: bytes) -> Callable[[str], Path]:
    """Paths of stores that hash users with the same key, so that their rows compare."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "learning.duckdb.key").write_bytes(key)
        return folder / "learning.duckdb"

    return make


NAMES = [file.name.removesuffix(".jsonl.gz") for file in corpus_replay.corpora()]


def test_any_order_of_everything(
    recorded: dict[str, list[ReadableSpan]], new_store: Callable[[str], Path]
) -> None:
    """All recorded producers in one store: backwards, and shuffled with everything twice."""
    spans = [s for name in NAMES for s in recorded[name]]
    expected = _feed(new_store("whole"), spans, len(spans))
    assert len(expected[0]) > 100
    assert _feed(new_store("backwards"), spans[::-1], len(spans) // 5) == expected
    twice = random.Random(0).sample([*spans, *spans], 2 * len(spans))
    assert _feed(new_store("twice"), twice, len(twice) // 6) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_any_order_and_repetition(
    name: str, recorded: dict[str, list[ReadableSpan]], new_store: Callable[[str], Path]
) -> None:
    """A recorded producer's spans: forwards, backwards, shuffled, twice, in any batches."""
    spans = recorded[name]
    expected = _feed(new_store("whole"), spans, len(spans))
    chance = random.Random(name)
    shuffled = chance.sample(spans, len(spans))
    assert _feed(new_store("backwards"), spans[::-1], max(1, len(spans) // 4)) == expected
    twice = [*shuffled, *spans]
    assert _feed(new_store("twice"), twice, max(1, len(twice) // 6)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_any_order_in_small_batches(
    name: str, recorded: dict[str, list[ReadableSpan]], new_store: Callable[[str], Path]
) -> None:
    """The same, with some forty drains for each order."""
    spans = recorded[name]
    expected = _feed(new_store("whole"), spans, len(spans))
    for seed in range(3):
        shuffled = random.Random(seed).sample(spans, len(spans))
        assert _feed(new_store(str(seed)), shuffled, max(1, len(spans) // 40)) == expected


@pytest.mark.parametrize("batch", [1, 64, 512])
def test_any_batch_size(
    batch: int, recorded: dict[str, list[ReadableSpan]], new_store: Callable[[str], Path]
) -> None:
    """All producers in one store, shuffled together: batches of 1, 64 and 512 spans."""
    spans = [s for name in NAMES for s in recorded[name]]
    if batch == 1:  # whole traces of a few spans each
        spans = [s for name in NAMES[::4] for s in recorded[name][:40]]
    expected = _feed(new_store("whole"), spans, len(spans))
    shuffled = random.Random(batch).sample(spans, len(spans))
    flush_every = max(1, len(shuffled) // batch // 10)
    assert _feed(new_store("batched"), shuffled, batch, flush_every) == expected


def test_from_two_processes(
    recorded: dict[str, list[ReadableSpan]], new_store: Callable[[str], Path]
) -> None:
    """Half of the spans from one process, half from another, both draining as they go."""
    names = NAMES[::6]
    spans = [s for name in names for s in recorded[name]]
    expected = _feed(new_store("whole"), spans, len(spans))
    path = new_store("split")
    processes = [harness.start("export_corpora", path, half, *names) for half in (0, 1)]
    for process in processes:
        out, err = process.communicate(timeout=120)
        # On a busy machine one may wait so long for the other that it says so.
        said = [line for line in err.splitlines() if "by another otel_learning process" not in line]
        assert (process.returncode, said) == (0, []), out
    with LearningDatabase(path) as db:
        db.drain()
    assert _rows(path) == expected


def test_a_plain_root_completes_an_open_execution(tmp_path: Path) -> None:
    """The root that tells nothing itself arrives last, beside another trace's spans."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    trace = harness.number_of("a")
    call = harness.span(trace, 3, harness.call_attributes(), parent=2, name="chat")
    exporter.export([call])
    assert exporter.force_flush()
    assert harness.query(path, "SELECT complete, settled FROM executions") == [(False, False)]
    root = harness.span(trace, 1, {"http.route": "/"}, name="GET /")
    between = harness.span(trace, 2, {"x": 1}, parent=1, name="handler")
    exporter.export([root, between, *harness.task("other")])
    assert exporter.force_flush()
    assert sorted(harness.query(path, "SELECT complete, settled FROM executions")) == [
        (True, True), (True, True)
    ]  # fmt: skip
    exporter.shutdown()


def test_two_drainers_in_threads(tmp_path: Path) -> None:
    """Eight threads drain the same store at once, each with a drainer of its own."""
    from otel_learning.store.drain import Drainer

    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path, drain="off")
    for first in range(0, 600, 10):
        exporter.export(harness.tasks("t", first, first + 10))
    reports: list[int] = []
    failures: list[BaseException] = []

    def drain() -> None:
        try:
            reports.append(Drainer(path).drain(30).observations)
        except BaseException as error:  # the test shows it
            failures.append(error)

    _together(drain for _ in range(8))
    assert failures == []
    assert sum(reports) == 1200
    assert set(harness.stored_tasks(path).values()) == {1}
    assert len(harness.stored_tasks(path)) == 600


def _together(actions: Iterable[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def test_the_cache_of_the_ledger_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache too small for what a drain looks up: late spans still find all of their task."""
    from otel_learning.store import ledger

    monkeypatch.setattr(ledger, "CACHED_OBSERVATIONS", 4)
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    trace = harness.number_of("wide")
    calls = [
        harness.span(trace, 10 + i, harness.call_attributes(f"m-{i}"), parent=1,
                     start_ns=harness.START_NS + i)
        for i in range(40)
    ]  # fmt: skip
    for call in calls:
        exporter.export([call, *harness.task(f"beside-{call.context.span_id}")])
        assert exporter.force_flush()
    exporter.export([harness.span(trace, 1, harness.task_attributes("wide"), name="task")])
    assert exporter.force_flush()
    [(attempts,)] = harness.query(
        path, "SELECT attempt_count FROM executions WHERE task_id = 'wide'"
    )
    assert attempts == 40
    exporter.shutdown()


def test_merged_ledger_blobs_still_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the small blobs of many drains were merged, a late span finds all of its task."""
    from otel_learning.store import drain, ledger

    monkeypatch.setattr(ledger, "MERGE_AT", 4)
    monkeypatch.setattr(drain, "HOUSEKEEPING_SECONDS", 0.0)
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path)
    trace = harness.number_of("long")
    for i in range(12):
        call = harness.span(trace, 10 + i, harness.call_attributes(f"m-{i}"), parent=1,
                            start_ns=harness.START_NS + i)  # fmt: skip
        exporter.export([call])
        assert exporter.force_flush()
    assert harness.query(path, "SELECT count(*) FROM ledger")[0][0] < 6
    exporter.export([harness.span(trace, 1, harness.task_attributes("long"), name="task")])
    assert exporter.force_flush()
    rows = harness.query(path, "SELECT task_id, attempt_count FROM executions")
    assert rows == [("long", 12)]
    exporter.shutdown()
