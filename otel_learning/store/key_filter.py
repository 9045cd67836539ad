"""Says of most keys that they were never added, without looking them up: a file of bits.

A Bloom filter that grows by layers (Almeida et al., "Scalable Bloom Filters", 2007): it never
rules out a key that was added, and lets one in a million through that was not. The file is mapped
for the time of a call, so it costs an application's memory nothing.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

FIRST_LAYER_KEYS: Final = 1 << 16
"""Keys of the first layer; each further one takes four times as many."""
_GROWTH_BITS: Final = 2
_BITS_PER_KEY_LOG2: Final = 5
_PROBES: Final = 12
"""Bits that are set for a key. With 32 bits per key (1 - exp(-12/32))^12 = 9e-7 pass wrongly."""
_HEADER: Final = struct.Struct("<8sQQ")
"""Magic, keys, bytes of the file."""
_MAGIC: Final = b"otlfilt1"
_HEADER_BYTES: Final = 4096
_MASK: Final = (1 << 64) - 1


class BrokenFilterError(ValueError):
    """The file is no filter, or not all of one."""


class KeyFilter:
    """A filter of 64-bit keys, which are hashes already. Only inside `lease.exclusive`."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def create(self) -> None:
        """Makes the file, without a key. Raises FileExistsError."""
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.truncate(descriptor, _HEADER_BYTES + _layer_bytes(0))
            os.pwrite(descriptor, _HEADER.pack(_MAGIC, 0, _HEADER_BYTES + _layer_bytes(0)), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def count(self) -> int:
        """How many keys were added. Raises as `may_hold`."""
        with self._file.open("rb") as file:
            return self._count(file.fileno())

    def may_hold(self, keys: Iterable[int]) -> set[int]:
        """Those of the keys that may have been added.

        Raises:
            FileNotFoundError: there is no such file.
            BrokenFilterError: it is not a whole filter.
        """
        with self._file.open("rb") as file:
            self._count(file.fileno())
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as bits:
                asked = list(keys)
                found: set[int] = set()
                start, layer = _HEADER_BYTES, 0
                while start + _layer_bytes(layer) <= len(bits):
                    mask = _layer_bytes(layer) * 8 - 1
                    found.update(key for key in asked if _is_set(bits, start, mask, key))
                    start, layer = start + _layer_bytes(layer), layer + 1
        return found

    def add(self, keys: Iterable[int]) -> None:
        """Adds keys; they are on the disk when it returns. Raises as `may_hold`."""
        with self._file.open("r+b") as file:
            count = self._count(file.fileno())
            layer = _layer_of(count)
            start = _HEADER_BYTES + sum(map(_layer_bytes, range(layer)))
            size = _layer_bytes(layer)
            if os.fstat(file.fileno()).st_size < start + size:
                os.truncate(file.fileno(), start + size)
            mask = size * 8 - 1
            with mmap.mmap(file.fileno(), 0) as bits:
                for key in keys:
                    at, step = key, (key >> 32) | 1
                    for _ in range(_PROBES):
                        bit = at & mask
                        bits[start + (bit >> 3)] |= 1 << (bit & 7)
                        at = (at + step) & _MASK
                    count += 1
                # A layer may take some keys too many: the next call begins the next one.
                _HEADER.pack_into(bits, 0, _MAGIC, count, len(bits))
                bits.flush()

    def _count(self, descriptor: int) -> int:
        head = os.pread(descriptor, _HEADER.size, 0)
        if len(head) < _HEADER.size:
            raise BrokenFilterError(f"{self._file} is cut short")
        magic, count, size = _HEADER.unpack(head)
        if magic != _MAGIC or os.fstat(descriptor).st_size < size:
            raise BrokenFilterError(f"{self._file} is no whole filter")
        return int(count)


def _layer_keys(layer: int) -> int:
    return FIRST_LAYER_KEYS << (_GROWTH_BITS * layer)


def _layer_bytes(layer: int) -> int:
    return _layer_keys(layer) << _BITS_PER_KEY_LOG2 >> 3


def _layer_of(count: int) -> int:
    """The layer that the next key goes into, after so many."""
    layer = 0
    while count >= _layer_keys(layer):
        count -= _layer_keys(layer)
        layer += 1
    return layer


def _is_set(bits: mmap.mmap, start: int, mask: int, key: int) -> bool:
    at, step = key, (key >> 32) | 1
    for _ in range(_PROBES):
        bit = at & mask
        if not bits[start + (bit >> 3)] >> (bit & 7) & 1:
            return False
        at = (at + step) & _MASK
    return True
