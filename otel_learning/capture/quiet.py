"""Manners of a guest: log lines in bounds, and no telemetry about ourselves."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any, Final

from opentelemetry import context

INTERVAL_SECONDS: Final = 30.0


class RateLimited:
    """Lets a message through once per interval; those held back are counted in the next one."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._last: dict[tuple[str, str], float] = {}
        self._held_back: dict[tuple[str, str], int] = {}

    def warning(self, message: str, *values: Any, topic: str = "") -> None:
        """One message may be about several topics; each of them is let through."""
        self._log(logging.WARNING, message, values, topic, exc_info=False)

    def exception(self, message: str, *values: Any) -> None:
        self._log(logging.ERROR, message, values, "", exc_info=True)

    def _log(
        self, level: int, message: str, values: tuple[Any, ...], topic: str, *, exc_info: bool
    ) -> None:
        now = time.monotonic()
        key = (message, topic)
        if now - self._last.get(key, -INTERVAL_SECONDS) < INTERVAL_SECONDS:
            self._held_back[key] = self._held_back.get(key, 0) + 1
            return
        self._last[key] = now
        held_back = self._held_back.pop(key, 0)
        if held_back:
            message, values = message + " (%d more like this)", (*values, held_back)
        self._logger.log(level, message, *values, exc_info=exc_info)


@contextlib.contextmanager
def own_thread_context() -> Iterator[None]:
    """Suppresses instrumentation, which the SDK does only on threads of its own."""
    token = context.attach(context.set_value(context._SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        yield
    finally:
        context.detach(token)
