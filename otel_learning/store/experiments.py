"""Experiments in the store: definitions that never change, and a trail that only grows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_learning.errors import InputError, StoreError
from otel_learning.mapping.privacy import mask
from otel_learning.store import lease, schema
from otel_learning.store.reader import Reader
from otel_learning.store.transaction import transaction

if TYPE_CHECKING:
    import duckdb

TIMEOUT_SECONDS: Final = 30.0


class Event(NamedTuple):
    """One row of an experiment's trail."""

    ordinal: int
    happened_at: datetime
    event: str
    variant: str | None
    note: str | None
    details: dict[str, Any]


class Stored(NamedTuple):
    """An experiment as the store has it."""

    name: str
    created_at: datetime
    definition: dict[str, Any]
    events: list[Event]


@contextmanager
def writing(
    path: Path, timeout_seconds: float = TIMEOUT_SECONDS
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection inside one short transaction, beside applications that drain.

    Raises:
        StoreMissingError, StoreLockedError: there is no store, or it was not free in time.
        StoreError: it cannot be written.
    """
    import duckdb

    try:
        with (
            lease.exclusive(path, timeout_seconds),
            lease.connection(path, timeout_seconds) as con,
        ):
            schema.upgrade(con, str(path))
            with transaction(con):
                yield con
    except duckdb.Error as error:
        raise StoreError(f"the store {path} cannot be written: {error}") from error


def add(path: Path, name: str, at: datetime, definition: dict[str, Any], note: str | None) -> None:
    """Stores a new experiment and the first row of its trail.

    Raises:
        InputError: there is one of that name.
        StoreError: as `writing`.
    """
    with writing(path) as con:
        if lease.one(con, "SELECT 1 FROM experiment_definitions WHERE experiment = ?", [name]):
            raise InputError(
                f"there is an experiment {name!r} already",
                "its definition does not change; give the new one a name of its own",
            )
        con.execute(
            "INSERT INTO experiment_definitions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                name, at, definition["metric"], definition["goal"], definition["unit"],
                definition["mode"], definition["alpha"], definition["variants"],
                definition["weights"], definition["by"], definition["arms"],
                json.dumps(definition, sort_keys=True),
            ],
        )  # fmt: skip
        _append(con, name, at, "created", None, note, {"plan": definition.get("plan")})


def append(
    path: Path,
    name: str,
    at: datetime,
    event: str,
    variant: str | None,
    note: str | None,
    details: dict[str, Any],
    *,
    seen: int,
) -> None:
    """Adds a row to an experiment's trail.

    Args:
        path: the store.
        name: the experiment.
        at: when it happened.
        event: `stopped`, `dropped` or `decided`.
        variant: which one it is about.
        note: why, in somebody's words; secrets in it are masked.
        details: the evidence of that moment.
        seen: how many rows the trail had when it was looked at.

    Raises:
        InputError: somebody else has added a row meanwhile.
        StoreError: as `writing`.
    """
    with writing(path) as con:
        row = lease.one(con, "SELECT count(*) FROM experiment_events WHERE experiment = ?", [name])
        if row is None or row[0] != seen:
            raise InputError(
                f"something else has just happened to the experiment {name!r}",
                f"look at it again: otel-learning experiment show {name}",
            )
        _append(con, name, at, event, variant, note, details)


def _append(
    con: duckdb.DuckDBPyConnection,
    name: str,
    at: datetime,
    event: str,
    variant: str | None,
    note: str | None,
    details: dict[str, Any],
) -> None:
    con.execute(
        "INSERT INTO experiment_events SELECT $name, count(*) + 1, $at, $event, $variant, $note, "
        "$details FROM experiment_events WHERE experiment = $name",
        {"name": name, "at": at, "event": event, "variant": variant,
         "note": mask(note) if note else None, "details": json.dumps(details, sort_keys=True)},
    )  # fmt: skip


def read(reader: Reader, name: str | None = None) -> list[Stored]:
    """All experiments in the order of their creation, or the one of that name."""
    found: dict[str, Stored] = {}
    for experiment, created_at, definition, *event, details in reader.sql(
        "SELECT d.experiment, d.created_at, d.definition, e.ordinal, e.happened_at, e.event, "
        "e.variant, e.note, e.details FROM experiment_definitions AS d "
        "LEFT JOIN experiment_events AS e ON e.experiment = d.experiment "
        "WHERE $name IS NULL OR d.experiment = $name "
        "ORDER BY d.created_at, d.experiment, e.ordinal",
        {"name": name},
    ):
        one = found.setdefault(
            experiment, Stored(experiment, created_at, json.loads(definition), [])
        )
        if details is not None:
            one.events.append(Event._make([*event, json.loads(details)]))
    return list(found.values())
