"""`recommend` as its contract has it."""

from __future__ import annotations

import math
import os
import random
import re
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from otel_learning import InputError, LearningDatabase, Recommendation, recommend
from otel_learning.store import lease
from tests.learning.building import NOW, execution, plain, store_with

COUNTS = {"small": (60, 40), "medium": (62, 38), "large": (90, 10)}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store_with(tmp_path_factory.mktemp("store") / "learning.duckdb", plain(COUNTS))


def test_it_chooses_what_is_worth_most(path: Path) -> None:
    """Success decides where cost is nothing, cost where it is everything."""
    assert recommend(path, cost_weight=0).choice == "large"
    assert recommend(path, cost_weight=0.05).choice == "large"
    assert recommend(path, cost_weight=10).choice == "small"


def test_the_choice_never_gets_dearer_with_the_weight_of_cost(path: Path) -> None:
    """`choice` is monotone in `cost_weight`."""
    order = ["large", "medium", "small"]
    chosen = [recommend(path, cost_weight=w / 20).choice for w in range(60)]

    ranks = [order.index(arm or "") for arm in chosen]
    assert ranks == sorted(ranks)
    assert len(set(chosen)) > 1


def test_every_field_says_what_it_should(path: Path) -> None:
    """Rates, intervals, costs, support and shares are those of the executions."""
    answer = recommend(path)

    assert isinstance(answer, Recommendation)
    assert answer.basis == "observational"
    assert [c.arm for c in answer.candidates] == ["large", "medium", "small"]
    large = answer.candidates[0]
    assert large.success_rate == pytest.approx(0.9, abs=0.02)
    assert large.success_low is not None and large.success_high is not None
    assert 0.8 < large.success_low < 0.9 < large.success_high < 0.96
    assert large.expected_cost == pytest.approx(0.03)
    assert large.cost_low is not None and large.cost_high is not None
    assert large.cost_low <= 0.0301 and large.cost_high >= 0.0299
    assert large.expected_duration_seconds == pytest.approx(3)
    assert large.support == 100
    assert large.effective_support == pytest.approx(100)
    assert large.outcomes_known == 1
    assert not large.dominated
    assert answer.frontier == ("small", "medium", "large")
    assert math.fsum(answer.propensities.values()) == pytest.approx(1, abs=1e-12)
    assert min(answer.propensities.values()) >= 0.01
    assert max(answer.propensities, key=lambda arm: answer.propensities[arm]) == "large"
    assert answer.snapshot_age_seconds is not None and answer.snapshot_age_seconds < 60
    assert answer.sensitivity is not None and answer.sensitivity > 1


def test_reasons_are_tokens(tmp_path: Path) -> None:
    """At most 48 characters, no blanks, whatever arms and environments are called."""
    name = "a very long name of an arm, with blanks, and more " * 2
    store = store_with(tmp_path / "s.duckdb", plain({name: (4, 1), "b": (1, 0)}, environment=name))

    for reason in recommend(store, candidates=[name, "never seen"]).reasons:
        assert re.fullmatch(r"\S{1,48}", reason), reason


def test_it_says_itself_in_plain_words(path: Path) -> None:
    """The choice, each arm, and the caution that goes with logs that were not randomised."""
    said = recommend(path).explain()

    assert said.startswith("large is recommended; the evidence is observational.")
    assert "small: succeeds in" in said
    assert "logged no probabilities" in said


def test_the_environment_with_most_executions_teaches(tmp_path: Path) -> None:
    """R8: continuous integration does not teach production; which one taught is said."""
    store = store_with(tmp_path / "s.duckdb", plain({"a": (30, 10), "b": (10, 30)}))
    store_with(store, plain({"a": (0, 20), "b": (20, 0)}, environment="ci"))

    assert recommend(store).choice == "a"
    assert "environment=production" in recommend(store).reasons
    assert recommend(store, environment="ci").choice == "b"
    unseen = recommend(store, environment="dev", default="b", candidates=["a", "b"])
    assert (unseen.choice, unseen.basis) == ("b", "insufficient")
    assert "environment-unseen" in unseen.reasons


def test_several_columns_make_an_arm(tmp_path: Path) -> None:
    """`by` may name several columns; values are joined by a stroke."""
    store = store_with(tmp_path / "s.duckdb", plain({"large": (30, 0)}, pool_type="gpu"))
    store_with(store, plain({"large": (10, 20)}, pool_type="local"))
    store_with(store, plain({"large": (10, 20)}, pool_type=None))

    answer = recommend(store, by="model_tier/pool_type")

    assert answer.choice == "large/gpu"
    assert {c.arm for c in answer.candidates} == {"large/gpu", "large/local"}
    assert recommend(store, by=("pool_type",)).choice == "gpu"


def test_an_arm_that_nobody_tried_is_told_apart(path: Path) -> None:
    """It has no figures, a share of the exploring, and is not chosen."""
    answer = recommend(path, candidates=["small", "large", "huge"])

    huge = answer.candidates[2]
    assert (huge.arm, huge.success_rate, huge.expected_cost, huge.support) == (
        "huge",
        None,
        None,
        0,
    )
    assert answer.choice == "large"
    assert answer.propensities["huge"] >= 0.01
    assert "arm-unseen:huge" in answer.reasons


def test_little_evidence_is_no_advice(tmp_path: Path) -> None:
    """Below five known outcomes an arm is not compared; without two arms there is no choice."""
    store = store_with(tmp_path / "s.duckdb", plain({"a": (3, 1), "b": (2, 1)}))

    answer = recommend(store, default="b")

    assert (answer.choice, answer.basis) == ("b", "insufficient")
    assert "too-few-outcomes" in answer.reasons
    assert recommend(store).choice is None
    assert sum(answer.propensities.values()) == pytest.approx(1)


def test_limits_leave_arms_out(path: Path) -> None:
    """`min_success` and `max_cost`; where nothing is left, the default, and why."""
    assert recommend(path, max_cost=0.02, cost_weight=0).choice in ("small", "medium")
    assert recommend(path, min_success=0.8, cost_weight=10).choice == "large"
    none = recommend(path, min_success=0.8, max_cost=0.01, default="small")
    assert none.choice == "small"
    assert "no-arm-within-limits" in none.reasons


def test_a_dominated_arm_is_named_and_not_chosen(tmp_path: Path) -> None:
    """Dearer and worse than another one: whatever cost weighs."""
    store = store_with(
        tmp_path / "s.duckdb", plain({"cheap": (80, 20), "bad": (20, 80), "dear": (95, 5)})
    )
    for weight in (0, 0.1, 1, 100):
        answer = recommend(store, cost_weight=weight)
        assert [c.arm for c in answer.candidates if c.dominated] == ["bad"]
        assert answer.choice != "bad"
        assert answer.frontier == ("cheap", "dear")


def test_unknown_outcomes_are_neither_success_nor_failure(tmp_path: Path) -> None:
    """They count as support, and their share is said; uneven shares are warned of."""
    store = store_with(tmp_path / "s.duckdb", plain({"a": (50, 50), "b": (50, 50)}))
    store_with(store, plain({"b": (0, 100)}, success=None, actual_cost=0.02))

    answer = recommend(store)

    b = answer.candidates[1]
    assert b.support == 200
    assert b.outcomes_known == pytest.approx(0.5)
    assert b.success_rate == pytest.approx(0.5, abs=0.02)
    assert "outcomes-missing-unevenly" in answer.reasons


def test_everything_to_one_arm_is_warned_of(tmp_path: Path) -> None:
    """Nothing can be compared with an arm that gets all."""
    store = store_with(tmp_path / "s.duckdb", plain({"a": (150, 50), "b": (5, 1)}))

    assert "nearly-all-to-one-arm:a" in recommend(store).reasons


def test_sampled_executions_stand_for_those_left_out(tmp_path: Path) -> None:
    """A span kept with 10 % counts ten times."""
    store = store_with(tmp_path / "s.duckdb", plain({"a": (100, 0)}, sampling_ratio=1.0))
    store_with(store, plain({"a": (0, 50)}, sampling_ratio=0.1))

    rate = recommend(store).candidates[0].success_rate
    assert rate == pytest.approx(100 / 600, abs=0.03)


# ------------------------------------------------------------------------------- randomised


@pytest.mark.parametrize(
    ("told", "basis"),
    [
        ({"propensity": 0.4}, "randomised"),
        ({"propensity": 0.4, "propensity_of": "pool_type"}, "observational"),
        ({"propensity": 1.0}, "observational"),
        ({"propensity": 0.001}, "observational"),
        ({"propensity": 0.995}, "observational"),
        ({"propensity": None, "routing_confidence": 0.5}, "observational"),
    ],
)
def test_randomised_is_said_only_where_it_is_true(
    tmp_path: Path, told: dict[str, Any], basis: str
) -> None:
    """95 % of the rows carry a propensity of this very decision, below 1 and not below 0.01."""
    store = store_with(tmp_path / "s.duckdb", plain({"a": (30, 20), "b": (20, 30)}, propensity=0.5))
    store_with(store, plain({"a": (8, 0)}, **told))

    assert recommend(store).basis == basis


def test_weights_repair_a_confounded_log(tmp_path: Path) -> None:
    """The dear tier got the hard tasks: by propensities it is the better one, without it is not."""
    made = []
    for i in range(2000):
        hard = i % 2 == 0
        large = (i // 2) % 10 < (9 if hard else 1)
        p_large = 0.9 if hard else 0.1
        # Easy tasks succeed in 95 and 85 % with either, hard ones in 50 and 40.
        rate = (0.5 if hard else 0.95) if large else (0.4 if hard else 0.85)
        made.append({
            "model_tier": "large" if large else "small",
            "success": (i // 20) % 100 < 100 * rate,
            "propensity": p_large if large else 1 - p_large,
        })  # fmt: skip
    with_p = store_with(tmp_path / "p.duckdb", [execution(i, **t) for i, t in enumerate(made)])
    without = store_with(
        tmp_path / "n.duckdb",
        [execution(i, **{**t, "propensity": None}) for i, t in enumerate(made)],
    )

    seen, blind = recommend(with_p, cost_weight=0), recommend(without, cost_weight=0)

    assert (seen.choice, seen.basis) == ("large", "randomised")
    assert seen.candidates[0].success_rate == pytest.approx(0.725, abs=0.05)
    assert (blind.choice, blind.basis) == ("small", "observational")
    assert blind.sensitivity is not None


# -------------------------------------------------------------------------------- hot path


def test_a_store_that_is_not_there_gives_the_default(tmp_path: Path) -> None:
    """And creates nothing."""
    answer = recommend(tmp_path / "none.duckdb", default="small", candidates=["small", "large"])

    assert (answer.choice, answer.basis) == ("small", "insufficient")
    assert "store-missing" in answer.reasons
    assert answer.propensities == {"small": 0.5, "large": 0.5}
    assert answer.snapshot_age_seconds is None
    assert not (tmp_path / "none.duckdb").exists()


def test_a_file_that_is_no_store_gives_the_default(tmp_path: Path) -> None:
    """Whatever lies there."""
    broken = tmp_path / "broken.duckdb"
    broken.write_bytes(b"not a store" * 1000)

    answer = recommend(broken, default="small")

    assert (answer.choice, answer.reasons[0]) == ("small", "store-unreadable")


def test_a_locked_store_gives_the_default_in_time(tmp_path: Path) -> None:
    """A call waits two seconds at most, and the next ones do not wait at all."""
    store = store_with(tmp_path / "s.duckdb", plain(COUNTS))
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with lease.exclusive(store, 5):
            held.set()
            release.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        held.wait(5)
        with LearningDatabase(store) as db:
            began = time.monotonic()
            answer = recommend(db, default="small")
            assert time.monotonic() - began < 4
            assert (answer.choice, answer.reasons[0]) == ("small", "store-locked")
            began = time.monotonic()
            recommend(db, default="small")
            assert time.monotonic() - began < 0.5
    finally:
        release.set()
        holder.join()


def test_a_fault_of_ours_gives_the_default(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong while advice is made: the router's task goes on."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("otel_learning.learning.recommend.advise", broken)
    answer = recommend(path, default="small", candidates=["small", "large"], repo="not asked yet")

    assert (answer.choice, answer.reasons) == ("small", ("advice-failed", "default"))


def test_exploring_follows_the_weights_where_the_log_is_confounded(tmp_path: Path) -> None:
    """Unweighted, the small tier looks better by far; the weighted rates say the contrary."""
    made = []
    for i in range(1200):
        hard, roll = i % 2 == 0, (i // 2) % 10
        large = roll < (9 if hard else 1)
        rate = (0.5 if hard else 0.95) if large else (0.3 if hard else 0.75)
        made.append(
            execution(
                i,
                model_tier="large" if large else "small",
                success=(i // 20) % 20 < 20 * rate,
                propensity=0.9 if large == hard else 0.1,
            )
        )
    store = store_with(tmp_path / "s.duckdb", made)

    answer = recommend(store, cost_weight=0)

    raw = {
        tier: sum(m["success"] for m in made if m["model_tier"] == tier)
        / sum(m["model_tier"] == tier for m in made)
        for tier in ("small", "large")
    }
    assert raw["small"] > raw["large"]
    assert answer.propensities["large"] > answer.propensities["small"]


def test_new_executions_are_seen_in_a_while(tmp_path: Path) -> None:
    """A warm call answers from memory; the memory is renewed beside it."""
    store = store_with(tmp_path / "s.duckdb", plain({"a": (30, 10), "b": (10, 30)}))
    with LearningDatabase(store) as db:
        assert recommend(db).choice == "a"
        store_with(store, plain({"a": (0, 100), "b": (100, 0)}, repo="new"))
        deadline = time.monotonic() + 20
        while recommend(db).choice == "a" and time.monotonic() < deadline:
            time.sleep(0.05)

        assert recommend(db).choice == "b"


def test_a_forked_child_answers_and_renews(tmp_path: Path) -> None:
    """What is in memory serves the child; it reads the store with a thread of its own."""
    store = store_with(tmp_path / "s.duckdb", plain({"a": (30, 10), "b": (10, 30)}))
    with LearningDatabase(store) as db:
        assert recommend(db).choice == "a"
        child = os.fork()
        if not child:
            os._exit(0 if recommend(db).choice == "a" else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_ended_later_is_not_known_before(tmp_path: Path) -> None:
    """`as_of` leaves out what had not ended."""
    store = store_with(tmp_path / "s.duckdb", plain({"a": (30, 10), "b": (10, 30)}))
    later = NOW + timedelta(days=1)
    store_with(store, plain({"a": (0, 100), "b": (100, 0)}, started_at=later))

    assert recommend(store).choice == "b"
    assert recommend(store, as_of=NOW + timedelta(hours=1)).choice == "a"
    none = recommend(store, as_of=NOW - timedelta(days=1), default="x")
    assert (none.choice, none.basis) == ("x", "insufficient")


def test_an_arm_that_turned_bad_is_left(tmp_path: Path) -> None:
    """Forgetting comes in where it foretells better, and is named in the reasons."""
    draw = random.Random(5)
    made = []
    for day in range(40):
        for i in range(40):
            tier = draw.choice(("a", "b"))
            rate = 0.6 if tier == "b" else 0.9 if day < 30 else 0.2
            made.append(
                execution(
                    day * 100 + i,
                    model_tier=tier,
                    success=draw.random() < rate,
                    started_at=NOW + timedelta(days=day),
                    propensity=0.5,
                )
            )
    store = store_with(tmp_path / "s.duckdb", made)

    now, then = recommend(store), recommend(store, as_of=NOW + timedelta(days=29))

    assert (now.choice, then.choice) == ("b", "a")
    assert any(reason.startswith("half-life-days=") for reason in now.reasons)
    assert not any(reason.startswith("half-life-days=") for reason in then.reasons)
    assert now.candidates[0].support > now.candidates[0].effective_support


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"by": "modell"}, "modell"),
        ({"cost_weight": -1}, "-1"),
        ({"cost_weight": math.nan}, "nan"),
        ({"candidates": "large"}, "large"),
        ({"candidates": []}, "empty"),
        ({"as_of": "yesterday"}, "yesterday"),
    ],
)
def test_an_argument_that_makes_no_sense_is_named(
    path: Path, asked: dict[str, Any], named: str
) -> None:
    """A mistake in a program is said where it is made."""
    with pytest.raises(InputError, match=named):
        recommend(path, **asked)
