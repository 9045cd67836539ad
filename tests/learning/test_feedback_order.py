"""Feedback in every form and order of arrival gives one and the same result (rules R2, C5)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from otel_learning import LearningDatabase
from otel_learning.observation import Observation
from otel_learning.store import segments
from otel_learning.store.drain import DrainSettings
from otel_learning.store.spool import Spool
from tests.assembly.building import call, said, seen, span, task, trace

SPANS = (
    task("task", "t-1", of="one", at=0, lasting=10, session_id="s-1"),
    call("call", "m", of="one", at=1, lasting=2),
    task("again", "t-1", of="two", at=9_000, lasting=10, session_id="s-1"),
    call("call", "m", of="two", under="again", at=9_001, lasting=2),
    seen("run", role="agent", of="three", at=50, lasting=10, agent="a", session_id="s-1",
         top=False, under="never seen"),
    call("asked", "m", of="three", under="run", at=51, lasting=2),
)  # fmt: skip
"""Two runs of a task, and an execution that has no topmost span, in one session."""
FIRST_RUN = str(UUID("1d09dd1c-8d37-5d6b-8a5e-000000000000"))
TARGETS = (
    ("task_id", "t-1"), ("trace_id", trace("two")), ("span_id", f"{trace('one')}:{span('call')}"),
    ("span_id", span("asked")), ("session_id", "s-1"), ("response_id", "response of call"),
    ("response_id", "response of asked"), ("task_id", "never carried out"),
    ("execution_id", FIRST_RUN),
)  # fmt: skip
MOMENTS = (-100, 5, 55, 100, 8_000, 9_500)


@st.composite
def _words(draw: st.DrawFn) -> list[Observation]:
    """Some words; several of them under the same id, which revise or revoke each other."""
    found = []
    for number in range(draw(st.integers(1, 5))):
        kind, target = draw(st.sampled_from(TARGETS))
        facts: dict[str, Any] = {
            "feedback_rating": draw(st.sampled_from([1.0, 5.0])),
            "feedback_accepted": draw(st.booleans()),
        }
        if draw(st.booleans()):
            facts["feedback_id"] = draw(st.sampled_from(["a", "b"]))
            facts["feedback_revoked"] = draw(st.booleans())
        if draw(st.booleans()):
            facts["feedback_visibility"] = "team"
        word = said(target, kind=kind, at=draw(st.sampled_from(MOMENTS)), **facts)
        word.span_id = span(f"word {number}")
        found.append(word)
    if draw(st.booleans()):  # on a span of the task, and revised later under the same id
        found.append(seen("thumb", role="step", of="one", under="task", at=3, lasting=1,
                          feedback_rating=2.0))  # fmt: skip
    return found


def _arrive(path: Path, parts: Sequence[Sequence[Observation]], drained: Sequence[bool]) -> None:
    """Each part is a segment, as some process spools it; drains happen in between."""
    database = LearningDatabase(path, settings=DrainSettings(settle_after_seconds=0.0))
    for part, drain in zip(parts, drained, strict=True):
        if part:
            Spool(path).write(segments.encode(part))
        if drain:
            database.drain()


def _told(path: Path) -> list[list[tuple[Any, ...]]]:
    """What a query says next."""
    database = LearningDatabase(path, settings=DrainSettings(settle_after_seconds=0.0))
    return [
        database.sql(
            "SELECT execution_id, task_id, run, user_accepted, user_rating, feedback_count "
            "FROM executions ORDER BY ALL"
        ),
        database.sql("SELECT * EXCLUDE (recorded_at) FROM feedback ORDER BY ALL"),
        database.sql("SELECT feedback_id, reason FROM feedback_orphans ORDER BY ALL"),
    ]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    _words(),
    st.randoms(use_true_random=False),
    st.lists(st.booleans(), min_size=4, max_size=4),
)
@example(
    [said("s-1", kind="session_id", at=100), said("s-1", kind="session_id", at=8_000)],
    Random(3),
    [True, True, True, True],
)
def test_any_order_of_arrival(words: list[Observation], random: Any, drained: list[bool]) -> None:
    """Before or after the execution, once or twice, split over segments and drains: the same."""
    everything = [*SPANS, *words]
    with tempfile.TemporaryDirectory() as folder:
        at_once, by_and_by = Path(folder) / "one.duckdb", Path(folder) / "two.duckdb"
        _arrive(at_once, [everything], [False])
        shuffled = [*everything, *random.sample(words, min(2, len(words)))]
        random.shuffle(shuffled)
        cuts = sorted(random.randrange(len(shuffled) + 1) for _ in range(3))
        parts = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
        _arrive(by_and_by, parts, drained)

        assert _told(by_and_by) == _told(at_once)
