"""What questions to a large store cost: dashboards, ad hoc queries, one execution."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median

import duckdb

from otel_learning import LearningDatabase

REPETITIONS = 21
LIVE_REPETITIONS = 5
"""Of what only stands for comparison, and takes seconds in a store of ten million."""
DASHBOARD_MS, AD_HOC_MS, ONE_MS = 20.0, 100.0, 10.0

DASHBOARDS = {
    "tier_performance, all days": (
        "SELECT day, model_tier, sum(executions), sum(successes) / sum(successes + failures), "
        "max(p95_duration_seconds), sum(total_cost) FROM tier_performance GROUP BY ALL ORDER BY ALL"
    ),
    "pool_performance, last 7 days": (
        "SELECT hour, pool_type, sum(executions), sum(successes) / sum(successes + failures) "
        "FROM pool_performance WHERE hour >= TIMESTAMPTZ '{week}' GROUP BY ALL ORDER BY ALL"
    ),
    "routing_statistics, last 30 days": (
        "SELECT repo, model_tier, sum(executions), sum(successes) / sum(successes + failures), "
        "sum(total_cost) FROM routing_statistics WHERE day >= DATE '{month}' "
        "GROUP BY ALL ORDER BY ALL"
    ),
    "solution_patterns, the 20 most frequent": (
        "SELECT * FROM solution_patterns ORDER BY executions DESC, solution_summary LIMIT 20"
    ),
}
AD_HOC = {
    "p95, cost and success by repo and task type": (
        "SELECT repo, task_type, count(*), avg(CAST(success AS INTEGER)), "
        "quantile_cont(duration_seconds, 0.95), sum(actual_cost) FROM executions "
        "WHERE started_at >= TIMESTAMPTZ '{month}' GROUP BY ALL ORDER BY ALL"
    ),
    "failures by model, error and day": (
        "SELECT model, error_type, CAST(started_at AS DATE), count(*) FROM executions "
        "WHERE started_at >= TIMESTAMPTZ '{month}' AND NOT success GROUP BY ALL ORDER BY ALL"
    ),
    "cost by user, the 20 dearest": (
        "SELECT user_hash, count(*), sum(actual_cost) AS cost FROM executions "
        "WHERE started_at >= TIMESTAMPTZ '{month}' GROUP BY ALL ORDER BY cost DESC LIMIT 20"
    ),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """How long one question took."""

    name: str
    threads: str
    milliseconds: list[float]
    limit: float | None

    @property
    def p50(self) -> float:
        return median(self.milliseconds)

    @property
    def worst(self) -> float:
        return max(self.milliseconds)


def queries(
    path: Path, asked: dict[str, str], limit: float | None, prefix: str = ""
) -> list[Asked]:
    """Each query with one thread, as this package opens a store, and with as many as DuckDB likes.

    One connection that stays open and only reads.
    """
    found = []
    with duckdb.connect(str(path), read_only=True) as con:
        con.execute("SET TimeZone = 'UTC'")
        last = con.execute("SELECT max(day) FROM settled_executions").fetchall()[0][0]
        spans = {"week": _before(last, 7), "month": _before(last, 30)}
        default = con.execute("SELECT current_setting('threads')").fetchall()[0][0]
        for threads in (1, default):
            con.execute(f"SET threads = {threads}")
            for name, query in asked.items():
                times = _times(
                    con, query.format(**spans), REPETITIONS if limit else LIVE_REPETITIONS
                )
                found.append(Asked(prefix + name, str(threads), times, limit))
    return found


def one_execution(path: Path, limit: float | None, prefix: str = "") -> list[Asked]:
    """One execution by its task and by its trace, over an open snapshot; always another one."""
    with duckdb.connect(str(path), read_only=True) as con:
        ids = con.execute(
            f"SELECT task_id, trace_ids[1] FROM settled_executions USING SAMPLE reservoir("
            f"{REPETITIONS + 1} ROWS) REPEATABLE (7)"
        ).fetchall()
    found = []
    with LearningDatabase(path).snapshot() as snapshot:
        questions: dict[str, Callable[[str, str], object]] = {
            "executions(task_id=...)": lambda task, _: snapshot.executions(task_id=task),
            "execution(task_id=...), with attempts and feedback":
                lambda task, _: snapshot.execution(task_id=task),
            "execution(trace_id=...), with attempts and feedback":
                lambda _, trace: snapshot.execution(trace_id=trace),
        }  # fmt: skip
        for name, question in questions.items():
            times = []
            for task, trace in ids:
                start = time.perf_counter()
                answer = question(task, trace)
                times.append((time.perf_counter() - start) * 1e3)
                if not answer:
                    raise RuntimeError(f"{name} does not find {task} {trace}")
            found.append(Asked(prefix + name, "1", times[1:], limit))
    return found


def _times(con: duckdb.DuckDBPyConnection, query: str, repetitions: int) -> list[float]:
    con.execute(query).fetchall()
    found = []
    for _ in range(repetitions):
        start = time.perf_counter()
        con.execute(query).fetchall()
        found.append((time.perf_counter() - start) * 1e3)
    return found


def _before(last: date, days: int) -> str:
    return str(datetime(last.year, last.month, last.day, tzinfo=UTC).date() - timedelta(days - 1))
