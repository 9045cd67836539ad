"""The durable inbox: one file per export, written beside the store and renamed into place.

A file is whole or absent, so a kill leaves no torn one. Its name is the key that makes a drain
happen exactly once. Nothing here touches DuckDB, so no lock can hold an export up.
"""

from __future__ import annotations

import builtins
import contextlib
import itertools
import os
import re
import secrets
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from otel_learning.errors import StoreError
from otel_learning.store import segments
from otel_learning.store.failpoints import failpoint
from otel_learning.store.lease import private_directory

_NAME: Final = re.compile(r"^v(\d+)-(\d{20})-(\d+)-(\d+)-([0-9a-f]{8})\.json$")
_counter = itertools.count()
_STALE_DRAFT_SECONDS: Final = 3600.0
_FOOTER: Final = b"otel_learning:"
"""Ends every segment, with a checksum: Arrow would follow damaged offsets out of its memory."""
_FOOTER_BYTES: Final = len(_FOOTER) + 8


@dataclass(frozen=True, slots=True)
class Segment:
    path: Path
    format: int
    size: int

    @property
    def name(self) -> str:
        return self.path.name


class Spool:
    """The folder `<store>.spool`; it is made when the first segment is written."""

    def __init__(self, store: Path, fsync: bool = False) -> None:
        self.folder = store.with_name(store.name + ".spool")
        self._fsync = fsync
        self._ready = False

    def write(self, body: bytes) -> Segment:
        """Puts a segment's bytes down for good.

        Raises OSError where the disk is full or the folder cannot be written; nothing is left
        behind then.
        """
        name = (
            f"v{segments.FORMAT}-{time.time_ns():020d}-{os.getpid()}-{next(_counter)}-"
            f"{secrets.token_hex(4)}.json"
        )
        draft = self.folder / (name + ".draft")
        final = self.folder / name
        try:
            descriptor = self._open(draft)
            try:
                failpoint("spool: opened")
                # One call: each one lets the interpreter go, and an application that computes
                # gives it back after 5 ms.
                segments.write_all(descriptor, body + _FOOTER + b"%08x" % zlib.crc32(body))
                failpoint("spool: written")
                if self._fsync:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            failpoint("spool: before rename")
            draft.rename(final)
            failpoint("spool: renamed")
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise
        if self._fsync:
            _sync_folder(self.folder)
        return Segment(final, segments.FORMAT, len(body) + _FOOTER_BYTES)

    def _open(self, draft: Path) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        if not self._ready:
            private_directory(self.folder)
            self._ready = True
        try:
            return os.open(draft, flags, 0o600)
        except FileNotFoundError:
            private_directory(self.folder)
            return os.open(draft, flags, 0o600)

    def list(self) -> builtins.list[Segment]:
        """The segments that wait, oldest first."""
        found = []
        try:
            entries = list(os.scandir(self.folder))
        except FileNotFoundError:
            return []
        for entry in entries:
            match = _NAME.match(entry.name)
            # A folder or a pipe of that name is nothing of ours, and reading it might hang.
            if match and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):
                    found.append(Segment(Path(entry.path), int(match[1]), entry.stat().st_size))
        return sorted(found, key=lambda segment: segment.name.split("-", 1)[1])

    def size(self) -> int:
        """Bytes that wait."""
        return sum(segment.size for segment in self.list())

    def read(self, segment: Segment) -> segments.Contents:
        """What a segment holds.

        Raises:
            StoreError: the file is broken.
            FileNotFoundError: another drainer took it.
            OSError: it cannot be read now.
        """
        whole = segment.path.read_bytes()
        body = whole[:-_FOOTER_BYTES]
        footer = whole[-_FOOTER_BYTES:]
        if not footer.startswith(_FOOTER):
            raise StoreError(f"the segment {segment.path} is cut short")
        if footer != _FOOTER + b"%08x" % zlib.crc32(body):
            raise StoreError(f"the segment {segment.path} is damaged")
        try:
            return segments.decode(body)
        except ValueError as error:
            raise StoreError(f"the segment {segment.path} is broken: {error}") from error

    def replace(self, segment: Segment, body: bytes) -> None:
        """Puts other bytes in a waiting segment's place; it keeps its name."""
        draft = segment.path.with_name(segment.name + ".draft")
        draft.unlink(missing_ok=True)
        descriptor = self._open(draft)
        try:
            segments.write_all(descriptor, body + _FOOTER + b"%08x" % zlib.crc32(body))
        finally:
            os.close(descriptor)
        draft.rename(segment.path)

    def remove(self, segment: Segment) -> None:
        segment.path.unlink(missing_ok=True)

    def set_aside(self, segment: Segment) -> Path:
        """Moves a broken segment out of the way, where `repair` finds it."""
        folder = self.folder / "broken"
        target = folder / segment.name
        try:
            private_directory(folder)
            segment.path.rename(target)
        except FileNotFoundError:
            pass
        except OSError:
            return segment.path  # it stays where it is, and is named again by the next drain
        return target

    def broken(self) -> builtins.list[Path]:
        folder = self.folder / "broken"
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def sweep(self) -> None:
        """Removes what killed writers left half written, once it is old enough to be that."""
        oldest = time.time() - _STALE_DRAFT_SECONDS
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self.folder):
                if entry.name.endswith(".draft") or entry.name.startswith("new-"):
                    with contextlib.suppress(OSError):
                        if entry.stat().st_mtime < oldest:
                            Path(entry.path).unlink()

    # The marker's time is when the store was last drained, by whichever process.

    @property
    def _marker(self) -> Path:
        return self.folder / ".drained"

    def mark_drained(self) -> None:
        with contextlib.suppress(OSError):
            os.close(os.open(self._marker, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            os.utime(self._marker)

    def seconds_since_drain(self) -> float:
        """Seconds since any process drained; infinity where none has."""
        try:
            seconds = time.time() - self._marker.stat().st_mtime
        except OSError:
            return float("inf")
        # A clock that was set back must not make everybody wait until it is there again.
        return seconds if seconds >= 0 else float("inf")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
