"""Connections to a lake, and the lock under which it is written.

Writers take turns under a lock in PostgreSQL, held by a session of its own: DuckLake lets writers
run against each other and retry, but finds out about rows that both have put in only where they
also deleted from the same file. A writer that is killed loses the lock with its session.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from otel_learning.errors import StoreError, StoreMissingError
from otel_learning.store.lake import extension
from otel_learning.store.lake.address import LakeAddress

if TYPE_CHECKING:
    import duckdb

LOCK_SECONDS: Final = 60
"""How long a writer waits for its turn."""
TURN_SECONDS: Final = 600
"""How long a turn may take."""
_LOCK: Final = 7_026_362_087_434_981_479
"""Of the writers of the lake in one PostgreSQL database; the number means nothing."""
_CATALOG: Final = "ducklake_snapshot"
"""The table of PostgreSQL that every commit of a lake writes to."""


_AWAY: Final = re.compile(
    "connect to Postgres|connection to server|server closed the connection|terminating connection"
    "|no connection to the server|SSL connection has been closed"
)
"""What libpq and DuckDB say of a PostgreSQL that is not there, or has just gone."""
_NO_LAKE: Final = "creating a new DuckLake is explicitly disabled"


class LakeError(StoreError):
    """A lake cannot be reached, read or written; the cause is chained."""


@contextlib.contextmanager
def errors(address: LakeAddress) -> Iterator[None]:
    """Raises LakeError in the place of what DuckDB raises."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        if _NO_LAKE in str(error):
            raise missing(address) from error
        raise LakeError(f"the lake {address}: {_without_secrets(error, address)}") from error


@contextlib.contextmanager
def away(address: LakeAddress) -> Iterator[None]:
    """Raises LakeError where a question fails because PostgreSQL is away; without its password.

    Other errors, of the question itself, pass.
    """
    import duckdb

    try:
        yield
    except LakeError:
        raise
    except (duckdb.Error, StoreError) as error:
        if not _AWAY.search(str(error)):
            raise
        said = " ".join(_without_secrets(error, address).split())
        raise LakeError(f"the lake {address} is away: {said}") from error


def missing(address: LakeAddress) -> StoreMissingError:
    """There is a database, and no lake of ours in it."""
    return StoreMissingError(
        f"nothing was published to {address}", "otel-learning publish --lake ADDRESS"
    )


def _without_secrets(error: Exception, address: LakeAddress) -> str:
    return str(error).replace(address.postgres, str(address).removeprefix("ducklake:postgres:"))


def connect(
    address: LakeAddress,
    *,
    read_only: bool,
    database: str = ":memory:",
    data_path: str | None = None,
    snapshot: int | None = None,
) -> duckdb.DuckDBPyConnection:
    """A connection with the lake as the catalog `lake`; the caller closes it.

    Args:
        address: the lake's.
        read_only: nothing can be written through it.
        database: the file of the connection's own catalog.
        data_path: where the files of a lake that does not exist yet are to be.
        snapshot: shows the lake as it was then.

    Raises:
        LakeExtensionError: DuckDB's extension is not installed.
        LakeError: the lake cannot be reached.
    """
    import duckdb

    con = duckdb.connect(database, read_only=read_only)
    try:
        extension.load(con)
        con.execute("SET enable_progress_bar = false")
        con.execute("SET GLOBAL TimeZone = 'UTC'")
        options = ["READ_ONLY"] if read_only else []
        if data_path is not None:
            options.append(f"DATA_PATH {_literal(data_path)}")
        if snapshot is not None:
            options.append(f"SNAPSHOT_VERSION {snapshot}")
        chosen = f" ({', '.join(options)})" if options else ""
        with errors(address):
            con.execute(f"ATTACH {_literal(address.catalog)} AS lake{chosen}")
            if not read_only:
                con.execute(f"ATTACH {_literal(address.postgres)} AS catalog (TYPE postgres)")
    except BaseException:
        close(con)
        raise
    return con


def close(con: duckdb.DuckDBPyConnection) -> None:
    """Closes a connection to a lake.

    What DuckDB rolls back by itself when it closes must not fail: the exception that it throws
    where PostgreSQL is gone ends the process.
    """
    _end(con)
    con.close()


@contextlib.contextmanager
def turn(
    con: duckdb.DuckDBPyConnection, most_seconds: int = TURN_SECONDS
) -> Iterator[Callable[[], object]]:
    """Holds the lake against other writers; nobody's commit is under way inside.

    Gives a function to be called before a commit: it raises where the turn was lost.

    Args:
        con: a connection that writes.
        most_seconds: after so long PostgreSQL takes the turn away, since its holder may hang, or
            be cut off; 0 for never.

    Raises:
        duckdb.Error: it was not free within LOCK_SECONDS, or PostgreSQL went away.
    """
    with contextlib.closing(con.cursor()) as session:
        session.execute("BEGIN")
        try:
            _ask(session, f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
            session.execute(
                "FROM postgres_query('catalog', "
                f"'SELECT pg_advisory_xact_lock({_LOCK})::text AS locked')"
            ).fetchall()
            _ask(session, f"SET LOCAL idle_in_transaction_session_timeout = '{most_seconds}s'")
            _wait_for_the_dead(con)
            yield lambda: _ask(session, "SELECT 1")
        finally:
            _end(session)


def _wait_for_the_dead(con: duckdb.DuckDBPyConnection) -> None:
    """PostgreSQL may be about to finish a commit whose writer was killed a moment ago."""
    with contextlib.closing(con.cursor()) as session:
        there = session.execute(
            "FROM postgres_query('catalog', "
            f"'SELECT count(*)::bigint FROM pg_class WHERE relname = ''{_CATALOG}''')"
        ).fetchall()
        if not there[0][0]:
            return
        session.execute("BEGIN")
        try:
            _ask(session, f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
            _ask(session, f"LOCK TABLE {_CATALOG} IN SHARE MODE")
        finally:
            _end(session)


def _ask(session: duckdb.DuckDBPyConnection, statement: str) -> None:
    session.execute(f"CALL postgres_execute('catalog', {_literal(statement)})").fetchall()


def _end(session: duckdb.DuckDBPyConnection) -> None:
    import duckdb

    with contextlib.suppress(duckdb.Error):  # the session may be gone with PostgreSQL
        session.execute("ROLLBACK")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
