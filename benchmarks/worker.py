"""One measurement in a fresh process: a job as JSON in, its figures as JSON out."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cases import CASES
from modes import Job, run


@contextlib.contextmanager
def _receiver(kind: str | None) -> Iterator[int]:
    """The port of a receiver in a process of its own, whose CPU is in no figure."""
    if kind is None:
        yield 0
        return
    script = Path(__file__).with_name("receiver.py")
    process = subprocess.Popen(
        [sys.executable, str(script), kind], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def main() -> None:
    logging.disable(logging.CRITICAL)  # peers log what they drop, line by line
    given: dict[str, Any] = json.loads(sys.argv[1])
    given["folder"] = Path(given["folder"])
    with _receiver(CASES[given["case"]].receiver) as port:
        figures = run(Job(port=port, **given))
    print("FIGURES " + json.dumps(figures), flush=True)
    # DuckDB reports objects that gc.freeze() kept from it as leaked; they are not of interest.
    os._exit(0)


if __name__ == "__main__":
    main()
