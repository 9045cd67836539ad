"""The options that many commands have, and the store that `--db` names."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from otel_learning.settings import Settings
    from otel_learning.store.database import LearningDatabase

Db = Annotated[
    Path | None,
    typer.Option(
        "--db",
        metavar="PATH",
        help="The store. Default: OTEL_EXPORTER_LEARNING_PATH, else learning.duckdb.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Every = Annotated[
    float | None,
    typer.Option(
        "--every", metavar="SECONDS", min=1, help="Go on until interrupted, and do so this often."
    ),
]
InEnvironment = Annotated[
    str | None,
    typer.Option(
        "--environment", metavar="E", help="Whose executions count. Default: where most ran."
    ),
]


def moment_of(said: str) -> datetime:
    """A time in ISO 8601; one without a zone is UTC."""
    try:
        found = datetime.fromisoformat(said)
    except ValueError:
        raise typer.BadParameter(f"{said!r} is no time (for example 2026-11-01T12:00)") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


AsOf = Annotated[
    datetime | None,
    typer.Option(
        "--as-of",
        parser=moment_of,
        metavar="TIME",
        help="Only what was known before; ISO 8601, in UTC without a zone. Default: now.",
    ),
]


def settings_in_force(db: Path | None, *, lake: bool = False) -> Settings:
    """The settings of this shell with `--db` over them; each problem is said on stderr.

    Raises InputError where the store is a lake's address and the command works on a file.
    """
    from otel_learning import settings
    from otel_learning.cli.exits import say
    from otel_learning.errors import StoreError
    from otel_learning.store.lake.address import refuse_lake

    chosen, problems = settings.load({"path": db})
    for problem in problems:
        say(f"warning: {problem}")
    if not lake:
        refuse_lake(chosen.path)
    if chosen.path.expanduser().is_dir():
        raise StoreError(f"the store {chosen.path} is a folder", "name a file, as learning.duckdb")
    return chosen


def open_store(db: Path | None, *, create: bool = False) -> LearningDatabase:
    """The store that `--db` names. Raises StoreMissingError where there is none to read."""
    from otel_learning.store.database import LearningDatabase
    from otel_learning.store.drain import DrainSettings

    chosen = settings_in_force(db, lake=True)
    return LearningDatabase(
        chosen.path,
        create=create,
        settings=DrainSettings.of(chosen),
    )
