"""From spans to the spool: one pipeline per process and store.

Everything an exporter, a log exporter and a processor of one store share. `export` only spools;
a thread of the pipeline drains.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import logging
import os
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_learning.capture.drain_thread import DrainThread
from otel_learning.capture.policy_thread import PolicyThread
from otel_learning.capture.quiet import RateLimited
from otel_learning.errors import SpoolFullError
from otel_learning.store.breath import EXPORT_BREATH_SECONDS, Breather
from otel_learning.store.lake.address import ONLY_READ, is_lake, shown

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_learning.mapping.observe import Mapper
    from otel_learning.observation import Observation
    from otel_learning.settings import Settings
    from otel_learning.store.spool import Spool

logger = logging.getLogger("otel_learning")

HASHED_USERS: Final = 4096
"""User hashes kept in memory: the same few users come again and again."""
SIZE_CHECK_SECONDS: Final = 1.0
BURST_SECONDS: Final = 0.05
"""An export this soon after the one before is one of a burst."""
EXIT_JOIN_SECONDS: Final = 10.0
EXIT_DRAIN_SECONDS: Final = 5.0
"""How long a shutdown waits for a store that another program holds; the data are safe anyway."""
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
    if is_lake(chosen.path):
        instead = settings.DEFAULT_PATH
        problems.append(f"the setting path={shown(chosen.path)!r} is a lake's address, and "
                        f"{ONLY_READ}; its default {instead} stands")  # fmt: skip
        chosen = chosen.model_copy(update={"path": Path(instead)})
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
    """Maps and spools for one store, and has it drained."""

    def __init__(self, path: Path, chosen: Settings) -> None:
        self.path = path
        self.settings = chosen
        self.users = 0
        self._mapper: Mapper | None = None
        self._spool: Spool | None = None
        self._user_key: bytes | None = None
        self._hashed_users: dict[str, str] = {}
        self._warned = RateLimited(logger)
        self._reset()
        _live.add(self)

    def _reset(self) -> None:
        """State that must not cross a fork: locks, threads, and what they count."""
        self._drains = DrainThread(self.path, self.settings, self._warned)
        self._policy = PolicyThread(self.path, self.settings, self._warned)
        # A signal handler that shuts a provider down may interrupt whoever holds one of these.
        self._prepare_lock = threading.RLock()
        self._losses_lock = threading.RLock()
        self._losses: Counter[str] = Counter()
        self._spool_size = 0
        self._size_check_at = 0.0
        self.lost: Counter[str] = Counter()
        self._exported_at = 0.0

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

    def export(self, spans: Sequence[ReadableSpan]) -> bool:
        """Observes and records a batch on the exporting thread."""
        # An application that fills its queue faster than it is emptied would rather have it
        # empty soon; any other would rather not feel the export.
        hurried = time.monotonic() - self._exported_at < BURST_SECONDS
        breathe = None if hurried else Breather(EXPORT_BREATH_SECONDS)
        try:
            if breathe is None:
                return self.record(self.observe_spans(spans))
            return self.record(self.observe_spans(breathe.each(spans)), breathe)
        finally:
            self._exported_at = time.monotonic()

    def observe_spans(
        self, spans: Iterable[ReadableSpan], refused: list[str] | None = None
    ) -> list[Observation]:
        """The observations of spans; one that cannot be mapped is counted and left out.

        `refused`, where given, is told why, once for each.
        """
        mapper = self._mapper or self.mapper
        observations = []
        for span in spans:
            try:
                observation = mapper.span(span)
            except Exception as error:  # whatever a span holds, the others must get through
                self.count_loss("span that could not be mapped", 1, error)
                if refused is not None:
                    refused.append(f"a span could not be mapped: {type(error).__name__}")
                continue
            if observation is not None:
                if observation.facts.get("user_hash") == "":
                    del observation.facts["user_hash"]
                observations.append(observation)
        return observations

    def record(self, observations: Sequence[Observation], breathe: Breather | None = None) -> bool:
        """Puts observations down durably; False where that was not possible (and counted)."""
        try:
            return self.put(observations, breathe) == len(observations)
        except SpoolFullError as error:
            self.count_loss("spool over its limit", len(observations))
            self._warned.warning("otel_learning: %s: exports fail until the store can be drained",
                                 error.args[0])  # fmt: skip
        except OSError as error:
            self.count_loss("spool could not be written", len(observations), error)
        return False

    def put(self, observations: Sequence[Observation], breathe: Breather | None = None) -> int:
        """Puts observations down durably, for a caller who can give them again.

        Returns how many are down: what cannot be stored at all is left out, and counted.

        Raises:
            SpoolFullError: more waits than `SPOOL_LIMIT`; none is down.
            OSError: the spool cannot be written; none is down.
        """
        if not observations and not self._losses:
            return 0
        spool = self._spool or self.spool
        if self._over_limit(spool):
            raise self._full()
        with self._losses_lock:
            taken, self._losses = self._losses, Counter()
        try:
            kept, size = self._write(spool, observations, taken, breathe)
        except BaseException:
            with self._losses_lock:
                self._losses.update(taken)
            raise
        self._spool_size += size
        if self.settings.drain == "on":
            self._drains.recorded(max(1, kept))
        self._policy.start()
        return kept

    def spooled(self, count: int) -> None:
        """Somebody else of this process has put so much into the spool: it is drained when due."""
        if self.settings.drain == "on":
            self._drains.recorded(count)

    def check_room(self) -> None:
        """Asks, before the work, whether anything could be put down now.

        Raises:
            SpoolFullError: more waits than `SPOOL_LIMIT`.
        """
        if self._over_limit(self._spool or self.spool):
            raise self._full()

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait in the spool, as they were counted a moment ago."""
        self._over_limit(self._spool or self.spool)
        return self._spool_size

    @property
    def holder(self) -> str | None:
        """Who held the store when it could not be drained last; None where it could."""
        return self._drains.holder

    def _full(self) -> SpoolFullError:
        holder = self._drains.holder
        return SpoolFullError(
            f"{self._spool_size} bytes wait in {self.spool.folder}, the limit is "
            f"{self.settings.spool_limit}{f'; the store is held by {holder}' if holder else ''}"
        )

    def _write(
        self,
        spool: Spool,
        observations: Sequence[Observation],
        losses: Counter[str],
        breathe: Breather | None,
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
            body = segments.encode(observations, given, breathe)
        except Exception as error:  # one that cannot be written as JSON: the others can
            fitting = [o for o in observations if _fits(o)]
            body = segments.encode(fitting, given)
            refused = len(observations) - len(fitting)
            self.count_loss("observation that could not be encoded", refused, error)
            observations = fitting
        segment = spool.write(body)
        if not given and self.settings.drain == "on":
            self._drains.handover.put(segment.name, list(observations))
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
        return self._drains.flush(timeout_seconds)

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
        began = time.monotonic()
        self._policy.stop(timeout_seconds)
        self._drains.stop(max(0.0, timeout_seconds - (time.monotonic() - began)))

    def after_fork(self) -> None:
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
