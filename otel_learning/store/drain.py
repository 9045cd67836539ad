"""Moves what waits in the spool into the store: exactly once, whoever does it.

Lock, list the segments again, one transaction that also records their names, commit, unlink.
A kill anywhere leaves either the segments, or the rows, or both with the names recorded.
"""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from otel_learning.errors import StoreError
from otel_learning.observation import Observation
from otel_learning.store import ancestry, forgotten, lease, outbox, rollups, schema, segments
from otel_learning.store.bookkeeping import already_stored, record_losses, record_names
from otel_learning.store.breath import DRAIN_BREATH_SECONDS, DRAIN_WAIT_SECONDS, Breather
from otel_learning.store.failpoints import failpoint
from otel_learning.store.handover import Handover
from otel_learning.store.ledger import Ledger
from otel_learning.store.merge import Merger
from otel_learning.store.retention import count_beyond
from otel_learning.store.spool import Segment, Spool
from otel_learning.store.transaction import transaction

if TYPE_CHECKING:
    import duckdb

    from otel_learning.settings import Settings

TRANSACTION_OBSERVATIONS: Final = 5_000
"""Observations moved in one transaction at most; bounds its memory."""
TRANSACTION_SECONDS: Final = 0.3
"""And fewer where the machine is busy, so that a transaction takes about so long."""
TRANSACTION_LEAST: Final = 2_000
HOLD_SECONDS: Final = 0.4
"""After that long no further transaction is begun before others could read (rule R6)."""
PUT_OFF_SECONDS: Final = 10.0
"""How long rolling up and housekeeping are put off at most where much comes in."""
MORE_BYTES: Final = 1024 * 1024
"""What must have come during a drain, some 2,000 observations, to go in with it."""
HOUSEKEEPING_SECONDS: Final = 60.0


@dataclass(frozen=True)
class DrainSettings:
    correlation_window_seconds: float = 3600.0
    settle_after_seconds: float = 300.0
    ledger_window_seconds: float = 7 * 86_400.0
    fsync: bool = False
    retention_days: float | None = None

    @classmethod
    def of(cls, chosen: Settings) -> DrainSettings:
        return cls(
            chosen.correlation_window, chosen.settle_after, chosen.ledger_window, chosen.fsync,
            chosen.retention_days,
        )  # fmt: skip


@dataclass(slots=True)
class DrainReport:
    """What one drain did."""

    segments: int = 0
    observations: int = 0
    executions: int = 0
    broken: list[Path] = field(default_factory=list)
    unknown_format: int = 0
    waiting: int = 0
    """Segments that were left for the next drain, because the time was over."""
    unreadable: int = 0
    """Segments that could not be read now, though they may be sound; they wait."""
    skipped: bool = False
    """Nothing was done, because somebody else had drained a moment ago."""
    late: int = 0
    """Observations that came after their execution had left the ledger; counted, not merged."""
    open_executions: int = 0
    due_seconds: float | None = None
    """In how many seconds there is work without anything new: to settle, or to roll up."""
    beyond_retention: int = 0
    """Executions older than `retention_days`; counted once by each process."""


@dataclass(slots=True)
class _Reading:
    """What one transaction is to store."""

    stored: set[str]
    """Names of segments that are in already: a kill fell between commit and unlink."""
    taken: list[Segment] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    losses: list[dict[str, Any]] = field(default_factory=list)
    broken: list[dict[str, Any]] = field(default_factory=list)


class Drainer:
    """Drains one store; it keeps the ledger's cache between drains."""

    def __init__(
        self,
        path: Path,
        settings: DrainSettings | None = None,
        handover: Handover | None = None,
    ) -> None:
        self.path = path
        self._handover = handover or Handover()
        self.spool = Spool(path)
        self._settings = settings or DrainSettings()
        self._ledger = Ledger(path, self._settings.fsync)
        self._housekept = 0.0
        self._tended = 0.0
        self._pace = TRANSACTION_OBSERVATIONS / TRANSACTION_SECONDS
        """Observations a second that the last transactions moved."""
        self._retention_counted = False
        self._breathe = Breather(DRAIN_BREATH_SECONDS, DRAIN_WAIT_SECONDS)
        self._merger = Merger(
            self._ledger, self._settings.correlation_window_seconds, self._breathe
        )
        self._due_at = 0.0
        """When there is work without anything new, in monotonic seconds; 0 where not known yet."""

    def drain(
        self,
        timeout_seconds: float,
        *,
        work_seconds: float | None = None,
        unless_within_seconds: float = 0.0,
    ) -> DrainReport:
        """Stores every segment that waits. Creates a missing store.

        It lets go of the file again and again, so that others can read while much is stored.

        Args:
            timeout_seconds: how long to wait for the store.
            work_seconds: after that long no further transaction is begun; what is left is
                counted in the report.
            unless_within_seconds: leaves all to the next drain if one ended less than that ago.

        Raises:
            StoreLockedError: the store was not free in time; everything waits.
            StoreError: it cannot be opened, written or understood; everything waits.
        """
        begun = time.monotonic()
        report = DrainReport()
        wanted = {segment.name for segment in self.spool.list()}
        if begun < self._due_at and not wanted:
            report.skipped = True
            return report
        timeout = timeout_seconds
        while not report.skipped:
            self._hold(report, timeout, unless_within_seconds)
            unless_within_seconds = 0.0
            left = wanted & {segment.name for segment in self.spool.list()}
            if not left or left == wanted:  # or they cannot be moved now
                break
            wanted = left
            if work_seconds is not None:
                timeout = begun + timeout_seconds - time.monotonic()
                if time.monotonic() >= begun + work_seconds or timeout <= 0:
                    break
        wait = math.inf if report.due_seconds is None else report.due_seconds
        self._due_at = 0.0 if report.skipped else time.monotonic() + wait
        return report

    def _hold(
        self, report: DrainReport, timeout_seconds: float, unless_within_seconds: float
    ) -> None:
        """Stores what can be stored while the file is held once, which others wait for."""
        import duckdb

        deadline = time.monotonic() + timeout_seconds
        with lease.exclusive(self.path, timeout_seconds):
            if self.spool.seconds_since_drain() < unless_within_seconds:
                report.skipped = True
                return
            try:
                ensure_store(self.path)
                left = max(0.0, deadline - time.monotonic())
                with lease.connection(self.path, left) as con:
                    schema.upgrade(con, str(self.path))
                    self._drain_all(con, report)
            except BaseException as error:
                # What the cache holds of this drain has not become true.
                self._ledger.forget_cache()
                if isinstance(error, duckdb.Error | pa.ArrowException):
                    raise StoreError(
                        f"the store {self.path} could not be written: {error}"
                    ) from error
                raise
            self.spool.mark_drained()

    def _drain_all(self, con: duckdb.DuckDBPyConnection, report: DrainReport) -> None:
        # What has been put off long enough takes the place of all transactions but the first.
        overdue = time.monotonic() - self._tended > PUT_OFF_SECONDS
        until = time.monotonic() + (0.0 if overdue else HOLD_SECONDS)
        self._breathe.begin()
        waiting = self.spool.list()
        report.unknown_format = sum(1 for s in waiting if s.format > segments.FORMAT)
        waiting = [s for s in waiting if s.format <= segments.FORMAT]
        seen = {segment.name for segment in waiting}
        while waiting:
            waiting = self._drain_some(con, waiting, report)
            if not waiting:
                # Many that came meanwhile go in too: opening and closing the file costs as much
                # as some thousand observations.
                fresh = [s for s in self.spool.list() if s.name not in seen]
                fresh = [s for s in fresh if s.format <= segments.FORMAT]
                waiting = fresh if sum(s.size for s in fresh) >= MORE_BYTES else []
                seen |= {segment.name for segment in waiting}
            if time.monotonic() >= until:
                break
        report.waiting = len(waiting)
        if overdue or time.monotonic() < until:
            self._tended = time.monotonic()
            self._tend(con, report)
        else:
            report.due_seconds = 1.0

    def _tend(self, con: duckdb.DuckDBPyConnection, report: DrainReport) -> None:
        """Settles, rolls up and lets go of what is due."""
        self._settle(con, report)
        rolled_up = rollups.refresh(con)
        settled = self._settings.settle_after_seconds + 1.0 if report.open_executions else None
        report.due_seconds = min((s for s in (rolled_up, settled) if s is not None), default=None)
        self._keep_house(con)
        if self._settings.retention_days is not None and not self._retention_counted:
            self._retention_counted = True
            report.beyond_retention = count_beyond(con, self._settings.retention_days)

    # ------------------------------------------------------------ one transaction

    def _drain_some(
        self, con: duckdb.DuckDBPyConnection, waiting: list[Segment], report: DrainReport
    ) -> list[Segment]:
        """Moves some segments in one transaction and returns those that are left."""
        begun = time.monotonic()
        reading, left = self._read(con, waiting, report)
        if self._moved(con, reading, report) is not None:
            self._move_one_by_one(con, reading, report)
        if reading.observations:
            pace = len(reading.observations) / max(time.monotonic() - begun, 1e-3)
            self._pace = (self._pace + pace) / 2
        return left

    def _moved(
        self, con: duckdb.DuckDBPyConnection, reading: _Reading, report: DrainReport
    ) -> Exception | None:
        """Moves what was read; where its data cannot be stored, nothing of it, and says why."""
        try:
            self._move(con, reading, report)
        except Exception as error:
            if not _lies_in_the_data(error):
                raise
            self._roll_back(con)
            return error
        return None

    def _move_one_by_one(
        self, con: duckdb.DuckDBPyConnection, failed: _Reading, report: DrainReport
    ) -> None:
        """One segment that cannot be stored must not keep all others out for ever."""
        for segment in failed.taken:
            reading, _ = self._read(con, [segment], report)
            error = self._moved(con, reading, report)
            if error is not None:
                self._give_up(con, segment, error, report)
        with transaction(con):
            record_losses(con, failed.broken)

    def _give_up(
        self, con: duckdb.DuckDBPyConnection, segment: Segment, error: Exception,
        report: DrainReport,
    ) -> None:  # fmt: skip
        report.broken.append(self.spool.set_aside(segment))
        reason = f"segment that could not be stored: {type(error).__name__}"
        with transaction(con):
            record_losses(con, [{"reason": reason, "count": 1}])

    def _roll_back(self, con: duckdb.DuckDBPyConnection) -> None:
        import duckdb

        self._ledger.forget_cache()
        with contextlib.suppress(duckdb.Error):  # the transaction may be over already
            con.execute("ROLLBACK")

    def _read(
        self, con: duckdb.DuckDBPyConnection, waiting: list[Segment], report: DrainReport
    ) -> tuple[_Reading, list[Segment]]:
        """As many segments as one transaction takes, and those that are left."""
        reading = _Reading(stored=already_stored(con, waiting))
        most = min(TRANSACTION_OBSERVATIONS, self._pace * TRANSACTION_SECONDS)
        position = 0
        for position, segment in enumerate(waiting, start=1):  # noqa: B007
            if segment.name in reading.stored:
                reading.taken.append(segment)
                continue
            handed = self._handover.take(segment.name)
            try:
                contents = (
                    self.spool.read(segment) if handed is None else segments.Contents(handed, {})
                )
            except FileNotFoundError:
                continue
            except OSError:
                report.unreadable += 1  # it waits, and the others go in
                continue
            except Exception as error:
                if not _lies_in_the_data(error):
                    raise
                report.broken.append(self.spool.set_aside(segment))
                reading.broken.append({"reason": "broken segment", "count": 1})
                continue
            self._breathe()
            reading.taken.append(segment)
            reading.observations += contents.observations
            reading.losses += contents.notes.get("losses", [])
            if len(reading.observations) >= max(most, TRANSACTION_LEAST):
                break
        return reading, waiting[position:]

    def _move(self, con: duckdb.DuckDBPyConnection, reading: _Reading, report: DrainReport) -> None:
        fresh = [s for s in reading.taken if s.name not in reading.stored]
        failpoint("drain: read")
        con.execute("BEGIN")
        observations, erased = forgotten.without(
            con, reading.observations, self._settings.correlation_window_seconds
        )
        merged = self._merger.merge(con, observations)
        record_names(con, fresh, self.spool)
        record_losses(con, [*reading.losses, *reading.broken])
        if erased:
            record_losses(con, [{"reason": "forgotten", "count": erased}])
        failpoint("drain: before commit")
        con.execute("COMMIT")
        failpoint("drain: after commit")
        for segment in reading.taken:
            # One that cannot be unlinked is known by its name, as long as it lies there.
            with contextlib.suppress(OSError):
                self.spool.remove(segment)
            failpoint("drain: unlinked")
        report.segments += len(fresh)
        report.observations += len(reading.observations)
        report.executions += merged.executions
        report.late += merged.late

    # ------------------------------------------------------------------ settling

    def _settle(self, con: duckdb.DuckDBPyConnection, report: DrainReport) -> None:
        """Settles what is open and has heard nothing for `settle_after_seconds`."""
        row = lease.one(
            con,
            "SELECT count(*), count(*) FILTER (updated_at < now() - to_seconds(?)) "
            "FROM open_executions",
            [self._settings.settle_after_seconds],
        )
        still_open, due = row if row else (0, 0)
        if due:
            con.execute("BEGIN")
            con.execute(
                "CREATE OR REPLACE TEMP TABLE due AS SELECT execution_id FROM open_executions "
                "WHERE updated_at < now() - to_seconds(?)", [self._settings.settle_after_seconds],
            )  # fmt: skip
            for kind in ("executions", "attempts"):
                con.execute(
                    f"INSERT INTO settled_{kind} FROM open_{kind} "
                    "WHERE execution_id IN (FROM due) ORDER BY started_at"
                )
                con.execute(f"DELETE FROM open_{kind} WHERE execution_id IN (FROM due)")
            days = con.execute(
                "SELECT DISTINCT day FROM settled_executions WHERE execution_id IN (FROM due)"
            ).fetchall()
            rollups.mark_days(con, [day for (day,) in days])
            outbox.note(
                con, "execution", "SELECT execution_id AS id, day FROM settled_executions "
                "WHERE execution_id IN (FROM due)",
            )  # fmt: skip
            con.execute("DROP TABLE due")
            failpoint("settle: before commit")
            con.execute("COMMIT")
        report.open_executions = int(still_open) - int(due)

    def _keep_house(self, con: duckdb.DuckDBPyConnection) -> None:
        """Lets go of what has had its time: once a minute, or when it has become much."""
        rested = time.monotonic() - self._housekept < HOUSEKEEPING_SECONDS and self._housekept
        if self._ledger.lags:
            self._ledger.retire(con)
        if rested and not self._ledger.crumbles:
            return
        self._housekept = time.monotonic()
        with transaction(con):
            self._ledger.merge_small(con)
            self._ledger.prune(con, self._settings.ledger_window_seconds)
            ancestry.prune(con, self._settings.settle_after_seconds)
            forgotten.prune(con, self._settings.ledger_window_seconds)
        if not self._ledger.lags:
            self._ledger.retire(con)
        self._ledger.sweep(con)
        self.spool.sweep()


def ensure_store(path: Path) -> None:
    """Creates the store where there is none. Only inside `lease.exclusive`."""
    if path.exists():
        return
    lease.create(path, lambda con: schema.upgrade(con, str(path)))


def _lies_in_the_data(error: Exception) -> bool:
    """Whether trying again cannot help, since it is the segment that cannot be stored.

    A full disk, a lock, too little memory or a changed schema pass, or are repaired: then
    everything waits.
    """
    import duckdb

    if isinstance(error, duckdb.Error):
        return isinstance(
            error, duckdb.DataError | duckdb.IntegrityError | duckdb.InvalidInputException
        )
    if isinstance(error, MemoryError | OSError | ImportError | SystemError):
        return False
    # Other RuntimeErrors are those of an interpreter that shuts down.
    return isinstance(error, RecursionError) or not isinstance(error, RuntimeError)
