"""Without any configuration, the store says of real producers what happened."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from otel_learning import LearningDatabase
from tests.corpus_replay import load
from tests.producers.measure import Measurement, fill
from tests.producers.report import PAGE, WHY_MISSED, page
from tests.producers.truth import Recording, recordings

OVERALL = 0.97
EACH = 0.92
GROUPING = 0.97
_RECORDINGS = {recording.producer: recording for recording in recordings()}


def _table(measurements: list[Measurement]) -> str:
    return "\n".join(line for found in measurements for line in found.lines())


def test_overall_accuracy(measurements: list[Measurement]) -> None:
    """Of the facts that the spans of all producers hold, at least 97 in 100 are stored rightly."""
    correct = sum(found.correct for found in measurements)
    facts = sum(found.facts for found in measurements)

    print(_table(measurements), f"\noverall {correct / facts:.2%} of {facts}", sep="")
    assert facts > 5000
    assert correct / facts >= OVERALL, _table(measurements)


@pytest.mark.parametrize("producer", list(_RECORDINGS))
def test_accuracy_of_each(producer: str, measurements: list[Measurement]) -> None:
    """No producer is read so badly that its users would learn from mistakes."""
    found = next(m for m in measurements if m.producer == producer)

    assert found.facts > 0
    assert found.accuracy >= EACH, "\n".join(found.lines())


@pytest.mark.parametrize("producer", list(_RECORDINGS))
def test_one_task_is_one_execution(producer: str, measurements: list[Measurement]) -> None:
    """Spans become as many executions as there were tasks, each of one task's spans."""
    found = next(m for m in measurements if m.producer == producer)

    assert found.grouping.f1 >= GROUPING, "\n".join(found.lines())


def test_known_limits_are_the_only_misses(measurements: list[Measurement]) -> None:
    """What is missed is written down with its reason; a new miss is a new line or a bug."""
    unexplained = [
        f"{found.producer}.{fact}: {', '.join(tasks)}"
        for found in measurements
        for fact, tasks in found.missed.items()
        if (found.producer, fact) not in WHY_MISSED
    ]

    missed = {(found.producer, fact) for found in measurements for fact in found.missed}
    assert not unexplained
    assert set(WHY_MISSED) <= missed, "a reason without a miss"


def test_the_page_is_current(measurements: list[Measurement]) -> None:
    """The table of producers in the docs says what this code measures."""
    assert PAGE.read_text(encoding="utf-8") == page(measurements), (
        "run: python -m tests.producers.report"
    )


def _said(store: Path) -> list[tuple[Any, ...]]:
    with LearningDatabase(store) as database:
        executions = database.sql(
            "SELECT * EXCLUDE (settled, recorded_at, updated_at) FROM executions ORDER BY ALL"
        )
        return executions + database.sql("SELECT * FROM attempts ORDER BY ALL")


@pytest.mark.parametrize(
    "recording",
    [_RECORDINGS[name] for name in ("litellm_router_otel", "pydantic_ai_instrumented",
                                    "strands_native", "plain_names")],
    ids=lambda recording: recording.producer,
)  # fmt: skip
def test_order_does_not_matter(recording: Recording, tmp_path: Path) -> None:
    """Real spans give the same executions in whatever order and batches they come, even twice."""
    spans = list(load(recording.spans))
    shuffled = [*spans, *spans[: len(spans) // 3]]
    random.Random(7).shuffle(shuffled)

    fill(tmp_path / "given.duckdb", spans)
    fill(tmp_path / "reversed.duckdb", spans[::-1])
    fill(tmp_path / "shuffled.duckdb", shuffled)

    given = _said(tmp_path / "given.duckdb")
    assert given
    assert _said(tmp_path / "reversed.duckdb") == given
    assert _said(tmp_path / "shuffled.duckdb") == given
