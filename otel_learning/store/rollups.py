"""Keeps the rollups: days whose rows changed are computed live until they have been rolled up.

DuckDB has no materialised views. A day is recomputed as a whole, because a quantile cannot be
brought up to date, and because doing it twice does no harm. The views over the rollups take
changed days from the rows themselves, so they are exact at any time; rolling up only makes them
fast.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from otel_learning.store.day_keys import UNKNOWN_DAY, lay_down
from otel_learning.store.failpoints import failpoint
from otel_learning.store.transaction import transaction

if TYPE_CHECKING:
    import duckdb

QUIET_SECONDS: Final = 30.0
"""A day is rolled up once nothing has changed it for so long: the present day seldom stays so."""
MARK_SECONDS: Final = 5.0
"""A mark is not renewed more often: under load there is a drain every second."""
REFRESH_SECONDS: Final = 0.1
"""How long one drain rolls up; what is left is computed live until the next ones get to it."""
ROLLUPS: Final = {
    "rolled_tiers": "live_tiers", "rolled_pools": "live_pools",
    "rolled_solutions": "live_solutions", "rolled_routes": "live_routes",
}  # fmt: skip
"""Each rollup's table, and the view that it is copied from."""
MONTHS: Final = "rolled_solution_months"
"""What is rolled up by month, out of what is rolled up by day."""

_KEYS: Final = frozenset(
    ("day", "hour", "month", "environment", "repo", "task_type", "model_tier", "requested_model",
     "pool_type", "swarm_topology", "solution_summary")
)  # fmt: skip
_DAY_NS: Final = 86_400 * 10**9


def day_of(started_ns: int | None) -> int:
    """The UTC day of a time, in days since UNKNOWN_DAY, which is that of an unknown one."""
    return 0 if started_ns is None else started_ns // _DAY_NS


def mark_days(con: duckdb.DuckDBPyConnection, days: Iterable[int | date]) -> None:
    """Notes that rows of these days have changed; in the transaction that changes them."""
    chosen = {UNKNOWN_DAY + timedelta(d) if isinstance(d, int) else d for d in days}
    if not chosen:
        return
    marked = con.execute("SELECT day, epoch(now() - changed_at) FROM changed_days").fetchall()
    chosen -= {day for day, seconds in marked if seconds < MARK_SECONDS}
    if not chosen:
        return
    con.register("marked", pa.table({"day": pa.array(sorted(chosen), pa.date32())}))
    try:
        con.execute("DELETE FROM changed_days WHERE day IN (SELECT day FROM marked)")
        con.execute("INSERT INTO changed_days SELECT day, now() FROM marked")
    finally:
        con.unregister("marked")


def refresh(
    con: duckdb.DuckDBPyConnection,
    work_seconds: float = REFRESH_SECONDS,
    quiet_seconds: float | None = None,
) -> float | None:
    """Rolls up changed days, the newest first; in transactions of its own, one per day.

    Returns in how many seconds there is more to do, None where nothing is changed.
    """
    until = time.monotonic() + work_seconds
    quiet = QUIET_SECONDS if quiet_seconds is None else quiet_seconds
    # A day with open executions would be computed live all the same.
    changed = con.execute(
        "SELECT day, changed_at <= now() - to_seconds(?) AND day NOT IN "
        "(SELECT day FROM open_executions) FROM changed_days ORDER BY day DESC", [quiet],
    ).fetchall()  # fmt: skip
    ready = [day for day, is_ready in changed if is_ready]
    for day in ready:
        if time.monotonic() >= until:
            return 1.0
        roll_up(con, day)
    for month in _past_months(con):
        if time.monotonic() >= until:
            return 1.0
        roll_up_month(con, month)
    return quiet + 1.0 if len(ready) < len(changed) else None


def roll_up(con: duckdb.DuckDBPyConnection, day: date) -> None:
    """Puts one changed day into the rollups, in the place of what they held of it."""
    with transaction(con):
        for table, view in ROLLUPS.items():
            con.execute(f"DELETE FROM {table} WHERE day = ?", [day])
            con.execute(f"INSERT INTO {table} SELECT * FROM {view} WHERE day = ?", [day])
        con.execute("DELETE FROM rolled_days WHERE day = ?", [day])
        con.execute(
            "INSERT INTO rolled_days SELECT DISTINCT day, now() FROM settled_executions "
            "WHERE day = ?", [day],
        )  # fmt: skip
        con.execute("DELETE FROM changed_days WHERE day = ?", [day])
        _drop_month(con, day.replace(day=1))
        failpoint("roll up: before commit")
    failpoint("roll up: after commit")


def _past_months(con: duckdb.DuckDBPyConnection) -> list[date]:
    """Months that are over, have no live day, and are not rolled up yet."""
    rows = con.execute(
        "SELECT DISTINCT CAST(date_trunc('month', day) AS DATE) AS month FROM rolled_days "
        "WHERE month < date_trunc('month', now()) AND month NOT IN (FROM rolled_months) AND "
        "month NOT IN (SELECT CAST(date_trunc('month', day) AS DATE) FROM live_days) ORDER BY 1"
    ).fetchall()
    return [month for (month,) in rows]


def roll_up_month(con: duckdb.DuckDBPyConnection, month: date) -> None:
    """Puts the days of a month into one, and its keys in order; no day of it may be live."""
    with transaction(con):
        _drop_month(con, month)
        con.execute(f"INSERT INTO {MONTHS} FROM monthly_solutions WHERE month = ?", [month])
        con.execute("INSERT INTO rolled_months VALUES (?)", [month])
        lay_down(con, month, (month + timedelta(31)).replace(day=1) - timedelta(1))
        failpoint("roll up month: before commit")


def _drop_month(con: duckdb.DuckDBPyConnection, month: date) -> None:
    con.execute("DELETE FROM rolled_months WHERE month = ?", [month])
    con.execute(f"DELETE FROM {MONTHS} WHERE month = ?", [month])


def begin_anew(con: duckdb.DuckDBPyConnection) -> None:
    """Lets go of all that is rolled up; every day is live until it is rolled up again."""
    for table in (*ROLLUPS, MONTHS, "rolled_months", "rolled_days", "changed_days"):
        con.execute(f"DELETE FROM {table}")
    con.execute("INSERT INTO changed_days SELECT DISTINCT day, now() FROM settled_executions")


def differing(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Rollup -> rows that are not what the executions give; all 0 in a sound store.

    Sums of floats may differ in their last digits with the order of the rows. What it writes to
    find out is rolled back.
    """
    con.execute("BEGIN")
    try:
        for table in ROLLUPS:
            con.execute(
                f"CREATE TEMP TABLE was_{table} AS FROM {table} "
                "WHERE day NOT IN (SELECT day FROM live_days)"
            )
        con.execute(f"CREATE TEMP TABLE was_{MONTHS} AS FROM {MONTHS}")
        months = _differing(
            con, MONTHS, "monthly_solutions WHERE month IN (SELECT month FROM rolled_months)"
        )
        con.execute("CREATE TEMP TABLE was_live AS FROM live_days")
        # With every day live, the views compute all of them anew.
        con.execute("INSERT INTO changed_days SELECT DISTINCT day, now() FROM settled_executions")
        found = {
            table: _differing(con, table, f"{view} WHERE day NOT IN (SELECT day FROM was_live)")
            for table, view in ROLLUPS.items()
        }
        return found | {MONTHS: months}
    finally:
        con.execute("ROLLBACK")


def _differing(con: duckdb.DuckDBPyConnection, table: str, source: str) -> int:
    kinds = con.execute(f"DESCRIBE {table}").fetchall()
    keys = [name for name, *_ in kinds if name in _KEYS]
    same = " AND ".join(
        f"(a.{name} IS NOT DISTINCT FROM b.{name} "
        f"OR abs(a.{name} - b.{name}) <= 1e-9 * greatest(1, abs(b.{name})))"
        if kind == "DOUBLE" else f"a.{name} IS NOT DISTINCT FROM b.{name}"
        for name, kind, *_ in kinds
    )  # fmt: skip
    row = con.execute(
        f"SELECT count(*) FROM was_{table} AS a "
        f"FULL JOIN (FROM {source}) AS b ON "
        + " AND ".join(f"a.{key} IS NOT DISTINCT FROM b.{key}" for key in keys)
        + f" WHERE NOT ({same})"
    ).fetchall()
    return int(row[0][0])
