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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from otel_learning.errors import StoreError, StoreLockedError, StoreMissingError
from otel_learning.store import torn
from otel_learning.store.lake.address import refuse_lake

if TYPE_CHECKING:
    import duckdb

STORAGE_VERSION: Final = "v1.5.0"
"""Both DuckDB 1.5 and 2.x open a store of this version."""
BLOCK_BYTES: Final = 16_384
"""A sixteenth of DuckDB's default: a small store is small, and less lies free in between."""
READERS_SHARE: Final = 0.2
"""How long others can read after a writer, for each second that it held the file."""
READERS_SECONDS: Final = 0.15
"""And at most."""
READ_SECONDS: Final = 30.0
"""How long a reader waits for a store that another program holds, unless it says otherwise."""
OWN_THREAD: Final = "another thread of this process"
TORN_BLOCKS: Final = 4
"""Mended at most while a store is opened: one write is under way when a process is killed."""
_QUIET: Final = "SET enable_progress_bar = false"
"""DuckDB prints a bar for a query of seconds in an interactive interpreter, which is not ours."""
_FORK_WAIT_SECONDS: Final = 10.0
_HOLDER: Final = re.compile(r"Conflicting lock is held in (.{1,200}?\(PID \d+\))")
_LOCKED: Final = re.compile(r"Could not set lock on file|Conflicting lock|different configuration")

_mutexes: dict[str, threading.Lock] = {}
_registry = threading.Lock()
_open_changed = threading.Condition()
_used = False
_inherited = False
"""Whether this process has used DuckDB, and whether it was forked from one that had."""
_open_count = 0
"""Connections that are open, or being opened, in this process."""
_lock_files: set[int] = set()
"""Descriptors of lock files; a forked child's copies would hold the lock for its whole life."""


def _mutex(path: Path) -> threading.Lock:
    key = os.path.realpath(path)
    with _registry:
        return _mutexes.setdefault(key, threading.Lock())


@contextlib.contextmanager
def _counted_open() -> Iterator[None]:
    """Around all that has a DuckDB file open, so that no fork falls into it."""
    global _open_count
    with _open_changed:
        _open_count += 1
    try:
        yield
    finally:
        with _open_changed:
            _open_count -= 1
            _open_changed.notify_all()


def _before_fork() -> None:
    # A connection copied into the child would write to the file once the child lets go of it.
    # Only open connections hold a fork up, not a wait for somebody else's lock.
    _open_changed.acquire()
    _open_changed.wait_for(lambda: _open_count == 0, _FORK_WAIT_SECONDS)


def _after_fork_in_parent() -> None:
    _open_changed.release()


def _after_fork_in_child() -> None:
    global _registry, _open_changed, _open_count, _inherited
    _inherited = _inherited or _used
    _mutexes.clear()
    _registry = threading.Lock()
    _open_changed = threading.Condition()
    _open_count = 0
    for descriptor in _lock_files:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _lock_files.clear()


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
        InputError: the path is a lake's address, and a lake is only read.
    """
    refuse_lake(path)
    deadline = time.monotonic() + timeout_seconds
    mutex = _mutex(path)
    if not mutex.acquire(timeout=max(0.0, timeout_seconds)):
        raise StoreLockedError(str(path), OWN_THREAD)
    try:
        with _file_lock(path, deadline):
            yield
    finally:
        mutex.release()


@contextlib.contextmanager
def _file_lock(path: Path, deadline: float) -> Iterator[None]:
    lock_path = _lock_of(path)
    try:
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _lock_files.add(descriptor)
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
        # Unlocked by name: a copy of the descriptor in a forked child would keep it locked.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        _lock_files.discard(descriptor)
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
    import duckdb

    if not path.exists():
        raise StoreMissingError(f"there is no store at {path}")
    deadline = time.monotonic() + timeout_seconds
    with _mending(path), contextlib.ExitStack() as stack:
        if not read_only:
            _let_readers_in(path, timeout_seconds)
            stack.callback(_note_hold, path, time.time_ns())
        con = _connect(
            path, deadline, lambda: duckdb.connect(str(path), read_only=read_only), stack
        )
        # One thread each: a burst's statements are too small to share, and a guest is modest.
        con.execute("SET threads = 1")
        con.execute(_QUIET)
        con.execute("SET TimeZone = 'UTC'")
        if not read_only:
            _own_wal(path)
        yield con


def _let_readers_in(path: Path, timeout_seconds: float) -> None:
    """Waits where the last writer has only just let go of the file.

    Writers that take turns without a pause would leave a reader, who asks now and then, no moment
    at which the file is free (rule R6). The lock file's two times say when it was held.
    """
    try:
        stat = _lock_of(path).stat()
    except OSError:
        return
    held = (stat.st_mtime_ns - stat.st_atime_ns) / 1e9
    free = time.time() - stat.st_mtime_ns / 1e9
    pause = min(READERS_SHARE * held, READERS_SECONDS, timeout_seconds) - free
    if free >= 0 and pause > 0:  # unless a clock was set back
        time.sleep(pause)


def _note_hold(path: Path, since_ns: int) -> None:
    with contextlib.suppress(OSError):
        os.utime(_lock_of(path), ns=(since_ns, time.time_ns()))


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


@contextlib.contextmanager
def attached(path: Path, timeout_seconds: float) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of its own with the store as the catalog `store`, which it only reads.

    Others can read meanwhile, and nobody can write. Only inside `exclusive`. Raises what
    `connection` raises.
    """
    import duckdb

    if not path.exists():
        raise StoreMissingError(f"there is no store at {path}")

    def attach() -> duckdb.DuckDBPyConnection:
        con = duckdb.connect()
        try:
            con.execute(f"ATTACH {quoted(path)} AS store (READ_ONLY)")
        except BaseException:
            con.close()
            raise
        return con

    with _mending(path), contextlib.ExitStack() as stack:
        con = _connect(path, time.monotonic() + timeout_seconds, attach, stack)
        con.execute(_QUIET)
        con.execute("SET TimeZone = 'UTC'")
        yield con


@contextlib.contextmanager
def attached_to(
    con: duckdb.DuckDBPyConnection, path: Path, timeout_seconds: float
) -> Iterator[None]:
    """The same on a connection that is there already, and stays."""
    if not path.exists():
        raise StoreMissingError(f"there is no store at {path}")

    def attach() -> _Attachment:
        con.execute(f"ATTACH {quoted(path)} AS store (READ_ONLY)")
        return _Attachment(con)

    with _mending(path), contextlib.ExitStack() as stack:
        _connect(path, time.monotonic() + timeout_seconds, attach, stack)
        yield


class _Attachment:
    """A store that a connection has attached."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con

    def close(self) -> None:
        self._con.execute("DETACH store")


class _Closable(Protocol):
    def close(self) -> None: ...


_Opened = TypeVar("_Opened", bound=_Closable)


@contextlib.contextmanager
def _mending(path: Path) -> Iterator[None]:
    """Mends a torn block that a query comes upon; the query itself has failed then."""
    import duckdb

    killed = _log_of(path).exists()
    try:
        yield
    except (duckdb.Error, StoreError) as error:
        if killed and _mended(path, error):
            raise StoreError(
                f"the store {path} was damaged when a process was killed, and has been mended",
                "try it again",
            ) from error
        raise


def _mended(path: Path, error: BaseException) -> bool:
    with _counted_open():
        return torn.mend(path, error)


def _log_of(path: Path) -> Path:
    """The write-ahead log: it is there only where the last writer did not come to its end."""
    return path.with_name(path.name + ".wal")


def quoted(path: Path) -> str:
    """A path as an SQL literal; ATTACH and COPY take no bound parameters."""
    return "'" + str(path).replace("'", "''") + "'"


def _own_wal(path: Path) -> None:
    """Makes the write-ahead log ours before DuckDB makes it with the process's umask."""
    wal = _log_of(path)
    with contextlib.suppress(OSError):
        os.close(os.open(wal, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        wal.chmod(0o600)


def _connect(
    path: Path,
    deadline: float,
    connect: Callable[[], _Opened],
    stack: contextlib.ExitStack,
) -> _Opened:
    """A connection that `stack` closes; `connect` is tried until the deadline."""
    global _used
    import duckdb

    if _inherited and duckdb.__version__.startswith(("0.", "1.")):
        raise StoreError(
            f"DuckDB {duckdb.__version__} crashes in a process forked from one that has used it",
            "use DuckDB 2; what waits in the spool is stored by any other process",
        )
    _used = True
    pause = 0.005
    may_mend = TORN_BLOCKS if _log_of(path).exists() else 0
    while True:
        try:
            with contextlib.ExitStack() as opening:
                opening.enter_context(_counted_open())
                con = connect()
                opening.callback(con.close)
                stack.push(opening.pop_all())
                return con
        except (duckdb.IOException, duckdb.ConnectionException) as error:
            message = str(error)
            if not _LOCKED.search(message):
                if may_mend and _mended(path, error):
                    may_mend -= 1
                    continue
                raise StoreError(f"the store {path} cannot be opened: {message}") from error
            if time.monotonic() >= deadline:
                held = _HOLDER.search(message)
                raise StoreLockedError(str(path), held.group(1) if held else None) from error
            time.sleep(min(pause, 0.1))
            pause *= 2
        except duckdb.Error as error:
            if may_mend and _mended(path, error):
                may_mend -= 1
                continue
            raise StoreError(f"the store {path} cannot be opened: {error}") from error


def create(path: Path, build: object) -> None:
    """Makes a new store beside its place and renames it there. Only inside `exclusive`.

    `build(connection)` fills it. The file is readable by its owner alone from its first byte.
    """
    import duckdb

    folder = path.with_name(path.name + ".spool")
    private_directory(folder)
    draft = folder / f"new-{os.getpid()}-{time.time_ns()}.duckdb"
    try:
        with _counted_open(), contextlib.closing(duckdb.connect()) as con:
            con.execute("SET threads = 1")
            con.execute(_QUIET)
            con.execute(
                f"ATTACH {quoted(draft)} AS draft (STORAGE_VERSION '{STORAGE_VERSION}', "
                f"BLOCK_SIZE {BLOCK_BYTES})"
            )
            con.execute("USE draft")
            build(con)  # type: ignore[operator]
            con.execute("USE memory")
            con.execute("DETACH draft")
        draft.chmod(0o600)
        place(draft, path)
    except (duckdb.Error, OSError) as error:
        raise StoreError(f"the store {path} cannot be created: {error}") from error
    finally:
        for leftover in (draft, draft.with_name(draft.name + ".wal")):
            leftover.unlink(missing_ok=True)


def place(draft: Path, path: Path) -> None:
    """Puts a finished file in its place, unless there is one. Only where nobody else does."""
    try:
        # A link does not replace what somebody else put there meanwhile.
        os.link(draft, path)
    except FileExistsError:
        return
    except OSError:
        # Some network and removable file systems have no links.
        if not path.exists():
            draft.rename(path)


def one(
    con: duckdb.DuckDBPyConnection, query: str, values: list[object] | None = None
) -> tuple[Any, ...] | None:
    """The first row of a result, read to its end: DuckDB 2 refuses other work before that."""
    rows = con.execute(query, values).fetchall() if values else con.execute(query).fetchall()
    return rows[0] if rows else None
