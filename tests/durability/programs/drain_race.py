"""Drains a store over and over until nothing waits; prints how many observations it moved."""

import sys
import time
from pathlib import Path

from otel_learning.store.drain import Drainer

drainer = Drainer(Path(sys.argv[1]))
moved = 0
until = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    moved += drainer.drain(10).observations
print(moved)
