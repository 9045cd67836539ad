"""Dashboard queries on a store that the exporter wrote, beside the same on one plain table.

    python benchmarks/queries.py [--executions 1000000] [--json FILE]

The plain table is a copy of the view `executions` in a file of its own, sorted as the view gives
its rows: what a query would cost if nothing were open, superseded or joined. With `--json FILE`
the figures are added to a run that is there already.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import tables
from results import Results
from workload import SECOND, SPANS_PER_TASK, Keep, Orchestrator, tracer

from otel_learning import LearningDatabase, LearningSpanExporter

DAYS = 30
CHUNK_TASKS = 512
EXPORTS_PER_FLUSH = 64
REPETITIONS = 9
TARGET_RATIO = 1.5
FIRST_NS = 1_780_000_000 * SECOND
LAST_DAY = "started_at >= (SELECT max(started_at) FROM {table}) - INTERVAL 1 DAY"

QUERIES = {
    "success and cost per tier and day": (
        "SELECT model_tier, CAST(started_at AS DATE) AS day, count(*), "
        "avg(CAST(success AS INTEGER)), sum(actual_cost) FROM {table} GROUP BY ALL ORDER BY ALL"
    ),
    "p95 duration per pool": (
        "SELECT pool_type, quantile_cont(duration_seconds, 0.95) FROM {table} "
        "GROUP BY ALL ORDER BY ALL"
    ),
    "last day by task type": (
        "SELECT task_type, count(*), avg(duration_seconds), avg(CAST(success AS INTEGER)) "
        f"FROM {{table}} WHERE {LAST_DAY} GROUP BY ALL ORDER BY ALL"
    ),
    "one task id": (
        "SELECT execution_id, model_tier, success, actual_cost FROM {table} "
        "WHERE task_id = '{task}'"
    ),
}


def write(path: Path, executions: int) -> float:
    """Has the exporter write so many tasks, spread evenly over 30 days; returns the seconds."""
    keep = Keep()
    orchestrator = Orchestrator(tracer(keep))
    exporter = LearningSpanExporter(path=path)
    step = DAYS * 86_400 * SECOND // executions
    started = time.perf_counter()
    exports = 0
    while orchestrator.done < executions:
        for _ in range(min(CHUNK_TASKS, executions - orchestrator.done)):
            orchestrator.task(FIRST_NS + orchestrator.done * step)
        spans, keep.spans = keep.spans, []
        for first in range(0, len(spans), CHUNK_TASKS):
            exporter.export(spans[first : first + CHUNK_TASKS])
            exports += 1
            if exports % EXPORTS_PER_FLUSH == 0 and not exporter.force_flush():
                raise RuntimeError("force_flush() returned False")
    if not exporter.force_flush():
        raise RuntimeError("force_flush() returned False")
    exporter.shutdown()
    return time.perf_counter() - started


def compare(store: Path, plain: Path) -> dict[str, dict[str, float]]:
    """Milliseconds of each query on the view and on the plain table, by turns."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"ATTACH '{plain}' AS copy")
    connection.execute(f"ATTACH '{store}' AS store (READ_ONLY)")
    connection.execute("CREATE TABLE copy.plain AS SELECT * FROM store.executions")
    connection.execute("CHECKPOINT copy")
    task = connection.execute(
        "SELECT task_id FROM copy.plain ORDER BY hash(task_id) LIMIT 1"
    ).fetchall()[0][0]
    found = {}
    for name, query in QUERIES.items():
        view = query.format(table="store.executions", task=task)
        copied = query.format(table="copy.plain", task=task)
        if not _same(connection.execute(view).fetchall(), connection.execute(copied).fetchall()):
            raise RuntimeError(f"view and copy answer differently: {name}")
        times: dict[str, list[float]] = {view: [], copied: []}
        for _ in range(REPETITIONS):
            for statement in (view, copied):
                start = time.perf_counter()
                connection.execute(statement).fetchall()
                times[statement].append((time.perf_counter() - start) * 1e3)
        ratios = [a / b for a, b in zip(times[view], times[copied], strict=True)]
        found[name] = {
            "view_ms": median(times[view]), "plain_ms": median(times[copied]),
            "ratio": median(ratios),
        }  # fmt: skip
    connection.close()
    return found


def _same(one: list[Any], other: list[Any]) -> bool:
    """Equal up to the order in which floats were added."""
    if len(one) != len(other):
        return False
    return all(
        a == b or (isinstance(a, float) and isinstance(b, float) and abs(a - b) <= 1e-9 * abs(a))
        for mine, theirs in zip(one, other, strict=True)
        for a, b in zip(mine, theirs, strict=True)
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--executions", type=int, default=100_000)
    parser.add_argument("--json", type=Path, metavar="FILE", help="add the figures to this run")
    parser.add_argument("--dir", type=Path, help="where stores are written; on a real disk")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="otel-learning-queries-", dir=options.dir) as folder:
        store, plain = Path(folder) / "store.duckdb", Path(folder) / "plain.duckdb"
        seconds = write(store, options.executions)
        with LearningDatabase(store) as database:
            stored = database.sql("SELECT count(*) FROM executions")[0][0]
        if stored != options.executions:
            print(f"{stored:,} of {options.executions:,} executions stored", file=sys.stderr)
            return 1
        queries = compare(store, plain)
        figures = {
            "executions": options.executions,
            "spans_per_second_written": options.executions * SPANS_PER_TASK / seconds,
            "store_bytes": store.stat().st_size,
            "plain_bytes": plain.stat().st_size,
            "queries": queries,
        }
    known = options.json is not None and options.json.exists()
    results = Results.load(options.json) if known else Results({})
    results.queries = figures
    if options.json:
        results.save(options.json)
    print(tables.queries(results))
    print(
        f"\n{options.executions:,} executions; the store {figures['store_bytes'] / 1e6:.1f} MB "
        f"(ledger included), the plain table {figures['plain_bytes'] / 1e6:.1f} MB; "
        f"target: each ratio <= {TARGET_RATIO}: "
        + ("met" if all(q["ratio"] <= TARGET_RATIO for q in queries.values()) else "NOT MET")
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
