"""What to read is planned once per tuple of keys, and plans are bounded."""

from __future__ import annotations

from typing import Any

import pytest

from otel_learning.mapping import plan as planning
from otel_learning.mapping.plan import Planner, is_router_name
from otel_learning.mapping.profile import load
from tests.mapping.spans import facts, mapper


def test_a_plan_is_made_once() -> None:
    """Spans with the same keys in the same order share one plan."""
    planner = Planner(load())
    first = planner.plan("scope", {"task.id": "a", "repo.name": "x"})

    assert planner.plan("scope", {"task.id": "b", "repo.name": "y"}) is first
    assert planner.plan("other", {"task.id": "b", "repo.name": "y"}) is not first
    assert planner.plan("scope", {"task.id": "b"}) is not first


def test_plans_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A producer that counts in its keys does not fill the memory."""
    monkeypatch.setattr(planning, "PLANS_LIMIT", 10)
    planner = Planner(load())

    for number in range(100):
        planner.plan(f"scope {number % 7}", {f"step.{number}": 1})

    assert sum(len(plans) for plans in planner._plans.values()) <= 10


def test_keys_are_bounded() -> None:
    """Of a span with thousands of keys the first are looked at; what stands there is read."""
    many: dict[str, Any] = {"task.id": "t"} | {f"x{n}": n for n in range(5000)}

    assert facts(many)["task_id"] == "t"


def test_a_blank_plan_reads_nothing() -> None:
    """Keys that no profile knows cost nothing per span."""
    planned = mapper().planner.plan("", {"server.address": "x", "zorp": 1})

    assert planned.blank
    assert (len(planned.single), len(planned.several)) == (0, 0)


@pytest.mark.parametrize(
    "name", ["router", "model_router", "route", "triage", "select_model", "classify-complexity",
             "Model Selection", "task.classifier", "routing step"],
)  # fmt: skip
def test_names_of_routers(name: str) -> None:
    """Spans and agents that decide where work goes are known by their names."""
    assert is_router_name(name)


@pytest.mark.parametrize("name", ["coder", "routine", "enroute_worker", "planner", "http router2x"])
def test_other_names(name: str) -> None:
    """A name that only contains the letters is no router's."""
    assert is_router_name(name) is name.startswith("http")
