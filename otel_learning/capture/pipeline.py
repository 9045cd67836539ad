"""From spans to the spool, and the thread that drains it: one per process and store.

Everything an exporter, a log exporter and a processor of one store share. `export` only spools;
the thread drains at about 5,000 observations or a second, and at most about once a second per
store, whichever process does it.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import secrets
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_learning.capture.quiet import RateLimited, own_thread_context

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
SIZE_CHECK_SECONDS: Final = 1.0
EXIT_JOIN_SECONDS: Final = 10.0

_pipelines: dict[str, Pipeline] = {}
_registry_lock = threading.Lock()


def pipeline_for(arguments: dict[str, Any]) -> Pipeline:
    """The pipeline of the store that the settings name; made on first use. Never raises."""
    from otel_learning import settings

    chosen, problems = settings.load(arguments)
    for problem in problems:
        logger.warning("otel_learning: %s", problem)
    key = os.path.realpath(chosen.path.expanduser())
    with _registry_lock:
        found = _pipelines.get(key)
        if found is None:
            found = _pipelines[key] = Pipeline(Path(key), chosen)
        found.users += 1
        return found


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
        self._warned = RateLimited(logger)
        self.holder: str | None = None
        """Who held the store when it could not be drained last, for messages."""
        self._reset()
        atexit.register(_stop_at_exit, weakref.ref(self))

    def _reset(self) -> None:
        """State that must not cross a fork: locks, threads, and what they count."""
        self._condition = threading.Condition()
        self._prepare_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._pending = 0
        self._pending_since = 0.0
        self._settle_at: float | None = None
        self._losses: Counter[str] = Counter()
        self._spool_size = 0
        self._size_checked = 0.0
        self.lost: Counter[str] = Counter()

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
        from otel_learning.mapping.privacy import hash_user

        if self._user_key is None:
            self._user_key = user_key(self.path)
        return hash_user(user, self._user_key)

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
                observations.append(observation)
        return observations

    def record(self, observations: Sequence[Observation]) -> bool:
        """Puts observations down durably; False where that was not possible (and counted)."""
        from otel_learning.store import segments

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
        notes, taken = None, None
        if self._losses:
            taken, self._losses = self._losses, Counter()
            process = f"{os.getpid()}"
            notes = {
                "losses": [
                    {"reason": reason, "count": count, "process": process}
                    for reason, count in taken.items()
                ]
            }
        try:
            segment = spool.write(segments.to_batch(observations, notes))
        except OSError as error:
            if taken:
                self._losses.update(taken)
            self.count_loss("spool could not be written", len(observations), error)
            return False
        self._spool_size += segment.size
        self._wake(len(observations))
        return True

    def _over_limit(self, spool: Spool) -> bool:
        now = time.monotonic()
        if now - self._size_checked > SIZE_CHECK_SECONDS:
            self._size_checked = now
            self._spool_size = spool.size()
        return self._spool_size >= self.settings.spool_limit

    def count_loss(self, reason: str, count: int, error: Exception | None = None) -> None:
        """Counts what was not kept; it reaches the store with the next segment."""
        if not count:
            return
        self._losses[reason] += count
        self.lost[reason] += count
        self._warned.warning(
            "otel_learning: %s: %d lost%s", reason, count, f" ({error!r})" if error else ""
        )

    # ------------------------------------------------------------------- draining

    def _wake(self, count: int) -> None:
        if self.settings.drain == "off":
            return
        with self._condition:
            if not self._pending:
                self._pending_since = time.monotonic()
            self._pending += count
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(
                    target=self._run, name="otel_learning drain", daemon=True
                )
                self._thread.start()
            if self._pending >= DRAIN_OBSERVATIONS or self._pending == count:
                self._condition.notify_all()

    def _run(self) -> None:
        with own_thread_context():
            delay = 0.0
            while self._wait_for_work(delay):
                delay = 0.0 if self._try_drain(DRAIN_LOCK_SECONDS) else self._next_delay(delay)

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
                    due = now + DRAIN_SECONDS - younger
            times.append(due)
        if self._settle_at is not None:
            times.append(self._settle_at)
        return min(times, default=None)

    def _try_drain(self, timeout_seconds: float) -> bool:
        """One drain; False where the store was not to be had. Nothing is lost then."""
        from otel_learning.errors import SchemaVersionError, StoreError, StoreLockedError
        from otel_learning.store.drain import Drainer, DrainSettings

        with self._condition:
            taken = self._pending
        if self._drainer is None:
            self._drainer = Drainer(
                self.path,
                DrainSettings(
                    correlation_window_seconds=self.settings.correlation_window,
                    settle_after_seconds=self.settings.settle_after,
                    ledger_window_seconds=self.settings.ledger_window,
                ),
            )
        try:
            report = self._drainer.drain(timeout_seconds)
        except StoreLockedError as error:
            self.holder = error.holder
            self._warned.warning("otel_learning: %s", error)
            return False
        except SchemaVersionError as error:
            self._warned.warning("otel_learning: %s; spans are kept in the spool", error)
            return False
        except (StoreError, OSError) as error:
            self._warned.warning("otel_learning: %s; it is tried again", error)
            return False
        except Exception:  # a defect of ours must not end the thread, nor pass unseen
            self._warned.exception("otel_learning: draining failed; it is tried again")
            return False
        self.holder = None
        for broken in report.broken:
            logger.warning("otel_learning: the segment %s is broken and was set aside", broken)
        if report.unknown_format:
            self._warned.warning(
                "otel_learning: %d segments were written by a newer release; they wait for it",
                report.unknown_format,
            )
        with self._condition:
            self._pending = max(0, self._pending - taken)
            self._pending_since = time.monotonic()
            self._settle_at = (
                time.monotonic() + self.settings.settle_after + 1 if report.open_executions else None
            )
        return True

    def force_flush(self, timeout_seconds: float) -> bool:
        """Drains now; True once everything recorded before is queryable."""
        if self.settings.drain == "off":
            return True
        if self._spool is None:
            return True
        deadline = time.monotonic() + timeout_seconds
        with own_thread_context():
            while True:
                left = deadline - time.monotonic()
                if self._try_drain(max(0.0, left)):
                    return True
                if time.monotonic() >= deadline:
                    return False
                time.sleep(min(0.05, max(0.0, deadline - time.monotonic())))

    def release(self, timeout_seconds: float) -> None:
        """One user less; the last one drains, and stops the thread."""
        with _registry_lock:
            self.users -= 1
            last = self.users <= 0
            if last:
                _pipelines.pop(str(self.path), None)
        if self._losses:
            with contextlib.suppress(Exception):  # shutting down: the counts are a courtesy
                self.record([])
        self.force_flush(timeout_seconds)
        if last:
            self.stop(timeout_seconds)

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


def _stop_at_exit(reference: weakref.ref[Pipeline]) -> None:
    # DuckDB must not be torn down under a thread that is in the middle of a drain.
    pipeline = reference()
    if pipeline is not None:
        pipeline.stop(EXIT_JOIN_SECONDS)


def _after_fork_in_child() -> None:
    global _registry_lock
    _registry_lock = threading.Lock()
    for pipeline in _pipelines.values():
        pipeline.after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)


def user_key(path: Path) -> bytes:
    """The key of user hashes, from the file beside the store; made once, atomically."""
    file = path.with_name(path.name + ".key")
    for _ in range(100):
        try:
            key = file.read_bytes()
        except FileNotFoundError:
            key = b""
        if len(key) == 32:
            return key
        draft = path.with_name(f"{path.name}.key.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(descriptor, secrets.token_bytes(32))
            finally:
                os.close(descriptor)
            with contextlib.suppress(FileExistsError):
                os.link(draft, file)
        finally:
            draft.unlink(missing_ok=True)
    raise OSError(f"the key file {file} cannot be read")
