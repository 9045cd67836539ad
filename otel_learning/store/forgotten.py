"""Ids that were erased: salted hashes of them keep a replay out for the ledger's window."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from otel_learning.assembly.correlation import correlate
from otel_learning.observation import Observation
from otel_learning.store import lease, rows

if TYPE_CHECKING:
    import duckdb

Id = tuple[str, str]
"""What kind of id, and the id."""
DUE: Final = "compaction due"
"""A row of this kind says that bytes of what was erased may still be in the file."""
_FACTS: Final = ("task_id", "session_id", "user_hash")


def ids_of(observation: Observation) -> Iterator[Id]:
    """Every id that an observation stands under; feedback also those it is about."""
    facts = observation.facts
    if observation.trace_id is not None:
        yield "trace_id", observation.trace_id
        yield "span_id", f"{observation.trace_id}:{observation.span_id}"
    for fact in _FACTS:
        if fact in facts:
            yield fact, str(facts[fact])
    if rows.carries_feedback(observation):
        yield "feedback_id", rows.feedback_id(observation)
    if "feedback_kind" in facts:
        kind, target = str(facts["feedback_kind"]), str(facts.get("feedback_target", ""))
        yield kind, target
        trace, colon, _ = target.partition(":")
        if kind == "span_id" and colon:
            yield "trace_id", trace


def remember(con: duckdb.DuckDBPyConnection, ids: Iterable[Id]) -> None:
    """Writes down that these ids were erased; inside a transaction."""
    row = lease.one(con, "SELECT max(salt) FROM forgotten WHERE kind <> ?", [DUE])
    salt = str(row[0]) if row and row[0] is not None else secrets.token_hex(16)
    for kind, value in sorted(set(ids)):
        con.execute(
            "INSERT INTO forgotten VALUES (?, ?, ?, now())", [kind, salt, _hash(salt, kind, value)]
        )


def prune(con: duckdb.DuckDBPyConnection, window_seconds: float) -> None:
    """Lets go of hashes after the ledger's window."""
    con.execute(
        "DELETE FROM forgotten WHERE forgotten_at < now() - to_seconds(?) AND kind <> ?",
        [window_seconds, DUE],
    )


def recogniser(con: duckdb.DuckDBPyConnection) -> Callable[[Id], bool] | None:
    """Says of an id whether it was erased; None where none was."""
    rows = con.execute("SELECT kind, salt, hash FROM forgotten WHERE kind <> ?", [DUE]).fetchall()
    if not rows:
        return None
    known = {(str(kind), str(hashed)) for kind, _, hashed in rows}
    kinds = {kind for kind, _ in known}
    salts = {str(salt) for _, salt, _ in rows}
    answered: dict[Id, bool] = {}

    def erased(one: Id) -> bool:
        kind, value = one
        if kind not in kinds:
            return False
        found = answered.get(one)
        if found is None:
            found = any((kind, _hash(salt, kind, value)) in known for salt in salts)
            answered[one] = found
        return found

    return erased


def without(
    con: duckdb.DuckDBPyConnection, observations: Sequence[Observation], window_seconds: float
) -> tuple[Sequence[Observation], int]:
    """Leaves out what stands under an erased id, and how many that were; in a transaction.

    What is left of an execution whose other spans name an erased user or session goes too.
    """
    erased = recogniser(con)
    if erased is None:
        return observations, 0
    direct = {o.key for o in observations if any(map(erased, ids_of(o)))}
    if not direct:
        return observations, 0
    gone, traces = set(direct), set()
    stays: set[str | None] = set()
    for group in correlate(observations, window_seconds).groups:
        members = {o.key for o in group.observations}
        if members.isdisjoint(direct):
            stays |= {trace for trace, _ in members}
        else:
            gone |= members
            traces |= {trace for trace, _ in members}
    new = [("trace_id", trace) for trace in traces - stays if trace is not None]
    remember(con, [one for one in new if not erased(one)])
    kept = [o for o in observations if o.key not in gone]
    return kept, len(observations) - len(kept)


def _hash(salt: str, kind: str, value: str) -> str:
    body = f"{kind}|{value}".encode("utf-8", "replace")
    return hashlib.blake2b(body, key=salt.encode(), digest_size=16).hexdigest()
