"""Calibration: bands that hold, confidence that is judged, corrections that help, drift found."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from otel_learning import InputError, LearningDatabase, LearningSpanExporter
from otel_learning.learning.calibration import band, calibrate, change_point
from otel_learning.learning.reliability import (
    Pairs,
    corrected,
    correction,
    rate_interval,
    reliability,
)
from tests.command_line import cli_in
from tests.durability import harness


def test_bands_hold_the_next_outcome() -> None:
    """Over many small samples of a skewed law 90 % of next outcomes lie inside."""
    draw = random.Random(3)
    inside = 0
    for _ in range(2000):
        sample = [draw.gammavariate(0.7, 2.0) for _ in range(draw.choice((19, 40, 111)))]
        low, high = band([math.log(x) for x in sample])
        assert low is not None and high is not None
        inside += low <= draw.gammavariate(0.7, 2.0) <= high
    assert 0.88 <= inside / 2000 <= 0.93


def test_too_few_outcomes_have_no_band() -> None:
    assert band([0.0] * 18) == (None, None)
    assert band([0.0] * 19) == (1.0, 1.0)


def _router(draw: random.Random, n: int, truth: Any) -> list[tuple[float, bool]]:
    said = [draw.betavariate(4, 2) for _ in range(n)]
    return [(c, draw.random() < truth(c)) for c in said]


def test_a_calibrated_router_is_left_alone() -> None:
    """Its ECE is what chance gives, and at most one correction in twenty is offered."""
    draw = random.Random(11)
    offered, excess = 0, []
    for _ in range(60):
        pairs = _router(draw, draw.choice((150, 400, 1200)), lambda c: c)
        found = reliability(pairs)
        assert found is not None
        excess.append(found.ece - found.ece_by_chance)
        offered += correction(pairs) is not None
    assert abs(sum(excess) / len(excess)) < 0.006
    assert offered <= 5


@pytest.mark.parametrize(("n", "method"), [(400, "platt"), (3000, "isotonic")])
def test_an_overconfident_router_is_corrected(n: int, method: str) -> None:
    """The correction betters outcomes that it has never seen, as its JSON too."""
    draw = random.Random(5)

    def truth(c: float) -> float:
        return 0.3 + 0.4 * (c - 0.5)

    found = correction(_router(draw, n, truth))
    assert found is not None and found.method == method
    assert found.brier_gain_low > 0 and found.support == n
    fresh: Pairs = _router(draw, 4000, truth)
    plain = json.loads(json.dumps(found.as_dict()))
    before = sum((c - y) ** 2 for c, y in fresh) / len(fresh)
    after = sum((corrected(plain, c) - y) ** 2 for c, y in fresh) / len(fresh)
    assert before - after > 0.8 * found.brier_gain > 0.05
    values = [corrected(found, step / 100) for step in range(101)]
    assert values == sorted(values) and values[0] > 0 and values[-1] < 1
    judged = reliability([(corrected(found, c), y) for c, y in fresh])
    assert judged is not None and judged.ece < judged.ece_by_chance + 0.03


def test_no_correction_is_no_change() -> None:
    assert corrected(None, 0.42) == 0.42
    assert correction([(0.9, False)] * 99) is None
    assert reliability([]) is None


def test_intervals_at_the_ends() -> None:
    """No failure in ten is not certainty."""
    low, high = rate_interval(10, 10)
    assert 0.7 < low < 0.85 and high == 1.0
    assert rate_interval(0, 10) == pytest.approx((0.0, 1 - low))


def test_drift_is_found_where_it_is() -> None:
    """A cost that grows by half is dated within a tenth; nothing is seen in 19 of 20 that rest."""
    draw = random.Random(8)
    places, seen = [], 0
    for _ in range(200):
        rest = [draw.gauss(0, 0.5) for _ in range(120)]
        seen += change_point(rest)[1] < 0.05
        moved = [draw.gauss(0.0 if i < 120 else 0.45, 0.5) for i in range(200)]
        place, p = change_point(moved)
        if p < 0.05:
            places.append(place)
    assert seen <= 14
    assert len(places) > 190
    assert abs(sorted(places)[len(places) // 2] - 120) <= 10


def _store(path: Path) -> None:
    """`small` costs twice its estimate, three times from the 80th task on; `big` says nothing."""
    draw = random.Random(2)
    exporter = LearningSpanExporter(path=path)
    spans = []
    for number in range(160):
        small = number % 4 != 3
        task = f"t-{number}"
        success = draw.random() < 0.6
        attributes: dict[str, Any] = {
            "learning.task.id": task,
            "learning.route.model_tier": "small" if small else "big",
            "learning.outcome.success": success,
        }
        if small:
            factor = (2.0 if number < 80 else 3.0) * draw.lognormvariate(0, 0.1)
            attributes |= {
                "learning.route.cost_estimate": 0.01,
                "learning.outcome.cost": 0.01 * factor,
                "learning.route.confidence": 0.95,
            }
        start = harness.START_NS + number * 60 * harness.SECOND_NS
        spans.append(
            harness.span(
                harness.number_of(task), 1, attributes, name="task", start_ns=start,
                seconds=draw.lognormvariate(1, 0.4),
            )
        )  # fmt: skip
    exporter.export(spans)
    assert exporter.force_flush()
    exporter.shutdown()


def test_from_spans_to_calibration(tmp_path: Path) -> None:
    """Through the exporter: ratio, band, drift with its date, Brier; and the same as JSON."""
    path = tmp_path / "learning.duckdb"
    run_cli = cli_in(tmp_path)
    _store(path)
    with LearningDatabase(path) as database:
        small, big = calibrate(database)
        first_half = calibrate(database, until=small.drift[0].since)[0]
        [(ratio, brier)] = database.sql(
            "SELECT cost_ratio, brier FROM calibration WHERE model_tier = 'small'"
        )
    assert (small.arm, small.support, small.cost_support) == ("small", 120, 120)
    assert small.cost_ratio == pytest.approx(ratio) and small.brier == pytest.approx(brier)
    assert small.cost_low is not None and small.cost_high is not None
    assert 1.5 < small.cost_low < 2.2 and 2.8 < small.cost_high < 4.0
    [drift] = [d for d in small.drift if d.what == "cost_ratio"]
    assert drift.since is not None
    minutes = drift.since.timestamp() / 60 - harness.START_NS / 1e9 / 60
    assert abs(minutes - 80) <= 4
    assert drift.before == pytest.approx(2.0, rel=0.1)
    assert drift.after == pytest.approx(3.0, rel=0.1)
    assert first_half.drift == [] and first_half.cost_ratio == pytest.approx(2.0, rel=0.1)
    assert small.confidence is not None and small.ece is not None
    assert small.ece > small.confidence.ece_by_chance + 0.2
    assert small.correction is not None and corrected(small.correction, 0.95) < 0.75
    assert (big.cost_ratio, big.cost_low, big.confidence, big.brier) == (None, None, None, None)
    assert big.duration_seconds is not None and big.duration_low is not None

    done = run_cli("calibration", "--db", str(path), "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert {"arm", "support", "cost_ratio", "cost_low", "cost_high", "brier", "ece"} <= set(
        shown[0]
    )
    assert [one["arm"] for one in shown] == ["small", "big"]
    text = run_cli("calibration", "--db", str(path))
    assert text.returncode == 0
    assert "cost_ratio changed about" in text.stdout and "small: a correction" in text.stdout


def test_nothing_to_compare(tmp_path: Path) -> None:
    run_cli = cli_in(tmp_path)
    path = tmp_path / "learning.duckdb"
    with LearningDatabase(path) as database:
        assert calibrate(database) == []
        with pytest.raises(InputError, match="no column to choose by"):
            calibrate(database, by="success")
    assert json.loads(run_cli("calibration", "--db", str(path), "--json").stdout) == []
    assert run_cli("calibration", "--db", "none.duckdb").returncode == 3
