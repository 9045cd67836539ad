"""Dashboard queries by one thread, and the same by four threads with a cursor each.

    python benchmarks/threads.py [--executions 100000]

All go over one snapshot, whose connection has `SET threads = 1`: a thread's query has one core.
Both do the same queries, by turns; the ratio is one thread's time by that of the four.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import tables
from queries import QUERIES, write

from otel_learning import LearningDatabase
from otel_learning.store.reader import Reader

THREADS = 4
ROUNDS = 7
EACH = 3
"""Times that each thread asks in a round."""


def questions(task: str) -> dict[str, Callable[[Reader], Any]]:
    """The queries of queries.py, and two calls that make records of Python."""

    def asked(query: str) -> Callable[[Reader], Any]:
        return lambda reader: reader.sql(query)

    plain = {
        name: asked(query.format(table="executions", task=task)) for name, query in QUERIES.items()
    }
    return {
        **plain,
        "a page of 100 records": lambda reader: reader.executions_page(limit=100),
        "one execution in detail": lambda reader: reader.execution(task_id=task),
    }


def compare(reader: Reader, ask: Callable[[Reader], Any]) -> dict[str, float]:
    """Seconds of one thread and of four for the same work, and the ratio of each round."""
    expected = ask(reader)

    def work(times: int) -> None:
        for _ in range(times):
            if not same(ask(reader), expected):
                raise RuntimeError("two answers differ")

    alone, together, ratios = [], [], []
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, [1] * THREADS))
        for _ in range(ROUNDS):
            start = time.perf_counter()
            work(THREADS * EACH)
            middle = time.perf_counter()
            list(pool.map(work, [EACH] * THREADS))
            end = time.perf_counter()
            alone.append((middle - start) / (THREADS * EACH) * 1e3)
            together.append((end - middle) / (THREADS * EACH) * 1e3)
            ratios.append(alone[-1] / together[-1])
    return {
        "alone_ms": median(alone), "together_ms": median(together), "ratio": median(ratios),
        "least": min(ratios), "most": max(ratios),
    }  # fmt: skip


def opened_ms(database: LearningDatabase) -> float:
    """Milliseconds of a call that asks next to nothing."""
    times = []
    for _ in range(4 * ROUNDS):
        start = time.perf_counter()
        database.sql("SELECT 1")
        times.append((time.perf_counter() - start) * 1e3)
    return median(times)


def same(one: Any, other: Any) -> bool:
    """Equal; rows up to the order in which their floats were added."""
    if not (isinstance(one, list) and isinstance(other, list)):
        return bool(one == other)
    return len(one) == len(other) and all(
        a == b or (isinstance(a, float) and abs(a - b) <= 1e-9 * abs(a))
        for mine, theirs in zip(one, other, strict=True)
        for a, b in zip(mine, theirs, strict=True)
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--executions", type=int, default=100_000)
    parser.add_argument("--dir", type=Path, help="where the store is written; on a real disk")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="otel-learning-threads-", dir=options.dir) as folder:
        path = Path(folder) / "store.duckdb"
        write(path, options.executions)
        opening = opened_ms(LearningDatabase(path))
        with LearningDatabase(path).snapshot() as snapshot:
            task = snapshot.sql("SELECT task_id FROM executions ORDER BY hash(task_id) LIMIT 1")
            found = {
                name: compare(snapshot, ask) for name, ask in questions(str(task[0][0])).items()
            }
    print(
        tables.table(
            ["query", "one thread, ms", f"{THREADS} threads, ms", "ratio"],
            [
                [name, tables.number(f["alone_ms"]), tables.number(f["together_ms"]),
                 f"{f['ratio']:.2f} ({f['least']:.2f}..{f['most']:.2f})"]
                for name, f in found.items()
            ],
        )
    )  # fmt: skip
    print(
        f"\n{options.executions:,} executions, {len(os.sched_getaffinity(0))} CPUs, load "
        f"{os.getloadavg()[0]:.1f}; milliseconds per query, medians of {ROUNDS} rounds by turns, "
        "in brackets the smallest and the largest ratio; a call without a snapshot takes "
        f"{tables.number(opening)} ms to open the file"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
