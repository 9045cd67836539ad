"""Rule R2: executions are a function of what was seen, not of how it arrived."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_learning.assembly.assemble import COLUMNS, assemble
from otel_learning.assembly.correlation import correlate
from otel_learning.mapping.outcome import error_type
from otel_learning.observation import Observation, Role
from tests.assembly.building import clock, price, said, seen, span, trace

_ROLES: list[Role] = ["task", "route", "agent", "call", "tool", "step", "ancestor"]
_MODELS = ["cheap", "dear", "nobody knows"]

_facts: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "task_id": st.sampled_from(["t-1", "t-2", "t-3"]),
        "join_key": st.sampled_from(["k-1", f"trace:{trace('one')}", f"trace:{trace('gone')}"]),
        "environment": st.sampled_from(["production", "test"]),
        "requested_model": st.sampled_from(_MODELS),
        "response_model": st.sampled_from(_MODELS),
        "response_id": st.sampled_from(["r-1", "r-2", "r-3"]),
        "input_tokens": st.integers(0, 100),
        "output_tokens": st.integers(0, 100),
        "cost": st.sampled_from([0.0, 0.5]),
        "attempt_number": st.integers(0, 3),
        "success": st.booleans(),
        "model_tier": st.sampled_from(["fast", "premium"]),
        "repo": st.sampled_from(["a", "b"]),
        "error_class": st.sampled_from(["TimeoutError", "ValueError"]),
        "error_at_ns": st.sampled_from([clock(1), clock(50)]),
        "agent": st.sampled_from(["coder", "router"]),
        "fallback_used": st.booleans(),
        "metadata": st.just('{"a": 1}'),
        "finish": st.sampled_from(["stop", "content_filter"]),
        "purpose": st.sampled_from(["routing", "work"]),
    },
)


@st.composite
def _observations(draw: st.DrawFn) -> list[Observation]:
    """Some spans of some traces, with parents anywhere, and some feedback."""
    found: list[Observation] = []
    for number in range(draw(st.integers(1, 10))):
        above = draw(st.none() | st.integers(0, 11))
        found.append(
            seen(
                str(number),
                role=draw(st.sampled_from(_ROLES)),
                of=draw(st.sampled_from(["one", "two", "three"])),
                under=None if above is None else str(above),
                at=draw(st.none() | st.integers(0, 9) | st.sampled_from([9_000, 20_000])),
                lasting=draw(st.sampled_from([0.0, 1.0, 5.0])),
                status=draw(st.sampled_from([None, "ok", "error"])),
                producer=draw(st.sampled_from([None, "x", "y"])),
                **draw(_facts),
            )
        )
    for number in range(draw(st.integers(0, 2))):
        target = draw(st.sampled_from(["t-1", "t-9"]))
        found.append(said(target, at=10_000.0 * number, feedback_rating=float(number + 1)))
    if draw(st.booleans()):
        known = draw(st.sampled_from(found))
        target = f"{known.trace_id}:{known.span_id}"
        found.append(said(target, kind="span_id", at=3))
    return found


def _everything(observations: list[Observation]) -> list[tuple[Any, ...]]:
    correlation = correlate(observations)
    found: list[tuple[Any, ...]] = []
    for group in correlation.groups:
        assembled = assemble(group, price, error_type)
        found.append((
            assembled.execution, assembled.attempts, [o.key for o in group.observations],
            [o.key for o in group.feedback],
        ))  # fmt: skip
    found.append((sorted(str(o.key) for o in correlation.orphans),))
    return found


_MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@_MANY
@given(_observations(), st.randoms(use_true_random=False))
def test_any_order(observations: list[Observation], random: Any) -> None:
    """Any permutation of the observations gives the same executions, attempts and feedback."""
    expected = _everything(observations)
    random.shuffle(observations)

    assert _everything(observations) == expected


@_MANY
@given(_observations(), st.randoms(use_true_random=False))
def test_any_repetition(observations: list[Observation], random: Any) -> None:
    """Observations that came twice or more, from whomever, count once."""
    again = [random.choice(observations) for _ in range(5)]

    assert _everything([*observations, *again]) == _everything(observations)


@_MANY
@given(_observations(), st.integers(0, 10))
def test_any_split(observations: list[Observation], at: int) -> None:
    """What two processes saw, put together in either order, gives the same executions."""
    one, other = observations[:at], observations[at:]

    assert _everything([*other, *one]) == _everything(observations)


@_MANY
@given(_observations())
def test_poorer_copies_do_not_matter(observations: list[Observation]) -> None:
    """A span that also arrived stripped of its facts still says what its full copy says."""
    full = [o for o in observations if o.facts]
    poorer = [replace(o, facts={}, role="ancestor") for o in full if o.role != "feedback"]

    assert _everything([*poorer, *observations]) == _everything(observations)


@_MANY
@given(_observations())
def test_what_always_holds(observations: list[Observation]) -> None:
    """Counts agree with the attempts, ids are unique, every column is there, nothing is lost."""
    correlation = correlate(observations)
    identities = set()
    for group in correlation.groups:
        found = assemble(group, price, error_type)
        execution, attempts = found.execution, found.attempts
        assert tuple(execution) == COLUMNS
        assert execution["execution_id"] not in identities
        identities.add(execution["execution_id"])
        assert execution["attempt_count"] == len(attempts)
        failed = [a for a in attempts if a["success"] is False and a["role"] == "work"]
        assert execution["failed_attempt_count"] == len(failed)
        assert [a["ordinal"] for a in attempts] == list(range(1, len(attempts) + 1))
        assert (execution["success"] is None) == (execution["success_source"] is None)
        assert (execution["actual_cost"] is None) == (execution["cost_source"] is None)
        if execution["success"] is False:
            assert execution["error_type"] is not None
    claimed = [o.key for g in correlation.groups for o in g.observations]
    assert len(claimed) == len(set(claimed))
    feedback = sum(len(g.feedback) for g in correlation.groups) + len(correlation.orphans)
    assert feedback == len({o.key for o in observations if o.role == "feedback"})


def test_a_flood_is_bounded() -> None:
    """Of an execution beyond the limit, the first are read, the top too, and the rest counted."""
    flood = [seen(f"s{n}", under="root", at=n / 1000, repo="r") for n in range(20_050)]
    root = seen("root", role="task", at=0, lasting=900, task_id="t")

    group = correlate([*flood, root]).groups[0]

    assert len(group.observations) == 20_000
    assert group.overflow == 51
    assert span("root") in {o.span_id for o in group.observations}
