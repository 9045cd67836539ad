"""The loop is closed: a router that follows the policy does better than by its own thresholds."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_learning import LearningDatabase
from tests.docs.pages import ROOT
from tests.learning.closed_loop import ROUNDS, SEED, drawing, run

PICTURE = ROOT / "docs" / "images" / "closed-loop.svg"


@pytest.mark.slow
def test_the_demo_told_by_its_policy_does_better_than_by_its_own(tmp_path: Path) -> None:
    """Real spans, store and evidence, a fixed seed; and the page shows this very run."""
    own = run(tmp_path, SEED, told=False)
    told = run(tmp_path, SEED, told=True)

    assert [r.policy_version for r in own] == [None] * ROUNDS
    assert told[0] == own[0]  # before there is a policy, both do the same
    assert told[-1].policy_version is not None
    followed = [i for i, r in enumerate(told) if r.policy_version is not None]
    gain = [told[i].utility - own[i].utility for i in followed]
    assert sum(gain) / len(gain) > 0.015
    assert sum(r.utility for r in told) > sum(r.utility for r in own)
    with LearningDatabase(tmp_path / f"told-{SEED}.duckdb") as database:
        ((drawn, logged),) = database.sql(
            "SELECT count(*), count(*) FILTER (propensity < 1 AND propensity_of = 'model_tier') "
            "FROM executions WHERE policy_version IS NOT NULL"
        )
        assert drawn == logged > 0
    assert PICTURE.read_text(encoding="utf-8") == drawing(own, told), (
        "the picture is of another run: python -m tests.learning.closed_loop --draw"
    )
