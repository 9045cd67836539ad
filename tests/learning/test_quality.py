"""How much checking a record asks for: good and long ones earn less, failing ones more."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_learning import LearningDatabase, LearningSpanExporter
from otel_learning.errors import InputError
from otel_learning.learning import quality
from otel_learning.learning.maturity import (
    LEVELS,
    RECENT_OUTCOMES,
    Record,
    level_of,
    record_of,
    score_of,
)
from otel_learning.store.outcomes import Row
from tests.durability import harness
from tests.learning.planted import DAY_NS, Attributes, export

START = datetime(2026, 1, 1, tzinfo=UTC)


def rows(
    outcomes: Sequence[bool | None], *, days: float = 60, qualities: list[float] | None = None,
    kinds: list[str] | None = None,
) -> list[Row]:  # fmt: skip
    """Executions spread evenly over so many days."""
    step = timedelta(days=days) / max(1, len(outcomes) - 1)
    made = []
    for number, success in enumerate(outcomes):
        at = START + number * step
        score = None if qualities is None else qualities[number]
        value = None if success is None else float(success)
        made.append(
            Row(f"{number:05}", f"t-{number}", None, None, at,
                (kinds[number] if kinds else "fix",), (value, score), (at, at))
        )  # fmt: skip
    return made


def asks(outcomes: Sequence[bool | None], **more: Any) -> quality.Quality:
    reported = {name: more.pop(name) for name in ("coverage", "docs") if name in more}
    made = rows(outcomes, **more)
    return quality.judge("r", record_of(made, **reported), None, made)


GOOD: Sequence[bool | None] = [True] * 200


# ------------------------------------------------------------------------------- the table


def test_a_stable_record_earns_less_checking_and_a_failing_one_more() -> None:
    """The order that was promised: stable < mature < developing < new < failing."""
    stable = asks(GOOD, days=60)
    mature = asks([True] * 80, days=10)
    developing = asks([True] * 30, days=3)
    new = asks([True] * 5, days=1)
    failing = asks([*GOOD, *[False] * 100], days=60)

    assert [q.maturity for q in (new, developing, mature, stable)] == [
        "new", "developing", "mature", "stable",
    ]  # fmt: skip
    asked = [q.coverage_required for q in (stable, mature, developing, new, failing)]
    assert asked == [60, 70, 75, 80, 90]
    assert [q.strictness for q in (stable, mature, failing)] == ["lenient", "standard", "strict"]
    assert [q.flow for q in (new, developing, mature, stable, failing)] == [
        "full", "standard", "accelerated", "streamlined", "escalated",
    ]  # fmt: skip
    assert [q.gate_met for q in (stable, mature, developing, new, failing)] == [
        True, True, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("outcomes", "days", "weakest"),
    [
        (GOOD, 0.2, "age"), ([True] * 8, 300.0, "outcomes"),
        ([True, False] * 300, 300.0, "success"),
    ],
)  # fmt: skip
def test_a_record_is_as_mature_as_its_weakest_part(
    outcomes: Sequence[bool | None], days: float, weakest: str
) -> None:
    """Much in one afternoon, little in a year, or half of it failing: none of them is mature."""
    found = asks(outcomes, days=days)

    assert found.maturity in ("new", "developing")
    assert f"limited_by:{weakest}" in found.reasons
    assert found.coverage_required >= 75


@given(n=st.integers(0, 400), good=st.floats(0, 1), days=st.floats(0, 400))
def test_a_short_record_never_earns_less_checking(n: int, good: float, days: float) -> None:
    """The first half of a steady record never asks for less than all of it."""
    draw = random.Random(n)
    outcomes = [i < good * n for i in range(n)]
    draw.shuffle(outcomes)
    whole = asks(outcomes + outcomes, days=days)
    half = asks(outcomes, days=days / 2)

    assert half.score <= whole.score
    if half.record.outcomes < LEVELS[2].outcomes:
        assert half.coverage_required >= LEVELS[1].coverage_required
        assert half.maturity in ("new", "developing")


@given(
    outcomes=st.integers(0, 3000), low=st.floats(0, 1), age=st.floats(0, 1000),
    worse=st.sampled_from(["outcomes", "success_low", "age_days", "coverage", "docs"]),
)  # fmt: skip
def test_the_score_falls_with_each_part(outcomes: int, low: float, age: float, worse: str) -> None:
    """No part of a record that gets worse raises its score, and levels fit their scores."""
    better = Record(executions=outcomes, outcomes=outcomes, success_low=low, age_days=age,
                    coverage=90.0, docs=90.0)  # fmt: skip
    lesser = Record(executions=outcomes, outcomes=outcomes, success_low=low, age_days=age,
                    coverage=90.0, docs=90.0)  # fmt: skip
    setattr(lesser, worse, type(getattr(lesser, worse))(getattr(lesser, worse) / 2))
    score, weakest = score_of(better)

    assert 0 <= score_of(lesser)[0] <= score <= 100
    level = level_of(score)
    assert level.score <= score
    assert outcomes >= level.outcomes and low >= level.success_low and age >= level.age_days
    assert weakest in ("success", "outcomes", "age", "coverage", "docs")


def test_the_cut_offs_are_where_the_levels_begin() -> None:
    """A record that just meets a line of the table has that line's score."""
    for level in LEVELS:
        record = Record(executions=1, outcomes=int(level.outcomes), success_low=level.success_low,
                        age_days=level.age_days, quality_low=level.quality_low,
                        coverage=level.coverage_reported, docs=level.docs_reported)  # fmt: skip
        assert score_of(record)[0] == level.score
    asked = [level.coverage_required for level in LEVELS]
    assert asked == sorted(asked, reverse=True)


def test_a_good_past_does_not_hide_a_bad_present() -> None:
    """A record that has become worse is escalated before it fails as a whole."""
    outcomes = [True] * 500 + [i % 4 != 0 for i in range(RECENT_OUTCOMES)]
    found = asks(outcomes, days=300)

    assert "declining" in found.reasons and "failing" not in found.reasons
    assert (found.strictness, found.flow, found.gate_met) == ("strict", "escalated", False)
    # A little worse is not shown yet.
    assert asks([True] * 500 + [i != 3 for i in range(100)], days=300).flow == "streamlined"


def test_a_few_failures_are_shown_for_what_they_are() -> None:
    """Two failures are no failing record yet, ten in a row are."""
    assert "failing" not in asks([False, False], days=1).reasons
    assert "failing" in asks([False] * 10, days=1).reasons


def test_unknown_outcomes_earn_nothing() -> None:
    """Executions whose outcome nobody knows count neither way."""
    found = asks([None] * 500, days=300)

    assert (found.maturity, found.score, found.record.outcomes) == ("new", 0, 0)
    assert not found.gate_met


def test_quality_that_falls_keeps_a_record_from_being_stable() -> None:
    """A trend is said only where it is shown: scores that merely vary are no trend."""
    draw = random.Random(1)
    steady = [draw.uniform(70, 100) for _ in GOOD]
    falling = [score - 15 * (i > 100) for i, score in enumerate(steady)]

    assert asks(GOOD, qualities=steady).maturity == "stable"
    found = asks(GOOD, qualities=falling)
    assert (found.maturity, found.coverage_required) == ("mature", 70)
    assert "quality_falling" in found.reasons
    assert asks(GOOD, qualities=[40.0] * 200).maturity == "developing"


def test_coverage_is_what_the_gate_asks_for() -> None:
    """Known coverage decides; below what is asked for the best record does not pass."""
    assert asks(GOOD, coverage=65.0).gate_met
    low = asks(GOOD, coverage=40.0)
    assert not low.gate_met and "coverage_below_required" in low.reasons
    assert asks([True] * 30, days=3, coverage=80.0).gate_met
    assert not asks([True] * 30, days=3, coverage=74.0).gate_met
    assert not asks([False] * 30, days=3, coverage=100.0).gate_met


def test_areas_by_what_may_go_wrong() -> None:
    """What fails, or is little known, asks for more; what is busy and sound for the least."""
    outcomes: Sequence[bool | None] = [True] * 300 + [i % 2 == 0 for i in range(60)] + [True] * 3
    kinds = ["fix"] * 300 + ["migration"] * 60 + ["rare"] * 3
    made = list(zip(outcomes, kinds, strict=True))
    random.Random(1).shuffle(made)
    made = [one for one in made if one[1] != "rare"] + [one for one in made if one[1] == "rare"]
    found = asks([o for o, _ in made], kinds=[k for _, k in made], days=90)
    areas = {area.area: area for area in found.areas}

    assert [areas[k].risk for k in ("migration", "rare", "fix")] == ["high", "high", "low"]
    assert areas["migration"].failure_rate == 0.5 and areas["rare"].failure_rate == 0
    assert areas["migration"].coverage_required == 90
    assert areas["fix"].coverage_required == found.coverage_required
    assert [area.value for area in found.areas] == sorted(
        (area.value for area in found.areas), reverse=True
    )


# ------------------------------------------------------------------------------- the store


def tasks(count: int, rate: float, **more: Any) -> list[tuple[str, Attributes]]:
    draw = random.Random(count)
    return [
        (
            f"{more.get('learning.task.repo', 'r')}-{i}",
            {"learning.outcome.success": draw.random() < rate, "learning.task.repo": "acme/api",
             "learning.task.type": "fix", **more},
        )
        for i in range(count)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three repositories, sixty days: one good, one failing, one only in CI good."""
    path = tmp_path_factory.mktemp("quality") / "learning.duckdb"
    start, step = time.time_ns() - 60 * DAY_NS, 60 * DAY_NS // 200
    export(path, tasks(200, 1.0), start_ns=start, step_ns=step)
    export(path, tasks(120, 0.4, **{"learning.task.repo": "acme/bad"}), start_ns=start,
           step_ns=step)  # fmt: skip
    export(path, tasks(40, 0.4, **{"learning.task.repo": "acme/ci"}), start_ns=start,
           step_ns=step, environment="production")  # fmt: skip
    export(path, tasks(30, 1.0, **{"learning.task.repo": "acme/ci"}), start_ns=start,
           step_ns=step, environment="ci")  # fmt: skip
    return path


def test_the_record_is_read_from_executions(store: Path) -> None:
    """The good repository is stable, the failing one escalated, an unknown one new."""
    database = LearningDatabase(store)
    good, bad, nobody = (
        quality.examine(database, repo) for repo in ("acme/api", "acme/bad", "acme/none")
    )

    assert (good.maturity, good.strictness, good.record.outcomes) == ("stable", "lenient", 200)
    assert "failing" in bad.reasons and bad.coverage_required > good.coverage_required
    assert (nobody.maturity, nobody.reasons[0]) == ("new", "no_record")
    assert quality.examine(database, "acme/api") == good


def test_runs_in_ci_teach_nothing_about_production(store: Path) -> None:
    """R8: the environment with most executions counts, and another only where it is asked for."""
    database = LearningDatabase(store)

    assert quality.examine(database, "acme/ci").environment == "production"
    assert quality.examine(database, "acme/ci").record.outcomes == 40
    assert quality.examine(database, "acme/ci", environment="ci").record.outcomes == 30


def test_the_past_is_what_it_was(store: Path) -> None:
    """`as_of` leaves out what was known later."""
    moment = datetime.now(UTC) - timedelta(days=55)
    found = quality.examine(LearningDatabase(store), "acme/api", as_of=moment)

    assert found.record.outcomes < 20 and found.maturity == "new"


def test_what_executions_report_counts(tmp_path: Path) -> None:
    """Coverage, docs and impact from metadata that one's own profile keeps; the newest stands."""
    profile = tmp_path / "own.toml"
    profile.write_text(
        'name = "own"\nmetadata = ["project.coverage", "project.docs", "task.impact"]\n'
    )
    path = tmp_path / "learning.duckdb"
    start = time.time_ns() - 60 * DAY_NS
    exporter = LearningSpanExporter(path=path, profile=profile)
    exporter.export(
        [
            harness.span(
                i + 1, 1, {
                    "learning.task.id": f"t-{i}", "learning.task.repo": "r",
                    "learning.task.type": "pay" if i % 4 == 0 else "fix",
                    "learning.outcome.success": True,
                    "project.coverage": 0.55 if i < 199 else "62%", "project.docs": 80,
                    "task.impact": "critical" if i % 4 == 0 else "low",
                }, name="task", start_ns=start + i * DAY_NS // 4,
            )
            for i in range(200)
        ]
    )  # fmt: skip
    assert exporter.force_flush()
    exporter.shutdown()
    database = LearningDatabase(path)

    found = quality.examine(database, "r")

    assert (found.record.coverage, found.record.docs) == (62.0, 80.0)
    assert found.maturity == "stable" and found.gate_met
    assert {area.area: area.impact for area in found.areas} == {"pay": "critical", "fix": "low"}
    assert not quality.examine(database, "r", coverage=59.0).gate_met
    with pytest.raises(InputError, match="101"):
        quality.examine(database, "r", coverage=101)


def test_policies_are_kept_with_their_reason(store: Path, tmp_path: Path) -> None:
    """A row is written where something has changed, and those before it stay."""
    database = LearningDatabase(store)
    found = quality.examine(database, "acme/api")
    first = quality.save(database, found)
    again = quality.save(database, found)
    changed = quality.save(database, quality.examine(database, "acme/api", coverage=55.0))
    history = database.sql(
        "SELECT project_maturity, coverage_threshold, strictness_level, adjustment_reason "
        "FROM quality_policies WHERE repo = 'acme/api' ORDER BY last_adjusted"
    )

    assert first is not None and again is None and changed is not None
    assert [row[:3] for row in history] == [
        ("stable", 60.0, "lenient"),
        ("mature", 70.0, "standard"),
    ]
    assert "limited_by:coverage" in history[1][3] and "coverage_below_required" in history[1][3]
    assert json.loads(json.dumps(first.to_dict())) == first.to_dict()
