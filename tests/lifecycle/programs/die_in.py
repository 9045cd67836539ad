"""Runs one upkeep command of the command line and is killed at a failpoint."""

from __future__ import annotations

import os
import signal
import sys

from otel_learning.cli.main import run
from otel_learning.store import failpoints

point, passing = sys.argv[1], int(sys.argv[2])
seen = 0


def die(name: str) -> None:
    global seen
    if name == point:
        seen += 1
        if seen == passing:
            os.kill(os.getpid(), signal.SIGKILL)


failpoints.hook = die
sys.argv[1:] = sys.argv[3:]
run()
