"""What an address asks for: every value is checked, and written back the same."""

from __future__ import annotations

from datetime import UTC, date, datetime
from urllib.parse import parse_qsl

import pytest

from otel_learning import InputError
from otel_learning.server.dashboard.asked import (
    AGGREGATE,
    Asked,
    parse,
    period_before,
    period_words,
    scope_of,
)
from otel_learning.store.dashboard_rows import Extent

NAMES = (*AGGREGATE, "by", "cost_weight", "outcome", "error_type", "after")
EXTENT = Extent(
    10, datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 8, 24, 23, 59, tzinfo=UTC),
    {"environment": [("production", 8), (None, 2)], "repo": [], "task_type": []},
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("period", "yesterday", "period='yesterday' is unknown"),
        ("since", "31.12.2026", "is no day"),
        ("since", "9999-12-31", "is no day"),
        ("by", "model", "is unknown"),
        ("cost_weight", "lots", "is no cost weight"),
        ("cost_weight", "nan", "is no cost weight"),
        ("cost_weight", "-1", "is no cost weight"),
        ("outcome", "good", "is unknown"),
        ("error_type", "oops", "is unknown"),
        ("repo", "a\0b", "NUL"),
        ("repo", "x" * 501, "501 characters"),
        ("utm_source", "mail", "no filter 'utm_source'"),
    ],
)
def test_a_bad_value_is_named(name: str, value: str, said: str) -> None:
    """The message names what was given, and the hint the way out."""
    with pytest.raises(InputError, match=said.replace("(", "\\(")) as caught:
        parse([(name, value)], NAMES)

    assert caught.value.hint


def test_a_name_twice_and_days_exchanged_are_refused() -> None:
    """Nothing is chosen silently among two values."""
    with pytest.raises(InputError, match="given twice"):
        parse([("repo", "a"), ("repo", "b")], NAMES)
    with pytest.raises(InputError, match="later than"):
        parse([("since", "2026-02-01"), ("until", "2026-01-01")], NAMES)


@pytest.mark.parametrize(
    "asked",
    [
        Asked(),
        Asked(repo="a/b & <c>?", period="7d"),
        Asked(since=date(2026, 1, 2), until=date(2026, 2, 3), environment="~all", cost_weight=0.3),
        Asked(by="pool_type", outcome="unknown", error_type="timeout", after="abc"),
    ],
)
def test_an_address_says_what_was_asked(asked: Asked) -> None:
    """What `query` writes, `parse` reads as the same; defaults are left out."""
    assert parse(parse_qsl(asked.query()[1:]), NAMES) == asked
    assert Asked().query() == ""


def test_an_empty_value_is_not_given() -> None:
    """A form sends all of its fields."""
    assert parse([("repo", ""), ("period", " ")], NAMES) == Asked()


def test_a_period_ends_with_the_newest_execution() -> None:
    """The same rows give the same period, whatever the clock says; the main environment."""
    scope = scope_of(Asked(), EXTENT)

    assert scope.since == datetime(2026, 7, 26, tzinfo=UTC)
    assert scope.until == datetime(2026, 8, 25, tzinfo=UTC)
    assert scope.environment == ("production",)
    assert period_words(scope) == "30 days to 24 August 2026"
    before = period_before(scope)
    assert before is not None
    assert (before.since, before.until) == (datetime(2026, 6, 26, tzinfo=UTC), scope.since)


def test_all_and_none_have_words_of_their_own() -> None:
    """Every environment, and the executions that name no repository."""
    scope = scope_of(Asked(environment="~all", repo="~none", period="all"), EXTENT)

    assert (scope.environment, scope.repo, scope.since, scope.until) == (None, (None,), None, None)
    assert period_before(scope) is None
