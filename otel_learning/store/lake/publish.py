"""Publishes a store to a lake: every settled execution is there once, as it stands in its store.

Batch by batch what changed is copied out of the store, put in the place of what the lake holds of
it in one transaction of the lake, and then let go of in the store. A kill anywhere leaves the
batch to be published again, which changes nothing; where the lake's own row of the store says
that it has the batch already, not even that.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import UUID

from otel_learning.errors import StoreError, StoreLockedError, StoreMissingError
from otel_learning.store import copying, lease, outbox, schema
from otel_learning.store.copying import beside
from otel_learning.store.day_keys import UNKNOWN_DAY
from otel_learning.store.drain import Drainer, DrainSettings
from otel_learning.store.failpoints import failpoint
from otel_learning.store.lake import catalog, layout, said, shared
from otel_learning.store.lake.address import LakeAddress
from otel_learning.store.lake.batch import EXECUTIONS, Batch, take
from otel_learning.store.transaction import transaction

if TYPE_CHECKING:
    import duckdb

TIMEOUT_SECONDS: Final = 60.0
LOOK_BACK_DAYS: Final = 31.0
"""Two hosts may each have carried a task out as its first run; within so long that is found."""
TRIES: Final = 9
"""Of one batch, where writers are in each other's way or PostgreSQL is away: 13 s of waiting."""
_PAUSE_SECONDS: Final = 0.05
_PAUSE_MOST_SECONDS: Final = 4.0
_Answer = TypeVar("_Answer")


@dataclass(slots=True)
class Published:
    """What one publication did."""

    executions: int = 0
    """Rows that were written; those of other stores with which parts were put together, too."""
    feedback: int = 0
    erased: int = 0
    batches: int = 0
    retries: int = 0
    left: int = 0
    """Changes that came meanwhile and wait for the next time."""


class Publisher:
    """Publishes one store to one lake, and keeps the connection to it between batches.

    Args:
        path: the store.
        address: the lake's.
        data_path: where the files of a lake that does not exist yet are to be: a folder that all
            hosts see, or a place in an object store.
        settings: how to drain.
        timeout_seconds: how long to wait for the store.
        batch: changes in one transaction at most.
        look_back_days: how far back the lake is searched for runs of the same tasks that other
            hosts have published.
    """

    def __init__(
        self,
        path: Path,
        address: LakeAddress,
        *,
        data_path: str | None = None,
        settings: DrainSettings | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        batch: int = EXECUTIONS,
        look_back_days: float = LOOK_BACK_DAYS,
    ) -> None:
        self.path = path
        self.address = address
        self._data_path = data_path
        self._settings = settings or DrainSettings()
        self._timeout = timeout_seconds
        self._batch = batch
        self._look_back = timedelta(days=look_back_days)
        self._con: duckdb.DuckDBPyConnection | None = None
        self._reached = False

    def close(self) -> None:
        """Lets go of the lake."""
        if self._con is not None:
            con, self._con = self._con, None
            catalog.close(con)

    def publish(self) -> Published:
        """Brings in what waits, and publishes all that changed since the last time.

        Raises:
            StoreMissingError: there is no store.
            StoreLockedError: it was not free in time, or another process publishes it.
            LakeExtensionError: DuckDB's extension for lakes is not installed.
            LakeError: the lake could not be reached or written; all of it waits.
        """
        if not self.path.exists():
            raise StoreMissingError(f"there is no store at {self.path}", "name one with --db")
        done = Published()
        with _alone(self.path):
            Drainer(self.path, self._settings).drain(self._timeout)
            self._begin(done)
            while True:
                batch = self._take(done)
                done.left = batch.left
                done.batches += bool(batch.changes)
                if not batch.left:
                    break
            self._keep_solutions(batch, done)
        return done

    # ----------------------------------------------------------------------- one batch

    def _take(self, done: Published) -> Batch:
        """One batch, from the store to the lake."""

        def told(con: duckdb.DuckDBPyConnection) -> Batch:
            batch = take(con, self.path, self._timeout, self._batch)
            if batch.changes:
                failpoint("publish: taken")
                self._tell(con, batch, done)
                failpoint("publish: told")
            return batch

        batch = self._retried(told, done)
        if batch.changes:
            self._let_go(batch.through)
            failpoint("publish: let go")
        return batch

    def _tell(self, con: duckdb.DuckDBPyConnection, batch: Batch, done: Published) -> None:
        with catalog.turn(con) as held:
            known = lease.one(
                con,
                "SELECT max(sequence) FROM lake.stores "
                "WHERE store_id = ? AND generation = ? AND copy = ?",
                [str(batch.store_id), batch.generation, _which_copy(self.path)],
            )
            if known and known[0] is not None and known[0] >= batch.through:
                return  # a kill fell between the lake's commit and letting go
            with transaction(con):
                window = timedelta(seconds=self._settings.correlation_window_seconds)
                written = put(con, batch.store_id, window, self._look_back)
                _sign(con, batch, self.path)
                failpoint("publish: before commit")
                held()
        done.executions += written.executions
        done.feedback += written.feedback
        done.erased += written.erased

    def _keep_solutions(self, batch: Batch, done: Published) -> None:
        """Solutions are few, and written as a whole where they are others than in the lake."""

        def kept(con: duckdb.DuckDBPyConnection) -> None:
            take(con, self.path, self._timeout, self._batch)
            if _solutions_differ(con, batch.store_id):
                with catalog.turn(con), transaction(con):
                    con.execute(
                        "DELETE FROM lake.solutions WHERE store_id = ?", [str(batch.store_id)]
                    )
                    con.execute("INSERT INTO lake.solutions BY NAME FROM b_solutions")

        self._retried(kept, done)

    # ------------------------------------------------------------------ store and lake

    def _begin(self, done: Published) -> None:
        lake = self._retried(layout.lake_id, done)
        assert lake is not None, "bring_up() has made it"
        with self._store() as store:
            schema.upgrade(store, str(self.path))
            outbox.begin(store, lake)

    def _let_go(self, through: int) -> None:
        with self._store() as store:
            outbox.let_go(store, through)

    @contextlib.contextmanager
    def _store(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with (
            copying.database_errors(self.path),
            lease.exclusive(self.path, self._timeout),
            lease.connection(self.path, self._timeout) as store,
        ):
            yield store

    def _connection(self) -> duckdb.DuckDBPyConnection:
        if self._con is None:
            con = catalog.connect(self.address, read_only=False, data_path=self._data_path)
            try:
                layout.shell(con)
                with catalog.turn(con):
                    layout.bring_up(con)
            except BaseException:
                catalog.close(con)
                raise
            self._con, self._reached = con, True
        return self._con

    def _retried(self, body: Callable[[duckdb.DuckDBPyConnection], _Answer], done: Published
    ) -> _Answer:  # fmt: skip
        """What the body returns; it is tried again, anew, where the lake fails it on the way.

        A lake that could not even be reached once is an error at once.
        """
        pause = _PAUSE_SECONDS
        for left in reversed(range(TRIES)):
            try:
                with catalog.errors(self.address):
                    return body(self._connection())
            except catalog.LakeError:
                # Of which kind it is cannot be told: a server that went away may show as an
                # error in the query that was under way.
                self.close()
                if not left or not self._reached:
                    raise
            done.retries += 1
            time.sleep(pause * (0.5 + secrets.SystemRandom().random()))
            pause = min(2 * pause, _PAUSE_MOST_SECONDS)
        raise AssertionError("a try returns or raises")


# ------------------------------------------------------------------- in the lake's transaction


def put(
    con: duckdb.DuckDBPyConnection, store_id: UUID, window: timedelta, look_back: timedelta
) -> Published:
    """Puts the batch in the place of what the lake holds of it.

    In the writers' turn and in a transaction; `batch.take` has filled the tables.
    """
    _leave_out_erased(con)
    _find_standing(con, window, look_back)
    _mark_days(con, "stood")
    erased = _remember_erased(con)
    shared.put_together(con, store_id, window.total_seconds())
    con.execute(_KEYS)
    _delete_standing(con, "settled_attempts")
    said.publish(con, store_id)
    _delete_standing(con, "settled_executions")
    _mark_days(con, "b_executions")
    written = _count(con, "b_executions")
    if written:
        con.execute("INSERT INTO lake.settled_executions BY NAME FROM b_executions "
                    "ORDER BY started_at, execution_id")  # fmt: skip
        con.execute("INSERT INTO lake.execution_keys FROM b_keys ORDER BY key, day")
    if _count(con, "b_attempts"):
        con.execute("INSERT INTO lake.settled_attempts BY NAME FROM b_attempts "
                    "ORDER BY started_at, execution_id, ordinal")  # fmt: skip
    return Published(written, _count(con, "b_feedback"), erased)


def _mark_days(con: duckdb.DuckDBPyConnection, relation: str) -> None:
    """Notes that rows of these days change, so that their rollups are computed live."""
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE marked AS SELECT DISTINCT day FROM {relation} "
        "WHERE day NOT IN (SELECT day FROM lake.changed_days)"
    )
    if _count(con, "marked"):
        con.execute("INSERT INTO lake.changed_days SELECT day, now() FROM marked")


def _leave_out_erased(con: duckdb.DuckDBPyConnection) -> None:
    """What was erased from the lake does not come back from another store (rule R5)."""
    if _count(con, "lake.erased"):
        con.execute(
            "CREATE OR REPLACE TEMP TABLE gone_ids AS SELECT execution_id FROM b_executions, "
            "(SELECT DISTINCT salt FROM lake.erased) "
            "WHERE md5(salt || CAST(execution_id AS VARCHAR)) IN (SELECT hash FROM lake.erased)"
        )
        for table in ("b_executions", "b_attempts"):
            con.execute(
                f"DELETE FROM {table} WHERE execution_id IN (SELECT execution_id FROM gone_ids)"
            )
        con.execute("DROP TABLE gone_ids")


def _find_standing(con: duckdb.DuckDBPyConnection, window: timedelta, look_back: timedelta) -> None:
    """Fills `stood`: the lake's rows of the batch's ids.

    They are looked for where they can be: near the batch's own times, on the days that the store
    knows of, among those without a time; runs of the same tasks some way back, too. What was
    erased is looked for everywhere.
    """
    columns = "execution_id, store_id, task_id, trace_ids, day"
    of_batch = "execution_id IN (SELECT id FROM going WHERE kind = 'execution')"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE stood AS SELECT {columns} FROM lake.settled_executions "
        "LIMIT 0"
    )
    if not _count(con, "going WHERE kind = 'execution'"):
        return
    places = [f"day = DATE '{UNKNOWN_DAY}'"]
    row = lease.one(con, "SELECT min(started_at), max(coalesce(ended_at, started_at)) "
                    "FROM b_executions")  # fmt: skip
    if row is not None and row[0] is not None:
        places.append(
            f"ended_at >= TIMESTAMPTZ '{(row[0] - window).isoformat()}' "
            f"AND started_at <= TIMESTAMPTZ '{(row[1] + window).isoformat()}'"
        )
        if look_back:
            places.append(
                f"started_at BETWEEN TIMESTAMPTZ '{(row[0] - look_back).isoformat()}' "
                f"AND TIMESTAMPTZ '{(row[1] + look_back).isoformat()}' AND task_id IS NOT NULL"
            )
    row = lease.one(con, "SELECT min(first), max(last) FROM going WHERE kind = 'execution'")
    if row is not None and row[0] is not None:
        places.append(f"day BETWEEN DATE '{row[0]}' AND DATE '{row[1]}'")
    if _count(con, "going WHERE kind = 'execution' AND change = 'erased'"):
        places = ["TRUE"]
    looked = " UNION ".join(
        f"SELECT {columns} FROM lake.settled_executions WHERE {place} AND {of_batch}"
        for place in places
    )
    con.execute(f"INSERT INTO stood {looked}")


def _remember_erased(con: duckdb.DuckDBPyConnection) -> int:
    """Takes what was erased out of the lake, whoever published it; returns how many rows."""
    gone = "(SELECT id FROM going WHERE kind = 'execution' AND change = 'erased')"
    if not _count(con, gone):
        return 0
    salt = secrets.token_hex(16)
    con.execute(
        f"INSERT INTO lake.erased SELECT ?, md5(? || CAST(id AS VARCHAR)), now() FROM {gone}",
        [salt, salt],
    )
    for table in ("part_executions", "part_attempts"):
        con.execute(f"DELETE FROM lake.{table} WHERE execution_id IN {gone}")
    con.execute(
        "CREATE OR REPLACE TEMP TABLE gone_rows AS SELECT * FROM stood "
        f"WHERE execution_id IN {gone}"
    )
    count = _count(con, "gone_rows")
    if count:
        for table in ("settled_attempts", "settled_executions"):
            con.execute(
                f"DELETE FROM lake.{table} WHERE execution_id IN (SELECT execution_id "
                "FROM gone_rows)"
            )
        con.execute("DELETE FROM stood WHERE execution_id IN (SELECT execution_id FROM gone_rows)")
        _forget_keys(con)
    con.execute("DROP TABLE gone_rows")
    return count


def _forget_keys(con: duckdb.DuckDBPyConnection) -> None:
    """Deletes the keys of erased tasks and traces, but for those that others have, too."""
    con.execute("CREATE OR REPLACE TEMP TABLE gone_keys AS SELECT DISTINCT key FROM "
                f"({_keys_of('gone_rows')})")  # fmt: skip
    con.execute(
        "CREATE OR REPLACE TEMP TABLE kept_keys AS SELECT DISTINCT key, day FROM "
        f"({_keys_of('lake.settled_executions')}) WHERE key IN (SELECT key FROM gone_keys)"
    )
    con.execute("DELETE FROM lake.execution_keys WHERE key IN (SELECT key FROM gone_keys)")
    con.execute("INSERT INTO lake.execution_keys FROM kept_keys")
    con.execute("DROP TABLE gone_keys")
    con.execute("DROP TABLE kept_keys")


def _delete_standing(con: duckdb.DuckDBPyConnection, table: str) -> None:
    row = lease.one(con, "SELECT min(day), max(day) FROM stood")
    if row is None or row[0] is None:
        return
    con.execute(
        f"DELETE FROM lake.{table} WHERE day BETWEEN DATE '{row[0]}' AND DATE '{row[1]}' "
        "AND execution_id IN (SELECT execution_id FROM stood)"
    )


def _keys_of(relation: str) -> str:
    """As in a store (`day_keys`): the days on which something about a task or trace is found."""
    return (
        f"SELECT md5_number_upper('task|' || task_id) AS key, day FROM {relation} "
        "WHERE task_id IS NOT NULL UNION ALL "
        f"SELECT md5_number_upper('trace|' || unnest(trace_ids)) AS key, day FROM {relation}"
    )


_KEYS: Final = (
    "CREATE OR REPLACE TEMP TABLE b_keys AS "
    f"SELECT DISTINCT key, day FROM ({_keys_of('b_executions')})"
)


def _which_copy(path: Path) -> str:
    """Tells a store from a copy of it, which counts its changes on from the same number."""
    return f"{socket.gethostname()}:{path}:{path.stat().st_ino}"


def _sign(con: duckdb.DuckDBPyConnection, batch: Batch, path: Path) -> None:
    """Writes down, with the batch, how far the lake has this store."""
    store = str(batch.store_id)
    row = lease.one(con, "SELECT max(published) FROM lake.stores WHERE store_id = ?", [store])
    published = (row[0] if row and row[0] else 0) + batch.changes
    con.execute("DELETE FROM lake.stores WHERE store_id = ?", [store])
    con.execute(
        "INSERT INTO lake.stores BY NAME SELECT ?::UUID AS store_id, ? AS name, ? AS copy, "
        "?::BIGINT AS generation, ?::BIGINT AS sequence, ?::BIGINT AS published, "
        "now() AS published_at",
        [store, f"{socket.gethostname()}:{path.name}", _which_copy(path), batch.generation,
         batch.through, published],
    )  # fmt: skip


def _solutions_differ(con: duckdb.DuckDBPyConnection, store_id: UUID) -> bool:
    there = f"FROM lake.solutions WHERE store_id = '{store_id}'"
    row = lease.one(
        con,
        f"SELECT EXISTS ((FROM b_solutions) EXCEPT ({there})) "
        f"OR EXISTS (({there}) EXCEPT (FROM b_solutions))",
    )
    return bool(row and row[0])


def _count(con: duckdb.DuckDBPyConnection, relation: str) -> int:
    row = lease.one(con, f"SELECT count(*) FROM {relation}")
    return int(row[0]) if row else 0


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process publishes a store at a time; another lock than that of the store's file."""
    lock = beside(path, ".publish.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"the lock file {lock} cannot be opened: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreLockedError(str(path), "a process that publishes it") from None
        yield
    finally:
        os.close(descriptor)
