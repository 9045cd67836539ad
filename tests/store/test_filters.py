"""Filters: each one narrows as plain Python would, alone and together with others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from otel_learning import ErrorType, InputError, LearningDatabase
from otel_learning.store.filters import Filters, cursor_at, where
from otel_learning.store.reader import Reader
from tests.store.conftest import Filled
from tests.store.filled import CHOICES, COSTS, HOURS, START, TASKS, fits, in_order

_MOMENTS = [START + timedelta(minutes=30 * half) for half in (-1, 0, 1, HOURS, 2 * HOURS)]
_MOMENTS.append(datetime(2026, 11, 2))  # noqa: DTZ001 - without a zone it is UTC
_MOMENTS.append(datetime(2026, 11, 2, tzinfo=timezone(timedelta(hours=-9))))
_AMOUNTS = [cost for cost in COSTS if cost is not None] + [-1, 1, 10.0]
_VALUES: dict[str, list[Any]] = {
    **{name: [v for v in values if v is not None] for name, values in CHOICES.items()},
    "settled": [True, False], "min_cost": _AMOUNTS, "max_cost": _AMOUNTS,
    "since": _MOMENTS, "until": _MOMENTS, "task_id": [f"t-{n}" for n in range(TASKS)],
}  # fmt: skip
_VALUES["success"].append("unknown")
_VALUES["error_type"] += [ErrorType.TIMEOUT, "crash"]
for _name in CHOICES:
    if _name not in ("success", "complete", "error_type"):
        _VALUES[_name] += ["nobody", "", "' OR TRUE --"]


@pytest.fixture(scope="module")
def reader(filled: Filled) -> Iterator[Reader]:
    with LearningDatabase(filled.path) as database, database.snapshot() as snapshot:
        yield snapshot


def _check(reader: Reader, filled: Filled, filters: Any) -> None:
    expected = in_order([row for row in filled.rows if fits(row, filters)])
    found = [record.execution_id for record in reader.executions(limit=10_000, **filters)]

    assert found == expected
    assert reader.count_executions(**filters) == len(expected)


def test_every_filter_is_tested() -> None:
    """What follows tries each filter that there is."""
    assert {*_VALUES, "trace_id", "execution_id"} == set(Filters.__annotations__)


@pytest.mark.parametrize("name", sorted(_VALUES))
def test_one_filter(name: str, reader: Reader, filled: Filled) -> None:
    """A filter gives exactly the executions that have the value; what is unknown fits none."""
    for value in _VALUES[name]:
        _check(reader, filled, {name: value})
    assert any(fits(row, {name: value}) for row in filled.rows for value in _VALUES[name])


def test_by_trace_and_by_execution(reader: Reader, filled: Filled) -> None:
    """Any trace finds its executions, however it is spelled; an id finds the one."""
    for row in filled.rows[::40]:
        first, shared = row["trace_ids"]
        for trace in (first, shared, f"{shared[:8]}-{shared[8:]}".upper()):
            _check(reader, filled, {"trace_id": trace})
        for identity in (row["execution_id"], str(row["execution_id"]).upper()):
            _check(reader, filled, {"execution_id": identity})
    _check(reader, filled, {"trace_id": "f" * 32})
    _check(reader, filled, {"execution_id": uuid4()})


_some_filters = st.lists(st.sampled_from(sorted(_VALUES)), max_size=4, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: st.sampled_from(_VALUES[name]) for name in names})
)


@examples(max_examples=100, deadline=None)
@given(_some_filters)
def test_filters_together(reader: Reader, filled: Filled, filters: Any) -> None:
    """All filters given must fit; exchanged ends are refused and named."""
    try:
        where(filters)
    except InputError as error:
        assert "min_cost" in str(error) or "since" in str(error)
        return
    _check(reader, filled, filters)


def test_none_is_not_given(reader: Reader, filled: Filled) -> None:
    """A filter that is None filters nothing."""
    _check(reader, filled, dict.fromkeys(Filters.__annotations__))


@pytest.mark.parametrize(
    ("filters", "named"),
    [
        ({"error_type": "sadness"}, "'sadness'.*timeout"),
        ({"success": "maybe"}, "'maybe'.*unknown"), ({"success": 1}, "success=1"),
        ({"min_cost": 2, "max_cost": 1}, "min_cost=2.*max_cost=1"),
        ({"min_cost": float("nan")}, "min_cost=nan"), ({"max_cost": "1"}, "max_cost='1'"),
        ({"max_cost": 10**400}, "max_cost"), ({"min_cost": True}, "min_cost=True"),
        ({"execution_id": "t-1"}, "'t-1'.*task_id"), ({"task_id": 7}, "task_id=7"),
        ({"repo": b"acme"}, "repo"), ({"repo": "\ud800"}, "repo"),
        ({"since": "yesterday"}, "'yesterday'"), ({"complete": "yes"}, "complete='yes'"),
        ({"since": START, "until": START - timedelta(1)}, "since=.*until="),
        ({"since": datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))}, "since"),
        ({"colour": "blue"}, "'colour'.*task_id"),
    ],
)  # fmt: skip
def test_bad_values(reader: Reader, filters: Any, named: str) -> None:
    """A value that cannot be meant is refused and named, and the way out is said."""
    for ask in (reader.executions, reader.executions_page, reader.count_executions):
        with pytest.raises(InputError, match=named):
            ask(**filters)


@pytest.mark.parametrize("limit", [0, -1, True, 2.5, "9"])
def test_bad_limits(reader: Reader, limit: Any) -> None:
    """A limit is a whole number from 1."""
    for ask in (reader.executions, reader.executions_page):
        with pytest.raises(InputError, match="limit="):
            ask(limit=limit)


_GOOD = cursor_at(
    datetime(2026, 11, 1, 2, 3, 4, 5, tzinfo=UTC), UUID("0f4a5ead-d7c9-4e46-af99-ac86107a5a63")
)


@pytest.mark.parametrize(
    "cursor", ["", "x", "ü", _GOOD[:-1], _GOOD + "A", _GOOD + "=", f" {_GOOD}", "LjA", 7]
)
def test_bad_cursors(reader: Reader, cursor: Any) -> None:
    """Only what a page has named is taken for a place."""
    assert reader.executions_page(after=_GOOD)
    with pytest.raises(InputError, match="after="):
        reader.executions_page(after=cursor)


@given(st.text())
def test_any_text_as_cursor(text: str) -> None:
    """Whatever stands there, it is a place or an `InputError`."""
    try:
        where({}, text)
    except InputError:
        return
    raise AssertionError(text)
