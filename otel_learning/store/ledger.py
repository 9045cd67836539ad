"""Observations kept for a while, so that late ones can join and a task be put together anew.

One compressed file per drain. `ledger_keys` says which drain holds something about a trace or a
task. A small cache keeps what this process wrote last: a task that straddles two drains is the
common case of a late arrival.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from otel_learning.observation import Observation
from otel_learning.store import lease
from otel_learning.store.expired import ExpiredKeys, filter_files
from otel_learning.store.ledger_files import LedgerFiles

if TYPE_CHECKING:
    import duckdb

CACHED_OBSERVATIONS: Final = 10_000
"""Decoded observations kept in memory between drains."""
SMALL_FILE_BYTES: Final = 64 * 1024
MERGED_FILE_BYTES: Final = 512 * 1024
"""A merged file is not made larger: it is decoded as a whole for one late observation."""
MERGE_AT: Final = 64
"""Small files that are merged into one once there are this many."""


_TRACE: Final = "trace|"
_TASK: Final = "task|"


def keys_of(observation: Observation) -> list[str]:
    """What ties an observation to others: its trace, its task, its joining key."""
    keys = []
    facts = observation.facts
    if observation.role == "feedback":
        # Feedback looks its target up, and ties nothing together (rule C5).
        kind, target = facts.get("feedback_kind"), str(facts.get("feedback_target", ""))
        if kind == "task_id":
            keys.append(f"{_TASK}{target}")
        elif kind in ("span_id", "trace_id"):
            keys.append(_TRACE + target.partition(":")[0])
        return keys
    if observation.trace_id is not None:
        keys.append(_TRACE + observation.trace_id)
    task = facts.get("task_id")
    if task is not None:
        keys.append(f"{_TASK}{task}")
    join = facts.get("join_key")
    if join is not None:
        joined = str(join)
        keys.append(f"trace|{joined[6:]}" if joined.startswith("trace:") else f"join|{joined}")
    return keys


def keys_in(observations: list[Observation]) -> set[str]:
    """The keys of all of them: most share their trace's and their task's with their neighbours."""
    plain = [o for o in observations if o.role != "feedback"]
    keys = {_TRACE + trace for trace in {o.trace_id for o in plain} if trace is not None}
    keys |= {f"{_TASK}{o.facts['task_id']}" for o in plain if "task_id" in o.facts}
    for observation in observations:
        if observation.role == "feedback" or "join_key" in observation.facts:
            keys.update(keys_of(observation))
    return keys


@lru_cache(maxsize=16_384)
def hash_key(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")


@dataclass(slots=True)
class Blob:
    """The observations of one ledger file."""

    first: int
    last: int
    """The drains that it stands for."""
    observations: list[Observation]

    def holding(self, keys: set[str]) -> list[int]:
        """Where the observations are that one of these keys ties to others."""
        traces = {key[len(_TRACE) :] for key in keys if key.startswith(_TRACE)}
        tasks = {key[len(_TASK) :] for key in keys if key.startswith(_TASK)}
        return [
            position
            for position, o in enumerate(self.observations)
            if (o.role != "feedback" and (o.trace_id in traces or o.facts.get("task_id") in tasks))
            or ((o.role == "feedback" or "join_key" in o.facts) and not keys.isdisjoint(keys_of(o)))
        ]


@dataclass(slots=True)
class Found:
    """What the ledger holds on a set of keys, and on all that hangs together with them."""

    observations: list[Observation]
    expired: set[int]
    """Keys that something was once stored under, which has left the ledger's window."""


class Ledger:
    """Reads and writes the ledger over one connection; the cache outlives it."""

    def __init__(self, store: Path, fsync: bool = False) -> None:
        self._files = LedgerFiles(store, fsync)
        self._expired = ExpiredKeys(self._files.folder)
        self._retiring = False
        self._cache: OrderedDict[int, Blob] = OrderedDict()
        """By the first drain of each blob; the least recently used one first."""
        self._cached = 0
        self._small = 0

    @property
    def lags(self) -> bool:
        """Whether keys wait to be moved away, of which the ledger has let go."""
        return self._retiring

    def retire(self, con: duckdb.DuckDBPyConnection) -> None:
        """Moves some keys of which the ledger has let go; in a transaction of its own."""
        self._retiring = self._expired.retire(con)

    @property
    def crumbles(self) -> bool:
        """Whether this process has written many small files since it last merged some."""
        return self._small >= MERGE_AT

    def connected(self, con: duckdb.DuckDBPyConnection, new: list[Observation]) -> Found:
        """Everything stored that hangs together with `new`, by trace, task or joining key."""
        known: set[str] = set()
        expired: set[int] = set()
        taken: set[tuple[int, int, int]] = set()
        found: list[Observation] = []
        frontier = keys_in(new)
        while frontier:
            known |= frontier
            wanted = {hash_key(key): key for key in frontier}
            hits = self._drains_of(con, wanted.keys())
            expired |= self._expired.among(con, wanted.keys())
            frontier = set()
            blob: Blob | None = None
            for drain, hashes in sorted(hits.items()):
                # In order, so that neighbours that were merged are decoded once.
                if blob is None or not blob.first <= drain <= blob.last:
                    blob = self._blob(con, drain)
                if blob is None:
                    expired |= hashes
                    continue
                for position in blob.holding({wanted[hashed] for hashed in hashes}):
                    place = (blob.first, blob.last, position)
                    if place in taken:
                        continue
                    taken.add(place)
                    observation = blob.observations[position]
                    found.append(observation)
                    if observation.role != "feedback":
                        frontier.update(set(keys_of(observation)) - known)
        return Found(found, expired)

    def _drains_of(
        self, con: duckdb.DuckDBPyConnection, keys: Iterable[int]
    ) -> dict[int, set[int]]:
        wanted = pa.table({"key": pa.array(sorted(keys), pa.uint64())})
        con.register("wanted_keys", wanted)
        try:
            rows = con.execute(
                "SELECT DISTINCT k.drain, k.key FROM ledger_keys AS k "
                "WHERE k.key IN (SELECT key FROM wanted_keys)"
            ).fetchall()
        finally:
            con.unregister("wanted_keys")
        hits: dict[int, set[int]] = defaultdict(set)
        for drain, key in rows:
            hits[drain].add(key)
        return hits

    def expired_traces(self, con: duckdb.DuckDBPyConnection, traces: set[str]) -> set[str]:
        """Those of the traces of which something has left the ledger."""
        hashes = {hash_key(f"trace|{trace}"): trace for trace in traces}
        if not hashes:
            return set()
        con.register("wanted_keys", pa.table({"key": pa.array(sorted(hashes), pa.uint64())}))
        try:
            rows = con.execute(
                "SELECT DISTINCT k.key FROM ledger_keys AS k "
                "WHERE k.key IN (SELECT key FROM wanted_keys) AND NOT EXISTS ("
                "  FROM ledger AS l WHERE k.drain BETWEEN l.first_drain AND l.last_drain)"
            ).fetchall()
        finally:
            con.unregister("wanted_keys")
        expired = {key for (key,) in rows} | self._expired.among(con, hashes.keys())
        return {hashes[key] for key in expired}

    def _blob(self, con: duckdb.DuckDBPyConnection, drain: int) -> Blob | None:
        for first, cached in self._cache.items():
            if first <= drain <= cached.last:
                self._cache.move_to_end(first)
                return cached
        row = lease.one(con, "SELECT first_drain, last_drain, file FROM ledger "
            "WHERE first_drain <= ? AND last_drain >= ?", [drain, drain],
        )  # fmt: skip
        if row is None:
            return None
        first, last, file = row
        observations = self._files.read(file)
        if observations is None:
            return None
        blob = Blob(first, last, observations)
        self._remember(blob)
        return blob

    def _remember(self, blob: Blob) -> None:
        # Drains that a merge has put together since they were cached are in the merged one.
        for first in [f for f in self._cache if blob.first <= f <= blob.last]:
            self._cached -= len(self._cache.pop(first).observations)
        self._cache[blob.first] = blob
        self._cached += len(blob.observations)
        while self._cached > CACHED_OBSERVATIONS and len(self._cache) > 1:
            _, gone = self._cache.popitem(last=False)
            self._cached -= len(gone.observations)

    def append(
        self,
        con: duckdb.DuckDBPyConnection,
        drain: int,
        observations: list[Observation],
        breathe: Callable[[], None] | None = None,
    ) -> None:
        """Stores the observations of one drain, and the keys they are found by."""
        found = sorted(hash_key(key) for key in keys_in(observations))
        file, size = self._files.write(drain, drain, observations, breathe)
        self._small += size < SMALL_FILE_BYTES
        con.execute(
            "INSERT INTO ledger VALUES (?, ?, now(), ?, ?, ?)",
            [drain, drain, len(observations), size, file],
        )
        keys = pa.table(
            {
                "key": pa.array(found, pa.uint64()),
                "drain": pa.array([drain] * len(found), pa.int64()),
            }
        )
        con.register("new_keys", keys)
        try:
            con.execute("INSERT INTO ledger_keys SELECT key, drain FROM new_keys")
        finally:
            con.unregister("new_keys")
        self._remember(Blob(drain, drain, observations))

    def forget_cache(self) -> None:
        """After a rollback, or when another process may have changed the ledger."""
        self._cache.clear()
        self._cached = 0

    def merge_small(self, con: duckdb.DuckDBPyConnection) -> None:
        """Merges small files into one, once there are many: a small one compresses badly."""
        self._small = 0
        rows = con.execute(
            "SELECT first_drain, last_drain, size_bytes, file FROM ledger "
            "WHERE size_bytes < ? ORDER BY first_drain", [SMALL_FILE_BYTES],
        ).fetchall()  # fmt: skip
        if len(rows) < MERGE_AT:
            return
        run: list[tuple[int, int, int, str]] = []
        for row in [*rows, None]:
            # Only neighbours may merge: a file stands for every drain between its two numbers.
            fits = sum(size for _, _, size, _ in run) < MERGED_FILE_BYTES
            if row is not None and fits and (not run or row[0] == run[-1][1] + 1):
                run.append(row)
                continue
            if len(run) >= 2:
                self._merge(con, run)
            run = [row] if row is not None else []

    def _merge(self, con: duckdb.DuckDBPyConnection, run: list[tuple[int, int, int, str]]) -> None:
        read = [self._files.read(file) for _, _, _, file in run]
        observations = [o for members in read if members is not None for o in members]
        first, last = run[0][0], run[-1][1]
        arrived = lease.one(
            con, "SELECT max(arrived_at) FROM ledger WHERE first_drain BETWEEN ? AND ?",
            [first, last],
        )  # fmt: skip
        file, size = self._files.write(first, last, observations)
        con.execute("DELETE FROM ledger WHERE first_drain BETWEEN ? AND ?", [first, last])
        con.execute(
            "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?)",
            [first, last, arrived[0] if arrived else None, len(observations), size, file],
        )
        self.forget_cache()

    def sweep(self, con: duckdb.DuckDBPyConnection) -> None:
        """Removes files that no row names: merged, expired, or of a drain that was rolled back.

        Only outside a transaction, and inside `lease.exclusive`.
        """
        named = {file for (file,) in con.execute("SELECT file FROM ledger").fetchall()}
        self._files.keep_only(named | set(filter_files(con)))

    def prune(self, con: duckdb.DuckDBPyConnection, window_seconds: float) -> None:
        """Lets go of what arrived longer ago than the window."""
        gone = con.execute(
            "DELETE FROM ledger WHERE arrived_at < now() - to_seconds(?) RETURNING first_drain",
            [window_seconds],
        ).fetchall()
        for (first,) in gone:
            # What is cached must not know more than what every other process reads.
            blob = self._cache.pop(first, None)
            self._cached -= len(blob.observations) if blob is not None else 0
