"""What producers write becomes typed facts, or nothing."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from otel_learning.mapping import values


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("t-1", "t-1"), ("  t-1 ", "t-1"), ('"t-1"', "t-1"), (7, "7"), (1.5, "1.5"),
        (("only",), "only"), (["only"], "only"), ("", None), ("  ", None), (None, None),
        (True, None), (("a", "b"), None), ({}, None), (b"bytes", None),
    ],
)  # fmt: skip
def test_text(given: Any, expected: str | None) -> None:
    """A text is a non-empty string or number; anything else is none."""
    assert values.text(given) == expected


@pytest.mark.parametrize(
    "placeholder", ["unknown", "UNKNOWN", "None", "null", "n/a", "undefined", "-", "?", "{}", "[]"]
)
def test_placeholders_are_unknown(placeholder: str) -> None:
    """A word that stands for nothing is nothing: "unknown" is no task id."""
    assert values.text(placeholder) is None


def test_text_is_bounded_and_storable() -> None:
    """Long texts are cut; what UTF-8 or a database cannot hold is replaced or dropped."""
    assert len(values.text("x" * 9999) or "") == values.NAME_LIMIT
    assert values.text("a\ud800b") == "a?b"
    assert values.text("a\x00b") == "ab"
    assert values.text("\x00") is None


def test_free_text_folds_blanks() -> None:
    """A sentence is one line of at most 500 characters."""
    assert values.free_text("a\n\n  b\tc") == "a b c"
    assert len(values.free_text("word " * 1000) or "") <= values.TEXT_LIMIT


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1, 1.0), (1.5, 1.5), ("2.5", 2.5), (" $3 ", 3.0), ('"4"', 4.0), ("1e3", 1000.0),
        (-1, -1.0), (True, None), (None, None), ("many", None), ("1,5", None), ("x" * 50, None),
        (math.nan, None), (math.inf, None), (-math.inf, None), ("nan", None), ("inf", None),
        ("1e999", None), (10**400, None), ([1], None),
    ],
)  # fmt: skip
def test_number(given: Any, expected: float | None) -> None:
    """A number is finite; a string that spells one counts, a boolean does not."""
    assert values.number(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [(0, 0), (7, 7), ("12", 12), (3.0, 3), (-1, None), (2**53, None), (2**70, None), ("x", None),
     (True, None), (math.nan, None)],
)  # fmt: skip
def test_count(given: Any, expected: int | None) -> None:
    """A count is a whole number from zero up that every reader can hold."""
    assert values.count(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [(True, True), (False, False), (1, True), (0, False), (2, None), ("True", True), ("no", False),
     ("maybe", None), (None, None)],
)  # fmt: skip
def test_boolean(given: Any, expected: bool | None) -> None:
    """Only words and numbers that mean yes or no are one."""
    assert values.boolean(given) is expected


@pytest.mark.parametrize(
    "word",
    ["success", "SUCCEEDED", "ok", "completed", "done", "passed", "resolved", "merged", True, 1,
     "TaskStatus.COMPLETED", '"success"'],
)  # fmt: skip
def test_words_of_success(word: Any) -> None:
    """What people write for success is read as such."""
    assert values.outcome(word) is True


@pytest.mark.parametrize(
    "word",
    ["failure", "FAILED", "error", "timeout", "timed out", "timed-out", "cancelled", "canceled",
     "aborted", "crashed", "gave up", False, 0, "JobState.FAILED"],
)  # fmt: skip
def test_words_of_failure(word: Any) -> None:
    """What people write for failure is read as such."""
    assert values.outcome(word) is False


@pytest.mark.parametrize("word", ["running", "pending", "partial", "", 7, None, "x" * 99])
def test_other_words_are_no_outcome(word: Any) -> None:
    """A state that says neither is unknown."""
    assert values.outcome(word) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [("thumbs_up", True), ("Thumbs Down", False), ("accepted", True), ("edited", None), (1, True),
     (-1, False), (0, False), (3, None), (True, True), (None, None)],
)  # fmt: skip
def test_acceptance(given: Any, expected: bool | None) -> None:
    """A verdict accepts, rejects, or does neither."""
    assert values.acceptance(given) is expected


@pytest.mark.parametrize(
    ("convert", "given", "expected"),
    [
        (values.fraction, 0.9, 0.9), (values.fraction, 90, 0.9), (values.fraction, 101, None),
        (values.fraction, -0.1, None), (values.probability, 0.5, 0.5),
        (values.probability, 50, None), (values.score, 0.75, 75.0), (values.score, 75, 75.0),
        (values.score, 1, 100.0), (values.score, 101, None), (values.complexity, 1, 1.0),
        (values.complexity, 0.4, 40.0), (values.rating, 5, 5.0), (values.rating, 0, None),
        (values.rating, 6, None), (values.amount, -1, None), (values.amount, 0, 0.0),
    ],
)  # fmt: skip
def test_ranges(convert: Any, given: float, expected: float | None) -> None:
    """A value outside what its fact can be is unknown, never clamped; a propensity not guessed."""
    assert convert(given) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("fact", "key", "given", "expected"),
    [
        ("duration_seconds", "duration_ms", 1500, 1.5),
        ("duration_seconds", "duration.ns", 2_000_000_000, 2.0),
        ("duration_seconds", "duration_seconds", 3, 3.0),
        ("duration_seconds", "duration", "4", 4.0),
        ("cpu_time_seconds", "cpu_time.ms", 500, 0.5),
        ("peak_memory_mb", "peak_memory_bytes", 1048576, 1.0),
        ("peak_memory_mb", "peak.gb", 2, 2048.0),
        ("cost", "cost.cents", 250, 2.5),
        ("total_cost", "total_microusd", 1_000_000, 1.0),
        ("cost_estimate", "estimate.cents", -1, None),
        ("cost", "cost_usd", 2, 2.0),
    ],
)
def test_units_in_keys(fact: str, key: str, given: Any, expected: float | None) -> None:
    """The unit in a key's last word is minded: seconds are seconds, USD are USD."""
    found = values.conversion(fact, key)(given)
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("acme/shop", "acme/shop"), ("https://github.com/acme/shop.git", "acme/shop"),
        ("git@github.com:acme/shop.git", "acme/shop"), ("/home/me/work/shop", "shop"),
        ("https://user:pw@host.example/acme/shop/", "acme/shop"), ("~/work/shop/", "shop"),
        ("C:\\work\\shop", "shop"), ("ssh://git@host:22/acme/shop", None), ("unknown", None),
    ],
)  # fmt: skip
def test_repository(given: str, expected: str | None) -> None:
    """A repository is its name, whether a URL, a path or a name is given; no password stays."""
    found = values.repository(given)
    if given.startswith("ssh:"):
        assert found is not None and found.endswith("acme/shop")
    else:
        assert found == expected


def test_an_error_class_is_a_name() -> None:
    """A sentence about an error is a message, not a class."""
    assert values.error_class("TimeoutError") == "TimeoutError"
    assert values.error_class("it timed out") is None


def test_json_in_strings() -> None:
    """A JSON object in a string is read as attributes under dotted keys."""
    found = values.flatten("m", '{"task_id": "t-1", "n": 2, "deep": {"x": true}, "none": null}')

    assert found == {"m.task_id": "t-1", "m.n": 2, "m.deep.x": True}


def test_json_in_json() -> None:
    """A JSON string inside a JSON object is read, too."""
    assert values.flatten("m", json.dumps({"inner": '{"task_id": "t"}'})) == {
        "m.inner.task_id": "t"
    }


def test_python_reprs() -> None:
    """A dict that somebody wrote with `str()` is read as the dict it was."""
    assert values.flatten("m", "{'a': 'x', 'b': True, 'c': None}") == {"m.a": "x", "m.b": True}


def test_truncated_json() -> None:
    """Of a JSON text that an attribute limit cut off, the whole pairs are read."""
    found = values.flatten("m", '{"task_id": "t-1", "tokens": 12, "ok": true, "text": "cut he')

    assert found["m.task_id"] == "t-1"
    assert found["m.tokens"] == 12
    assert found["m.ok"] is True
    assert "m.text" not in found


def test_depth_and_keys_are_bounded() -> None:
    """What is nested deeper, or wider, than the bound is not read."""
    deep: Any = "leaf"
    for _ in range(20):
        deep = {"d": deep}

    assert values.flatten("m", deep) == {}
    assert len(values.flatten("m", {str(n): n for n in range(500)})) == values.CONTAINER_KEYS
    assert values.flatten("m", "{" * 5000) == {}


@pytest.mark.parametrize("given", ["[1]", "text", "", None, 7, "{broken", '{"a"', b"{}", ["x"]])
def test_what_is_no_object_holds_nothing(given: Any) -> None:
    """Anything but an object is not taken apart, and nothing is raised."""
    assert values.flatten("m", given) == {}


def test_huge_texts_are_bounded() -> None:
    """Of a text beyond the limit only its beginning is looked at."""
    found = values.flatten("m", '{"task_id": "t-1", "x": "' + "y" * 1_000_000 + '"}')

    assert found == {"m.task_id": "t-1"}


def test_no_code_is_run() -> None:
    """A text that looks like a dict is parsed, never evaluated."""
    assert values.flatten("m", "{'a': __import__('os').getcwd()}") == {}
