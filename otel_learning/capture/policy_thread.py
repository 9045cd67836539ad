"""With MODE=advise or act: has the policy looked after, now and then, in a process of its own.

The application gives a thread that sleeps. What learns runs elsewhere, at low priority, as the
command `otel-learning policy watch --once`: it takes none of the application's interpreter time,
and whatever becomes of it, the application goes on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_learning.capture.quiet import RateLimited

if TYPE_CHECKING:
    from otel_learning.settings import Settings

logger = logging.getLogger("otel_learning")

LOOK_SECONDS: float = 300.0
"""Between two looks at one store, whichever process has them done."""
LOOK_TIMEOUT_SECONDS: Final = 120.0
STOP_SECONDS: Final = 1.0
_COMMAND: Final = "from otel_learning.cli.main import run; run()"
_STAMP: Final = ".policy.look"


class PolicyThread:
    """Starts the looks. Of a fork's child: made anew, since threads do not cross."""

    def __init__(
        self, path: Path, settings: Settings, warned: RateLimited,
        look_seconds: float | None = None,
    ) -> None:  # fmt: skip
        self._path = path
        self._settings = settings
        self._warned = warned
        self._look_seconds = LOOK_SECONDS if look_seconds is None else look_seconds
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begins with the first export; nothing is done where MODE is observe."""
        if self._thread is not None or self._settings.mode == "observe":
            return
        thread = threading.Thread(target=self._run, name="otel_learning policy", daemon=True)
        with contextlib.suppress(RuntimeError):  # the interpreter ends
            thread.start()
            self._thread = thread

    def stop(self, timeout_seconds: float) -> None:
        """Ends the thread, and a look that is under way: the next process has the next one."""
        self._stopping.set()
        process = self._process
        if process is not None and process.poll() is None:
            with contextlib.suppress(OSError):
                process.terminate()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(min(timeout_seconds, STOP_SECONDS))

    def _run(self) -> None:
        while not self._stopping.wait(self._look_seconds):
            try:
                if self._due():
                    self._look()
            except Exception as error:  # a guest: whatever it is, the application runs on
                self._warned.warning("otel_learning: the policy was not looked after: %s", error)

    def _due(self) -> bool:
        """Whether no other process has had it looked after lately; says that this one does."""
        stamp = self._path.with_name(self._path.name + _STAMP)
        with contextlib.suppress(OSError):
            if time.time() - stamp.stat().st_mtime < 0.9 * self._look_seconds:
                return False
        os.close(os.open(stamp, os.O_WRONLY | os.O_CREAT, 0o600))
        os.utime(stamp)
        return True

    def _look(self) -> None:
        if "python" not in Path(sys.executable or "").name.lower():
            self._warned.warning(
                "otel_learning: MODE=%s needs `otel-learning policy watch` beside this program: "
                "%r is no interpreter that could run it", self._settings.mode, sys.executable,
            )  # fmt: skip
            self._stopping.set()
            return
        nice = [found, "-n", "10"] if (found := shutil.which("nice")) else []
        kept = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
        switch = os.environ.get("OTEL_LEARNING_POLICY")
        if switch is not None:
            kept["OTEL_LEARNING_POLICY"] = switch
        # The child must not instrument itself, even where the application's start-up does so.
        child = {**kept, "OTEL_SDK_DISABLED": "true",
                 "OTEL_EXPORTER_LEARNING_MODE": self._settings.mode}  # fmt: skip
        self._process = process = subprocess.Popen(
            [*nice, sys.executable, "-c", _COMMAND, "policy", "watch", "--once",
             "--db", str(self._path)],
            env=child, cwd=self._path.parent, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            _, said = process.communicate(timeout=LOOK_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            said = b"it took too long"
        if process.returncode and not self._stopping.is_set():
            line = said.decode(errors="replace").strip().splitlines()[-1:]
            self._warned.warning(
                "otel_learning: the policy was not looked after: %s", line[0] if line else "?"
            )
