"""Mends a block of the store file that a kill has torn.

DuckDB writes nothing over what a database needs, with one exception (seen in 1.5.5 and 2.0.0):
a block of metadata of which a part is free is written again in its place, with the new part in
it and a new checksum over all of it. A process that is killed in the middle of that write, or a
power cut, leaves the block half old and half new. What the database needs of it is the same in
both halves; only the checksum is wrong, and nothing opens the file any more. DuckDB's error names
the block and the checksum that would be right.

Nothing is mended unless a write-ahead log lies there, which says that the last writer did not
come to its end; any other wrong checksum is damage, and for `otel-learning repair`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import struct
import time
from pathlib import Path
from typing import Final

logger = logging.getLogger("otel_learning")

_CORRUPT: Final = re.compile(
    r"computed checksum (\d+) does not match stored checksum (\d+) in block at location (\d+)"
)
KEPT: Final = ".torn-"
"""What the name of a block that was kept has behind the store's."""
_CHECKSUM: Final = struct.Struct("<Q")
_HEADERS_BYTES: Final = 3 * 4096
_BLOCK_BYTES: Final = 262_144
"""The largest block; what is kept of the file as it was."""


def mend(path: Path, error: BaseException) -> bool:
    """Puts the right checksum on the block that DuckDB's error names; False where it cannot be.

    Only inside `lease.exclusive`, with no connection open: closing a file of our own would let
    go of DuckDB's lock on it. The block as it was is kept beside the store.
    """
    found = _CORRUPT.search(f"{error} {error.__cause__ or ''}")
    if found is None or _is_open(path):
        return False
    computed, stored, location = (int(number) for number in found.groups())
    if location < _HEADERS_BYTES:
        return False
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            block = os.pread(descriptor, _BLOCK_BYTES, location)
            if block[: _CHECKSUM.size] != _CHECKSUM.pack(stored):
                return False
            kept = _keep(path, block, location)
            os.pwrite(descriptor, _CHECKSUM.pack(computed), location)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except (OSError, struct.error):
        return False
    logger.warning(
        "otel_learning: a process was killed while DuckDB wrote a block of %s; the block was "
        "mended, and is kept as it was in %s",
        path, kept,
    )  # fmt: skip
    return True


def _keep(path: Path, block: bytes, location: int) -> Path:
    kept = path.with_name(f"{path.name}{KEPT}{location}-{time.time_ns()}")
    descriptor = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(block)
    return kept


def _is_open(path: Path) -> bool:
    """Whether this process has the file open, say by a connection of the application's own."""
    with contextlib.suppress(OSError):
        mine = path.stat()
        for entry in os.scandir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                held = Path(entry.path).stat()
                if (held.st_dev, held.st_ino) == (mine.st_dev, mine.st_ino):
                    return True
    return False
