"""Keys that have left the ledger's window: moved away, behind a filter, and never lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_learning import LearningSpanExporter
from otel_learning.store import backup, drain, expired, forget, key_filter, lease, restore, schema
from otel_learning.store.expired import ExpiredKeys
from otel_learning.store.key_filter import BrokenFilterError, KeyFilter
from tests.durability import harness

KEYS = st.integers(0, 2**64 - 1)


@given(batches=st.lists(st.lists(KEYS, max_size=40), max_size=12), others=st.lists(KEYS))
@settings(max_examples=60, deadline=None)
def test_a_filter_never_rules_out_what_was_added(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]], others: list[int]
) -> None:
    """Over several layers, and whatever the keys."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_filter, "FIRST_LAYER_KEYS", 32)
        bits = KeyFilter(tmp_path_factory.mktemp("filter") / "bits")
        bits.create()
        added: set[int] = set()
        for batch in batches:
            bits.add(batch)
            added |= set(batch)
            assert bits.may_hold(added) == added
        assert bits.may_hold([*added, *others]) >= added


def test_a_filter_lets_few_others_through(tmp_path: Path) -> None:
    """One in a million is meant; of 200,000 that were never added at most five pass."""
    draw = random.Random(7)
    bits = KeyFilter(tmp_path / "bits")
    bits.create()
    for _ in range(7):  # fills the first layer and begins the second
        bits.add([draw.getrandbits(64) for _ in range(10_000)])
    assert len(bits.may_hold([draw.getrandbits(64) for _ in range(200_000)])) <= 5
    assert (tmp_path / "bits").stat().st_mode & 0o077 == 0


def test_a_filter_that_is_cut_short_says_so(tmp_path: Path) -> None:
    bits = KeyFilter(tmp_path / "bits")
    bits.create()
    bits.add([1, 2, 3])
    os.truncate(tmp_path / "bits", 5000)
    with pytest.raises(BrokenFilterError):
        bits.may_hold([1])


@pytest.fixture
def aged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A store in which everything about the tasks t-0 to t-19 has left the ledger."""
    monkeypatch.setattr(drain, "HOUSEKEEPING_SECONDS", 0.0)
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path, ledger_window=0.1)
    for number in range(20):
        exporter.export(harness.task(f"t-{number}"))
    assert exporter.force_flush()
    exporter.export(harness.task("last"))  # the keys of the last drain stay
    assert exporter.force_flush()
    exporter.shutdown()
    _keep_house(path)
    assert _counts(path) == (2, 40)  # a task's and a trace's each
    yield path


def _keep_house(path: Path) -> None:
    for _ in range(3):
        time.sleep(0.15)
        drain.Drainer(path, drain.DrainSettings(ledger_window_seconds=0.1)).drain(10)


def _counts(path: Path) -> tuple[int, int]:
    [found] = harness.query(
        path, "SELECT (SELECT count(*) FROM ledger_keys), (SELECT count(*) FROM expired_keys)"
    )
    return (int(found[0]), int(found[1]))


def _assert_late_is_known(path: Path) -> None:
    """What comes again is counted as late, and the same id for another trace is its next run."""
    before = harness.query(path, "SELECT * FROM executions ORDER BY execution_id")
    [(late,)] = harness.query(path, "SELECT coalesce(sum(count), 0) FROM losses")
    exporter = LearningSpanExporter(path=path, ledger_window=0.1)
    exporter.export([*harness.task("t-3"), *harness.task("t-4")])
    assert exporter.force_flush()
    assert harness.query(path, "SELECT * FROM executions ORDER BY execution_id") == before
    assert harness.query(path, "SELECT sum(count) FROM losses") == [(late + 4,)]
    trace = harness.number_of(f"again-{time.time_ns()}")
    [(runs,)] = harness.query(path, "SELECT max(run) FROM executions WHERE task_id = 't-5'")
    exporter.export([harness.span(trace, 1, harness.task_attributes("t-5"), name="task")])
    assert exporter.force_flush()
    exporter.shutdown()
    [(after,)] = harness.query(path, "SELECT max(run) FROM executions WHERE task_id = 't-5'")
    assert after == runs + 1
    harness.assert_no_row_twice(path)


def test_late_and_again_after_the_keys_have_moved(aged: Path) -> None:
    """And few keys are left that every drain reads."""
    assert _counts(aged)[0] <= 4
    _assert_late_is_known(aged)
    _keep_house(aged)
    _assert_late_is_known(aged)


@pytest.mark.parametrize("harm", ["gone", "cut", "older"])
def test_a_lost_filter_is_made_anew(aged: Path, harm: str) -> None:
    """Without it, or with one that knows less than the table, all keys are looked up."""
    [bits] = aged.with_name(aged.name + ".ledger").glob("expired-*.bits")
    if harm == "gone":
        bits.unlink()
    elif harm == "cut":
        os.truncate(bits, 100)
    else:
        bits.unlink()
        KeyFilter(bits).create()
    _assert_late_is_known(aged)
    _keep_house(aged)
    found = list(bits.parent.glob("expired-*.bits"))
    assert len(found) == 1
    assert found[0] != bits
    assert _counts(aged)[1] >= 40
    _assert_late_is_known(aged)


def test_many_keys_move_over_several_drains(aged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drain moves no more than its share, and the next one goes on."""
    monkeypatch.setattr(expired, "KEYS_AT_ONCE", 3)
    with lease.exclusive(aged, 10), lease.connection(aged, 10) as con:
        ExpiredKeys(aged.with_name(aged.name + ".ledger")).begin_anew(con)
    waiting = _counts(aged)[0]
    exporter = LearningSpanExporter(path=aged, ledger_window=0.1)
    exporter.export(harness.task("one more"))
    assert exporter.force_flush()
    assert 0 < _counts(aged)[1] < waiting
    _assert_late_is_known(aged)
    exporter.shutdown()


def test_what_is_forgotten_is_in_no_filter(aged: Path) -> None:
    """Its bits would still answer whether an id was ever there."""
    [bits] = aged.with_name(aged.name + ".ledger").glob("expired-*.bits")
    forget.forget(aged, {("task_id", "t-7")})
    assert not bits.exists()
    _keep_house(aged)
    [other] = bits.parent.glob("expired-*.bits")
    from otel_learning.store.ledger import hash_key

    assert KeyFilter(other).may_hold([hash_key("task|t-7")]) == set()
    assert KeyFilter(other).may_hold([hash_key("task|t-8")]) == {hash_key("task|t-8")}
    _assert_late_is_known(aged)


def test_a_backup_has_the_filter(aged: Path, tmp_path: Path) -> None:
    made = backup.back_up(aged, tmp_path / "copy.duckdb")
    _assert_late_is_known(made.path)
    restore.restore(aged, made.path)
    _assert_late_is_known(aged)


def test_the_way_back_keeps_every_key(aged: Path) -> None:
    """The older release looks all of them up."""
    moved = sum(_counts(aged))
    with lease.exclusive(aged, 10), lease.connection(aged, 10) as con:
        schema.downgrade(con, str(aged), 2)
    with duckdb.connect(str(aged), read_only=True) as con:
        assert con.execute("SELECT count(*) FROM ledger_keys").fetchall() == [(moved,)]


def test_a_kill_while_keys_move_loses_none(tmp_path: Path) -> None:
    """Between the filter and the table: the key is in the filter for nothing, and still found."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path, ledger_window=0.1)
    for number in range(6):
        exporter.export(harness.task(f"t-{number}"))
    assert exporter.force_flush()
    exporter.export(harness.task("last"))  # the keys of the last drain stay
    assert exporter.force_flush()
    exporter.shutdown()
    time.sleep(0.2)
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from otel_learning.store import drain, failpoints\n"
        "drain.HOUSEKEEPING_SECONDS = 0.0\n"
        "failpoints.hook = lambda point: point == 'retire: in the filter' "
        "and os.kill(os.getpid(), 9)\n"
        "settings = drain.DrainSettings(ledger_window_seconds=0.1)\n"
        "for _ in range(3): drain.Drainer(Path(sys.argv[1]), settings).drain(10)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    _assert_late_is_known(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drain, "HOUSEKEEPING_SECONDS", 0.0)
        _keep_house(path)
    _assert_late_is_known(path)
