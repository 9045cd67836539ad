"""Experiments in a real store: exposures from spans, decisions with their evidence."""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from otel_learning import FeedbackRecord, LearningDatabase
from otel_learning.errors import ConfigurationError, InputError
from otel_learning.learning import experiments
from otel_learning.learning.assignment import choose
from otel_learning.learning.exposures import Exposures, Outcome
from otel_learning.learning.metrics import METRICS
from otel_learning.learning.verdict import Question, judge
from otel_learning.store import migrating
from otel_learning.store.backup import back_up
from tests.learning.planted import DAY_NS, export, labelled
from tests.lifecycle.stores import assert_private

AB = {"A": 0.5, "B": 0.85}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An empty store."""
    with LearningDatabase(tmp_path / "learning.duckdb"):
        return tmp_path / "learning.duckdb"


def create(path: Path, name: str = "tiers", **more: Any) -> LearningDatabase:
    database = LearningDatabase(path)
    experiments.create(database, name, **{"variants": ["A", "B"], **more})
    return database


def shown(database: LearningDatabase, name: str = "tiers", **more: Any) -> dict[str, Any]:
    return experiments.show(database, name, **more).to_dict()


def by_variant(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["variant"]: one for one in found["variants"]}


# ------------------------------------------------------------------------------- exposures


def test_variants_are_read_off_spans(path: Path) -> None:
    """Assignment made elsewhere: what spans name counts, with unknown outcomes beside it."""
    create(path)
    database = export(path, labelled("tiers", AB, 300, unknown=0.2))

    found = shown(database)
    known = dict(
        database.sql(
            "SELECT variant, (count(success), avg(success::INT), count(*)) FROM executions "
            "GROUP BY variant"
        )
    )

    assert found["assignment"] == "recorded" and found["decision"] == "B"
    assert (found["state"], found["decided"]) == ("running", False)
    for variant, one in by_variant(found).items():
        support, mean, units = known[variant]
        assert (one["support"], one["exposures"]) == (support, units)
        assert one["unknown"] == units - support > 0
        assert one["mean"] == pytest.approx(mean)
        assert one["low"] < one["mean"] < one["high"]


def test_without_variants_on_spans_the_unit_decides(path: Path) -> None:
    """A router that only asks which variant a task gets need not write it on its spans."""
    database = create(path)
    given = {f"t-{i}": experiments.assign(database, "tiers", f"t-{i}").variant for i in range(3)}
    assert given == {unit: choose("tiers", unit, ["A", "B"]) for unit in given}
    tasks = [
        (f"t-{i}", {"learning.outcome.success": choose("tiers", f"t-{i}", "AB") == "B" or i % 2})
        for i in range(200)
    ]

    found = shown(export(path, tasks))

    assert found["assignment"] == "computed" and found["decision"] == "B"
    assert by_variant(found)["B"]["mean"] == 1.0
    assert sum(one["support"] for one in found["variants"]) == 200


def test_what_ran_before_the_experiment_is_no_part_of_it(path: Path) -> None:
    """Without variants on spans, executions that started earlier do not count."""
    earlier = time.time_ns() - DAY_NS
    export(path, [(f"t-{i}", {"learning.outcome.success": True}) for i in range(20)],
           start_ns=earlier)  # fmt: skip
    database = create(path)

    assert sum(one["exposures"] for one in shown(database)["variants"]) == 0


def test_a_unit_counts_once(path: Path) -> None:
    """Of a session's tasks the first known outcome counts: they are not independent."""
    create(path, unit="session_id")
    tasks = [
        (
            f"t-{i}",
            {
                "session.id": f"s-{i // 4}", "learning.outcome.success": i % 4 == 0,
                "learning.route.experiment": "tiers",
                "learning.route.variant": "AB"[i // 4 % 2],
            },
        )
        for i in range(80)
    ]  # fmt: skip

    found = by_variant(shown(export(path, tasks)))

    assert [(one["support"], one["mean"]) for one in found.values()] == [(10, 1.0), (10, 1.0)]


def test_units_that_saw_two_variants_count_for_none(path: Path) -> None:
    """They are counted and said, and so are variants that the experiment does not have."""
    create(path, unit="session_id")
    tasks = labelled(
        "tiers", {"A": 1.0, "B": 1.0, "Z": 1.0}, 30,
        more=lambda draw, variant: {"session.id": "both" if variant != "Z" else "z"},
    )  # fmt: skip

    found = shown(export(path, tasks))

    assert set(found["warnings"]) >= {"crossed_units:1", "unknown_variants:10"}
    assert all(one["exposures"] == 0 for one in found["variants"])


def test_other_environments_do_not_count(path: Path) -> None:
    """R8: runs in CI do not teach production; how many there were is said."""
    create(path)
    export(path, labelled("tiers", AB, 100), environment="production")
    database = export(path, labelled("tiers", {"A": 0, "B": 0}, 60), environment="ci")

    found = shown(database)

    assert (found["environment"], found["other_environments"]) == ("production", 60)
    assert sum(one["support"] for one in found["variants"]) == 100


def test_what_was_chosen_is_compared_with_the_arm(path: Path) -> None:
    """A fallback of the router shows: B stands for the large tier, and half of B got it."""
    create(path, by="model_tier", arms=["small", "large"])
    tasks = labelled(
        "tiers", AB, 80,
        more=lambda draw, v: {
            "learning.route.model_tier": "large" if v == "B" and draw.random() < 0.5 else "small"
        },
    )  # fmt: skip

    found = by_variant(shown(export(path, tasks)))

    assert (found["A"]["arm"], found["B"]["arm"]) == ("small", "large")
    assert found["A"]["followed"] == 1.0 and 0.2 < found["B"]["followed"] < 0.8


def test_a_user_is_assigned_by_the_hash_that_the_store_has(path: Path) -> None:
    """The id and its hash get the same variant, and executions count for it."""
    database = create(path, unit="user_hash")
    with pytest.raises(InputError, match="no key"):
        experiments.assign(database, "tiers", "ann")
    users = [f"user-{i}" for i in range(40)]
    database = export(
        path,
        [(f"t-{u}", {"user.id": u, "learning.outcome.success": True}) for u in users],
    )
    hashes = dict(database.sql("SELECT task_id, user_hash FROM executions"))
    given: Counter[str] = Counter()
    for user in users[:6]:
        assigned = experiments.assign(database, "tiers", user)
        assert assigned == experiments.assign(database, "tiers", hashes[f"t-{user}"])
    for value in hashes.values():
        given[choose("tiers", value, "AB")] += 1

    found = by_variant(shown(database))

    assert {variant: one["support"] for variant, one in found.items()} == dict(given)


# --------------------------------------------------------------------------------- metrics


def test_feedback_is_a_metric_with_a_date(path: Path) -> None:
    """`rating` and `accepted` count from when they were given; what is revoked does not count."""
    create(path, metric="rating", name="rated")
    create(path, metric="user_accepted", name="taken")
    tasks = [
        (task, {**said, "learning.route.experiment": "rated"})
        for task, said in labelled("rated", AB, 40)
    ]
    database = export(path, tasks)
    now = datetime.now(UTC)
    for number in range(40):
        database.record_feedback(
            FeedbackRecord(
                target_id=f"t-{number}", rating=2 + 2 * (number % 2) + number % 4 // 2,
                accepted=True, given_at=now + timedelta(hours=number), revoked=number == 0,
            )
        )  # fmt: skip

    later = by_variant(shown(database, "rated", as_of=now + timedelta(hours=20, minutes=1)))
    final = by_variant(shown(database, "rated"))

    assert [one["support"] for one in later.values()] == [10, 10]
    assert [one["support"] for one in final.values()] == [19, 20]
    assert final["B"]["mean"] == 4.5 and final["A"]["low"] >= 1 and final["B"]["high"] <= 5
    taken = shown(database, "taken")
    assert taken["assignment"] == "computed"  # no span names that one
    assert {one["mean"] for one in taken["variants"]} == {1.0}


def test_an_evaluation_stands_over_the_spans_from_its_date_on(path: Path) -> None:
    """`quality_score` is the last evaluation before `as_of`."""
    create(path, metric="quality_score")
    more: Callable[[Any, str], dict[str, Any]] = lambda *_: {"learning.outcome.quality_score": 50}  # noqa: E731
    database = export(path, labelled("tiers", AB, 24, more=more))
    assert by_variant(shown(database))["A"]["mean"] == 50
    later = datetime.now(UTC) + timedelta(days=1)
    for number in range(0, 24, 2):
        database.record_feedback(
            FeedbackRecord(target_id=f"t-{number}", quality_score=90, given_at=later)
        )

    assert by_variant(shown(database))["A"]["mean"] == 90
    assert by_variant(shown(database))["B"]["mean"] == 50


def test_a_cost_is_better_when_it_is_less(path: Path) -> None:
    """Numbers: the cheaper variant wins, unless the goal says otherwise."""
    more: Callable[[Any, str], dict[str, Any]] = lambda draw, v: {  # noqa: E731
        "learning.outcome.cost": draw.lognormvariate(0 if v == "A" else 1, 0.8)
    }
    create(path, "tiers", metric="actual_cost")
    create(path, "odd", metric="actual_cost", goal="max")
    database = export(path, labelled("tiers", AB, 300, more=more))
    export(path, labelled("odd", AB, 300, more=more, prefix="o"))

    assert shown(database)["decision"] == "A"
    assert shown(database, "odd")["decision"] == "B"


def test_a_guardrail_keeps_a_winner_back(path: Path) -> None:
    """B succeeds more often and costs three times as much; half as much again was allowed."""
    more: Callable[[Any, str], dict[str, Any]] = lambda draw, v: {  # noqa: E731
        "learning.outcome.cost": draw.uniform(0.8, 1.2) * (3 if v == "B" else 1)
    }
    create(path, "tight", guardrails=[("actual_cost", 0.5)])
    create(path, "loose", guardrails=[("actual_cost", 3.0)])
    export(path, labelled("tight", AB, 300, more=more))
    database = export(path, labelled("loose", AB, 300, more=more, prefix="o"))

    tight, loose = shown(database, "tight"), shown(database, "loose")

    assert (tight["decision"], tight["reasons"]) == (None, ["guardrail:actual_cost"])
    assert tight["guardrails"][0]["broken"] is True
    assert "guardrail_broken:B:actual_cost" in tight["warnings"]
    assert (loose["decision"], loose["guardrails"][0]["broken"]) == ("B", False)


def test_strata_take_their_difference_out(path: Path) -> None:
    """Within kinds of task the same outcomes say more, where kinds differ more than variants."""
    more: Callable[[Any, str], dict[str, Any]] = lambda draw, v: (  # noqa: E731
        (lambda hard: {
            "learning.task.type": "hard" if hard else "easy",
            "learning.outcome.duration_seconds": draw.uniform(0, 4) + 50 * hard + 2 * (v == "A"),
        })(draw.random() < 0.5)
    )  # fmt: skip
    create(path, "plain", metric="duration_seconds")
    create(path, "within", metric="duration_seconds", strata=["task_type"])
    export(path, labelled("plain", AB, 200, more=more))
    database = export(path, labelled("within", AB, 200, more=more, prefix="o"))

    assert shown(database, "plain")["decision"] is None
    assert shown(database, "within")["decision"] == "B"


# -------------------------------------------------------------------------------- verdicts


def world(rng: Any, rates: dict[str, float], count: int) -> dict[str, list[Outcome]]:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return {
        v: [
            Outcome(start + timedelta(seconds=i), f"{v}{i}", float(rng.random() < rate), ())
            for i in range(count)
        ]
        for v, rate in rates.items()
    }


def decided(rates: dict[str, float], count: int, runs: int) -> dict[str | None, int]:
    """How often each variant is named, of so many worlds."""
    import numpy as np

    rng = np.random.default_rng(1)
    asked = Question(tuple(rates), (1.0,) * len(rates), METRICS["success"], "max", 0.05)
    named: dict[str | None, int] = {}
    for _ in range(runs):
        outcomes = world(rng, rates, count)
        units = Counter({v: len(timeline) for v, timeline in outcomes.items()})
        name = judge(asked, Exposures(units, [outcomes])).decision
        named[name] = named.get(name, 0) + 1
    return named


def test_of_many_equal_variants_none_is_named() -> None:
    """Four variants that do not differ: a winner is named in at most alpha of 300 worlds."""
    named = decided(dict.fromkeys("ABCD", 0.7), 200, 300)

    assert named[None] >= 285


def test_of_many_variants_the_best_is_found() -> None:
    """One of five is better: it is the one that is named, and no other, in nearly all worlds."""
    named = decided({**dict.fromkeys("ABCD", 0.5), "E": 0.75}, 400, 60)

    assert named["E"] >= 54 and set(named) <= {"E", None}


def test_a_variant_that_is_shown_to_be_worse_is_behind() -> None:
    """Also while the best one is still open between the others."""
    import numpy as np

    outcomes = world(np.random.default_rng(3), {"A": 0.8, "B": 0.8, "C": 0.4}, 250)
    asked = Question(("A", "B", "C"), (1.0,) * 3, METRICS["success"], "max", 0.05)

    found = judge(asked, Exposures(Counter(A=250, B=250, C=250), [outcomes]))

    assert found.decision is None
    assert [one.status for one in found.variants] == ["in", "in", "behind"]


def test_a_guardrail_seldom_breaks_where_there_is_no_harm() -> None:
    """Costs with long tails, the same for both: at most alpha of 300 worlds raise an alarm."""
    import numpy as np

    rng = np.random.default_rng(4)
    broken = 0
    for _ in range(300):
        outcomes = world(rng, {"A": 0.5, "B": 0.5}, 200)
        costs = {
            v: [o._replace(value=float(rng.lognormal(0, 1.2))) for o in timeline]
            for v, timeline in outcomes.items()
        }
        asked = Question(
            ("A", "B"), (1.0, 1.0), METRICS["success"], "max", 0.05,
            guardrails=((METRICS["actual_cost"], 0.0),),
        )  # fmt: skip
        exposed = Exposures(Counter(A=200, B=200), [outcomes, costs])
        broken += judge(asked, exposed).guardrails[0]["broken"]

    assert broken <= 15


def test_differences_too_small_to_matter_are_said() -> None:
    """Once every difference is shown to be below the effect, going on is not worth it."""
    import numpy as np

    rng = np.random.default_rng(2)
    outcomes = world(rng, {"A": 0.9, "B": 0.9}, 3000)
    reasons = []
    for effect in (0.1, 0.001, None):
        asked = Question(("A", "B"), (1.0, 1.0), METRICS["success"], "max", 0.05, effect=effect)
        reasons += judge(asked, Exposures(Counter(A=3000, B=3000), [outcomes])).reasons

    assert reasons == ["difference_below_effect", "no_difference_shown", "no_difference_shown"]


def test_shares_that_are_off_are_said(path: Path) -> None:
    """Half as many units in one variant: the comparison is doubted, and not decided by itself."""
    tasks = [t for i, t in enumerate(labelled("tiers", AB, 600)) if i % 4 != 1]
    create(path)
    database = export(path, tasks)

    found = shown(database)

    assert found["decision"] == "B" and "sample_ratio_mismatch" in found["warnings"]
    with pytest.raises(InputError, match="not shared out"):
        experiments.decide(database, "tiers")
    assert experiments.decide(database, "tiers", variant="B").decision == "B"


def test_outcomes_that_are_missing_unevenly_are_said(path: Path) -> None:
    """Where one variant's failures say nothing, its rate cannot be relied on."""
    create(path)
    tasks = labelled("tiers", {"A": 0.5, "B": 0.5}, 600)
    for _, said in tasks:
        if said["learning.route.variant"] == "B" and not said["learning.outcome.success"]:
            del said["learning.outcome.success"]

    assert "outcomes_missing_unevenly" in shown(export(path, tasks))["warnings"]


def test_a_fixed_horizon_is_looked_at_once(path: Path) -> None:
    """Before the horizon nothing is said, and what comes after it changes nothing."""
    create(path, mode="fixed", horizon=50)
    database = export(path, labelled("tiers", {"A": 0.3, "B": 0.9}, 90))
    early = shown(database)
    now = time.time_ns() + 3600 * 10**9
    database = export(path, labelled("tiers", {"A": 0.3, "B": 0.9}, 60, prefix="u"), start_ns=now)
    due = shown(database)
    database = export(
        path, labelled("tiers", {"A": 1.0, "B": 0.0}, 200, prefix="v"), start_ns=now + 10**12
    )
    later = shown(database)

    assert (early["decision"], early["reasons"]) == (None, ["horizon_not_reached"])
    assert due["decision"] == "B" and by_variant(due)["A"]["support"] == 50
    assert later["comparisons"] == due["comparisons"] and later["decision"] == "B"


def test_a_plan_comes_from_the_record(path: Path) -> None:
    """Rate, spread and pace of the last weeks make the forecast; it is kept with the experiment."""
    database = export(path, labelled("before", {"x": 0.7}, 280), step_ns=DAY_NS // 20,
                      start_ns=time.time_ns() - 14 * DAY_NS)  # fmt: skip
    made = experiments.create(database, "next", variants=["A", "B"], effect=0.15)
    plan = made.definition.plan
    assert plan is not None

    assert plan["baseline"] == pytest.approx(0.7, abs=0.07)
    assert plan["outcomes_per_day"] == pytest.approx(20, rel=0.1)
    assert 80 < plan["fixed_support"] < 180
    assert plan["days"] == pytest.approx(2 * plan["sequential_support"] / plan["outcomes_per_day"])
    assert experiments.get(database, "next").definition.plan == plan
    fixed = experiments.create(database, "once", variants=["A", "B"], effect=0.15, mode="fixed")
    assert fixed.definition.horizon == plan["fixed_support"]


def test_the_same_rows_give_the_same_verdict(tmp_path: Path) -> None:
    """R7: stored in another order, in other batches and twice, it is the same evidence."""
    start = time.time_ns()
    tasks = list(enumerate(labelled("tiers", AB, 120, unknown=0.1)))
    answers = []
    for number, batches in enumerate(([tasks], [tasks[60:], tasks[:60], tasks[30:90]])):
        path = tmp_path / str(number) / "learning.duckdb"
        path.parent.mkdir()
        for batch in batches:
            export_at(path, batch, start)
        database = create(path)
        found = shown(database)
        answers.append({key: found[key] for key in found if key not in ("plan", "trail")})

    assert answers[0] == answers[1]


def export_at(path: Path, numbered: list[tuple[int, Any]], start_ns: int) -> None:
    """Exports tasks, each at the time of its number."""
    first = numbered[0][0]
    assert [n for n, _ in numbered] == list(range(first, first + len(numbered)))
    export(path, [task for _, task in numbered], start_ns=start_ns + first * 10**5)


# ---------------------------------------------------------------------------- the way of it


def test_a_decision_is_kept_with_its_evidence(path: Path) -> None:
    """The trail, in SQL, has each step with what was known then; later outcomes do not count."""
    create(path, note="is the large tier worth it? token=abcd1234efgh")
    database = export(path, labelled("tiers", AB, 300))
    before = shown(database)

    made = experiments.decide(database, "tiers", note="as planned")

    assert (made.state, made.decision) == ("decided", "B")
    trail = database.sql(
        "SELECT ordinal, event, variant, note, details FROM experiment_events ORDER BY ordinal"
    )
    assert [row[:3] for row in trail] == [(1, "created", None), (2, "decided", "B")]
    assert trail[0][3] == "is the large tier worth it? [masked]" and trail[1][3] == "as planned"
    evidence = json.loads(trail[1][4])
    assert evidence["evidence_names"] == "B"
    assert evidence["variants"] == json.loads(json.dumps(before["variants"]))
    [(state, decision)] = database.sql("SELECT state, decision FROM experiments")
    assert (state, decision) == ("decided", "B")
    # From now on every unit gets B, and later executions are no evidence.
    assert {experiments.assign(database, "tiers", f"x{i}").variant for i in range(5)} == {"B"}
    export(path, labelled("tiers", {"A": 1, "B": 0}, 50, prefix="late"),
           start_ns=time.time_ns() + 10**9)  # fmt: skip
    assert shown(database)["variants"] == before["variants"]
    with pytest.raises(InputError, match="decided already: B"):
        experiments.decide(database, "tiers", variant="A", note="no")
    with pytest.raises(InputError, match="decided already"):
        experiments.stop(database, "tiers")


def test_what_the_evidence_does_not_say_needs_a_reason(path: Path) -> None:
    """Without evidence nothing is decided; a person may, and says why."""
    database = create(path)

    with pytest.raises(InputError, match="no_outcomes"):
        experiments.decide(database, "tiers")
    with pytest.raises(InputError, match="--note"):
        experiments.decide(database, "tiers", variant="A")
    with pytest.raises(InputError, match="no variant 'Z'"):
        experiments.decide(database, "tiers", variant="Z", note="why not")
    assert experiments.decide(database, "tiers", variant="A", note="cheaper").decision == "A"
    assert (
        json.loads(
            database.sql("SELECT details FROM experiment_events WHERE event = 'decided'")[0][0]
        )["evidence_names"]
        is None
    )


def test_a_stopped_experiment_gives_the_control(path: Path) -> None:
    """Stopped without a decision: everyone gets the first variant; it may still be decided."""
    database = create(path)
    experiments.stop(database, "tiers", note="not now")

    assert experiments.get(database, "tiers").state == "stopped"
    assert {experiments.assign(database, "tiers", f"x{i}").variant for i in range(5)} == {"A"}
    with pytest.raises(InputError, match="stopped already"):
        experiments.stop(database, "tiers")
    assert (
        experiments.decide(database, "tiers", variant="B", note="all the same").state == "decided"
    )


def test_a_variant_can_be_taken_out(path: Path) -> None:
    """Its units are shared out, the others stay; what it had shown stays visible."""
    rates = {"A": 0.5, "B": 0.9, "C": 0.1}
    database = create(path, variants=list(rates))
    before = {f"x{i}": experiments.assign(database, "tiers", f"x{i}").variant for i in range(20)}
    export(path, labelled("tiers", rates, 60))

    made = experiments.stop(database, "tiers", variant="C")
    after = {unit: experiments.assign(database, "tiers", unit).variant for unit in before}

    assert (made.state, [v for v, _ in made.dropped]) == ("running", ["C"])
    assert set(after.values()) == {"A", "B"}
    assert all(after[u] == v for u, v in before.items() if v != "C")
    assert by_variant(shown(database))["C"]["status"] == "dropped"
    assert by_variant(shown(database))["C"]["support"] == 20
    for variant in ("C", "A"):
        with pytest.raises(InputError, match="cannot be taken out"):
            experiments.stop(database, "tiers", variant=variant)


def test_the_past_is_shown_as_it_was(path: Path) -> None:
    """`as_of` before the decision: it was running then, and nothing was decided."""
    database = create(path)
    before = datetime.now(UTC)
    experiments.stop(database, "tiers")
    experiments.decide(database, "tiers", variant="B", note="so be it")

    then = shown(database, as_of=before.replace(tzinfo=None))

    assert (then["state"], then["decision"], len(then["trail"])) == ("running", None, 1)
    assert (shown(database)["state"], shown(database)["decision"]) == ("decided", "B")


def test_a_backup_holds_experiments(path: Path, tmp_path: Path) -> None:
    """Definitions and trail are copied, and a store with experiments is sound."""
    database = create(path, note="kept")
    experiments.decide(database, "tiers", variant="A", note="as planned")
    copy = back_up(path, tmp_path / "copy.duckdb")

    assert experiments.get(LearningDatabase(copy.path), "tiers") == experiments.get(
        database, "tiers"
    )
    assert [check.check for check in migrating.check(path) if not check.passed] == []


def test_two_people_do_not_decide_at_once(path: Path) -> None:
    """Who looked before the other's decision is told to look again."""
    database = create(path)
    seen = experiments.show(database, "tiers")
    experiments.decide(database, "tiers", variant="A", note="first")

    with pytest.raises(InputError, match="look at it again"):
        experiments._record(database, seen, "decided", "B", "second")
    assert experiments.get(database, "tiers").decision == "A"


def test_writing_beside_an_application_that_drains(path: Path) -> None:
    """Experiments are made while spans come in; nothing is lost, and nobody else can read it."""
    errors: list[BaseException] = []

    def make() -> None:
        try:
            for number in range(4):
                create(path, f"e-{number}")
        except BaseException as error:
            errors.append(error)

    worker = threading.Thread(target=make)
    worker.start()
    for number in itertools.count():
        export(path, labelled("e-0", AB, 20, prefix=f"p{number}"))
        if not worker.is_alive() and number >= 1:
            break
    worker.join()

    database = LearningDatabase(path)
    assert not errors
    assert len(experiments.list_all(database)) == 4
    assert database.count_executions() == 20 * (number + 1)
    assert_private(path.parent)


# --------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"metric": "happiness"}, "happiness"), ({"unit": "trace_id"}, "trace_id"),
        ({"goal": "up"}, "up"), ({"mode": "daily"}, "daily"), ({"alpha": 0.0}, "alpha"),
        ({"power": 1.0}, "power"), ({"effect": -0.1}, "effect"),
        ({"variants": ["A"]}, "1 variants"),
        ({"variants": ["A", "A"]}, "different"), ({"variants": ["A", "b;c"]}, "b;c"),
        ({"weights": [1, 2, 3]}, "3 weights"), ({"weights": [1, 0]}, "positive"),
        ({"strata": ["colour"]}, "colour"), ({"by": "model_tier"}, "go together"),
        ({"by": "model_tier", "arms": ["x"]}, "1 arms"),
        ({"by": "model_tier/pool_type", "arms": ["x", "y"]}, "'x'"),
        ({"by": "success", "arms": ["x", "y"]}, "success"),
        ({"guardrails": [("success", 0.1)]}, "metric itself"),
        ({"guardrails": [("actual_cost", -1)]}, "actual_cost"), ({"mode": "fixed"}, "--horizon"),
        ({"horizon": 1}, "horizon"),
    ],
)  # fmt: skip
def test_a_wrong_definition_is_named(path: Path, wrong: dict[str, Any], named: str) -> None:
    """Nothing is stored, and the message names the value."""
    database = LearningDatabase(path)

    with pytest.raises(InputError, match=named):
        experiments.create(database, "e", **{"variants": ["A", "B"], **wrong})
    assert experiments.list_all(database) == []


@pytest.mark.parametrize("name", ["", "a  b", " a", "a\nb", "x" * 101, "a'b", 'a"b'])
def test_a_wrong_name_is_refused(path: Path, name: str) -> None:
    """A name is one word, so that it can stand in a span's attribute and on a command line."""
    with pytest.raises(InputError, match="no name for an experiment"):
        create(path, name)


def test_names_made_elsewhere_are_taken(path: Path) -> None:
    """A flag service's names may hold blanks, and a model's name a slash."""
    more = {"by": "requested_model", "arms": ["small", "vendor/large-2"]}
    create(path, "flag: new router", variants=["control group", "größer"], **more)
    rates = {"control group": 0.2, "größer": 0.9}

    found = shown(export(path, labelled("flag: new router", rates, 100)), "flag: new router")

    assert found["decision"] == "größer"


def test_a_name_is_used_once(path: Path) -> None:
    """What an experiment compares does not change under way."""
    database = create(path)

    with pytest.raises(InputError, match="already"):
        create(path, variants=["A", "B", "C"])
    assert experiments.get(database, "tiers").definition.variants == ("A", "B")
    with pytest.raises(InputError, match="one of tiers"):
        experiments.show(database, "other")
    with pytest.raises(InputError, match="empty"):
        experiments.assign(database, "tiers", "")


def test_without_scipy_only_the_fixed_mode_is_missing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the extra; the sequential mode goes on."""
    create(path)
    create(path, "once", mode="fixed", horizon=10)
    database = export(path, labelled("tiers", AB, 60))
    export(path, labelled("once", AB, 60, prefix="o"))
    monkeypatch.setitem(sys.modules, "scipy", None)

    assert by_variant(shown(database))["A"]["support"] == 30
    with pytest.raises(ConfigurationError, match=r"otel-learning\[learn\]"):
        shown(database, "once")
