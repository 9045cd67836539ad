"""The report: the dashboard's pages as one file that needs no other, and no network."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_learning.server.dashboard import catalogue, html
from otel_learning.server.dashboard.page import Page
from otel_learning.store.lake.address import is_lake, shown

if TYPE_CHECKING:
    from otel_learning.server.dashboard.asked import Asked
    from otel_learning.server.dashboard.catalogue import Entry
    from otel_learning.store.database import LearningDatabase

_UNASKED: Final = ("after", "task_id", "outcome", "error_type", "model_tier")
TRIES: Final = 200
"""Times that a page which is still being worked out is asked for, each after half a second."""


def pages(database: LearningDatabase, asked: Asked) -> list[tuple[Entry, Page]]:
    """Every page that a report has, for the same filters.

    A page that cannot be made for want of a library says so in its place.
    """
    found = []
    for entry in catalogue.entries():
        if entry.label is None or not entry.reported:
            continue
        found.append((entry, _made(entry, database, _of(entry, asked))))
    return found


def _of(entry: Entry, asked: Asked) -> Asked:
    """What was asked for, as far as a page takes it."""
    from otel_learning.server.dashboard.asked import Asked as Made

    taken = {name: getattr(asked, name) for name in entry.takes if name not in _UNASKED}
    return replace(Made(), **taken)


def _made(entry: Entry, database: LearningDatabase, asked: Asked) -> Page:
    try:
        page = entry.build(database, asked, {})
        for _ in range(TRIES):
            if page.refresh_seconds is None:
                break
            page = entry.build(database, asked, {})
        return page
    except ModuleNotFoundError as error:
        return Page(entry.address, entry.label or "", f"This part needs {error.name}, which is not "
                    "installed: pip install 'otel-learning[serve,learn]'")  # fmt: skip


def written(found: Sequence[tuple[Entry, Page]], store: Path, now: datetime | None = None) -> str:
    """The report as HTML.

    Args:
        found: of `pages`.
        store: whose report it is; its name, without the folder, is in the title.
        now: when it was made.
    """
    return html.report(
        found,
        f"Report on {shown(store) if is_lake(store) else store.name}",
        now or datetime.now(UTC),
    )


def put(place: Path, text: str) -> None:
    """Writes a report whole or not at all, readable by its owner alone: it holds task descriptions.

    Raises:
        OSError: it cannot be written.
    """
    draft = place.with_name(f".{place.name}-{secrets.token_hex(4)}")
    try:
        opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "w", encoding="utf-8") as file:
            file.write(text)
        draft.replace(place)
    finally:
        draft.unlink(missing_ok=True)
