"""Pages: all of them together are the list, also while rows arrive."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from otel_learning import LearningDatabase, Page
from otel_learning.store.reader import Reader
from tests.store.conftest import Filled
from tests.store.filled import START, fill, in_order


def _pages(reader: Reader, limit: int) -> list[Page]:
    pages = [reader.executions_page(limit=limit)]
    while pages[-1].next is not None:
        pages.append(reader.executions_page(limit=limit, after=pages[-1].next))
    return pages


def _ids(pages: list[Page]) -> list[UUID]:
    return [record.execution_id for page in pages for record in page.executions]


@pytest.mark.parametrize("limit", [1, 7, 100, 399, 400, 401])
def test_pages_are_the_list(filled: Filled, limit: int) -> None:
    """Page after page gives every execution once and in order; the last page names no next."""
    with LearningDatabase(filled.path).snapshot() as snapshot:
        pages = _pages(snapshot, limit)

    assert _ids(pages) == in_order(filled.rows)
    assert [len(page.executions) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert pages[-1].executions


def test_no_rows_are_one_page(tmp_path: Path) -> None:
    """Where nothing fits there is one page, empty and the last."""
    assert LearningDatabase(tmp_path / "new.duckdb").executions_page() == Page([], None)


def test_a_page_keeps_its_filters(filled: Filled) -> None:
    """Filters hold on every page."""
    database = LearningDatabase(filled.path)
    since = START + timedelta(hours=20)
    first = database.executions_page(limit=5, since=since, success="unknown")
    second = database.executions_page(limit=500, since=since, success="unknown", after=first.next)
    expected = [
        row for row in filled.rows
        if row["success"] is None and row["started_at"] and row["started_at"] >= since
    ]  # fmt: skip

    assert len(expected) > 10
    assert _ids([first, second]) == in_order(expected)


def test_rows_that_arrive_between_pages(tmp_path: Path) -> None:
    """What was there at the first page comes exactly once, whatever arrives; nothing comes twice.

    New executions lie before and behind the place that was reached, among equal times and among
    those of no known time.
    """
    path = tmp_path / "learning.duckdb"
    before = fill(path, 120, seed=1)
    database = LearningDatabase(path)
    found: list[UUID] = []
    after = None
    for turn in range(1000):
        page = database.executions_page(limit=9, after=after)
        found += _ids([page])
        after = page.next
        if after is None:
            break
        if turn < 20:
            fill(path, 6, seed=100 + turn)

    assert len(found) == len(set(found))
    old = {row["execution_id"] for row in before}
    assert [identity for identity in found if identity in old] == in_order(before)
    assert len(found) > len(before)
