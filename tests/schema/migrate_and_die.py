"""Migrates a store and kills itself at a fail-point: `PATH POINT up|down|reset`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from otel_learning.store import failpoints, migrating

path, point, way = Path(sys.argv[1]), sys.argv[2], sys.argv[3]


def die(name: str) -> None:
    if name == point:
        os.kill(os.getpid(), signal.SIGKILL)


failpoints.hook = die
if way == "up":
    migrating.upgrade(path)
elif way == "down":
    migrating.downgrade(path, 1)
else:
    migrating.reset(path)
