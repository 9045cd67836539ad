"""What a drain writes down about itself: the segments it took in, and what was lost."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from otel_learning.store.spool import Segment, Spool

if TYPE_CHECKING:
    import duckdb


def already_stored(con: duckdb.DuckDBPyConnection, waiting: list[Segment]) -> set[str]:
    con.register("waiting", pa.table({"name": [s.name for s in waiting]}))
    try:
        found = con.execute(
            "SELECT name FROM drained_segments WHERE name IN (SELECT name FROM waiting)"
        ).fetchall()
    finally:
        con.unregister("waiting")
    return {name for (name,) in found}


def record_names(con: duckdb.DuckDBPyConnection, taken: list[Segment], spool: Spool) -> None:
    """Names what this transaction takes in, and forgets the names of files that are gone."""
    there = pa.array([segment.name for segment in spool.list()], pa.string())
    con.register("there", pa.table({"name": there}))
    try:
        con.execute("DELETE FROM drained_segments WHERE name NOT IN (SELECT name FROM there)")
    finally:
        con.unregister("there")
    if not taken:
        return
    con.register("taken", pa.table({"name": [segment.name for segment in taken]}))
    try:
        con.execute("INSERT INTO drained_segments SELECT name, now() FROM taken")
    finally:
        con.unregister("taken")


def record_losses(con: duckdb.DuckDBPyConnection, losses: list[dict[str, Any]]) -> None:
    for loss in losses:
        con.execute(
            "INSERT INTO losses VALUES (?, ?, now(), ?)",
            [str(loss["reason"]), int(loss["count"]), str(loss.get("process", os.getpid()))],
        )
