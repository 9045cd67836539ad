"""Evidence in made-up worlds of which the truth is known."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from otel_learning import LearningDatabase, recommend
from otel_learning.learning.choice import interval, propensities, sensitivity
from otel_learning.learning.drift import half_life_days
from otel_learning.learning.pooling import Normal, rate_of
from otel_learning.store import lease
from otel_learning.store.rollups import ROLLUPS
from tests.learning.building import execution, plain, store_with
from tests.learning.worlds import World, kendall

SEEDS = range(30)


@pytest.mark.parametrize(("rows", "repos"), [(600, 6), (3000, 6), (1500, 1)])
def test_intervals_hold_what_they_promise(rows: int, repos: int) -> None:
    """Over all cells of thirty worlds, 90 % intervals cover 87 to 93 % of the true rates."""
    inside = []
    for seed in SEEDS:
        world = World.drawn(seed, repos=repos, types=5 if repos > 1 else 20)
        evidence = world.evidence(seed + 1000, rows)
        for place, rates in world.rates.items():
            found = evidence.rates(evidence.narrowed(place), "v")
            for logits, rate in zip(found, rates, strict=True):
                low, high = interval(logits)
                inside.append(low <= rate <= high)

    assert 0.87 <= sum(inside) / len(inside) <= 0.93


def test_pooling_beats_both_extremes() -> None:
    """Nearer to the truth than each cell by itself, and than one rate for all contexts."""
    pooled, single, common = 0.0, 0.0, 0.0
    for seed in SEEDS[:12]:
        world = World.drawn(seed)
        evidence = world.evidence(seed + 1000, 1500)
        overall = [rate_of(logits) for logits in evidence.rates((None, None), "v")]
        for place, rates in world.rates.items():
            cell = evidence.sums(place)
            found = evidence.rates(evidence.narrowed(place), "v")
            for a, rate in enumerate(rates):
                own = (cell[a].v_success + 0.5) / (cell[a].v_known + 1)
                pooled += (rate_of(found[a]) - rate) ** 2
                single += (own - rate) ** 2
                common += (overall[a] - rate) ** 2

    assert pooled < 0.75 * single
    assert pooled < 0.75 * common


@pytest.mark.parametrize("between", [0.05, 0.8])
def test_bands_hold_the_next_cost(tmp_path: Path, between: float) -> None:
    """90 % bands hold 87 % and more of new costs, and not above 95 %, however groups differ.

    Where arms share what makes a group dear, a group's mean is known better than leaving one
    cost out of its own arm says, and the band is somewhat wide.
    """
    draw = random.Random(7)
    repos = {f"r{i}": draw.gauss(-3, between) for i in range(25)}

    def cost(repo: str) -> float:
        # Skewed also as a logarithm: no band that takes it for normal would do.
        return math.exp(repos[repo] + draw.expovariate(1.5))

    store = store_with(
        tmp_path / "s.duckdb",
        [
            execution(i, model_tier=draw.choice("ab"), repo=(repo := draw.choice(list(repos))),
                      success=True, actual_cost=cost(repo))
            for i in range(700)
        ],
    )  # fmt: skip
    inside = []
    for repo in repos:
        for candidate in recommend(store, repo=repo).candidates:
            assert candidate.cost_low is not None and candidate.cost_high is not None
            inside += [candidate.cost_low <= cost(repo) <= candidate.cost_high for _ in range(100)]

    assert 0.87 <= sum(inside) / len(inside) <= 0.95


def test_logged_propensities_rank_confounded_arms_right(tmp_path: Path) -> None:
    """Kendall's tau against the truth: 0.7 and more with them, below without them; both say so."""
    skill = [0.2, 0.5, 0.8, 1.1]
    taus: dict[str, list[float]] = {"randomised": [], "observational": []}
    for seed in range(4):
        draw = random.Random(seed)
        made = []
        for i in range(1500):
            hard = draw.gauss(0, 1)
            odds = [2.718 ** (1.0 * hard * (a - 1.5)) for a in range(4)]
            chances = [0.9 * o / sum(odds) + 0.025 for o in odds]
            arm = draw.choices(range(4), chances)[0]
            rate = 1 / (1 + 2.718 ** -(skill[arm] - 1.6 * hard))
            made.append((i, f"tier-{arm}", draw.random() < rate, chances[arm]))
        for basis, found in taus.items():
            store = store_with(
                tmp_path / f"{basis}-{seed}.duckdb",
                [
                    execution(
                        i, model_tier=tier, success=success, actual_cost=0.01,
                        propensity=chance if basis == "randomised" else None,
                    )
                    for i, tier, success, chance in made
                ],
            )  # fmt: skip
            answer = recommend(store)
            assert answer.basis == basis
            found.append(kendall([c.success_rate or 0 for c in answer.candidates], skill))

    assert sum(taus["randomised"]) / 4 >= 0.7
    assert sum(taus["observational"]) / 4 < 0.3


def test_advice_does_not_depend_on_derived_tables(tmp_path: Path) -> None:
    """R7: with every rollup and key deleted, and rolled up anew, it is the same to the last bit."""
    store = store_with(
        tmp_path / "s.duckdb",
        plain({"a": (30, 11), "b": (9, 30)}, repo="r", task_type="t")
        + plain({"a": (3, 11), "b": (29, 3)}, repo="q", task_type="t", actual_cost=0.5),
    )

    def asked() -> list[object]:
        with LearningDatabase(store) as db:
            found = [recommend(db, repo=repo, task_type="t") for repo in (None, "r", "q")]
            return [{**f.as_dict(), "snapshot_age_seconds": None} for f in found]

    before = asked()
    with lease.exclusive(store, 10), lease.connection(store, 10) as con:
        for table in (*ROLLUPS, "rolled_days", "changed_days", "execution_keys"):
            con.execute(f"DELETE FROM {table}")
    without = asked()
    from otel_learning.store import day_keys, rollups

    with lease.exclusive(store, 10), lease.connection(store, 10) as con:
        rollups.begin_anew(con)
        rollups.refresh(con, float("inf"), 0.0)
        day_keys.rebuild(con)

    assert before == without == asked()


def test_a_change_is_followed_and_chance_is_not() -> None:
    """The half-life is short where an arm turned bad, and none where days differ by chance."""
    draw = random.Random(1)

    def days(rates: list[float]) -> list[dict[str, object]]:
        return [
            {"environment": "e", "arm": "a", "day": day, "known": 50,
             "successes": sum(draw.random() < rate for _ in range(50))}
            for day, rate in enumerate(rates)
        ]  # fmt: skip

    assert half_life_days(days([0.8] * 60)) is None
    changed = half_life_days(days([0.8] * 30 + [0.3] * 15))
    assert changed is not None and changed <= 14
    assert half_life_days([]) is None


def test_propensities_are_probabilities_of_being_best() -> None:
    """As drawn by chance, but for the floor; what arms share does not count."""
    logits = [Normal(0.2, 0.3, 0.1), Normal(0.5, 0.6, 0.4), Normal(-1.0, 0.3, 0.1)]
    penalties = [0.0, 0.02, 0.0]
    draw = random.Random(3)
    wins = [0, 0, 0]
    for _ in range(40_000):
        utility = [
            1 / (1 + 2.718281828 ** -draw.gauss(n.mean, n.worth_exploring**0.5)) - p
            for n, p in zip(logits, penalties, strict=True)
        ]
        wins[utility.index(max(utility))] += 1

    found = propensities(logits, penalties)

    assert sum(found) == pytest.approx(1, abs=1e-12)
    for share, won in zip(found, wins, strict=True):
        assert share == pytest.approx(0.05 / 3 + 0.95 * won / 40_000, abs=0.01)
    assert (
        min(propensities([Normal(5, 0.01, 0.01), *[Normal(-5, 0.01, 0.01)] * 9], [0] * 10)) >= 0.01
    )


def test_sensitivity_is_what_overturns_the_choice() -> None:
    """Odds of 4 against odds of 1: a factor of two on either side makes them equal."""
    assert sensitivity(0, [0.8, 0.5], [0, 0]) == pytest.approx(2, rel=1e-3)
    assert sensitivity(0, [0.5, 0.5], [0, 0]) == pytest.approx(1, rel=1e-3)
    assert sensitivity(0, [0.5], [0]) is None
