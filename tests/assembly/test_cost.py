"""What a task cost, and how many tokens it took: told, priced, or unknown."""

from __future__ import annotations

from typing import Any

import pytest

from otel_learning.observation import Observation
from tests.assembly.building import call, row, seen, task


def _cost(*observations: Observation) -> tuple[Any, Any]:
    found = row(*observations)
    return found["actual_cost"], found["cost_source"]


def _used(model: str, name: str = "a", **more: Any) -> Observation:
    return call(name, model, input_tokens=60, output_tokens=40, **more)


def test_reported_costs_add_up() -> None:
    """Where the producer tells each call's cost, their sum is what the task cost."""
    found = _cost(task(), _used("x", cost=0.5), _used("x", "b", at=2, cost=0.25))

    assert found == (0.75, "reported")


def test_tokens_are_priced() -> None:
    """Where the producer tells no cost, known models' tokens have a price."""
    assert _cost(task(), _used("cheap")) == (pytest.approx(1e-4), "priced")


def test_one_priced_call_makes_the_sum_priced() -> None:
    """A sum of told and priced costs does not claim to be told."""
    found = _cost(task(), _used("cheap", cost=0.5), _used("cheap", "b", at=2))

    assert found == (pytest.approx(0.5001), "priced")


def test_one_unpriced_call_makes_the_cost_unknown() -> None:
    """A sum with a hole in it would make a dear route look cheap."""
    assert _cost(task(), _used("cheap"), _used("nobody knows", "b", at=2)) == (None, None)


def test_a_task_that_states_its_cost() -> None:
    """A task's own word for what it cost stands over the sum of its calls."""
    assert _cost(task(stated_cost=2.0), _used("x", cost=0.5)) == (2.0, "reported")


def test_a_total_fills_in_for_unpriced_calls() -> None:
    """A framework's total counts where its calls tell no costs."""
    assert _cost(task(total_cost=2.0), _used("nobody knows")) == (2.0, "reported")


def test_a_total_does_not_stand_over_told_costs() -> None:
    """Where every call tells its cost, a framework's rounded total adds nothing."""
    assert _cost(task(total_cost=2.0), _used("x", cost=0.5)) == (0.5, "reported")


def test_unknown_stays_unknown() -> None:
    """No call and no statement: no cost, and no source of one."""
    assert _cost(task(repo="r")) == (None, None)


def test_a_failed_call_without_usage_costs_nothing() -> None:
    """A call that was refused used no tokens, so its missing cost is no hole."""
    found = _cost(task(), call("no", "x", at=0, status="error"), _used("cheap", at=2))

    assert found == (pytest.approx(1e-4), "priced")


def test_agents_totals_are_not_added() -> None:
    """An agent's span repeats the tokens of the calls below it; they count once."""
    found = row(
        task(),
        seen("agent", role="agent", under="task", agent="coder", input_tokens=60, output_tokens=40),
        _used("cheap", under="agent"),
    )

    assert (found["input_tokens"], found["output_tokens"]) == (60, 40)


def test_agents_totals_count_where_no_call_is_seen() -> None:
    """Without visible calls, the innermost spans that tell of tokens are believed."""
    found = row(
        task(input_tokens=100, output_tokens=50),
        seen("agent", role="agent", under="task", agent="a", input_tokens=60, output_tokens=40),
        seen("other", role="agent", under="task", agent="b", input_tokens=40, output_tokens=10),
    )

    assert (found["input_tokens"], found["output_tokens"]) == (100, 50)


def test_router_calls_are_in_the_cost() -> None:
    """What it cost to choose is part of what the task cost, and told apart too."""
    found = row(
        task(),
        seen("route", role="route", under="task", model_tier="fast"),
        _used("cheap", "ask", under="route"),
        _used("dear", "work", at=3),
    )

    assert found["router_cost"] == pytest.approx(1e-4)
    assert found["actual_cost"] == pytest.approx(1e-2 + 1e-4)
    assert found["input_tokens"] == 120


def test_zero_is_a_cost() -> None:
    """A call that is told to be free is free, not unknown."""
    assert _cost(task(), _used("x", cost=0.0)) == (0.0, "reported")
