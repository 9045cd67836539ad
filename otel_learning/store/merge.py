"""Merges what a drain brings into the store: old observations and new ones, assembled anew.

The effects around the pure middle: looks up what hangs together with the new observations, has
it correlated and assembled, and writes the executions in the place of what stood there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from otel_learning.assembly.assemble import assemble
from otel_learning.assembly.correlation import Group, correlate
from otel_learning.mapping.outcome import error_type
from otel_learning.mapping.pricing import price
from otel_learning.observation import Observation
from otel_learning.store import ancestry, lease, rows
from otel_learning.store.bookkeeping import record_losses
from otel_learning.store.executions import replace_executions
from otel_learning.store.feedback import store_feedback
from otel_learning.store.ledger import Found, Ledger, hash_key

if TYPE_CHECKING:
    import duckdb


@dataclass(slots=True)
class Merged:
    """What one merge did."""

    executions: int = 0
    late: int = 0
    """Observations that came after their execution had left the ledger; counted, not merged."""


class Merger:
    """Merges into one store; it knows which drain was the last that it has seen."""

    def __init__(
        self, ledger: Ledger, correlation_window_seconds: float, breathe: Callable[[], None]
    ) -> None:
        self._ledger = ledger
        self._correlation_window_seconds = correlation_window_seconds
        self._breathe = breathe
        self._last_drain = -1
        self._generation = 0

    def merge(self, con: duckdb.DuckDBPyConnection, incoming: Sequence[Observation]) -> Merged:
        """Stores observations and the executions that they change; inside a transaction."""
        merged = Merged()
        plain = [o for o in incoming if o.role == "ancestor"]
        telling = [o for o in incoming if o.role != "ancestor"]
        ancestry.save(con, plain)
        if not incoming:
            return merged
        drain = self._next_drain(con)
        # Plain spans count: the root that an open execution waits for may be one.
        found = self._ledger.connected(con, [*telling, *one_per_trace(plain)])
        old = found.observations
        if found.expired:
            telling, old, late = self._without_late(con, telling, found)
            merged.late = late
            if late:
                record_losses(con, [{"reason": "later than the ledger's window", "count": late}])
        if not telling and not old:
            return merged
        traces = {o.trace_id for o in (*telling, *old) if o.trace_id is not None}
        ancestors = ancestry.load(con, traces)
        everything = [*old, *telling, *ancestors]
        kept: set[tuple[str | None, str]] = set()
        if ancestors:
            kept = ancestry.needed(everything) - {o.key for o in old if o.role == "ancestor"}
        promoted = {o.key: o for o in ancestors if o.key in kept}
        correlation = correlate(everything, self._correlation_window_seconds)
        fresh = _within_limits(telling, correlation.groups)
        if fresh or promoted:
            self._ledger.append(con, drain, [*fresh, *promoted.values()], self._breathe)
        if found.expired:
            self._count_on(con, correlation.groups, found.expired, traces)
        now = int(time.time() * 1e6)
        assembled = []
        for group in correlation.groups:
            assembled.append((assemble(group, price, error_type), group))
            self._breathe()
        replaced = replace_executions(con, [a for a, _ in assembled], old, now)
        said = [
            rows.feedback_row(o, item.execution["execution_id"], now)
            for item, group in assembled
            for o in (*group.observations, *group.feedback)
            if rows.carries_feedback(o)
        ]
        orphans = [rows.feedback_row(o, None, now) for o in correlation.orphans]
        store_feedback(con, said, orphans, replaced)
        lost = len(telling) - len(fresh)
        if lost:
            record_losses(con, [{"reason": "over 20,000 observations in one execution",
                                  "count": lost}])  # fmt: skip
        merged.executions = len(assembled)
        return merged

    def _next_drain(self, con: duckdb.DuckDBPyConnection) -> int:
        newest: int
        row = lease.one(
            con,
            "SELECT coalesce(max(last_drain), 0), (SELECT max(generation) FROM generations) "
            "FROM ledger",
        )
        newest, generation = row if row else (0, 0)
        if newest != self._last_drain or generation != self._generation:
            # Another process drained in between; its merges may have renumbered what is cached.
            # In another generation the same numbers may stand for other observations.
            self._ledger.forget_cache()
            # A number is never used again, also where the ledger has let go of all that had it.
            row = lease.one(con, "SELECT coalesce(max(drain), 0) FROM ledger_keys")
            newest = max(newest, int(row[0]) if row else 0)
        self._last_drain, self._generation = newest + 1, generation
        return newest + 1

    def _without_late(
        self, con: duckdb.DuckDBPyConnection, telling: list[Observation], found: Found
    ) -> tuple[list[Observation], list[Observation], int]:
        """Leaves out what belongs to executions that have left the ledger's window.

        An execution of which only a part is left stays as it is: put together anew from that
        part, it would lose what the rest had told. Returns the new and the old observations
        that remain, and how many of the new came too late.
        """
        traces = {
            o.trace_id for o in (*telling, *found.observations)
            if o.trace_id is not None and o.role != "feedback"
        }  # fmt: skip
        gone = {t for t in traces if hash_key(f"trace|{t}") in found.expired}
        con.register("concerned", pa.table({"trace_id": pa.array(sorted(traces), pa.string())}))
        try:
            together = con.execute(
                "SELECT trace_ids FROM settled_executions WHERE len(trace_ids) > 1 AND "
                "list_has_any(trace_ids, (SELECT coalesce(list(trace_id), []) FROM concerned))"
            ).fetchall()
        finally:
            con.unregister("concerned")
        lost = self._ledger.expired_traces(con, {t for (members,) in together for t in members})
        for (members,) in together:
            if not lost.isdisjoint(members):
                gone.update(members)
        kept = [o for o in telling if o.role == "feedback" or o.trace_id not in gone]
        old = [o for o in found.observations if o.role == "feedback" or o.trace_id not in gone]
        return kept, old, len(telling) - len(kept)

    def _count_on(
        self, con: duckdb.DuckDBPyConnection, groups: list[Group], expired: set[int],
        traces: set[str],
    ) -> None:  # fmt: skip
        """Where earlier runs of a task have left the ledger, its next ones count on from them."""
        offsets: dict[tuple[str, str], int] = {}
        for group in groups:
            if group.task_id is None or hash_key(f"task|{group.task_id}") not in expired:
                continue
            key = (group.scope, group.task_id)
            if key not in offsets:
                environment = group.observations[0].facts.get("environment")
                row = lease.one(con, "SELECT coalesce(max(run), 0) FROM settled_executions "
                    "WHERE task_id = ? AND environment IS NOT DISTINCT FROM ? "
                    "AND NOT list_has_any(trace_ids, ?)",
                    [group.task_id, environment, sorted(traces)],
                )  # fmt: skip
                offsets[key] = int(row[0]) if row else 0
            group.run += offsets[key]


def _within_limits(telling: list[Observation], groups: list[Group]) -> list[Observation]:
    """Leaves out what an overfull execution could not take: the ledger must not grow by it.

    Otherwise every later drain would read it all back, for a task id that never ends.
    """
    full = [group for group in groups if group.overflow]
    if not full:
        return telling
    taken = {o.key for group in full for o in group.observations}
    traces = {o.trace_id for group in full for o in group.observations}
    tasks = {group.task_id for group in full}
    return [
        o for o in telling
        if o.role == "feedback" or o.key in taken
        or (o.trace_id not in traces and o.facts.get("task_id", "") not in tasks)
    ]  # fmt: skip


def one_per_trace(plain: list[Observation]) -> list[Observation]:
    return list({o.trace_id: o for o in plain}.values())
