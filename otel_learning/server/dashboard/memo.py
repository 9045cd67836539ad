"""Answers that take longer than somebody waits: worked out beside the calls, and kept.

An answer is kept as long as the store is what it was. Of a store that changes all the time it is
renewed once a minute at most, and the old one is shown until then.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from otel_learning.store.lake.address import is_lake

WAIT_SECONDS: Final = 0.6
"""How long a page waits for an answer that is being worked out."""
RENEW_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 5.0
"""After a failure."""
KEPT_MOST: Final = 32


@dataclass(slots=True)
class Answer:
    """What was worked out, or why not."""

    value: Any = None
    error: Exception | None = None
    made_at: datetime | None = None


@dataclass(slots=True)
class _Kept:
    seen: tuple[Any, ...]
    answer: Answer | None
    begun: float
    ready: threading.Event
    running: bool = False


class Memo:
    """Answers by question; the least asked ones are dropped first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()

    def ask(self, store: Path, question: Hashable, work: Callable[[], Any]) -> Answer | None:
        """The answer, if need be the one before; None while the first one is worked out.

        Args:
            store: the file that the answer is about.
            question: what tells it from others, the store's path among it.
            work: gives the answer; it runs in a thread of its own, once at a time.
        """
        seen = _signature(store)
        with self._lock:
            kept = self._kept.get(question)
            if kept is None:
                kept = self._kept[question] = _Kept((), None, -RENEW_SECONDS, threading.Event())
                while len(self._kept) > KEPT_MOST:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(question)
            age = time.monotonic() - kept.begun
            failed = kept.answer is not None and kept.answer.error is not None
            due = kept.answer is None or (failed and age >= RETRY_SECONDS)
            if not kept.running and (due or (kept.seen != seen and age >= RENEW_SECONDS)):
                kept.running, kept.begun, kept.seen = True, time.monotonic(), seen
                threading.Thread(target=_run, args=(kept, work), daemon=True,
                                 name="otel-learning-answers").start()  # fmt: skip
        if kept.answer is None:
            kept.ready.wait(WAIT_SECONDS)
        return kept.answer


def _run(kept: _Kept, work: Callable[[], Any]) -> None:
    answer = Answer(made_at=datetime.now(UTC))
    try:
        answer.value = work()
    except Exception as error:  # raised anew where the answer is asked for
        answer.error = error
    kept.answer, kept.running = answer, False
    kept.ready.set()


def _signature(store: Path) -> tuple[Any, ...]:
    if is_lake(store):  # what would tell is a question in itself
        return (time.monotonic() // RENEW_SECONDS,)
    found = []
    for place in (store, store.with_name(store.name + ".wal")):
        with suppress(OSError):
            stat = place.stat()
            found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return tuple(found)
