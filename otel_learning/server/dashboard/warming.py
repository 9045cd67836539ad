"""Loads what pages are made with while the server starts, so that the first one is not slow."""

from __future__ import annotations

import threading
from contextlib import suppress
from importlib import import_module
from typing import Final

_MODULES: Final = (
    "otel_learning.learning.recommend", "otel_learning.learning.calibration",
    "otel_learning.learning.findings", "otel_learning.learning.policy_life",
    "otel_learning.server.dashboard.charts",
)  # fmt: skip
_once: Final = threading.Lock()


def warm() -> None:
    """Begins to load, in a thread, once per process; it takes one to two seconds."""
    if _once.acquire(blocking=False):
        threading.Thread(target=_load, name="otel-learning-charts", daemon=True).start()


def _load() -> None:
    from otel_learning.server.dashboard import catalogue, svg

    # Whoever needs what cannot be loaded is told so by its page.
    with suppress(Exception):
        svg.load()
    pages = [f"otel_learning.server.dashboard.pages.{one.module}" for one in catalogue.entries()]
    for name in (*_MODULES, *pages):
        with suppress(Exception):
            import_module(name)
