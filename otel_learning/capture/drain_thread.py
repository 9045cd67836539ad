"""The thread that drains one store's spool, and how often it does.

At about 5,000 observations or a second, and at most about once a second per store, whichever
process does it.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_learning.capture.quiet import RateLimited, own_thread_context
from otel_learning.store.handover import Handover
from otel_learning.store.spool import Spool

if TYPE_CHECKING:
    from otel_learning.settings import Settings
    from otel_learning.store.drain import Drainer

logger = logging.getLogger("otel_learning")

DRAIN_OBSERVATIONS: Final = 5_000
DRAIN_SECONDS: Final = 1.0
RETRY_SECONDS_MAX: Final = 5.0
DRAIN_LOCK_SECONDS: Final = 2.0
"""How long the drain thread waits for a store that another program holds, before it tries again."""
DRAIN_WORK_SECONDS: Final = 1.0
"""After that long a drain of a large backlog lets go of the file, so that others can read it."""
BACKLOG_PAUSE_SECONDS: Final = 0.2
UNUSABLE_RETRY_SECONDS: Final = 1.0
"""How long a flush tries a store that is not locked, but cannot be used."""


class DrainThread:
    """Drains when it is due. Of a fork's child: made anew, since locks and threads do not cross."""

    def __init__(self, path: Path, settings: Settings, warned: RateLimited) -> None:
        self._path = path
        self._settings = settings
        self._warned = warned
        self.handover = Handover()
        self.holder: str | None = None
        """Who held the store when it could not be drained last, for messages."""
        self._spool = Spool(path)
        self._drainer: Drainer | None = None
        self._condition = threading.Condition()
        # A signal handler that shuts a provider down may interrupt whoever holds this.
        self._drainer_lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._recorded = 0
        self._drained = 0
        """Observations recorded, and how many of them are known to be in the store."""
        self._pending_since = 0.0
        self._work_at: float | None = None
        """When there is work in the store without anything new."""
        self._locked = False
        """Whether the last drain failed because somebody else had the store."""
        self._schema_said = False

    @property
    def _pending(self) -> int:
        return self._recorded - self._drained

    def recorded(self, count: int) -> None:
        """So many observations are in the spool; the thread is started or woken where it is due."""
        with self._condition:
            if not self._pending:
                self._pending_since = time.monotonic()
            self._recorded += count
            if self._thread is None and not self._stopping:
                thread = threading.Thread(target=self._run, name="otel_learning drain", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    # No thread can be had, say while the interpreter ends: it waits in the spool.
                    if threading.main_thread().is_alive():
                        self._warned.warning("otel_learning: no thread to drain with: %s", error)
                else:
                    self._thread = thread
            if self._pending >= DRAIN_OBSERVATIONS or self._pending == count:
                self._condition.notify_all()

    def _run(self) -> None:
        with own_thread_context():
            delay = 0.0
            while self._wait_for_work(delay):
                if not self._try_drain(DRAIN_LOCK_SECONDS, DRAIN_WORK_SECONDS, DRAIN_SECONDS):
                    delay = self._next_delay(delay)
                else:
                    delay = BACKLOG_PAUSE_SECONDS if self._pending >= DRAIN_OBSERVATIONS else 0.0

    @staticmethod
    def _next_delay(delay: float) -> float:
        # Jitter, so that workers that were refused together do not come back together.
        return min(RETRY_SECONDS_MAX, max(0.1, delay * 2)) * (0.75 + secrets.randbelow(50) / 100)

    def _wait_for_work(self, delay: float) -> bool:
        """Waits until a drain is due; False when the pipeline stops."""
        not_before = time.monotonic() + delay
        with self._condition:
            while not self._stopping:
                now = time.monotonic()
                due = self._due_at(now)
                if due is None:
                    self._condition.wait(60.0)
                    continue
                due = max(due, not_before)
                if now >= due:
                    return True
                self._condition.wait(due - now)
            return False

    def _due_at(self, now: float) -> float | None:
        if self._pending >= DRAIN_OBSERVATIONS:
            return now
        times = []
        if self._pending:
            due = self._pending_since + DRAIN_SECONDS
            if now >= due:
                # Another worker drained a moment ago: what waits here goes with the next one.
                younger = self._spool.seconds_since_drain()
                if younger < DRAIN_SECONDS:
                    due = now + DRAIN_SECONDS - younger + 0.001
            times.append(due)
        if self._work_at is not None:
            times.append(self._work_at)
        return min(times, default=None)

    def _drained_by_others(self, recorded: int) -> bool:
        """Whether nothing waits, since somebody else has drained it: then nothing is to do."""
        due = self._work_at is not None and time.monotonic() >= self._work_at
        if due or self._spool.list():
            return False
        self._note_drained(recorded)
        return True

    def _note_drained(self, recorded: int) -> None:
        with self._condition:
            self._drained = max(self._drained, recorded)
            self._pending_since = time.monotonic()

    def _drainer_of(self) -> Drainer:
        from otel_learning.store.drain import Drainer, DrainSettings

        with self._drainer_lock:
            if self._drainer is None:
                chosen = DrainSettings.of(self._settings)
                self._drainer = Drainer(self._path, chosen, self.handover)
            return self._drainer

    def _try_drain(
        self, timeout_seconds: float, work_seconds: float, unless_within_seconds: float = 0.0
    ) -> bool:
        """One drain; False where the store was not to be had. Nothing is lost then."""
        from otel_learning.errors import (
            SchemaUpgradeError,
            SchemaVersionError,
            StoreError,
            StoreLockedError,
        )
        from otel_learning.store.lease import OWN_THREAD

        with self._condition:
            # Counted before the drain lists the spool: all of these are in it, or in the store.
            recorded = self._recorded
            self._locked = False
            if self._pending >= DRAIN_OBSERVATIONS:
                unless_within_seconds = 0.0
        try:
            if unless_within_seconds and self._drained_by_others(recorded):
                return True
            report = self._drainer_of().drain(
                timeout_seconds,
                work_seconds=work_seconds,
                unless_within_seconds=unless_within_seconds,
            )
        except StoreLockedError as error:
            self.holder = error.holder
            self._locked = True
            if error.holder != OWN_THREAD:  # a drain of ours takes a moment, and nobody waits
                self._warned.warning("otel_learning: %s", error)
            return False
        except (SchemaVersionError, SchemaUpgradeError) as error:
            if not self._schema_said:
                self._schema_said = True
                logger.warning("otel_learning: %s; spans are kept in the spool", error)
            return False
        except (StoreError, OSError) as error:
            self._warned.warning("otel_learning: %s; it is tried again", error)
            return False
        except Exception:  # a defect of ours must not end the thread, nor pass unseen
            self._warned.exception("otel_learning: draining failed; it is tried again")
            return False
        if report.skipped:
            if not unless_within_seconds:  # nothing waited: somebody else has drained it
                self._note_drained(recorded)
            return True
        self.holder = None
        for broken in report.broken[:100]:
            logger.warning("otel_learning: the segment %s is broken and was set aside", broken)
        if report.unknown_format:
            self._warned.warning(
                "otel_learning: %d segments were written by a newer release; they wait for it",
                report.unknown_format,
            )
        if report.unreadable:
            self._warned.warning(
                "otel_learning: %d segments cannot be read; they wait", report.unreadable
            )
            return False
        if report.beyond_retention:
            logger.warning(
                "otel_learning: %d executions are older than RETENTION_DAYS; "
                "otel-learning archive takes them out",
                report.beyond_retention,
            )
        if not report.waiting:
            self._note_drained(recorded)
        with self._condition:
            due = report.due_seconds
            self._work_at = None if due is None else time.monotonic() + due
            if threading.current_thread() is not self._thread:
                self._condition.notify_all()  # the thread may be asleep until later than that
        return True

    def flush(self, timeout_seconds: float) -> bool:
        """Drains on the caller's thread; True once everything recorded before is in the store."""
        with self._condition:
            recorded = self._recorded
        deadline = time.monotonic() + timeout_seconds
        with own_thread_context():
            while True:
                left = max(0.0, deadline - time.monotonic())
                moved = self._try_drain(left, left)
                if moved and self._drained >= recorded:
                    return True
                if not moved and not self._locked:
                    # A disk that is full or a folder in the file's place does not pass at once.
                    deadline = min(deadline, time.monotonic() + UNUSABLE_RETRY_SECONDS)
                if time.monotonic() >= deadline:
                    return False
                time.sleep(min(0.05, max(0.0, deadline - time.monotonic())))

    def stop(self, timeout_seconds: float) -> None:
        """Ends the thread; what waits stays in the spool."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_seconds)
