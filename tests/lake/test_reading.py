"""A lake's address in the place of a store's path: the same questions, the same answers."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from otel_learning import (
    AsyncLearningDatabase,
    FeedbackRecord,
    LearningDatabase,
    LearningSpanExporter,
    recommend,
)
from otel_learning.errors import InputError
from otel_learning.store.reader import QueryError
from tests import corpus_replay
from tests.command_line import cli_in
from tests.durability import harness
from tests.lake.cluster import Cluster
from tests.lake.conftest import Place
from tests.lake.publishing import publish, rows_of

TIERS = {"small": 0.62, "medium": 0.7, "large": 0.83}
TYPES = ("bug_fix", "feature", "refactoring")
REPOS = ("acme/shop", "acme/api")
WRITING = (
    ("feedback", "t-1", "--accepted"), ("backup",), ("compact",),
    ("forget", "--task-id", "x", "--yes"), ("archive", "--older-than", "1", "--yes"),
    ("migrate", "upgrade"), ("embed",), ("repair",),
    ("experiment", "create", "e", "--variants", "A,B"), ("search", "a text"), ("status",),
    ("doctor",), ("export",), ("policy", "status"),
    ("restore", "x", "--yes"), ("policy", "propose"),
)  # fmt: skip
"""Commands that a lake's address is refused by."""


@pytest.fixture(scope="module")
def pair(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store with 1,500 executions of three tiers, and the lake that it was published to."""
    folder = tmp_path_factory.mktemp("reading")
    chance = random.Random(8)
    spans = []
    for number in range(1_500):
        tier = chance.choice(list(TIERS))
        started = harness.START_NS + number * 1800 * harness.SECOND_NS
        said = harness.task_attributes(
            f"t-{number}",
            **{
                "learning.task.type": chance.choice(TYPES),
                "learning.task.repo": chance.choice(REPOS),
                "learning.route.model_tier": tier,
                "learning.route.propensity": 1 / len(TIERS),
                "learning.route.pool_type": chance.choice(("gpu", "spot")),
                "learning.outcome.success": chance.random() < TIERS[tier],
                "learning.outcome.cost": chance.uniform(0.001, 0.02),
                "learning.outcome.solution_summary": f"summary {number % 7}",
            },
        )
        spans.append(
            harness.span(number + 1, 1, said, name="task", start_ns=started, seconds=2,
                         resource={"deployment.environment.name": "production"})
        )  # fmt: skip
    store = folder / "learning.duckdb"
    exporter = LearningSpanExporter(path=store)
    for first in range(0, len(spans), 500):
        exporter.export(spans[first : first + 500])
    assert exporter.force_flush()
    exporter.shutdown()
    with LearningDatabase(store) as database:
        for number in range(0, 60, 3):
            database.record_feedback(
                FeedbackRecord(
                    target_kind="task_id", target_id=f"t-{number}", rating=1 + number % 5
                )
            )
        database.drain()
    place = Place(f"ducklake:postgres:{postgres.database()}", folder / "data")
    publish(store, place, batch=400)
    return store, place.address


@pytest.fixture
def both(pair: tuple[Path, str]) -> Iterator[tuple[LearningDatabase, LearningDatabase]]:
    with LearningDatabase(pair[0]) as store, LearningDatabase(pair[1]) as lake:
        yield store, lake


Both = tuple[LearningDatabase, LearningDatabase]
_ROWS: tuple[Callable[[LearningDatabase], list[dict[str, Any]]], ...] = (
    lambda db: db.tier_performance(repo="acme/api"),
    lambda db: db.pool_performance(),
    lambda db: db.solution_patterns(),
)


@pytest.mark.parametrize(
    "filters",
    [
        {}, {"repo": "acme/shop"}, {"task_type": "bug_fix", "success": False},
        {"task_id": "t-77"}, {"trace_id": f"{78:032x}"}, {"success": "unknown"},
        {"since": datetime(2025, 10, 12, tzinfo=UTC), "until": datetime(2025, 10, 20, tzinfo=UTC)},
        {"min_cost": 0.01, "model_tier": "large"}, {"settled": True}, {"environment": "none"},
    ],
    ids=str,
)  # fmt: skip
def test_executions_by_filters(filters: dict[str, Any], both: Both) -> None:
    store, lake = both
    found = lake.executions(**filters)

    assert found == store.executions(**filters)
    assert lake.count_executions(**filters) == store.count_executions(**filters)


def test_pages_details_and_views(both: Both) -> None:
    """Pages behind one another, one execution with its feedback, and the views."""
    store, lake = both
    page, same = lake.executions_page(limit=100), store.executions_page(limit=100)
    assert page == same and page.next is not None
    assert lake.executions_page(limit=100, after=page.next) == store.executions_page(
        limit=100, after=same.next
    )
    assert lake.execution(task_id="t-3") == store.execution(task_id="t-3")
    for ask in _ROWS:
        ours, theirs = (sorted(ask(db), key=_identity) for db in (lake, store))
        assert _alike(ours, theirs)
    assert lake.feedback(limit=5) == store.feedback(limit=5)


def _identity(row: dict[str, Any]) -> str:
    """Of a row of a view: what of it is no sum of floats."""
    return repr([value for value in row.values() if not isinstance(value, float)])


def _alike(ours: Any, theirs: Any) -> bool:
    """Equal, but for the last digits of floats: sums come in another order."""
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(_alike(ours[k], theirs[k]) for k in ours)
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(_alike, ours, theirs))
    if isinstance(ours, float) and isinstance(theirs, float):
        return ours == pytest.approx(theirs, rel=1e-9)
    return bool(ours == theirs)


@pytest.mark.parametrize("weight", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("repo", [None, *REPOS])
@pytest.mark.parametrize("task_type", [None, *TYPES])
def test_advice_is_the_same(
    task_type: str | None, repo: str | None, weight: float, both: Both
) -> None:
    """`recommend` on every cell: rates, intervals, costs, basis and reasons."""
    answers = [
        recommend(
            database, task_type=task_type, repo=repo, cost_weight=weight,
            as_of=datetime(2026, 1, 1, tzinfo=UTC),
        )
        for database in both
    ]  # fmt: skip
    assert answers[0].basis == answers[1].basis == "randomised"
    assert answers[0].choice == answers[1].choice
    assert answers[0].reasons == answers[1].reasons
    for ours, theirs in zip(answers[0].candidates, answers[1].candidates, strict=True):
        assert ours.arm == theirs.arm
        for name in ("success_rate", "success_low", "success_high", "expected_cost", "cost_low",
                     "cost_high", "support", "outcomes_known"):  # fmt: skip
            # Sums of floats come in another order.
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-9), name


def test_every_recorded_corpus(tmp_path: Path, lake: Place) -> None:
    """What real orchestrators left: each row of the lake is the store's."""
    store = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=store)
    for corpus in corpus_replay.corpora():
        exporter.export(list(corpus_replay.load(corpus)))
    assert exporter.force_flush()
    exporter.shutdown()

    assert publish(store, lake).executions > 100

    settled = "executions WHERE settled"
    assert rows_of(lake.address, "executions") == rows_of(store, settled)
    within = "attempts WHERE execution_id IN (SELECT execution_id FROM executions WHERE settled)"
    assert rows_of(lake.address, "attempts") == rows_of(store, within)


def test_the_command_line_reads_a_lake(pair: tuple[Path, str], tmp_path: Path) -> None:
    """`--db` takes the address; so does the variable."""
    store, address = pair
    run = cli_in(tmp_path)

    def answer(*arguments: str, db: str) -> Any:
        done = run(*arguments, "--db", db, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    for arguments in (
        ("query", "SELECT model_tier, count(*) AS n FROM executions GROUP BY 1 ORDER BY 1"),
        ("stats",), ("calibration",), ("feedback", "--orphans"), ("experiment", "list"),
    ):  # fmt: skip
        assert _alike(answer(*arguments, db=address), answer(*arguments, db=str(store))), arguments
    advice = answer("recommend", "--task-type", "bug_fix", "--repo", "acme/shop", db=address)
    assert advice["basis"] == "randomised" and advice["choice"] == "large"
    done = run("query", "SELECT 1 AS one", env={"OTEL_EXPORTER_LEARNING_PATH": address})
    assert done.returncode == 0 and "one" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", WRITING, ids=lambda arguments: " ".join(arguments))
def test_other_commands_refuse_a_lake(
    arguments: tuple[str, ...], pair: tuple[Path, str], tmp_path: Path
) -> None:
    """One line that says the way out; nothing is made."""
    done = cli_in(tmp_path)(*arguments, "--db", pair[1])

    assert done.returncode == 2, done.stderr
    assert "a lake" in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_by_reading(both: Both) -> None:
    """Neither by a query nor by feedback."""
    _, lake = both
    for statement in ("DELETE FROM lake.settled_executions", "CREATE TABLE t (a INTEGER)",
                      "DROP TABLE lake.stores"):  # fmt: skip
        with pytest.raises(QueryError, match="read-only"):
            lake.sql(statement)
    with pytest.raises(InputError, match="a lake is only read"):
        lake.record_feedback(FeedbackRecord(target_kind="task_id", target_id="t", accepted=True))
    with pytest.raises(InputError, match="vectors"):
        lake.find_similar_executions("a text")


def test_an_event_loop_reads_a_lake(pair: tuple[Path, str]) -> None:
    async def ask() -> tuple[int, int]:
        async with AsyncLearningDatabase(pair[1]) as lake, lake.snapshot() as moment:
            return await lake.count_executions(), await moment.count_executions(repo="acme/shop")

    everything, some = asyncio.run(ask())
    assert everything == 1_500 > some > 0
