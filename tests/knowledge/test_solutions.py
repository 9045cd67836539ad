"""Solutions: planted ones are found with their numbers, and nothing is made of noise."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from otel_learning import LearningDatabase
from otel_learning.knowledge.embedding import HashedEmbedder
from otel_learning.knowledge.grouping import SAME_MEANING, groups
from otel_learning.knowledge.library import library, prompt
from otel_learning.knowledge.projects import across, clusters
from otel_learning.knowledge.rates import interval
from tests.command_line import cli_in
from tests.knowledge.stores import START, task, write

PLANTED = {
    "Raise the read timeout of the payment client": "timeout",
    "Wait and retry with a growing pause": "rate_limit",
    "Rotate the expired signing key": "authentication",
    "Validate the order before it is stored": "validation",
    "Split the file into chunks before upload": "crash",
}
"""Solution -> the error that it is planted against."""
USES = 12


def planted(draw: random.Random) -> list[dict[str, Any]]:
    """Failures, then successes with a solution; beside them tasks that fail and succeed at random.

    Each solution works in 11 of 12 uses, in three repositories; without one a task works out half
    of the time. Twenty more summaries say nothing and are used once or twice.
    """
    made: list[dict[str, Any]] = []

    def add(description: str, **more: Any) -> None:
        number = len(made)
        made.append(
            task(number, description, started_at=START + timedelta(minutes=10 * number), **more)
        )

    for round_ in range(USES):
        for place, (solution, error) in enumerate(PLANTED.items()):
            text = f"Task of kind {error} in module {place}"
            repo = f"acme/r{round_ % 3}"
            add(text, success=False, error_type=error, repo=repo, solution_summary=None)
            said = solution if round_ % 2 else solution.upper() + "."
            add(text, success=round_ != 7, repo=repo, solution_summary=said,
                error_type=None if round_ != 7 else error)  # fmt: skip
        for _ in range(10):
            add(f"Another thing {draw.randrange(40)}", success=draw.random() < 0.5,
                repo=f"acme/r{draw.randrange(5)}")  # fmt: skip
    for number in range(20):
        for _ in range(draw.choice((1, 2))):
            add(f"Odd job {number}", success=draw.random() < 0.5,
                solution_summary=f"Some remark about job {number * 37}")  # fmt: skip
    return made


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("solutions") / "learning.duckdb"
    write(path, planted(random.Random(5)))
    return path


def test_planted_solutions_are_found(path: Path) -> None:
    """Precision and recall are 1 at a support of twelve, and the numbers are those planted."""
    found = {one.solution_summary.upper().rstrip("."): one
             for one in LearningDatabase(path).solutions(min_support=10)}  # fmt: skip

    assert found.keys() == {solution.upper() for solution in PLANTED}
    for solution, error in PLANTED.items():
        one = found[solution.upper()]
        assert one.error_type == error
        assert (one.support, one.usage_count) == (USES, USES)
        assert one.success_rate == pytest.approx(11 / 12)
        assert (one.success_low or 0) < 11 / 12 < (one.success_high or 0)
        assert one.repos_used_in == ("acme/r0", "acme/r1", "acme/r2")
        assert one.helped is True
        assert len(one.evidence) == USES


def test_at_lower_support_precision_and_recall_hold(path: Path) -> None:
    """Of what is said to help, at least nine in ten are planted, and nine in ten are found."""
    said = {one.solution_summary.upper().rstrip(".")
            for one in LearningDatabase(path).solutions(min_support=3) if one.helped}  # fmt: skip
    truth = {solution.upper() for solution in PLANTED}

    assert len(said & truth) >= 0.9 * len(said)
    assert len(said & truth) >= 0.9 * len(truth)


def test_chance_alone_seldom_helps(tmp_path: Path) -> None:
    """Where outcomes do not depend on summaries, few of them are said to help or to harm."""
    draw = random.Random(11)
    write(
        tmp_path / "learning.duckdb",
        [
            task(i, f"Thing {draw.randrange(300)}", success=draw.random() < 0.6,
                 solution_summary=f"remark {draw.randrange(100) * 7919}")
            for i in range(3000)
        ],
    )  # fmt: skip
    found = library(LearningDatabase(tmp_path / "learning.duckdb"), min_support=3).solutions

    assert len(found) == 100
    # An interval of 90 % misses in one of ten, five in a hundred on each side.
    assert sum(one.helped is not None for one in found) <= 17


def test_a_change_of_the_route_after_a_failure_is_a_solution(tmp_path: Path) -> None:
    """The next run, on a larger tier, succeeds: that is a pair of an error and what helped."""
    made = []
    for i in range(8):
        hour = START + timedelta(hours=i)
        made += [
            task(2 * i, None, task_id=f"t{i}", run=1, started_at=hour, success=False,
                 error_type="quality_gate", model_tier="small"),
            task(2 * i + 1, None, task_id=f"t{i}", run=2, success=True, model_tier="large",
                 started_at=hour + timedelta(minutes=5)),
        ]  # fmt: skip
    write(tmp_path / "learning.duckdb", made)

    [one] = LearningDatabase(tmp_path / "learning.duckdb").solutions()

    assert one.solution_summary == "Route to model_tier large after quality_gate with small"
    assert (one.error_type, one.support, one.success_rate) == ("quality_gate", 8, 1.0)


def test_what_did_not_help_is_said(tmp_path: Path) -> None:
    """A summary that goes with failures where others succeed has helped False."""
    made = [task(i, f"Thing {i % 5}", success=i % 10 > 0) for i in range(100)]
    made += [task(200 + i, f"Thing {i % 5}", success=i == 0,
                  solution_summary="Retry at once, for ever") for i in range(10)]  # fmt: skip
    write(tmp_path / "learning.duckdb", made)
    run = cli_in(tmp_path)

    [one] = json.loads(run("solutions", "--json").stdout)

    assert one["helped"] is False
    text = run("solutions", "--for", "Thing 3").stdout
    assert "did worse" in text and "Retry at once" in text


def test_dev_and_ci_do_not_teach(path: Path, tmp_path: Path) -> None:
    """R8: only the main environment counts, unless another one is asked for."""
    store = tmp_path / "learning.duckdb"
    write(store, [task(i, "x", solution_summary="from production") for i in range(9)])
    write(store, [task(50 + i, "x", environment="ci", solution_summary="from ci")
                  for i in range(5)])  # fmt: skip
    database = LearningDatabase(store)

    assert [one.solution_summary for one in database.solutions()] == ["from production"]
    assert [o.solution_summary for o in database.solutions(environment="ci")] == ["from ci"]


def test_as_of_knows_only_what_was_known(path: Path) -> None:
    """R7: what started later is not there, and the same question has the same answer."""
    database = LearningDatabase(path)
    middle = START + timedelta(minutes=10 * 20 * 6)
    before = database.solutions(min_support=1, as_of=middle)

    assert before == database.solutions(min_support=1, as_of=middle)
    assert sum(one.usage_count for one in before) < sum(
        one.usage_count for one in database.solutions(min_support=1)
    )
    for one in before:
        assert one.last_used_at is not None and one.last_used_at < middle


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("Raise the timeout to 30 seconds", "raise the timeout to 30 seconds!", True),
        ("Raise the timeout of the client", "Raised the timeout of the client", True),
        ("Raise the timeout to 30 seconds", "Raise the timeout to 60 seconds", False),
        ("Enable the cache of the gateway", "Disable the cache of the gateway", False),
        ("Retry with a pause", "Retry without a pause", False),
        ("Rotate the signing key", "Add an index to the table", False),
    ],
)
def test_only_what_means_the_same_is_put_together(a: str, b: str, same: bool) -> None:
    """Another number or a word that turns the meaning round is another solution."""
    vectors = dict(zip((a, b), HashedEmbedder().embed([a, b]), strict=True))
    leaders = groups({a: 2, b: 1}, vectors, SAME_MEANING, same_claim=True)

    assert leaders[a] == a
    assert leaders[b] == (a if same else b)


def test_patterns_across_repositories(path: Path) -> None:
    """Three repositories, and better elsewhere than without: it carries over."""
    known = library(LearningDatabase(path), min_support=10)

    carried = across(known.solutions)
    kinds = clusters(known.executions, known.vectors)

    assert {one.solution.solution_summary.upper().rstrip(".") for one in carried} == {
        solution.upper() for solution in PLANTED
    }
    assert all(one.carries_over is True for one in carried)
    assert all(one.elsewhere_support == 8 for one in carried)
    assert kinds[0].support >= kinds[-1].support >= 10


def test_a_cluster_knows_its_best_tier(tmp_path: Path) -> None:
    """Where one tier's interval lies above the other's rate; else none is said to be best."""
    made = [task(i, f"Fix the login bug {'now' if i % 2 else 'soon'}", repo=f"r{i % 4}",
                 model_tier="large" if i % 2 else "small", success=i % 2 == 1 or i % 10 == 0)
            for i in range(60)]  # fmt: skip
    made += [task(100 + i, "Write the weekly report", model_tier="large" if i % 2 else "small",
                  success=i % 4 < 2) for i in range(40)]  # fmt: skip
    write(tmp_path / "learning.duckdb", made)
    known = library(LearningDatabase(tmp_path / "learning.duckdb"))
    best = {one.description: one.best for one in clusters(known.executions, known.vectors)}

    assert len(best) == 2
    assert {text.split()[0]: tier for text, tier in best.items()} == {"Fix": "large", "Write": None}


def test_the_text_for_a_prompt_is_short_and_sourced(path: Path, tmp_path: Path) -> None:
    """It names what worked, how surely, and executions that show it; or that nothing is known."""
    store = tmp_path / "learning.duckdb"
    write(store, planted(random.Random(5)))
    run = cli_in(tmp_path)
    asked = ("solutions", "--for", "Task of kind timeout in module 0")

    text = run(*asked).stdout
    first = json.loads(run(*asked, "--json").stdout)[0]
    unknown = run("solutions", "--for", "zebra quokka").stdout

    assert "Raise the read timeout" in text or "RAISE THE READ TIMEOUT" in text
    assert "11 of 12 succeeded" in text
    assert first["evidence"][0] in text
    assert first["error_type"] == "timeout"
    assert len(text) < 2500
    assert unknown == "Nothing is known from earlier executions of similar tasks.\n"
    assert prompt([]) == unknown.strip()


def test_embed_writes_the_table_for_sql(path: Path, tmp_path: Path) -> None:
    """What any DuckDB client reads is what the call says."""
    store = tmp_path / "learning.duckdb"
    write(store, planted(random.Random(5)))
    assert cli_in(tmp_path)("embed").returncode == 0
    database = LearningDatabase(store)

    rows = database.sql("SELECT solution_summary, support, success_low FROM solutions ORDER BY 1")

    said = sorted((o.solution_summary, o.support, o.success_low) for o in database.solutions())
    assert rows == said


def test_intervals_are_those_of_wilson() -> None:
    """Against figures from the literature's formula; certainty is not to be had from ten."""
    assert interval(8, 10).low == pytest.approx(0.541, abs=0.001)
    assert interval(10, 10).low == pytest.approx(0.787, abs=0.001)
    assert interval(0, 10)[:2] == (0.0, 0.0)
    assert interval(0, 10).high == pytest.approx(0.213, abs=0.001)
    assert interval(0, 0)[1:] == (0.0, 1.0)
