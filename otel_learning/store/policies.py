"""Where policies are written down: versions as they were made, and what happened to each."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from otel_learning.errors import InputError
from otel_learning.store import copying, lease
from otel_learning.store.reader import Reader
from otel_learning.store.transaction import transaction

if TYPE_CHECKING:
    from otel_learning.store.database import LearningDatabase

Event = Literal["proposed", "shadowed", "applied", "retired", "rolled_back", "alarmed"]
State = Literal["proposed", "shadow", "active", "retired", "rolled_back"]

TIMEOUT_SECONDS: Final = 30.0

_VERSIONS: Final = """
SELECT policy_version, state, state_since, why, made_at, document, proposal, gates_passed
FROM policies ORDER BY CAST(policy_version AS BIGINT)
"""
_EVENTS: Final = """
SELECT policy_version, event, happened_at, actor, mode, why, receipt
FROM policy_events ORDER BY ordinal
"""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a policy, and what has become of it."""

    policy_version: str
    state: State
    state_since: datetime
    why: str | None
    made_at: datetime
    document: dict[str, Any]
    """The policy file."""
    proposal: dict[str, Any]
    """Its changes, gates and promises."""
    gates_passed: bool


@dataclass(frozen=True, slots=True)
class Happened:
    """One thing that happened to a version."""

    policy_version: str
    event: Event
    happened_at: datetime
    actor: str
    mode: str
    why: str | None
    receipt: dict[str, Any]


class Book:
    """All versions and events.

    Args:
        ask: puts a query with its values, and gives the rows.
    """

    def __init__(self, ask: Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]) -> None:
        self._ask = ask

    def versions(self) -> list[Version]:
        """Every version, the oldest first."""
        return [
            Version(
                row[0], row[1], row[2], row[3], row[4], json.loads(row[5]), json.loads(row[6]),
                bool(row[7]),
            )
            for row in self._ask(_VERSIONS, [])
        ]  # fmt: skip

    def events(self) -> list[Happened]:
        """Everything that happened, in order."""
        return [
            Happened(row[0], row[1], row[2], row[3], row[4], row[5], json.loads(row[6]))
            for row in self._ask(_EVENTS, [])
        ]

    def version(self, wanted: str | None, state: State | None = None) -> Version:
        """The version of that name, or the newest one. Raises InputError where there is none."""
        known = self.versions()
        fitting = [v for v in known if wanted is None or v.policy_version == wanted]
        if state is not None and wanted is None:
            fitting = [v for v in fitting if v.state == state]
        if not fitting:
            names = ", ".join(v.policy_version for v in known[-10:])
            raise InputError(
                f"there is no policy {wanted}" if wanted is not None else "there is no policy yet",
                f"one of {names}" if names else "otel-learning policy propose makes one",
            )
        return fitting[-1]

    def active(self) -> Version | None:
        """The version that is in force."""
        return next((v for v in self.versions() if v.state == "active"), None)

    def last(self, *events: Event) -> datetime | None:
        """When one of these happened last, to whichever version."""
        return max((e.happened_at for e in self.events() if e.event in events), default=None)

    def next_version(self) -> str:
        """The name of the version that is made next: one more than the highest."""
        return str(max((int(v.policy_version) for v in self.versions()), default=0) + 1)

    def add(self, document: Mapping[str, Any], proposal: Mapping[str, Any]) -> None:
        """Writes a new version down, as it is."""
        evidence, effect = document["evidence"], proposal["effect"]
        self._ask(
            "INSERT INTO policy_versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [document["policy_version"], document["made_at"], document["expires_at"],
             document["decision"], document["environment"], document["parent"],
             evidence["basis"], evidence["executions"], document["cost_weight"],
             effect["value"], effect["low"], effect["high"],
             all(gate["passed"] for gate in proposal["gates"]),
             json.dumps(document), json.dumps(proposal)],
        )  # fmt: skip

    def happened(
        self, version: str, event: Event, *, at: datetime, actor: str, mode: str,
        why: str | None = None, receipt: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Writes down that something happened to a version."""
        last = self._ask("SELECT coalesce(max(ordinal), 0) FROM policy_events", [])
        self._ask(
            "INSERT INTO policy_events VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [last[0][0] + 1, version, event, at, actor, mode, why, json.dumps(receipt or {})],
        )


def book(store: Reader) -> Book:
    """The book of a store, to read in."""
    return Book(lambda query, values: store.sql(query, values))


@contextlib.contextmanager
def writing(database: LearningDatabase, timeout_seconds: float = TIMEOUT_SECONDS) -> Iterator[Book]:
    """The book, to write into: all of it or nothing, and nobody else meanwhile.

    Raises:
        StoreLockedError: the store was not free in time.
        StoreError: it cannot be written.
    """
    path: Path = database.path
    database.drain()
    with (
        copying.database_errors(path),
        lease.exclusive(path, timeout_seconds),
        lease.connection(path, timeout_seconds) as con,
        transaction(con),
    ):
        yield Book(lambda query, values: con.execute(query, list(values)).fetchall())


@contextlib.contextmanager
def held(database: LearningDatabase, timeout_seconds: float = TIMEOUT_SECONDS) -> Iterator[Book]:
    """The book, to read in while nobody writes."""
    path: Path = database.path
    with (
        copying.database_errors(path),
        lease.exclusive(path, timeout_seconds),
        lease.connection(path, timeout_seconds, read_only=True) as con,
    ):
        yield Book(lambda query, values: con.execute(query, list(values)).fetchall())
