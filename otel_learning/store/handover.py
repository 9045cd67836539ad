"""What this process has just spooled and still has in memory, so that its drain need not read it.

The spool stays the truth: a segment that is not here is read from its file, and what is here is
bounded. No Arrow and no DuckDB are imported, so that an export can use it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from otel_learning.observation import Observation

HANDED_OBSERVATIONS: Final = 12_000
"""Held at most, some 15 MB; the oldest go first."""


class Handover:
    """Segment name -> its observations, taken out at most once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[str, list[Observation]] = OrderedDict()
        self._count = 0

    def put(self, name: str, observations: list[Observation]) -> None:
        with self._lock:
            self._held[name] = observations
            self._count += len(observations)
            while self._count > HANDED_OBSERVATIONS:
                _, gone = self._held.popitem(last=False)
                self._count -= len(gone)

    def take(self, name: str) -> list[Observation] | None:
        with self._lock:
            found = self._held.pop(name, None)
            if found is not None:
                self._count -= len(found)
            return found
