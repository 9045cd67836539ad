"""Puts executions and attempts into their tables, in the place of what stood there of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa

from otel_learning.assembly.assemble import Assembled
from otel_learning.observation import Observation
from otel_learning.store import outbox, rollups, rows
from otel_learning.store.day_keys import note_days

if TYPE_CHECKING:
    import duckdb


@dataclass(slots=True)
class Replaced:
    """What was written, and what stood there before and does so no more."""

    items: list[Assembled]
    gone: set[str]
    """Ids of executions whose observations now belong to others."""

    @property
    def days(self) -> dict[str, int]:
        """The executions written, and the day of each, in days since 1970."""
        return {item.execution["execution_id"]: item.execution["day"] for item in self.items}


def replace_executions(
    con: duckdb.DuckDBPyConnection,
    assembled: list[Assembled],
    old: list[Observation],
    now: int,
) -> Replaced:
    """Puts the executions in the place of what stood there of the same traces."""
    first_recorded: dict[str, int] = {}
    changed: set[int | date] = set()
    resettled: dict[str, date] = {}
    touched = {o.trace_id for o in old if o.trace_id is not None and o.role != "feedback"}
    if touched:
        starts = [o.start_ns for o in old if o.start_ns is not None]
        low, high = min(starts, default=None), max(starts, default=None)
        con.register("touched", pa.table({"trace_id": sorted(touched)}))
        try:
            gone = _delete_touched(con, "open", None, None)
            first_recorded.update((identity, recorded) for identity, (recorded, _) in gone.items())
            gone = _delete_touched(con, "settled", low, high)
            first_recorded.update((identity, recorded) for identity, (recorded, _) in gone.items())
            resettled = {identity: day for identity, (_, day) in gone.items()}
            changed.update(resettled.values())
        finally:
            con.unregister("touched")
    settled: list[Assembled] = []
    still_open: list[Assembled] = []
    for item in assembled:
        row = item.execution
        row["recorded_at"] = first_recorded.get(row["execution_id"], now)
        row["updated_at"] = now
        row["day"] = rollups.day_of(row["started_at"])
        done = row["complete"] or row["execution_id"] in resettled
        (settled if done else still_open).append(item)
    for name, items in (("settled", settled), ("open", still_open)):
        if not items:
            continue
        if name == "settled":
            changed.update(item.execution["day"] for item in items)
        items.sort(key=lambda item: item.execution["started_at"] or 0)
        executions = rows.table([item.execution for item in items], rows.EXECUTION)
        rows.insert(con, f"{name}_executions", executions, rows.EXECUTION)
        attempts = [attempt for item in items for attempt in item.attempts]
        if attempts:
            rows.insert(con, f"{name}_attempts", rows.table(attempts, rows.ATTEMPT), rows.ATTEMPT)
        note_days(con, [item.execution for item in items])
    rollups.mark_days(con, changed)
    written = {item.execution["execution_id"] for item in assembled}
    # Where it stood before, and where it stands now.
    replaced = [(identity, day) for identity, day in resettled.items() if identity in written]
    replaced_by = [(item.execution["execution_id"], item.execution["day"]) for item in settled]
    outbox.note_these(con, "execution", [*replaced, *replaced_by])
    no_more = [(identity, day) for identity, day in resettled.items() if identity not in written]
    outbox.note_these(con, "execution", no_more, "gone")
    return Replaced(assembled, set(first_recorded) - written)


def _delete_touched(
    con: duckdb.DuckDBPyConnection,
    kind: str,
    low: int | None,
    high: int | None,
) -> dict[str, tuple[int, date]]:
    """Deletes the executions of touched traces; returns when each was first recorded, and its day.

    `low` and `high` bound when they can have started, so that old row groups are skipped.
    """
    hint, bounds = "TRUE", []
    if low is not None and high is not None:
        hint = (
            "(started_at BETWEEN make_timestamptz(?) AND make_timestamptz(?) OR started_at IS NULL)"
        )
        bounds = [low // 1000, high // 1000]
    gone = con.execute(
        f"DELETE FROM {kind}_executions WHERE {hint} AND execution_id IN ("
        f"  SELECT execution_id FROM (SELECT execution_id, unnest(trace_ids) AS trace_id"
        f"  FROM {kind}_executions WHERE {hint}) WHERE trace_id IN (SELECT trace_id FROM touched))"
        " RETURNING execution_id, epoch_us(recorded_at), day",
        [*bounds, *bounds],
    ).fetchall()
    if not gone:
        return {}
    con.register("gone", pa.table({"execution_id": [str(identity) for identity, _, _ in gone]}))
    try:
        con.execute(
            f"DELETE FROM {kind}_attempts WHERE {hint} AND execution_id IN "
            "(SELECT CAST(execution_id AS UUID) FROM gone)",
            bounds,
        )
    finally:
        con.unregister("gone")
    return {str(identity): (int(recorded), day) for identity, recorded, day in gone}
