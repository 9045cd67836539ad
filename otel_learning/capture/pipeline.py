"""From spans to the spool, and the thread that drains it: one per process and store.

Everything an exporter, a log exporter and a processor of one store share. `export` only spools;
the thread drains at about 5,000 observations or a second, and at most about once a second per
store, whichever process does it.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import logging
import os
import secrets
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_learning.capture.quiet import RateLimited, own_thread_context
from otel_learning.store.handover import Handover

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_learning.mapping.observe import Mapper
    from otel_learning.observation import Observation
    from otel_learning.settings import Settings
    from otel_learning.store.drain import Drainer
    from otel_learning.store.spool import Spool

logger = logging.getLogger("otel_learning")

DRAIN_OBSERVATIONS: Final = 5_000
DRAIN_SECONDS: Final = 1.0
RETRY_SECONDS_MAX: Final = 5.0
DRAIN_LOCK_SECONDS: Final = 2.0
"""How long the drain thread waits for a store that another program holds, before it tries again."""
DRAIN_WORK_SECONDS: Final = 1.0
"""After that long a drain of a large backlog lets go of the file, so that others can read it."""
BACKLOG_PAUSE_SECONDS: Final = 0.2
HASHED_USERS: Final = 4096
"""User hashes kept in memory: the same few users come again and again."""
SIZE_CHECK_SECONDS: Final = 1.0
EXIT_JOIN_SECONDS: Final = 10.0
EXIT_DRAIN_SECONDS: Final = 5.0
"""How long a shutdown waits for a store that another program holds; the data are safe anyway."""
UNUSABLE_RETRY_SECONDS: Final = 1.0
"""How long a flush tries a store that is not locked, but cannot be used."""
LOSSES_KEPT: Final = 256
"""Kinds of losses counted apart in memory."""

_pipelines: dict[str, Pipeline] = {}
_registry_lock = threading.RLock()
_live: weakref.WeakSet[Pipeline] = weakref.WeakSet()
_said: set[str] = set()
"""Problems with settings that were named in this process: one warning each."""


def _warm_up() -> None:
    """Imports what the first export needs, so that a burst right after the start is not lost.

    While the first export imports for 60 ms, an application at full speed overflows the batch
    processor's queue of 2,048 spans. The built-in profiles are part of the package, as code is.
    """
    import otel_learning.mapping.observe
    import otel_learning.store.segments
    import otel_learning.store.spool  # noqa: F401
    from otel_learning.mapping import profile

    profile.load()


def pipeline_for(arguments: dict[str, Any]) -> Pipeline:
    """The pipeline of the store that the settings name; made on first use. Never raises."""
    from otel_learning import settings

    chosen, problems = settings.load(arguments)
    _warm_up()
    key = os.path.realpath(chosen.path.expanduser())
    with _registry_lock:
        found = _pipelines.get(key)
        if found is None:
            found = _pipelines[key] = Pipeline(Path(key), chosen)
        else:
            problems += _differences(found.settings, chosen)
        found.users += 1
    for problem in problems:
        if problem not in _said:
            _said.add(problem)
            logger.warning("otel_learning: %s", problem)
    return found


def _differences(first: Settings, second: Settings) -> list[str]:
    """One store has one pipeline: what a second exporter asks for otherwise is named."""
    return [
        f"the setting {name}={getattr(second, name)!r} is ignored: {first.path} is in use in this "
        f"process with {name}={getattr(first, name)!r}"
        for name in type(first).model_fields
        if name != "path" and getattr(second, name) != getattr(first, name)
    ]


class Pipeline:
    """Maps, spools and drains for one store."""

    def __init__(self, path: Path, chosen: Settings) -> None:
        self.path = path
        self.settings = chosen
        self.users = 0
        self._mapper: Mapper | None = None
        self._spool: Spool | None = None
        self._drainer: Drainer | None = None
        self._user_key: bytes | None = None
        self._hashed_users: dict[str, str] = {}
        self._warned = RateLimited(logger)
        self.holder: str | None = None
        """Who held the store when it could not be drained last, for messages."""
        self._reset()
        _live.add(self)

    def _reset(self) -> None:
        """State that must not cross a fork: locks, threads, and what they count."""
        self._condition = threading.Condition()
        # A signal handler that shuts a provider down may interrupt whoever holds one of these.
        self._prepare_lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._recorded = 0
        self._drained = 0
        """Observations recorded, and how many of them are known to be in the store."""
        self._pending_since = 0.0
        self._settle_at: float | None = None
        self._locked = False
        """Whether the last drain failed because somebody else had the store."""
        self._handover = Handover()
        self._losses_lock = threading.RLock()
        self._losses: Counter[str] = Counter()
        self._spool_size = 0
        self._size_check_at = 0.0
        self.lost: Counter[str] = Counter()
        self._newer_schema_said = False

    @property
    def _pending(self) -> int:
        return self._recorded - self._drained

    # ------------------------------------------------------------------ preparing

    def _prepare(self) -> tuple[Mapper, Spool]:
        """Reads profiles and imports Arrow: not in a constructor, but at the first export."""
        with self._prepare_lock:
            if self._mapper is None or self._spool is None:
                from otel_learning.errors import ConfigurationError
                from otel_learning.mapping.observe import Mapper
                from otel_learning.mapping.profile import load
                from otel_learning.store.spool import Spool

                try:
                    profiles = load(self.settings.profile)
                except ConfigurationError as error:
                    logger.warning("otel_learning: %s; the built-in profiles stand", error)
                    profiles = load()
                self._mapper = Mapper(profiles, self.settings.content, self._hash_user)
                self._spool = Spool(self.path, self.settings.fsync)
            return self._mapper, self._spool

    @property
    def mapper(self) -> Mapper:
        return self._prepare()[0]

    @property
    def spool(self) -> Spool:
        return self._prepare()[1]

    def _hash_user(self, user: str) -> str:
        from otel_learning.capture.user_key import user_key
        from otel_learning.mapping.privacy import hash_user

        if self._user_key is None:
            try:
                self._user_key = user_key(self.path)
            except OSError as error:
                # Better no user than no span; the empty hash is taken out again.
                self._warned.warning("otel_learning: user ids are left out: %s", error)
                return ""
        hashed = self._hashed_users.get(user)
        if hashed is None:
            if len(self._hashed_users) >= HASHED_USERS:
                self._hashed_users.clear()
            hashed = self._hashed_users[user] = hash_user(user, self._user_key)
        return hashed

    # ------------------------------------------------------------------ recording

    def observe_spans(self, spans: Iterable[ReadableSpan]) -> list[Observation]:
        """The observations of spans; one that cannot be mapped is counted and left out."""
        mapper = self._mapper or self.mapper
        observations = []
        for span in spans:
            try:
                observation = mapper.span(span)
            except Exception as error:  # whatever a span holds, the others must get through
                self.count_loss("span that could not be mapped", 1, error)
                continue
            if observation is not None:
                if observation.facts.get("user_hash") == "":
                    del observation.facts["user_hash"]
                observations.append(observation)
        return observations

    def record(self, observations: Sequence[Observation]) -> bool:
        """Puts observations down durably; False where that was not possible (and counted)."""
        if not observations and not self._losses:
            return True
        spool = self._spool or self.spool
        if self._over_limit(spool):
            self.count_loss("spool over its limit", len(observations))
            self._warned.warning(
                "otel_learning: %s bytes wait in %s, the limit is %s: exports fail until the "
                "store can be drained%s", self._spool_size, spool.folder,
                self.settings.spool_limit, f"; it is held by {self.holder}" if self.holder else "",
            )  # fmt: skip
            return False
        with self._losses_lock:
            taken, self._losses = self._losses, Counter()
        try:
            kept, size = self._write(spool, observations, taken)
        except BaseException as error:
            with self._losses_lock:
                self._losses.update(taken)
            if not isinstance(error, OSError):
                raise
            self.count_loss("spool could not be written", len(observations), error)
            return False
        self._spool_size += size
        self._wake(max(1, kept))
        return kept == len(observations)

    def _write(
        self, spool: Spool, observations: Sequence[Observation], losses: Counter[str]
    ) -> tuple[int, int]:
        """Writes one segment; returns how many observations are in it, and its size."""
        from otel_learning.store import segments

        process = str(os.getpid())
        notes = {
            "losses": [
                {"reason": reason, "count": count, "process": process}
                for reason, count in losses.items()
            ]
        }
        given = notes if losses else None
        try:
            body = segments.encode(observations, given)
        except Exception as error:  # one that cannot be written as JSON: the others can
            fitting = [o for o in observations if _fits(o)]
            body = segments.encode(fitting, given)
            refused = len(observations) - len(fitting)
            self.count_loss("observation that could not be encoded", refused, error)
            observations = fitting
        segment = spool.write(body)
        if not given and self.settings.drain == "on":
            self._handover.put(segment.name, list(observations))
        return len(observations), segment.size

    def _over_limit(self, spool: Spool) -> bool:
        now = time.monotonic()
        if now >= self._size_check_at:
            self._spool_size = spool.size()
            # Looking at a hundred thousand files takes a while: seldom, then.
            took = time.monotonic() - now
            self._size_check_at = now + max(SIZE_CHECK_SECONDS, 50 * took)
        return self._spool_size >= self.settings.spool_limit

    def count_loss(self, reason: str, count: int, error: Exception | None = None) -> None:
        """Counts what was not kept; it reaches the store with the next segment."""
        if not count:
            return
        with self._losses_lock:
            if reason not in self._losses and len(self._losses) >= LOSSES_KEPT:
                reason = "other"
            self._losses[reason] += count
            self.lost[reason] += count
        # An exception's repr may quote what it choked on; its text and type are enough.
        cause = f" ({type(error).__name__}: {str(error)[:200]})" if error is not None else ""
        self._warned.warning("otel_learning: %s: %d lost%s", reason, count, cause, topic=reason)

    # ------------------------------------------------------------------- draining

    def _wake(self, count: int) -> None:
        if self.settings.drain == "off":
            return
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
            if now >= due and self._spool is not None:
                # Another worker drained a moment ago: what waits here goes with the next one.
                younger = self._spool.seconds_since_drain()
                if younger < DRAIN_SECONDS:
                    due = now + DRAIN_SECONDS - younger + 0.001
            times.append(due)
        if self._settle_at is not None:
            times.append(self._settle_at)
        return min(times, default=None)

    def _drained_by_others(self, recorded: int) -> bool:
        """Whether nothing waits, since somebody else has drained it: then nothing is to do."""
        spool = self._spool
        settling = self._settle_at is not None and time.monotonic() >= self._settle_at
        if spool is None or settling or spool.list():
            return False
        self._note_drained(recorded)
        return True

    def _note_drained(self, recorded: int) -> None:
        with self._condition:
            self._drained = max(self._drained, recorded)
            self._pending_since = time.monotonic()

    def _drainer_of(self) -> Drainer:
        from otel_learning.store.drain import Drainer, DrainSettings

        with self._prepare_lock:
            if self._drainer is None:
                chosen = DrainSettings.of(self.settings)
                self._drainer = Drainer(self.path, chosen, self._handover)
            return self._drainer

    def _try_drain(
        self, timeout_seconds: float, work_seconds: float, unless_within_seconds: float = 0.0
    ) -> bool:
        """One drain; False where the store was not to be had. Nothing is lost then."""
        from otel_learning.errors import SchemaVersionError, StoreError, StoreLockedError
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
        except SchemaVersionError as error:
            if not self._newer_schema_said:
                self._newer_schema_said = True
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
        if not report.waiting:
            self._note_drained(recorded)
        with self._condition:
            self._settle_at = (
                time.monotonic() + self.settings.settle_after + 1
                if report.open_executions
                else None
            )
        return True

    def force_flush(self, timeout_seconds: float) -> bool:
        """Drains now; True once everything recorded before is queryable.

        With `DRAIN=off` it does not drain, and is True only where nothing waits.
        """
        if self._losses:
            with contextlib.suppress(Exception):  # the counts are a courtesy
                self.record([])
        spool = self._spool
        if spool is None:
            return True
        if self.settings.drain == "off":
            return not spool.list()
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

    def release(self, timeout_seconds: float) -> None:
        """One user less; the last one drains, and stops the thread."""
        deadline = time.monotonic() + timeout_seconds
        with _registry_lock:
            self.users -= 1
            last = self.users <= 0
            if last and _pipelines.get(str(self.path)) is self:
                del _pipelines[str(self.path)]
        self.force_flush(min(timeout_seconds, EXIT_DRAIN_SECONDS))
        if last:
            left = max(0.0, deadline - time.monotonic())
            self.stop(min(left, EXIT_DRAIN_SECONDS))

    def stop(self, timeout_seconds: float) -> None:
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_seconds)

    def after_fork(self) -> None:
        self._drainer = None
        self._reset()


def _fits(observation: Observation) -> bool:
    from otel_learning.store import segments

    try:
        segments.encode([observation])
    except Exception:  # whatever it is, it cannot be stored
        return False
    return True


def _stop_at_exit() -> None:
    # DuckDB must not be torn down under a thread that is in the middle of a drain.
    deadline = time.monotonic() + EXIT_JOIN_SECONDS
    for pipeline in list(_live):
        pipeline.stop(max(0.0, deadline - time.monotonic()))
    if "duckdb" in sys.modules and gc.get_freeze_count():
        # Prefork servers freeze what is loaded; DuckDB prints a page about frozen objects that
        # were not freed at the end.
        gc.unfreeze()


def _after_fork_in_child() -> None:
    global _registry_lock
    _registry_lock = threading.RLock()
    for pipeline in list(_live):
        pipeline.after_fork()


atexit.register(_stop_at_exit)
os.register_at_fork(after_in_child=_after_fork_in_child)
