"""Erases executions from one store, with everything of them in its tables and its ledger."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from otel_learning.assembly.assemble import execution_id
from otel_learning.assembly.correlation import correlate
from otel_learning.observation import Observation
from otel_learning.store import ancestry, outbox, rollups, vectors
from otel_learning.store.day_keys import day_key, delete_days
from otel_learning.store.expired import ExpiredKeys
from otel_learning.store.failpoints import failpoint
from otel_learning.store.feedback import note_again
from otel_learning.store.forgotten import Id, ids_of, recogniser
from otel_learning.store.ledger import Ledger, hash_key, keys_in
from otel_learning.store.ledger_files import LedgerFiles

if TYPE_CHECKING:
    import duckdb

CONCERNED: Final = """(
    task_id IN (SELECT value FROM wanted WHERE kind = 'task_id')
    OR session_id IN (SELECT value FROM wanted WHERE kind = 'session_id')
    OR user_hash IN (SELECT value FROM wanted WHERE kind = 'user_hash')
    OR list_has_any(trace_ids,
        (SELECT coalesce(list(value), []) FROM wanted WHERE kind = 'trace_id'))
    OR CAST(execution_id AS VARCHAR) IN (SELECT value FROM wanted WHERE kind = 'execution_id')
)"""
"""Whether an execution stands under an id of the relation `wanted`."""


@dataclass(slots=True)
class Erased:
    """What was erased, and the ids that it stood under."""

    executions: int = 0
    attempts: int = 0
    feedback: int = 0
    observations: int = 0
    ids: set[Id] = field(default_factory=set)


def erase(
    con: duckdb.DuckDBPyConnection, path: Path, wanted: set[Id], window_seconds: float
) -> Erased:
    """Erases every execution that stands under a wanted id, whole; inside a transaction.

    Ledger files are written anew; the old ones are removed by `sweep`, after the commit.
    """
    done = Erased(ids=set(wanted))
    _register(con, "wanted", wanted)
    rows_gone = con.execute(
        f"SELECT CAST(execution_id AS VARCHAR), trace_ids FROM settled_executions WHERE {CONCERNED}"
        " UNION ALL SELECT CAST(execution_id AS VARCHAR), trace_ids FROM open_executions "
        f"WHERE {CONCERNED}"
    ).fetchall()
    con.unregister("wanted")
    gone = {str(identity): set(traces or ()) for identity, traces in rows_gone}
    keys = _in_ledger(con, path, wanted, gone, window_seconds, done)
    _delete_rows(con, gone, done)
    _rewrite_ledger(con, path, keys, done)
    _delete_keys(con, path, done.ids)
    con.execute("UPDATE generations SET generation = ?", [secrets.randbits(62)])
    return done


def forget_again(
    con: duckdb.DuckDBPyConnection, path: Path, window_seconds: float
) -> Erased | None:
    """Erases from a store that comes back what was erased meanwhile; None where nothing was."""
    erased = recogniser(con)
    if erased is None:
        return None
    wanted: set[Id] = set()
    for kind, column in (
        ("task_id", "task_id"), ("session_id", "session_id"), ("user_hash", "user_hash"),
        ("trace_id", "unnest(trace_ids)"), ("execution_id", "CAST(execution_id AS VARCHAR)"),
    ):  # fmt: skip
        for (value,) in con.execute(f"SELECT DISTINCT {column} FROM executions").fetchall():
            if value is not None and erased((kind, value)):
                wanted.add((kind, value))
    return erase(con, path, wanted, window_seconds) if wanted else None


def sweep(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Removes the ledger files that no row names; outside a transaction."""
    Ledger(path).sweep(con)


def _in_ledger(
    con: duckdb.DuckDBPyConnection,
    path: Path,
    wanted: set[Id],
    gone: dict[str, set[str]],
    window_seconds: float,
    done: Erased,
) -> set[tuple[str | None, str]]:
    """The spans of what is erased; adds to `gone` what only the ledger shows to belong to it."""
    seeds = {("trace_id", trace) for traces in gone.values() for trace in traces} | wanted
    found = [
        o for _, _, _, observations in _ledger(con, path) for o in observations
        if not seeds.isdisjoint(ids_of(o))
    ]  # fmt: skip
    connected = Ledger(path).connected(con, found).observations if found else []
    concerned = {o.trace_id for o in connected if o.trace_id is not None}
    known = [*connected, *ancestry.load(con, concerned)]
    keys: set[tuple[str | None, str]] = set()
    going, staying = {t for traces in gone.values() for t in traces}, _others_traces(con, gone)
    spans: set[Id] = set()
    shown: dict[str, set[str]] = {}
    for group in correlate(known, window_seconds).groups:
        identity = execution_id(group)
        members = {o.key for o in group.observations}
        own = {trace for trace, _ in members if trace is not None}
        if any(not wanted.isdisjoint(ids_of(o)) for o in group.observations) or not own.isdisjoint(
            gone.get(identity, ())
        ):
            keys |= members
            shown[identity] = own
            going |= own
            spans |= {("span_id", f"{trace}:{span}") for trace, span in members}
        else:
            staying |= own
    # Runs are counted from what the ledger holds, so the same id may be an older run's.
    _register(con, "shown", [("execution_id", identity) for identity in shown])
    for identity, traces in con.execute(
        "SELECT CAST(execution_id AS VARCHAR), trace_ids FROM executions "
        "WHERE CAST(execution_id AS VARCHAR) IN (SELECT value FROM shown)"
    ).fetchall():
        if not shown[identity].isdisjoint(traces or ()):
            gone[identity] = shown[identity]
    con.unregister("shown")
    done.ids |= {("trace_id", trace) for trace in going - staying}
    # A trace that others share stays; of it the spans are erased one by one.
    done.ids |= {(kind, span) for kind, span in spans if span.partition(":")[0] in going & staying}
    return keys


def _others_traces(con: duckdb.DuckDBPyConnection, gone: dict[str, set[str]]) -> set[str]:
    """Those of the traces that executions belong to which stay."""
    _register(con, "gone", [("execution_id", identity) for identity in gone])
    _register(con, "traces", [("trace_id", t) for traces in gone.values() for t in traces])
    try:
        found = con.execute(
            "SELECT DISTINCT trace FROM (SELECT unnest(trace_ids) AS trace FROM executions "
            "WHERE CAST(execution_id AS VARCHAR) NOT IN (SELECT value FROM gone)) "
            "WHERE trace IN (SELECT value FROM traces)"
        ).fetchall()
    finally:
        con.unregister("gone")
        con.unregister("traces")
    return {str(trace) for (trace,) in found}


def _delete_rows(con: duckdb.DuckDBPyConnection, gone: dict[str, set[str]], done: Erased) -> None:
    _register(con, "gone", [("execution_id", identity) for identity in gone])
    con.execute("CREATE OR REPLACE TEMP TABLE erased AS "
                "SELECT CAST(value AS UUID) AS execution_id FROM gone")  # fmt: skip
    con.unregister("gone")
    responses = con.execute(
        "SELECT DISTINCT response_id FROM attempts "
        "WHERE response_id IS NOT NULL AND execution_id IN (FROM erased)"
    ).fetchall()
    done.ids |= {("execution_id", identity) for identity in gone}
    done.ids |= {("response_id", str(response)) for (response,) in responses}
    days: list[Any] = []
    for kind in ("settled", "open"):
        deleted = con.execute(
            f"DELETE FROM {kind}_executions WHERE execution_id IN (FROM erased) RETURNING day"
        ).fetchall()
        days += [day for (day,) in deleted]
        done.executions += len(deleted)
        done.attempts += _deleted(
            con, f"DELETE FROM {kind}_attempts WHERE execution_id IN (FROM erased)"
        )
    rollups.mark_days(con, days)
    outbox.note(
        con, "execution", "SELECT execution_id AS id, NULL::DATE AS day FROM erased", "erased"
    )
    vectors.erase(con, "erased")
    _register(con, "gone", done.ids)
    said = con.execute(
        "DELETE FROM feedback WHERE execution_id IN (FROM erased) "
        "OR (target_kind, target_id) IN (SELECT (kind, value) FROM gone) "
        "OR (target_kind = 'span_id' AND contains(target_id, ':') AND "
        "  split_part(target_id, ':', 1) IN (SELECT value FROM gone WHERE kind = 'trace_id')) "
        "OR CAST(feedback_id AS VARCHAR) IN "
        "  (SELECT value FROM gone WHERE kind = 'feedback_id') "
        "RETURNING CAST(feedback_id AS VARCHAR), CAST(execution_id AS VARCHAR)"
    ).fetchall()
    done.feedback += len(said)
    outbox.note_these(con, "feedback", [(identity, None) for identity, _ in said], "erased")
    done.ids |= {("feedback_id", str(identity)) for identity, _ in said}
    note_again(con, {about for _, about in said if about is not None} - gone.keys())
    con.execute(
        "DELETE FROM ancestry WHERE trace_id IN (SELECT value FROM gone WHERE kind = 'trace_id')"
    )
    con.unregister("gone")
    con.execute("DROP TABLE erased")


def _rewrite_ledger(
    con: duckdb.DuckDBPyConnection, path: Path, keys: set[tuple[str | None, str]], done: Erased
) -> None:
    files = LedgerFiles(path)
    for first, last, file, observations in _ledger(con, path):
        kept = [o for o in observations if o.key not in keys and done.ids.isdisjoint(ids_of(o))]
        lost = len(observations) - len(kept)
        if not lost:
            continue
        done.observations += lost
        left = pa.array(sorted(map(hash_key, keys_in(kept))), pa.uint64())
        con.register("left_keys", pa.table({"key": left}))
        con.execute(
            "DELETE FROM ledger_keys WHERE drain BETWEEN ? AND ? "
            "AND key NOT IN (SELECT key FROM left_keys)", [first, last],
        )  # fmt: skip
        con.unregister("left_keys")
        if not kept:
            con.execute("DELETE FROM ledger WHERE file = ?", [file])
            continue
        name, size = files.write(first, last, kept)
        failpoint("forget: ledger written")
        con.execute(
            "UPDATE ledger SET file = ?, size_bytes = ?, observations = ? WHERE file = ?",
            [name, size, len(kept), file],
        )


def _delete_keys(con: duckdb.DuckDBPyConnection, path: Path, ids: set[Id]) -> None:
    hashes = [
        hash_key(f"{kind.removesuffix('_id')}|{value}")
        for kind, value in ids
        if kind in ("trace_id", "task_id")
    ]
    delete_days(
        con,
        [
            day_key("task" if kind == "task_id" else "trace", value)
            for kind, value in ids
            if kind in ("trace_id", "task_id")
        ],
    )
    con.register("gone_keys", pa.table({"key": pa.array(hashes, pa.uint64())}))
    con.execute("DELETE FROM ledger_keys WHERE key IN (SELECT key FROM gone_keys)")
    if _deleted(con, "DELETE FROM expired_keys WHERE key IN (SELECT key FROM gone_keys)"):
        # The filter cannot forget: whoever has it could ask whether an id was ever in it.
        ExpiredKeys(LedgerFiles(path).folder).begin_anew(con)
    con.unregister("gone_keys")


def _ledger(
    con: duckdb.DuckDBPyConnection, path: Path
) -> Iterable[tuple[int, int, str, list[Observation]]]:
    """Each ledger file with its observations; one that is gone or broken holds none."""
    files = LedgerFiles(path)
    named = con.execute("SELECT first_drain, last_drain, file FROM ledger ORDER BY 1").fetchall()
    for first, last, file in named:
        yield first, last, file, files.read(file) or []


def _register(con: duckdb.DuckDBPyConnection, name: str, ids: Iterable[Id]) -> None:
    pairs = sorted(ids)
    con.register(
        name,
        pa.table(
            {
                "kind": pa.array([kind for kind, _ in pairs], pa.string()),
                "value": pa.array([value for _, value in pairs], pa.string()),
            }
        ),
    )


def _deleted(con: duckdb.DuckDBPyConnection, statement: str) -> int:
    return int(con.execute(statement).fetchall()[0][0])
