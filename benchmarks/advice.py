"""What a router waits for: calls of `recommend` on a large store, cold, warm, and while it changes.

    python benchmarks/advice.py [--executions 1000000] [--calls 20000] [--dir FOLDER]

Executions are made in SQL, not by the drain: 90 days, 12 repositories, 6 kinds of task, 3 tiers
and 5 pools, all with propensities. Calls ask for every context and two weights of cost in turn.
While the store changes, a process of its own adds an execution every half second, so that the
view is renewed as often as it ever is.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from itertools import cycle, product
from pathlib import Path

from tables import number, table

from otel_learning import LearningDatabase, recommend
from otel_learning.store import lease

LIMIT_MS = 5.0
DAYS = 90
FILL = """
INSERT INTO settled_executions (
    execution_id, task_id, run, trace_ids, environment, started_at, ended_at, duration_seconds,
    recorded_at, updated_at, task_type, repo, model_tier, pool_type, requested_model, propensity,
    propensity_of, success, actual_cost, attempt_count, complete, day
)
SELECT
    uuid(), 'task-' || n, 1, [md5(n::VARCHAR)], 'production', started,
    started + INTERVAL 9 SECOND, 9.0, started, started, 'kind-' || (h % 6),
    'team/service-' || (h // 6 % 12),
    ['small', 'medium', 'large'][1 + t], 'pool-' || (h // 900 % 5),
    ['model-s', 'model-m', 'model-l'][1 + t], 1.0 / 3, 'model_tier',
    CASE WHEN h // 5000 % 100 < 8 THEN NULL
        ELSE h // 70 % 1000 < 600 + 100 * t + 20 * (h % 6) END,
    0.002 * (1 + 4 * t) * exp(((h // 11 % 1000) / 500.0 - 1)), 1, TRUE, CAST(started AS DATE)
FROM (
    SELECT n, h, h // 100000 % 3 AS t,
        TIMESTAMPTZ '2026-05-01 00:00:00+00' + to_seconds(n * {step}) AS started
    FROM (SELECT n, CAST(hash(n) // 1000 AS BIGINT) AS h FROM range({first}, {last}) AS r(n))
)
"""
CONTEXTS = [
    (f"kind-{k}", f"team/service-{r}", weight)
    for k, r, weight in product(range(6), range(12), (0.05, 0.2))
]


def fill(path: Path, first: int, last: int, step: float) -> None:
    with lease.exclusive(path, 60.0), lease.connection(path, 60.0) as con:
        con.execute(FILL.format(first=first, last=last, step=step))


def add(path: str, first: int, step: float) -> None:
    """Adds executions until it is ended."""
    for number_ in range(first, first + 10_000):
        fill(Path(path), number_, number_ + 1, step)
        time.sleep(0.5)


def ask(db: LearningDatabase, calls: int, pause_seconds: float = 0.0) -> tuple[list[float], float]:
    """Milliseconds of each call, and the largest age of a view."""
    took, oldest = [], 0.0
    for _, (task_type, repo, weight) in zip(range(calls), cycle(CONTEXTS), strict=False):
        start = time.perf_counter()
        answer = recommend(db, task_type=task_type, repo=repo, cost_weight=weight)
        took.append((time.perf_counter() - start) * 1e3)
        oldest = max(oldest, answer.snapshot_age_seconds or 0.0)
        if answer.basis != "randomised":
            raise RuntimeError(f"not an answer: {answer.reasons}")
        if pause_seconds:
            time.sleep(pause_seconds)
    return took, oldest


def row(name: str, took: list[float], limit: float | None = None) -> list[str]:
    ordered = sorted(took)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    verdict = "" if limit is None else ("met" if p99 <= limit else "not met")
    return [name, number(ordered[len(ordered) // 2]), number(p99), number(ordered[-1]),
            number(limit) if limit else "", verdict]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--dir", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.dir) as folder:
        path = Path(folder) / "learning.duckdb"
        with LearningDatabase(path):
            pass
        step = DAYS * 86_400 / chosen.executions
        fill(path, 0, chosen.executions, step)
        db = LearningDatabase(path)
        start = time.perf_counter()
        recommend(db)
        rows = [row("first call", [(time.perf_counter() - start) * 1e3])]
        rows.append(row("first call for each context", ask(db, len(CONTEXTS))[0]))
        rows.append(row("warm", ask(db, chosen.calls)[0], LIMIT_MS))
        writer = multiprocessing.get_context("spawn").Process(
            target=add, args=(str(path), chosen.executions, step), daemon=True
        )
        writer.start()
        ask(db, 2_000, 0.001)  # the writer comes up
        took, oldest = ask(db, chosen.calls, 0.002)
        rows.append(row("warm, the store changes", took, LIMIT_MS))
        writer.terminate()
        writer.join()
        print(f"{chosen.executions:,} executions, {chosen.calls:,} calls")
        head = ["call of recommend()", "p50 ms", "p99 ms", "slowest ms", "limit", ""]
        print(table(head, rows))
        print(f"the oldest view in the last row: {oldest:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
