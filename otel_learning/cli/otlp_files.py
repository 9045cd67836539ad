"""Reads files of OTLP JSON lines, plain or gzipped, one line at a time."""

from __future__ import annotations

import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

LINE_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of one line that are read: what an OTLP receiver takes in one request."""
_GZIP: Final = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank: a JSON value, or why it is none."""

    number: int
    document: object = None
    bad: str | None = None


class Lines:
    """The lines of a file; `-` is standard input. `position` counts bytes read of `size`.

    Raises OSError where the file cannot be opened.
    """

    def __init__(self, file: Path) -> None:
        self.name = "<stdin>" if str(file) == "-" else str(file)
        if str(file) == "-":
            self._raw: BinaryIO = sys.stdin.buffer
            self.size: int | None = None
        else:
            self._raw = file.open("rb")
            self.size = file.stat().st_size
        self._counting = _Counting(self._raw)

    @property
    def position(self) -> int:
        return self._counting.count

    def __iter__(self) -> Iterator[Line]:
        with io.BufferedReader(self._counting, 1 << 16) as buffered:
            source: BinaryIO = buffered
            if buffered.peek(2)[:2] == _GZIP:
                source = cast(BinaryIO, gzip.GzipFile(fileobj=buffered))
            number = 0
            while True:
                number += 1
                try:
                    raw = source.readline(LINE_LIMIT)
                except (EOFError, OSError, zlib.error) as error:
                    yield Line(number, bad=f"the file cannot be read on: {error}")
                    return
                if not raw:
                    return
                if len(raw) == LINE_LIMIT and not raw.endswith(b"\n"):
                    while (rest := source.readline(LINE_LIMIT)) and not rest.endswith(b"\n"):
                        pass
                    yield Line(number, bad=f"it is longer than {LINE_LIMIT} bytes")
                elif raw.strip():
                    yield _parsed(number, raw)


class _Counting(io.RawIOBase):
    """A stream that counts what is read, for the progress of compressed files."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        piece = self._raw.read(len(buffer))
        buffer[: len(piece)] = piece
        self.count += len(piece)
        return len(piece)

    def close(self) -> None:
        if not self.closed and self._raw is not sys.stdin.buffer:
            self._raw.close()
        super().close()


def _parsed(number: int, raw: bytes) -> Line:
    try:
        return Line(number, json.loads(raw.decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        return Line(number, bad=f"it is not UTF-8: {error.reason} at byte {error.start}")
    except json.JSONDecodeError as error:
        return Line(number, bad=f"it is not JSON: {error.msg} at column {error.colno}")
    except (RecursionError, ValueError) as error:
        return Line(number, bad=f"it is not JSON: {error}")
