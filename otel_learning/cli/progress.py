"""Progress on stderr for work that takes longer than a second, where a person looks on."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

DELAY_SECONDS: Final = 1.0


@contextmanager
def bar(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Gives a function that takes how much is done; the bar appears after a second."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    shown = Progress(console=Console(stderr=True), transient=True)
    task = shown.add_task(label, total=total)
    started = time.monotonic()
    running = False

    def update(done: int) -> None:
        nonlocal running
        if not running and time.monotonic() - started > DELAY_SECONDS:
            running = True
            shown.start()
        if running:
            shown.update(task, completed=done)

    try:
        yield update
    finally:
        if running:
            shown.stop()


@contextmanager
def spinner(label: str) -> Iterator[None]:
    """Shows that something goes on whose end cannot be foreseen; it appears after a second."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    shown = Console(stderr=True).status(label)
    timer = threading.Timer(DELAY_SECONDS, shown.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        shown.stop()
