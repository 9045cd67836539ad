"""The reader: what a router gets, whatever the file holds."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_learning import attributes
from otel_learning.policy_reader import OFF_VARIABLE, PolicyReader
from tests.command_line import environment

FAST = {"fast": 0.9, "large": 0.1}
LARGE = {"fast": 0.05, "large": 0.95}


def document(**told: Any) -> dict[str, Any]:
    return {
        "format": 1, "policy_version": "3", "decision": "model_tier", "default": "middle",
        "expires_at": None,
        "rules": [
            {"when": {"task_type": "docs"}, "propensities": FAST},
            {"when": {"complexity_score": [40, None]}, "propensities": LARGE},
        ],
    } | told  # fmt: skip


def put(folder: Path, content: Any) -> Path:
    """Replaces the policy file as `policy apply` does, by a rename."""
    text = content if isinstance(content, str) else json.dumps(content)
    draft = folder / "draft"
    draft.write_text(text, encoding="utf-8")
    draft.replace(folder / "s.duckdb.policy.json")
    return folder / "s.duckdb"


def test_it_draws_with_the_probabilities_of_the_first_rule_that_fits(tmp_path: Path) -> None:
    """10,000 draws come as the file says, and each knows its propensity."""
    reader = PolicyReader(put(tmp_path, document()), draw=random.Random(5).random)

    drawn = [reader.choose({"task_type": "docs", "complexity_score": 90}) for _ in range(10_000)]

    counted = Counter(choice.arm for choice in drawn)
    assert abs(counted["fast"] / 10_000 - 0.9) < 0.01
    assert all(choice.propensity == FAST[str(choice.arm)] for choice in drawn)
    assert {choice.reason for choice in drawn} == {"policy"}


def test_thresholds_and_contexts_that_no_rule_is_for(tmp_path: Path) -> None:
    """40 is in `[40, null)`, 39.9 is not; without a rule the router's default stands."""
    reader = PolicyReader(put(tmp_path, document()), draw=lambda: 0.5)

    assert reader.choose({"complexity_score": 40}).arm == "large"
    below = reader.choose({"complexity_score": 39.9}, default="mine")
    assert (below.arm, below.reason, below.propensity) == ("mine", "no-rule", None)
    assert reader.choose({"complexity_score": True}).reason == "no-rule"
    assert reader.choose().arm == "middle"
    assert below.attributes() == {}


def test_what_belongs_on_the_span(tmp_path: Path) -> None:
    """The propensity, of which decision, the version, and the arm itself."""
    reader = PolicyReader(put(tmp_path, document()), draw=lambda: 0.0)

    assert reader.choose({"task_type": "docs"}).attributes() == {
        attributes.ROUTE_PROPENSITY: 0.9,
        attributes.ROUTE_PROPENSITY_OF: "model_tier",
        attributes.ROUTE_POLICY_VERSION: "3",
        attributes.ROUTE_MODEL_TIER: "fast",
    }


def test_arms_of_several_columns_name_each(tmp_path: Path) -> None:
    """`large/gpu` of `model_tier/pool_type` is a tier and a pool."""
    rules = [{"when": {}, "propensities": {"large/gpu": 1.0}}]
    store = put(tmp_path, document(decision="model_tier/pool_type", rules=rules))

    said = PolicyReader(store).choose().attributes()

    assert said[attributes.ROUTE_MODEL_TIER] == "large"
    assert said[attributes.ROUTE_POOL_TYPE] == "gpu"


def test_arms_that_cannot_be_had_leave_their_share_to_the_others(tmp_path: Path) -> None:
    """The propensity is the one that was really drawn with."""
    rules = [{"when": {}, "propensities": {"a": 0.5, "b": 0.3, "c": 0.2}}]
    reader = PolicyReader(put(tmp_path, document(rules=rules)), draw=lambda: 0.7)

    drawn = reader.choose(candidates=["b", "c"])

    assert drawn.arm == "c"
    assert drawn.propensity == pytest.approx(0.4)
    assert reader.choose(candidates=["z"], default="mine").reason == "no-arm"


def test_a_changed_file_counts_at_the_next_call(tmp_path: Path) -> None:
    """A rename is seen at once, a file taken away too, and one that comes back."""
    store = put(tmp_path, document())
    reader = PolicyReader(store, draw=lambda: 0.0)
    assert reader.choose({"task_type": "docs"}).policy_version == "3"

    put(tmp_path, document(policy_version="4"))
    assert reader.choose({"task_type": "docs"}).policy_version == "4"

    reader_file = Path(reader.path)
    reader_file.unlink()
    assert reader.choose({"task_type": "docs"}, default="mine").reason == "missing"

    put(tmp_path, document(policy_version="5"))
    assert reader.choose({"task_type": "docs"}).policy_version == "5"


@pytest.mark.parametrize("word", ["off", "OFF", "0", "false"])
def test_the_variable_turns_it_off_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    """The kill switch by environment."""
    reader = PolicyReader(put(tmp_path, document()), default="mine")
    assert reader.choose({"task_type": "docs"}).reason == "policy"

    monkeypatch.setenv(OFF_VARIABLE, word)

    assert reader.choose({"task_type": "docs"}).reason == "off"
    assert reader.choose({"task_type": "docs"}).arm == "mine"


def test_a_file_turns_it_off_at_once(tmp_path: Path) -> None:
    """The kill switch by file, and back."""
    store = put(tmp_path, document())
    reader = PolicyReader(store)
    switch = tmp_path / "s.duckdb.policy.off"

    switch.touch()
    assert reader.choose({"task_type": "docs"}).reason == "off"

    switch.unlink()
    assert reader.choose({"task_type": "docs"}).reason == "policy"


def test_an_expired_policy_is_not_followed(tmp_path: Path) -> None:
    """From the second of its expiry on, the default stands."""
    store = put(tmp_path, document(expires_at="2026-01-02T00:00:00+00:00"))
    now = 1767312000.0

    before = PolicyReader(store, clock=lambda: now - 1).choose({"task_type": "docs"})
    after = PolicyReader(store, clock=lambda: now).choose({"task_type": "docs"})

    assert (before.reason, after.reason, after.arm) == ("policy", "expired", "middle")


BROKEN = [
    "", "{", "[]", "null", "\0", '{"format": 1}', '"text"', "[" * 100_000,
    document(format=2), document(rules=None), document(rules=[{}]), document(expires_at="soon"),
    document(rules=[{"when": {}, "propensities": {"a": 0.5}}]),
    document(rules=[{"when": {}, "propensities": {"a": 1.5, "b": -0.5}}]),
    document(rules=[{"when": {"n": [1]}, "propensities": {"a": 1.0}}]),
    document(rules=[{"when": {}, "propensities": {"a": float("nan")}}]),
]  # fmt: skip


@pytest.mark.parametrize("content", BROKEN, ids=range(len(BROKEN)))
def test_a_file_that_cannot_be_understood_leaves_the_default(tmp_path: Path, content: Any) -> None:
    """Nothing is raised, and nothing of it is followed."""
    choice = PolicyReader(put(tmp_path, content)).choose({"task_type": "docs"}, default="mine")

    assert (choice.arm, choice.reason) == ("mine", "unreadable")


@given(st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.floats())))
def test_no_context_raises(context: dict[str, Any]) -> None:
    """Whatever a router knows of a task, it gets a choice."""
    assert PolicyReader("nowhere").choose(context, default="x").arm == "x"


def test_threads_see_whole_policies_while_files_are_replaced(tmp_path: Path) -> None:
    """No mixture of two files: each has one arm of its own version."""

    def told(number: int) -> dict[str, Any]:
        rules = [{"when": {}, "propensities": {f"arm-{number}": 1.0}}]
        return document(policy_version=str(number), rules=rules)

    reader = PolicyReader(put(tmp_path, told(0)))
    seen: list[tuple[str | None, str | None]] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            choice = reader.choose()
            seen.append((choice.arm, choice.policy_version))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(1, 100):
        put(tmp_path, told(number))
    done.set()
    for thread in threads:
        thread.join()

    assert seen and all(arm == f"arm-{version}" for arm, version in seen)
    assert reader.choose().policy_version == "99"


def _python(body: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", body], env=environment(), capture_output=True, text=True,
        timeout=60, check=True,
    )  # fmt: skip
    return done.stdout


def test_importing_it_loads_the_standard_library_alone() -> None:
    """A router pays for json, datetime and random, and for nothing of ours or others'."""
    loaded = _python(
        "import sys; before = set(sys.modules); import otel_learning.policy_reader; "
        "print(' '.join({m.partition('.')[0] for m in set(sys.modules) - before}))"
    ).split()

    foreign = set(loaded) - set(sys.stdlib_module_names) - {"otel_learning"}
    assert not foreign


def test_a_choice_costs_microseconds(tmp_path: Path) -> None:
    """Far below what any routing costs; a bound that a slow machine keeps too."""
    reader = PolicyReader(put(tmp_path, document()))

    took = min(_timed(lambda: reader.choose({"task_type": "docs"})) for _ in range(5))

    assert took < 100e-6


def _timed(work: Callable[[], object]) -> float:
    import time

    began = time.perf_counter()
    for _ in range(200):
        work()
    return (time.perf_counter() - began) / 200


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path may begin with ~, and name the store or the policy file."""
    put(tmp_path, document())
    monkeypatch.setenv("HOME", os.fspath(tmp_path))

    for path in ("~/s.duckdb", "~/s.duckdb.policy.json"):
        assert PolicyReader(path).choose({"task_type": "docs"}).reason == "policy"
