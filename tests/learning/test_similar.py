"""A description counts where held-out outcomes say that it helps, and nowhere else."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from otel_learning import LearningDatabase, recommend
from tests.learning.building import Told, execution, store_with

WORDS = [f"word{i}" for i in range(400)]
EASY = "rename the variable in the helper"
HARD = "find the deadlock between the workers"


def described(seed: int, rows: int, *, telling: bool) -> list[Told]:
    """Tasks whose text tells how hard they are for the small tier, or whose text is noise."""
    draw = random.Random(seed)
    made = []
    for i in range(rows):
        hard = draw.random() < 0.5
        large = draw.random() < 0.5
        rate = 0.9 if large or not hard else 0.3
        text = (HARD if hard else EASY) if telling else "task"
        made.append(
            execution(
                seed * 100_000 + i,
                model_tier="large" if large else "small",
                success=draw.random() < rate,
                actual_cost=0.1 if large else 0.01,
                propensity=0.5,
                task_description=f"{text} {' '.join(draw.choices(WORDS, k=4))}",
            )
        )
    return made


def rates(store: Path, **asked: Any) -> dict[str, float]:
    return {c.arm: c.success_rate or 0.0 for c in recommend(store, **asked).candidates}


def test_texts_that_tell_are_used(tmp_path: Path) -> None:
    """The small tier is foreseen to fail at what it failed at, and the choice follows."""
    store = store_with(tmp_path / "s.duckdb", described(1, 600, telling=True))

    hard = recommend(store, description=f"{HARD} of the pool", cost_weight=0.3)
    easy = recommend(store, description=f"{EASY} of the pool", cost_weight=0.3)

    assert "similar-used" in hard.reasons
    assert hard.choice == "large"
    assert easy.choice == "small"
    found = {c.arm: c.success_rate or 0.0 for c in hard.candidates}
    assert found["small"] < 0.5 < 0.8 < found["large"]


def test_texts_that_tell_nothing_change_nothing(tmp_path: Path) -> None:
    """Figures are those without a description, and a reason says why; in each of five logs."""
    for seed in range(5):
        store = store_with(tmp_path / f"{seed}.duckdb", described(seed, 500, telling=False))

        answer = recommend(store, description="task word1 word2")

        assert "description-does-not-help" in answer.reasons
        assert rates(store, description="task word1 word2") == rates(store)


def test_few_texts_are_not_tried(tmp_path: Path) -> None:
    """Below two hundred rows nothing could be confirmed."""
    store = store_with(tmp_path / "s.duckdb", described(1, 100, telling=True))

    answer = recommend(store, description=HARD)

    assert "description-too-few-rows" in answer.reasons
    assert rates(store, description=HARD) == rates(store)


def test_a_warm_answer_is_the_first_one(tmp_path: Path) -> None:
    """The same rows give the same answer, for a description too."""
    store = store_with(tmp_path / "s.duckdb", described(2, 400, telling=True))
    answers = []
    for _ in range(2):
        with LearningDatabase(store) as db:
            for _ in range(2):
                found = recommend(db, description=HARD).as_dict()
                answers.append({**found, "snapshot_age_seconds": None})

    assert all(answer == answers[0] for answer in answers)
