"""The ledger's files, in the folder `<store>.ledger`: one compressed Arrow stream each.

A file is written before the transaction that names it commits; one that no row names is removed
later. So a kill leaves at most a file too many, never a row without its file.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Final

import pyarrow as pa

from otel_learning.observation import Observation
from otel_learning.store import segments
from otel_learning.store.lease import private_directory

_LEVEL: Final = 3
"""Of zstd: half a percent from what level 9 reaches on observations, at a third of its time."""


class LedgerFiles:
    """Writes and reads whole files; what they mean is in the table `ledger`."""

    def __init__(self, store: Path) -> None:
        self.folder = store.with_name(store.name + ".ledger")

    def write(self, first: int, last: int, batch: pa.RecordBatch) -> tuple[str, int]:
        """Puts observations down and returns the file's name and size in bytes."""
        private_directory(self.folder)
        body = segments.encode(batch, pa.Codec("zstd", _LEVEL))
        name = f"{first:012d}-{last:012d}-{secrets.token_hex(4)}.arrow"
        descriptor = os.open(
            self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
        )
        try:
            segments.write_all(descriptor, body)
        finally:
            os.close(descriptor)
        return name, len(body)

    def read(self, name: str) -> list[Observation] | None:
        """The observations of a file; None where it is gone or broken."""
        try:
            body = (self.folder / name).read_bytes()
            return [o for batch in segments.decode(body) for o in segments.from_batch(batch)]
        except (OSError, pa.ArrowException, ValueError):
            return None

    def keep_only(self, named: set[str]) -> None:
        """Removes every file that is not named."""
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self.folder):
                if entry.name not in named:
                    with contextlib.suppress(OSError):
                        os.unlink(entry.path)

    def size(self) -> int:
        """Bytes of all files."""
        try:
            return sum(entry.stat().st_size for entry in os.scandir(self.folder))
        except FileNotFoundError:
            return 0
