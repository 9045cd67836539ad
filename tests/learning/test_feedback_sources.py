"""Sources of feedback are weighed by how well they agree with outcomes, and drawn together."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

from otel_learning import LearningDatabase, LearningSpanExporter
from otel_learning.learning.feedback_sources import approval, sources, weigh
from otel_learning.store.feedback_votes import Vote, implicit
from tests.durability import harness

_RATERS = {"test": 0.97, "person": 0.85, "guess": 0.5, "contrary": 0.2}


def _said(draw: random.Random, source: str, right: float, count: int) -> list[Vote]:
    votes = []
    for number in range(count):
        success = draw.random() < 0.7
        approves = success if draw.random() < right else not success
        votes.append(Vote(source, number, approves, success, None))
    return votes


def test_raters_are_ranked_by_what_they_are_worth() -> None:
    """With 300 words each the order is right, and who guesses or contradicts counts little."""
    draw = random.Random(4)
    found = {
        one.source: one
        for one in weigh(
            [v for name, right in _RATERS.items() for v in _said(draw, name, right, 300)]
        )
    }
    weights = [found[name].weight for name in _RATERS]
    assert weights == sorted(weights, reverse=True)
    assert found["guess"].weight < 0.35 * found["test"].weight and found["contrary"].weight == 0
    inside = [one.low <= _RATERS[name] <= one.high for name, one in found.items()
              if one.low is not None and one.high is not None]  # fmt: skip
    assert sum(inside) >= 3


def test_few_words_change_little() -> None:
    """Two words against a hundred: near the weight of all; without an outcome the mean."""
    draw = random.Random(4)
    votes = [*_said(draw, "person", 0.85, 100), Vote("new", 1, True, False, None),
             Vote("new", 2, True, True, None), Vote("silent", 3, True, None, None)]  # fmt: skip
    found = {one.source: one for one in weigh(votes)}
    assert 0.8 < found["new"].weight < 1.0
    assert found["silent"].weight == 1.0 and found["silent"].agreement is None
    assert weigh([]) == []


def test_words_are_put_together_by_weight() -> None:
    said = [Vote("test", 1, True, None, None), Vote("guess", 1, False, None, None),
            Vote("guess", 1, None, None, None)]  # fmt: skip
    assert approval(said, {"test": 0.9, "guess": 0.1}) == 0.9
    assert approval(said[2:], {}) is None


def test_what_came_after_speaks_against_it(tmp_path: Path) -> None:
    """A second run soon after is a retry, with a dearer tier an escalation; a late one neither."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path, correlation_window=10)
    minute = 60 * harness.SECOND_NS

    def run(task: str, tier: str, at_ns: int, success: bool, cost: float) -> None:
        attributes = {
            "learning.task.id": task, "learning.route.model_tier": tier,
            "learning.outcome.success": success, "learning.outcome.cost": cost,
        }  # fmt: skip
        trace = harness.number_of(f"{(at_ns - start) // minute}{task}")
        exporter.export([harness.span(trace, 1, attributes, name="task", start_ns=at_ns)])

    start = harness.START_NS
    run("same", "small", start, False, 0.01)
    run("same", "small", start + 5 * minute, True, 0.01)
    run("dearer", "small", start, False, 0.01)
    run("dearer", "large", start + 5 * minute, True, 0.09)
    run("late", "small", start, True, 0.01)
    run("late", "small", start + 300 * minute, True, 0.01)
    assert exporter.force_flush()
    exporter.shutdown()
    with LearningDatabase(path) as database:
        found = {vote.source: vote for vote in implicit(database)}
        assert found.keys() == {"implicit:retry", "implicit:escalation"}
        assert all(v.approves is False and v.success is False for v in found.values())
        assert {one.source for one in sources(database)} == found.keys()
        early = datetime.fromtimestamp((start + minute) / 1e9, UTC)
        assert sources(database, as_of=early) == []
        assert [e.success for e in database.executions(task_id="same")] == [True, False]
