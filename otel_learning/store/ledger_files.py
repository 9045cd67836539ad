"""The ledger's files, in the folder `<store>.ledger`: one compressed segment per drain.

A file is written before the transaction that names it commits; one that no row names is removed
later. So a kill leaves at most a file too many, never a row without its file.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from otel_learning.observation import Observation
from otel_learning.store import segments
from otel_learning.store.lease import private_directory

_LEVEL: Final = 1
"""Of zstd: on observations higher levels take more time and give nothing for it."""
_SIZE: Final = struct.Struct("<Q")
"""Before the compressed bytes: how many they are when they are not."""
_LARGEST: Final = 2**30


class LedgerFiles:
    """Writes and reads whole files; what they mean is in the table `ledger`."""

    def __init__(self, store: Path, fsync: bool = False) -> None:
        self.folder = store.with_name(store.name + ".ledger")
        self._fsync = fsync

    def write(
        self,
        first: int,
        last: int,
        observations: Sequence[Observation],
        breathe: Callable[[], None] | None = None,
    ) -> tuple[str, int]:
        """Puts observations down and returns the file's name and size in bytes."""
        private_directory(self.folder)
        body = segments.encode(observations, breathe=breathe)
        packed = _SIZE.pack(len(body)) + pa.Codec("zstd", _LEVEL).compress(body, asbytes=True)
        name = f"{first}-{last}-{secrets.token_hex(4)}.zst"
        descriptor = os.open(
            self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
        )
        try:
            segments.write_all(descriptor, packed)
            if self._fsync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return name, len(packed)

    def read(self, name: str) -> list[Observation] | None:
        """The observations of a file; None where it is gone or broken.

        Raises OSError where it cannot be read now: what is in it is not lost.
        """
        try:
            packed = (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None
        try:
            return segments.decode(unpack(packed)).observations
        except ValueError:
            return None

    def keep_only(self, named: set[str]) -> None:
        """Removes every file that is not named."""
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self.folder):
                if entry.name not in named:
                    with contextlib.suppress(OSError):
                        Path(entry.path).unlink()

    def size(self) -> int:
        """Bytes of all files."""
        try:
            return sum(entry.stat().st_size for entry in os.scandir(self.folder))
        except FileNotFoundError:
            return 0


def unpack(packed: bytes) -> bytes:
    """The segment inside a ledger file. Raises ValueError where it is broken."""
    if len(packed) < _SIZE.size:
        raise ValueError("a ledger file is cut short")
    (size,) = _SIZE.unpack_from(packed)
    if size > _LARGEST:
        raise ValueError("a ledger file is broken")
    try:
        body: bytes = pa.Codec("zstd").decompress(packed[_SIZE.size :], size, asbytes=True)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"a ledger file is broken: {error}") from error
    return body
