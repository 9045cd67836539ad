"""How much is older than the setting RETENTION_DAYS. Nothing is taken out by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_learning.store import lease

if TYPE_CHECKING:
    import duckdb

BEYOND = "SELECT count(*) FROM settled_executions WHERE started_at < now() - to_seconds(?)"
"""Settled executions that started longer ago than so many seconds."""
DAY_SECONDS = 86_400.0


def count_beyond(con: duckdb.DuckDBPyConnection, days: float) -> int:
    """Settled executions that started more than `days` ago."""
    row = lease.one(con, BEYOND, [days * DAY_SECONDS])
    return int(row[0]) if row else 0
