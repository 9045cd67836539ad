"""Opens the store file, one holder at a time, and closes it again after each burst.

DuckDB lets one process write and no other even read meanwhile, so nobody keeps the file open
(rule R6). Between our own processes a `flock` on `<store>.lock` decides; inside a process a
mutex per real path, because DuckDB's lock does not exclude a second connection of its own
process. No connection crosses a fork. This module never opens the store file except through
DuckDB: closing any other handle of it would drop DuckDB's POSIX lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_learning.errors import StoreError, StoreLockedError, StoreMissingError

if TYPE_CHECKING:
    import duckdb

STORAGE_VERSION: Final = "v1.5.0"
"""Both DuckDB 1.5 and 2.x open a store of this version."""
_FORK_WAIT_SECONDS: Final = 10.0
_HOLDER: Final = re.compile(r"Conflicting lock is held in (.{1,200}?\(PID \d+\))")

_mutexes: dict[str, threading.Lock] = {}
_registry = threading.Lock()


def _mutex(path: Path) -> threading.Lock:
    key = os.path.realpath(path)
    with _registry:
        return _mutexes.setdefault(key, threading.Lock())


_held_for_fork: list[threading.Lock] = []


def _before_fork() -> None:
    # A connection copied into the child would write to the file once the child lets go of it.
    _registry.acquire()
    deadline = time.monotonic() + _FORK_WAIT_SECONDS
    for mutex in _mutexes.values():
        if mutex.acquire(timeout=max(0.0, deadline - time.monotonic())):
            _held_for_fork.append(mutex)


def _after_fork_in_parent() -> None:
    while _held_for_fork:
        _held_for_fork.pop().release()
    _registry.release()


def _after_fork_in_child() -> None:
    global _registry
    _held_for_fork.clear()
    _mutexes.clear()
    _registry = threading.Lock()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)


def private_directory(path: Path) -> None:
    """Creates a folder that its owner alone can read, whatever the umask."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.stat().st_mode & 0o077:
        path.chmod(0o700)


@contextlib.contextmanager
def exclusive(path: Path, timeout_seconds: float) -> Iterator[None]:
    """Holds the store against our own processes and threads.

    Raises:
        StoreLockedError: it was not free in time.
        StoreError: the lock file cannot be made, say in a read-only folder.
    """
    deadline = time.monotonic() + timeout_seconds
    mutex = _mutex(path)
    if not mutex.acquire(timeout=max(0.0, timeout_seconds)):
        raise StoreLockedError(str(path), "another thread of this process")
    try:
        with _file_lock(path, deadline):
            yield
    finally:
        mutex.release()


@contextlib.contextmanager
def _file_lock(path: Path, deadline: float) -> Iterator[None]:
    lock_path = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(
            f"the lock file {lock_path} cannot be opened: {error.strerror}",
            "check that the folder exists and can be written",
        ) from error
    try:
        pause = 0.001
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise StoreLockedError(str(path), "another otel_learning process") from None
                time.sleep(min(pause, 0.05))
                pause *= 2
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def connection(
    path: Path, timeout_seconds: float, *, read_only: bool = False
) -> Iterator[duckdb.DuckDBPyConnection]:
    """An open connection, closed at the end. Only inside `exclusive`.

    Another program may hold the file; it is asked for again until the time is over.

    Raises:
        StoreMissingError: there is no such file.
        StoreLockedError: another program holds it; its name is in the error.
        StoreError: the file is not a DuckDB store, or cannot be read.
    """
    if not path.exists():
        raise StoreMissingError(f"there is no store at {path}")
    con = _connect(path, time.monotonic() + timeout_seconds, read_only)
    try:
        # One thread each: a burst's statements are too small to share, and a guest is modest.
        con.execute("SET threads = 1")
        con.execute("SET TimeZone = 'UTC'")
        if not read_only:
            _own_wal(path)
        yield con
    finally:
        con.close()


def _own_wal(path: Path) -> None:
    """Makes the write-ahead log ours before DuckDB makes it with the process's umask."""
    wal = path.with_name(path.name + ".wal")
    with contextlib.suppress(OSError):
        os.close(os.open(wal, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        wal.chmod(0o600)


def _connect(path: Path, deadline: float, read_only: bool) -> duckdb.DuckDBPyConnection:
    import duckdb

    pause = 0.005
    while True:
        try:
            return duckdb.connect(str(path), read_only=read_only)
        except (duckdb.IOException, duckdb.ConnectionException) as error:
            message = str(error)
            locked = "lock" in message.lower() or "different configuration" in message
            if not locked:
                raise StoreError(f"the store {path} cannot be opened: {message}") from error
            if time.monotonic() >= deadline:
                held = _HOLDER.search(message)
                raise StoreLockedError(str(path), held.group(1) if held else None) from error
            time.sleep(min(pause, 0.1))
            pause *= 2
        except duckdb.Error as error:
            raise StoreError(f"the store {path} cannot be opened: {error}") from error


def create(path: Path, build: object) -> None:
    """Makes a new store beside its place and renames it there. Only inside `exclusive`.

    `build(connection)` fills it. The file is readable by its owner alone from its first byte.
    """
    import duckdb

    folder = path.with_name(path.name + ".spool")
    private_directory(folder)
    draft = folder / f"new-{os.getpid()}-{time.time_ns()}.duckdb"
    quoted = str(draft).replace("'", "''")
    try:
        con = duckdb.connect()
        try:
            con.execute("SET threads = 1")
            con.execute(f"ATTACH '{quoted}' AS draft (STORAGE_VERSION '{STORAGE_VERSION}')")
            con.execute("USE draft")
            build(con)  # type: ignore[operator]
            con.execute("USE memory")
            con.execute("DETACH draft")
        finally:
            con.close()
        draft.chmod(0o600)
        # A link does not replace what somebody else put there meanwhile.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    except duckdb.Error as error:
        raise StoreError(f"the store {path} cannot be created: {error}") from error
    finally:
        for leftover in (draft, draft.with_name(draft.name + ".wal")):
            leftover.unlink(missing_ok=True)


def one(
    con: duckdb.DuckDBPyConnection, query: str, values: list[object] | None = None
) -> tuple[Any, ...] | None:
    """The first row of a result, read to its end: DuckDB 2 refuses other work before that."""
    rows = con.execute(query, values).fetchall() if values else con.execute(query).fetchall()
    return rows[0] if rows else None
