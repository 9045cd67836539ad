"""Executions of which several stores hold parts: in a lake they are one (rule C1).

Where the parts lie within the correlation window they are one run, and put together. Where they
do not, each receiver has counted its own as the task's first, second, ... run: they are different
executions, and the one that is published later gets an id of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

import pyarrow as pa

from otel_learning.assembly.assemble import NAMESPACE
from otel_learning.assembly.parts import Part, merged, one_run
from otel_learning.store import rows

if TYPE_CHECKING:
    import duckdb

    from otel_learning.assembly.evidence import Row

_FOREIGN: Final = """
SELECT CAST(s.execution_id AS VARCHAR) FROM stood AS s
WHERE s.store_id IS DISTINCT FROM '{store_id}'::UUID
"""


def put_together(
    con: duckdb.DuckDBPyConnection, store_id: UUID, window_seconds: float
) -> dict[str, str]:
    """Puts what the batch and other stores hold parts of into the batch, whole.

    In the lake's transaction, after `stood` was filled, which says what the lake holds of the
    batch's ids. Returns the ids that were changed, each with what it is in the lake.
    """
    foreign = [
        str(identity) for (identity,) in con.execute(_FOREIGN.format(store_id=store_id)).fetchall()
    ]
    if not foreign:
        return {}
    _name(con, "shared_ids", foreign)
    mine = _parts(con, "b_executions", "b_attempts", _CHOSEN)
    there = _held(con)
    renamed: dict[str, str] = {}
    whole: list[tuple[Part, UUID | None]] = []
    parts: list[tuple[Part, UUID]] = []
    for identity in foreign:
        held = {store: part for store, part in there.get(identity, {}).items() if store != store_id}
        own = next(iter(mine.get(identity, {}).values()), None)
        if own is not None and held and not _is_one_run(own, held, window_seconds):
            renamed[identity] = str(uuid5(NAMESPACE, f"{identity}|{store_id}"))
            continue
        if own is not None:
            held[store_id] = own
        if len(held) > 1:
            whole.append((merged([held[store] for store in sorted(held)]), None))
            parts += [(part, store) for store, part in held.items()]
        else:
            whole += [(part, store) for store, part in held.items()]
    together = [identity for identity in foreign if identity not in renamed]
    _name(con, "shared_ids", together)
    con.execute(f"DELETE FROM lake.part_executions WHERE {_CHOSEN}")
    con.execute(f"DELETE FROM lake.part_attempts WHERE {_CHOSEN}")
    con.execute(f"DELETE FROM b_executions WHERE {_CHOSEN}")
    con.execute(f"DELETE FROM b_attempts WHERE {_CHOSEN}")
    _write(con, "lake.part_executions", "lake.part_attempts", parts, with_store=True)
    _write(con, "b_executions", "b_attempts", whole, with_store=False)
    for identity, other in renamed.items():
        _rename(con, identity, other)
    con.execute("DROP TABLE shared_ids")
    return renamed


_CHOSEN: Final = "execution_id IN (SELECT id FROM shared_ids)"


def _is_one_run(own: Part, held: dict[UUID, Part], window_seconds: float) -> bool:
    return any(one_run(own.execution, part.execution, window_seconds) for part in held.values())


def _rename(con: duckdb.DuckDBPyConnection, identity: str, other: str) -> None:
    """The batch's row gets another id; what the lake holds under the first one stays."""
    for table in ("b_executions", "b_attempts", "b_feedback"):
        con.execute(
            f"UPDATE {table} SET execution_id = CAST(? AS UUID) "
            "WHERE execution_id = CAST(? AS UUID)", [other, identity],
        )  # fmt: skip
    con.execute("DELETE FROM stood WHERE execution_id = CAST(? AS UUID)", [identity])
    con.execute(
        "INSERT INTO stood SELECT execution_id, store_id, task_id, trace_ids, day "
        "FROM lake.settled_executions WHERE execution_id = CAST(? AS UUID)", [other],
    )  # fmt: skip


def _held(con: duckdb.DuckDBPyConnection) -> dict[str, dict[UUID, Part]]:
    """What other stores, and this one before, have published: id -> store -> its part."""
    found = _parts(con, "lake.part_executions", "lake.part_attempts", _CHOSEN)
    single = f"{_CHOSEN} AND store_id IS NOT NULL"
    for identity, stores in _parts(
        con, "lake.settled_executions", "lake.settled_attempts", single
    ).items():
        found.setdefault(identity, {}).update(stores)
    return found


def _parts(
    con: duckdb.DuckDBPyConnection, executions: str, attempts: str, condition: str
) -> dict[str, dict[UUID, Part]]:
    found: dict[str, dict[UUID, Part]] = {}
    for row in _dicts(con, f"SELECT * FROM {executions} WHERE {condition}"):
        store = UUID(str(row.pop("store_id")))
        found.setdefault(str(row["execution_id"]), {})[store] = Part(row, [])
    for row in _dicts(con, f"SELECT * FROM {attempts} WHERE {_CHOSEN} ORDER BY ordinal"):
        store_id = row.pop("store_id", None)
        row.pop("day", None)
        for store, part in found.get(str(row["execution_id"]), {}).items():
            if store_id is None or store == UUID(str(store_id)):
                part.attempts.append(row)
    return found


def _dicts(con: duckdb.DuckDBPyConnection, query: str) -> list[Row]:
    cursor = con.execute(query)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def _write(
    con: duckdb.DuckDBPyConnection,
    executions: str,
    attempts: str,
    parts: list[tuple[Part, Any]],
    *,
    with_store: bool,
) -> None:
    """Appends parts, each with its store; attempts say it only where `with_store`."""
    if not parts:
        return
    layout = {**rows.EXECUTION, "store_id": pa.string()}
    wide = [{**part.execution, "store_id": store} for part, store in parts]
    _append(con, executions, layout, wide)
    layout = {**rows.ATTEMPT, "day": pa.date32()}
    if with_store:
        layout["store_id"] = pa.string()
    narrow = [
        {**attempt, "day": part.execution["day"], "store_id": store}
        for part, store in parts
        for attempt in part.attempts
    ]
    if narrow:
        _append(con, attempts, layout, narrow)


def _append(
    con: duckdb.DuckDBPyConnection, target: str, layout: dict[str, pa.DataType], found: list[Row]
) -> None:
    def value(row: Row, name: str) -> Any:
        return str(row[name]) if name in _IDS and row[name] is not None else row[name]

    arrays = [pa.array([value(row, name) for row in found], kind) for name, kind in layout.items()]
    con.register("appended", pa.table(arrays, names=list(layout)))
    columns = ", ".join(f"CAST({name} AS UUID)" if name in _IDS else name for name in layout)
    try:
        con.execute(f"INSERT INTO {target} ({', '.join(layout)}) SELECT {columns} FROM appended")
    finally:
        con.unregister("appended")


_IDS: Final = frozenset(("execution_id", "store_id"))


def _name(con: duckdb.DuckDBPyConnection, table: str, ids: list[str]) -> None:
    con.register("named_ids", pa.table({"id": pa.array(ids, pa.string())}))
    try:
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT CAST(id AS UUID) AS id FROM named_ids"
        )
    finally:
        con.unregister("named_ids")
