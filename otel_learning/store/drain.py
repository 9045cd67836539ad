"""Moves what waits in the spool into the store: exactly once, whoever does it.

Lock, list the segments again, one transaction that also records their names, commit, unlink.
A kill anywhere leaves either the segments, or the rows, or both with the names recorded.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import pyarrow as pa

from otel_learning.assembly.assemble import Assembled, assemble, execution_id
from otel_learning.assembly.correlation import correlate
from otel_learning.errors import SchemaVersionError, StoreError
from otel_learning.mapping.outcome import error_type
from otel_learning.mapping.pricing import price
from otel_learning.observation import Observation
from otel_learning.store import ancestry, lease, rows, schema, segments
from otel_learning.store.ledger import Ledger, hash_key, keys_of
from otel_learning.store.spool import Segment, Spool

if TYPE_CHECKING:
    import duckdb

TRANSACTION_OBSERVATIONS: Final = 50_000
"""Observations moved in one transaction; bounds its memory."""
NAMES_KEPT_SECONDS: Final = 86_400.0
"""How long the name of a drained segment is remembered; it is unlinked right after."""
HOUSEKEEPING_SECONDS: Final = 60.0

Failpoint = Callable[[str], None]


def _no_failpoint(_: str) -> None:
    return None


failpoint: Failpoint = _no_failpoint
"""Called with a name at every step that a kill may fall on; tests put a kill there."""


@dataclass(frozen=True)
class DrainSettings:
    correlation_window_seconds: float = 3600.0
    settle_after_seconds: float = 300.0
    ledger_window_seconds: float = 7 * 86_400.0


@dataclass(slots=True)
class DrainReport:
    """What one drain did."""

    segments: int = 0
    observations: int = 0
    executions: int = 0
    broken: list[Path] = field(default_factory=list)
    unknown_format: int = 0
    late: int = 0
    """Observations that came after their execution had left the ledger; counted, not merged."""
    open_executions: int = 0


class Drainer:
    """Drains one store; it keeps the ledger's cache between drains."""

    def __init__(self, path: Path, settings: DrainSettings | None = None) -> None:
        self.path = path
        self.spool = Spool(path)
        self._settings = settings or DrainSettings()
        self._ledger = Ledger()
        self._housekept = 0.0
        self._last_drain = -1

    def drain(self, timeout_seconds: float) -> DrainReport:
        """Stores every segment that waits. Creates a missing store.

        Raises:
            StoreLockedError: the store was not free in time; everything waits.
            StoreError: it cannot be opened, written or understood; everything waits.
        """
        deadline = time.monotonic() + timeout_seconds
        report = DrainReport()
        with lease.exclusive(self.path, timeout_seconds):
            ensure_store(self.path)
            left = max(0.0, deadline - time.monotonic())
            with lease.connection(self.path, left) as con:
                schema.upgrade(con, str(self.path))
                self._drain_all(con, report)
            self.spool.mark_drained()
        return report

    def _drain_all(self, con: duckdb.DuckDBPyConnection, report: DrainReport) -> None:
        import duckdb

        waiting = self.spool.list()
        report.unknown_format = sum(1 for s in waiting if s.format > segments.FORMAT)
        waiting = [s for s in waiting if s.format <= segments.FORMAT]
        try:
            while waiting:
                waiting = self._drain_some(con, waiting, report)
            self._settle(con, report)
            self._keep_house(con)
        except (duckdb.Error, pa.ArrowException) as error:
            self._ledger.forget_cache()
            with contextlib.suppress(duckdb.Error):
                con.execute("ROLLBACK")
            raise StoreError(f"the store {self.path} could not be written: {error}") from error

    # ------------------------------------------------------------ one transaction

    def _drain_some(
        self, con: duckdb.DuckDBPyConnection, waiting: list[Segment], report: DrainReport
    ) -> list[Segment]:
        """Moves some segments in one transaction and returns those that are left."""
        taken: list[Segment] = []
        observations: list[Observation] = []
        losses: list[dict[str, Any]] = []
        con.execute("BEGIN")
        stored = self._already_stored(con, waiting)
        position = 0
        for position, segment in enumerate(waiting, start=1):  # noqa: B007
            if segment.name in stored:
                taken.append(segment)
                continue
            try:
                batches = self.spool.read(segment)
            except FileNotFoundError:
                continue
            except StoreError:
                report.broken.append(self.spool.set_aside(segment))
                losses.append({"reason": "broken segment", "count": 1})
                continue
            taken.append(segment)
            for batch in batches:
                observations += segments.from_batch(batch)
                losses += segments.notes_of(batch).get("losses", [])
            if len(observations) >= TRANSACTION_OBSERVATIONS:
                break
        fresh = [segment for segment in taken if segment.name not in stored]
        failpoint("drain: read")
        self._store(con, observations, report)
        _record_names(con, fresh)
        _record_losses(con, losses)
        failpoint("drain: before commit")
        con.execute("COMMIT")
        failpoint("drain: after commit")
        for segment in taken:
            self.spool.remove(segment)
            failpoint("drain: unlinked")
        report.segments += len(fresh)
        report.observations += len(observations)
        return waiting[position:]

    def _already_stored(
        self, con: duckdb.DuckDBPyConnection, waiting: list[Segment]
    ) -> set[str]:
        con.register("waiting", pa.table({"name": [s.name for s in waiting]}))
        try:
            found = con.execute(
                "SELECT name FROM drained_segments WHERE name IN (SELECT name FROM waiting)"
            ).fetchall()
        finally:
            con.unregister("waiting")
        return {name for (name,) in found}

    def _store(
        self, con: duckdb.DuckDBPyConnection, incoming: list[Observation], report: DrainReport
    ) -> None:
        plain = [o for o in incoming if o.role == "ancestor"]
        telling = [o for o in incoming if o.role != "ancestor"]
        ancestry.save(con, plain)
        if not incoming:
            return
        drain = self._next_drain(con)
        found = self._ledger.connected(con, telling or plain)
        telling, late = self._without_late(con, telling, found.expired)
        report.late += late
        if late:
            _record_losses(con, [{"reason": "later than the ledger's window", "count": late}])
        old = found.observations
        if not telling and not old:
            return
        traces = {o.trace_id for o in (*telling, *old) if o.trace_id is not None}
        ancestors = ancestry.load(con, traces)
        everything = [*old, *telling, *ancestors]
        kept = ancestry.needed(everything) - {o.key for o in old if o.role == "ancestor"}
        promoted = {o.key: o for o in ancestors if o.key in kept}
        if telling or promoted:
            self._ledger.append(con, drain, [*telling, *promoted.values()])
        offsets = self._earlier_runs(con, telling, found.expired)
        correlation = correlate(everything, self._settings.correlation_window_seconds)
        for group in correlation.groups:
            if group.task_id is not None:
                group.run += offsets.get(group.task_id, 0)
        now = int(time.time() * 1e6)
        assembled = [(assemble(group, price, error_type), group) for group in correlation.groups]
        self._replace(con, [a for a, _ in assembled], old, now)
        said = [
            rows.feedback_row(o, execution_id(group), now)
            for _, group in assembled
            for o in (*group.observations, *group.feedback)
        ]
        said += [rows.feedback_row(o, None, now) for o in correlation.orphans]
        _replace_feedback(con, [row for row in said if row is not None])
        lost = sum(group.overflow for group in correlation.groups)
        if lost:
            _record_losses(con, [{"reason": "over 20,000 observations in one execution",
                                  "count": lost}])  # fmt: skip
        report.executions += len(assembled)

    def _next_drain(self, con: duckdb.DuckDBPyConnection) -> int:
        row = lease.one(con, "SELECT coalesce(max(last_drain), 0) FROM ledger")
        newest = int(row[0]) if row else 0
        if newest != self._last_drain:
            # Another process drained in between; its merges may have renumbered what is cached.
            self._ledger.forget_cache()
        self._last_drain = newest + 1
        return newest + 1

    def _without_late(
        self, con: duckdb.DuckDBPyConnection, telling: list[Observation], expired: set[int]
    ) -> tuple[list[Observation], int]:
        """Leaves out what belongs to executions that have left the ledger's window."""
        if not expired:
            return telling, 0
        gone_traces = {
            o.trace_id for o in telling
            if o.trace_id is not None and hash_key(f"trace|{o.trace_id}") in expired
        }  # fmt: skip
        kept = [o for o in telling if o.role == "feedback" or o.trace_id not in gone_traces]
        return kept, len(telling) - len(kept)

    def _earlier_runs(
        self, con: duckdb.DuckDBPyConnection, telling: list[Observation], expired: set[int]
    ) -> dict[str, int]:
        """Task id -> runs of it that have left the ledger; the next one counts on."""
        tasks = {
            str(o.facts["task_id"]) for o in telling
            if "task_id" in o.facts and hash_key(f"task|{o.facts['task_id']}") in expired
        }  # fmt: skip
        offsets = {}
        for task in tasks:
            row = lease.one(con, "SELECT max(run) FROM settled_executions WHERE task_id = ? "
                "AND updated_at < (SELECT coalesce(min(arrived_at), now()) FROM ledger)", [task],
            )  # fmt: skip
            if row and row[0]:
                offsets[task] = int(row[0])
        return offsets

    def _replace(
        self,
        con: duckdb.DuckDBPyConnection,
        assembled: list[Assembled],
        old: list[Observation],
        now: int,
    ) -> None:
        """Puts the executions in the place of what stood there of the same traces."""
        first_recorded: dict[UUID, int] = {}
        resettled: set[UUID] = set()
        touched = {o.trace_id for o in old if o.trace_id is not None and o.role != "feedback"}
        if touched:
            starts = [o.start_ns for o in old if o.start_ns is not None]
            low, high = min(starts, default=None), max(starts, default=None)
            con.register("touched", pa.table({"trace_id": sorted(touched)}))
            try:
                gone = _delete_touched(con, "open", None, None)
                first_recorded.update(gone)
                gone = _delete_touched(con, "settled", low, high)
                first_recorded.update(gone)
                resettled = set(gone)
            finally:
                con.unregister("touched")
        settled: list[Assembled] = []
        still_open: list[Assembled] = []
        for item in assembled:
            row = item.execution
            row["recorded_at"] = first_recorded.get(row["execution_id"], now)
            row["updated_at"] = now
            done = row["complete"] or row["execution_id"] in resettled
            (settled if done else still_open).append(item)
        for name, items in (("settled", settled), ("open", still_open)):
            if not items:
                continue
            items.sort(key=lambda item: item.execution["started_at"] or 0)
            executions = rows.table([item.execution for item in items], rows.EXECUTION)
            rows.insert(con, f"{name}_executions", executions, rows.EXECUTION)
            attempts = [attempt for item in items for attempt in item.attempts]
            if attempts:
                rows.insert(
                    con, f"{name}_attempts", rows.table(attempts, rows.ATTEMPT), rows.ATTEMPT
                )

    # ------------------------------------------------------------------ settling

    def _settle(self, con: duckdb.DuckDBPyConnection, report: DrainReport) -> None:
        """Settles what is open and has heard nothing for `settle_after_seconds`."""
        row = lease.one(con, "SELECT count(*), count(*) FILTER (updated_at < now() - to_seconds(?)) "
            "FROM open_executions", [self._settings.settle_after_seconds],
        )  # fmt: skip
        still_open, due = row if row else (0, 0)
        if due:
            con.execute("BEGIN")
            con.execute(
                "CREATE TEMP TABLE due AS SELECT execution_id FROM open_executions "
                "WHERE updated_at < now() - to_seconds(?)", [self._settings.settle_after_seconds],
            )  # fmt: skip
            for kind in ("executions", "attempts"):
                con.execute(
                    f"INSERT INTO settled_{kind} FROM open_{kind} "
                    "WHERE execution_id IN (FROM due) ORDER BY started_at"
                )
                con.execute(f"DELETE FROM open_{kind} WHERE execution_id IN (FROM due)")
            con.execute("DROP TABLE due")
            failpoint("settle: before commit")
            con.execute("COMMIT")
        report.open_executions = int(still_open) - int(due)

    def _keep_house(self, con: duckdb.DuckDBPyConnection) -> None:
        """Lets go, once a minute, of what has had its time."""
        if time.monotonic() - self._housekept < HOUSEKEEPING_SECONDS and self._housekept:
            return
        self._housekept = time.monotonic()
        con.execute("BEGIN")
        self._ledger.merge_small(con)
        self._ledger.prune(con, self._settings.ledger_window_seconds)
        ancestry.prune(con, self._settings.settle_after_seconds)
        con.execute(
            "DELETE FROM drained_segments WHERE drained_at < now() - to_seconds(?)",
            [NAMES_KEPT_SECONDS],
        )
        con.execute("COMMIT")
        self.spool.sweep()


def ensure_store(path: Path) -> None:
    """Creates the store where there is none. Only inside `lease.exclusive`."""
    if path.exists():
        return
    lease.create(path, lambda con: schema.upgrade(con, str(path)))


def _delete_touched(
    con: duckdb.DuckDBPyConnection, kind: str, low: int | None, high: int | None
) -> dict[UUID, int]:
    """Deletes the executions of touched traces; returns when each was first recorded.

    `low` and `high` bound when they can have started, so that old row groups are skipped.
    """
    hint, bounds = "TRUE", []
    if low is not None and high is not None:
        hint = "(started_at BETWEEN make_timestamptz(?) AND make_timestamptz(?) OR started_at IS NULL)"
        bounds = [low // 1000, high // 1000]
    gone = con.execute(
        f"DELETE FROM {kind}_executions WHERE {hint} AND execution_id IN ("
        f"  SELECT execution_id FROM (SELECT execution_id, unnest(trace_ids) AS trace_id"
        f"  FROM {kind}_executions WHERE {hint}) WHERE trace_id IN (SELECT trace_id FROM touched))"
        " RETURNING execution_id, epoch_us(recorded_at)",
        [*bounds, *bounds],
    ).fetchall()
    if not gone:
        return {}
    con.register("gone", pa.table({"execution_id": [str(identity) for identity, _ in gone]}))
    try:
        con.execute(
            f"DELETE FROM {kind}_attempts WHERE execution_id IN "
            "(SELECT CAST(execution_id AS UUID) FROM gone)"
        )
    finally:
        con.unregister("gone")
    return {UUID(str(identity)): int(recorded) for identity, recorded in gone}


def _replace_feedback(con: duckdb.DuckDBPyConnection, said: list[dict[str, Any]]) -> None:
    """Stores feedback once per id, resolved to the execution it is about."""
    if said:
        latest = {row["feedback_id"]: row for row in said}
        table = rows.table(list(latest.values()), rows.FEEDBACK)
        con.register("said", table)
        try:
            con.execute(
                "DELETE FROM feedback WHERE feedback_id IN "
                "(SELECT CAST(feedback_id AS UUID) FROM said)"
            )
        finally:
            con.unregister("said")
        rows.insert(con, "feedback", table, rows.FEEDBACK)
    waiting = lease.one(con, "SELECT count(*) FROM feedback "
        "WHERE target_kind IN ('session_id', 'response_id', 'execution_id')"
    )
    if waiting and waiting[0]:
        con.execute(_RESOLVE_INDIRECT)


_RESOLVE_INDIRECT: Final = """
WITH wanted AS (
    SELECT feedback_id, target_kind, target_id, given_at FROM feedback
    WHERE target_kind IN ('session_id', 'response_id', 'execution_id')
), known AS (
    SELECT execution_id, session_id, ended_at FROM settled_executions
    UNION ALL SELECT execution_id, session_id, ended_at FROM open_executions
), answered AS (
    SELECT response_id, execution_id FROM attempts WHERE response_id IS NOT NULL
), candidate AS (
    SELECT w.feedback_id, w.given_at, k.execution_id, k.ended_at
    FROM wanted w JOIN known k ON w.target_kind = 'session_id' AND k.session_id = w.target_id
    UNION ALL
    SELECT w.feedback_id, w.given_at, k.execution_id, k.ended_at
    FROM wanted w
    JOIN answered a ON w.target_kind = 'response_id' AND a.response_id = w.target_id
    JOIN known k ON k.execution_id = a.execution_id
    UNION ALL
    SELECT w.feedback_id, w.given_at, k.execution_id, k.ended_at
    FROM wanted w
    JOIN known k ON w.target_kind = 'execution_id' AND CAST(k.execution_id AS VARCHAR) = w.target_id
), chosen AS (
    -- The run that ended last before the feedback was given, else the first one.
    SELECT feedback_id, coalesce(
        arg_max(execution_id, (ended_at, execution_id)) FILTER (given_at IS NULL OR ended_at <= given_at),
        arg_min(execution_id, (ended_at, execution_id))
    ) AS execution_id
    FROM candidate GROUP BY feedback_id
)
UPDATE feedback SET execution_id = chosen.execution_id
FROM chosen WHERE feedback.feedback_id = chosen.feedback_id
    AND feedback.execution_id IS DISTINCT FROM chosen.execution_id
"""


def _record_names(con: duckdb.DuckDBPyConnection, taken: list[Segment]) -> None:
    if not taken:
        return
    con.register("taken", pa.table({"name": [segment.name for segment in taken]}))
    try:
        con.execute("INSERT INTO drained_segments SELECT name, now() FROM taken")
    finally:
        con.unregister("taken")


def _record_losses(con: duckdb.DuckDBPyConnection, losses: list[dict[str, Any]]) -> None:
    for loss in losses:
        con.execute(
            "INSERT INTO losses VALUES (?, ?, now(), ?)",
            [str(loss["reason"]), int(loss["count"]), str(loss.get("process", os.getpid()))],
        )


def utc_now() -> datetime:
    return datetime.now(UTC)


__all__ = ["DrainReport", "DrainSettings", "Drainer", "SchemaVersionError", "ensure_store"]
