"""How a thread of ours that computes leaves the interpreter to the application in between.

Without it a thread keeps the interpreter for 5 ms at a time (sys.getswitchinterval), and an
application's task that takes one would feel each of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

DRAIN_BREATH_SECONDS: Final = 0.001
"""How long a drain computes before it lets go. Each time a busy application takes 5 ms, and the
store stays open for that long."""
DRAIN_WAIT_SECONDS: Final = 0.25
"""How long a drain waits for the interpreter in all; then it makes haste, for the sake of those
who want to read the store meanwhile."""
EXPORT_BREATH_SECONDS: Final = 0.0005
PAUSE_SECONDS: Final = 0.00001
"""With a pause of nothing the interpreter is often taken back before the other thread wakes."""

_Item = TypeVar("_Item")


class Breather:
    """Called between steps of a computation; lets the interpreter go every so many seconds."""

    def __init__(self, seconds: float, wait_seconds: float = math.inf) -> None:
        self._seconds = seconds
        self._wait_seconds = wait_seconds
        self.begin()

    def begin(self) -> None:
        """The wait that is allowed begins anew."""
        self._since = time.perf_counter()
        self._waited = 0.0

    def __call__(self) -> None:
        now = time.perf_counter()
        if now - self._since > self._seconds and self._waited < self._wait_seconds:
            time.sleep(PAUSE_SECONDS)
            self._since = time.perf_counter()
            self._waited += self._since - now

    def each(self, items: Iterable[_Item], steps: int = 4) -> Iterator[_Item]:
        """The items, with a look at the clock after every few."""
        for count, item in enumerate(items, start=1):
            yield item
            if not count % steps:
                self()
