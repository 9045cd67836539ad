"""Keeps a command alive where a library may abort its process.

DuckDB's extension for PostgreSQL throws while it rolls back on a connection that is gone, in a
place where C++ ends the process (decision 27). What works on a lake for long therefore does so in
a child process, and its parent, which has loaded nothing that could fall, begins it again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import Final

import typer

from otel_learning.cli.exits import say

PAUSE_SECONDS: Final = 0.5
PAUSE_MOST_SECONDS: Final = 30.0
"""Between two children; it doubles while they live no longer than that."""
_PASSED_ON: Final = (signal.SIGINT, signal.SIGTERM)


def begin_again_when_aborted() -> None:
    """Returns in a child process, and in a new one each time that a signal killed the last.

    The parent does not return: it passes on SIGINT and SIGTERM, and ends as the child that ended
    by itself. A child whose parent is gone is told to end. To be called before threads are
    started and files are opened that a child must not share.

    Raises:
        typer.Exit: in the parent, with the exit code of the last child.
    """
    if not hasattr(os, "fork"):
        return
    parent = _Parent()
    pause = PAUSE_SECONDS
    while True:
        begun = time.monotonic()
        if parent.fork():
            return
        code = parent.wait()
        if code >= 0 or parent.told:
            raise typer.Exit(code if code >= 0 else 128 - code)
        if time.monotonic() - begun > PAUSE_MOST_SECONDS:
            pause = PAUSE_SECONDS
        say(f"warning: the working process was killed by {signal.Signals(-code).name}; it begins "
            f"again in {pause:g} s, and goes on where it was")  # fmt: skip
        parent.hurry.wait(pause)
        pause = min(2 * pause, PAUSE_MOST_SECONDS)


class _Parent:
    """The process that waits."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self.hurry = threading.Event()
        """Set once it is told to end: a pause is over then."""
        self._child = 0
        # The child reads from it for as long as its parent lives.
        self._life, self._held = os.pipe()
        self._before = {which: signal.signal(which, self._pass_on) for which in _PASSED_ON}

    def fork(self) -> bool:
        """Whether this is the child."""
        # A signal in between would come to a handler that does not know of the child yet.
        signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
        try:
            if self.told:
                raise typer.Exit(128 + self.told[-1])
            self._child = os.fork()
            if self._child:
                return False
            # Ctrl-C goes to all processes of a group: the child is to hear of it once.
            os.setpgid(0, 0)
            for which, handler in self._before.items():
                signal.signal(which, handler)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
        os.close(self._held)
        threading.Thread(target=self._end_with_parent, name="otel-learning-parent",
                         daemon=True).start()  # fmt: skip
        return True

    def wait(self) -> int:
        """The child's exit code; that of a signal is negative."""
        _, status = os.waitpid(self._child, 0)
        self._child = 0
        return os.waitstatus_to_exitcode(status)

    def _pass_on(self, which: int, _: object = None) -> None:
        self.told.append(which)
        self.hurry.set()
        if self._child:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                os.kill(self._child, which)

    def _end_with_parent(self) -> None:
        os.read(self._life, 1)
        os.kill(os.getpid(), signal.SIGTERM)
