"""Keeps the evidence of a store in memory, and renews it beside the calls that ask."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from otel_learning.errors import OtelLearningError, StoreLockedError, StoreMissingError
from otel_learning.learning.drift import half_life_days
from otel_learning.learning.evidence import Environment, Shape, Weights, environments
from otel_learning.learning.recommendation import Recommendation
from otel_learning.learning.similar import ROWS_MOST, Similar
from otel_learning.store.database import LearningDatabase
from otel_learning.store.lake.address import is_lake
from otel_learning.store.reader import Reader
from otel_learning.store.spool import Spool

REFRESH_LEAST_SECONDS: Final = 2.0
REFRESH_SHARE: Final = 0.02
"""Of one processor's time, at most, for renewing: a large store is read less often."""
WAIT_SECONDS: Final = 2.0
"""How long a call that has nothing in memory waits for a store that somebody else holds."""
RETRY_SECONDS: Final = 1.0
"""After a failure nobody waits again for so long."""
ANSWERS_MOST: Final = 4096

Signature = tuple[tuple[int, int, int] | None, ...]


class View:
    """Evidence as it was at one moment, and answers that were given from it."""

    def __init__(self, found: dict[str | None, Environment], half_life: float | None) -> None:
        self.environments = found
        self.half_life_days = half_life
        self.answers: dict[object, Recommendation] = {}
        self.similar: dict[tuple[str | None, Weights], Similar] = {}
        """Described executions, by environment, as far as they have been asked for."""
        self.current_at = time.monotonic()
        """When it was last known to be what the store holds."""

    @property
    def age_seconds(self) -> float:
        return time.monotonic() - self.current_at

    def main_environment(self) -> str | None:
        """The environment with most executions; of equal ones by name, an unknown one last."""
        return min(
            self.environments,
            key=lambda name: (-self.environments[name].executions, name is None, name or ""),
        )

    def remember(self, question: object, answer: Recommendation) -> None:
        if len(self.answers) >= ANSWERS_MOST:
            self.answers.clear()
        self.answers[question] = answer


class Memory:
    """The evidence of one store for one choice of arms.

    The first call reads the store; later ones are answered from what was read, while a thread
    reads it anew where it has changed. Nothing is held open in between. A forked child begins
    its own thread. Never raises: `failure` says why there is no view.
    """

    def __init__(self, store: Reader | Path, by: tuple[str, ...], as_of: datetime | None) -> None:
        self._store, self._by, self._as_of = store, by, as_of
        self._lake: LearningDatabase | None = None
        self._view: View | None = None
        self._vectors: dict[str, Any] = {}
        self._used: set[tuple[str | None, Shape, Weights]] = set()
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._refreshing = False
        self._next = self._next_similar = 0.0
        self._seen: Signature | None = None
        self.failure: str | None = None

    def view(self) -> View | None:
        """The evidence, renewed in the background; None where the store cannot be read."""
        if os.getpid() != self._process:
            self._begin()
        if self._view is None:
            self._read_first()
        elif time.monotonic() >= self._next:
            self._refresh_beside()
        return self._view

    def uses(self, environment: str | None, shape: Shape, weights: Weights) -> None:
        """Notes what answers need, so that it is there when the view is renewed."""
        if len(self._used) < 32:
            self._used.add((environment, shape, weights))

    def similar(self, view: View, environment: Environment, weights: Weights) -> Similar | None:
        """What is known of tasks in words; read when it is first asked for. None: not to be had."""
        key = (environment.name, weights)
        if key not in view.similar and time.monotonic() >= self._next_similar:
            with self._lock:
                if key not in view.similar:
                    try:
                        view.similar[key] = self._read_similar(environment, weights)
                    except Exception:
                        # As above: advice without it is better than none.
                        self._next_similar = time.monotonic() + RETRY_SECONDS
        return view.similar.get(key)

    def _read_similar(self, environment: Environment, weights: Weights) -> Similar:
        rows = self._reader().described(self._by, environment.name, self._as_of, ROWS_MOST)
        return Similar(rows, environment, weights, self._vectors)

    # --------------------------------------------------------------------- reading

    def _read_first(self) -> None:
        with self._lock:
            if self._view is None and time.monotonic() >= self._next:
                self._renew()

    def _refresh_beside(self) -> None:
        with self._lock:
            if self._refreshing or time.monotonic() < self._next:
                return
            self._refreshing = True
        thread = threading.Thread(target=self._renew_beside, name="otel-learning-advice",
                                  daemon=True)  # fmt: skip
        try:
            thread.start()
        except RuntimeError:  # the interpreter is on its way out, or has no threads left
            self._refreshing = False

    def _renew_beside(self) -> None:
        try:
            self._renew()
        finally:
            self._refreshing = False

    def _renew(self) -> None:
        started = time.monotonic()
        try:
            seen = self._signature()
            if self._view is not None and seen is not None and seen == self._seen:
                self._view.current_at = started
                self._next = started + REFRESH_LEAST_SECONDS
                return
            view = self._read()
            view.current_at = started
            # Where something waited, the drain has changed the file: the next look reads again.
            self._view, self._seen, self.failure = view, seen, None
            took = time.monotonic() - started
            self._next = time.monotonic() + max(REFRESH_LEAST_SECONDS, took / REFRESH_SHARE)
        except StoreLockedError:
            self._failed("store-locked")
        except StoreMissingError:
            self._failed("store-missing")
        except OtelLearningError:
            self._failed("store-unreadable")
        except Exception:
            # A router's call ends here: whatever is wrong with the store must not end it.
            self._failed("evidence-failed")

    def _failed(self, reason: str) -> None:
        self.failure = reason
        self._next = time.monotonic() + RETRY_SECONDS

    def _read(self) -> View:
        rows = self._reader().evidence(self._by, self._as_of, half_life_days)
        view = View(environments(rows), rows.half_life_days)
        for name, shape, weights in tuple(self._used):
            environment = view.environments.get(name)
            if environment is not None:
                environment.prepare(shape, weights)
        for name, weights in self._view.similar if self._view is not None else ():
            environment = view.environments.get(name)
            if environment is not None:
                view.similar[name, weights] = self._read_similar(environment, weights)
        return view

    def _reader(self) -> Reader:
        if isinstance(self._store, Reader) and not isinstance(self._store, LearningDatabase):
            return self._store
        path = self._store if isinstance(self._store, Path) else self._store.path
        if not is_lake(path):
            return LearningDatabase(path, create=False, timeout_seconds=WAIT_SECONDS)
        if self._lake is None:  # kept: to reach a lake takes longer than to ask it
            given = self._store
            self._lake = given if isinstance(given, LearningDatabase) else LearningDatabase(path)
        return self._lake

    # ------------------------------------------------------------ has anything changed?

    def _signature(self) -> Signature | None:
        """What tells that a store is as it was; None where that cannot be told."""
        path = self._store if isinstance(self._store, Path) else self._store.path
        if is_lake(path) or Spool(path).list():
            return None
        return _stat(path), _stat(path.with_name(path.name + ".wal"))


def _stat(path: Path) -> tuple[int, int, int] | None:
    with contextlib.suppress(OSError):
        found = path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns
    return None
