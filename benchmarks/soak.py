"""Four processes export, one reads with plain DuckDB, one archives: is all there at the end?

    python benchmarks/soak.py [--spans 2000000] [--dir FOLDER]

Each writer is a real exporter and exports batches of up to 512 spans, all four together `--rate`
spans a second; 0 is as fast as the spool is emptied, and two CPUs have no time for readers then.
Tasks lie in the past 60 days, those of the older 30 are archived while more come. The exit code
is 1 where a task is missing, or there twice, or anything else named below does not hold.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
from workload import SECOND, SPANS_PER_TASK, Keep, Orchestrator, tracer

from otel_learning import LearningDatabase, LearningSpanExporter, StoreError
from otel_learning.store.drain import DrainSettings
from otel_learning.store.spool import Spool

WRITERS = 4
BATCH = 512
DAYS, ARCHIVED_DAYS = 60, 30
WINDOW_SECONDS = 60.0
"""The ledger's: what it still holds is not archived, and its usual week is longer than this run."""
BACKLOG_BYTES = 64 * 1024 * 1024
READ_SECONDS = 1.0
GROWTH = 1.15
"""What a writer's memory may grow by between its second quarter and its end."""


def write(path: Path, number: int, tasks: int, rate: float) -> dict[str, Any]:
    """One writer: its tasks, a sum over their ids, and its resident megabytes as it went on."""
    exporter = LearningSpanExporter(path=path, ledger_window=WINDOW_SECONDS)
    keep, spool = Keep(), Spool(path)
    orchestrator = Orchestrator(tracer(keep), seed=number)
    first, step = time.time_ns() - DAYS * 86_400 * SECOND, DAYS * 86_400 * SECOND // tasks
    total, failed = 0, 0
    resident: list[float] = []
    sampled, begun = 0.0, time.monotonic()
    while orchestrator.done < tasks:
        for _ in range(min(BATCH, tasks - orchestrator.done)):
            orchestrator.task(first + orchestrator.done * step)
        spans, keep.spans = keep.spans, []
        for span in spans:
            if span.attributes and "task.id" in span.attributes:
                total += _number(str(span.attributes["task.id"]))
        for start in range(0, len(spans), BATCH):
            failed += exporter.export(spans[start : start + BATCH]).value
        while spool.size() > BACKLOG_BYTES:
            time.sleep(0.1)
        if rate:
            ahead = orchestrator.done * SPANS_PER_TASK / rate - (time.monotonic() - begun)
            time.sleep(max(0.0, ahead))
        if time.monotonic() - sampled > 0.5:
            sampled = time.monotonic()
            resident.append(_resident_mb())
    exporter.force_flush()
    resident.append(_resident_mb())
    exporter.shutdown()
    return {"tasks": tasks, "sum": total, "failed": failed, "resident_mb": resident}


def _number(task: str) -> int:
    """SQL's `md5_number_upper`, to be summed over all ids."""
    return int.from_bytes(hashlib.md5(task.encode(), usedforsecurity=False).digest()[:8], "little")


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def read(path: Path, done: Path) -> dict[str, Any]:
    """Any DuckDB client: asks again for a second where the file is busy (rule R6)."""
    waits, counts, refused = [], [0], []
    while not done.exists():
        start = time.monotonic()
        while True:
            try:
                with duckdb.connect(str(path), read_only=True) as con:
                    counts += con.execute("SELECT count(*) FROM all_executions").fetchall()[0]
                waits.append(time.monotonic() - start)
                break
            except duckdb.IOException as error:
                if time.monotonic() - start > READ_SECONDS:
                    refused.append(_holder(str(error)))
                    break
                time.sleep(0.01)
        time.sleep(0.5)
    shrank = sum(b < a for a, b in pairwise(counts))
    return {"reads": len(waits), "refused": refused, "waits": waits, "shrank": shrank}


def _holder(message: str) -> str:
    """The role of the process that DuckDB says holds the file."""
    found = re.search(r"PID (\d+)", message)
    try:
        words = Path(f"/proc/{found[1] if found else 0}/cmdline").read_text().split("\0")
        return words[words.index("--role") + 1]
    except (OSError, ValueError):
        return "unknown"


def keep_archiving(path: Path, done: Path) -> dict[str, Any]:
    """Archives what is old, every ten seconds."""
    try:
        from otel_learning.store.archive import archive
    except ImportError:
        return {"missing": True}
    found: dict[str, Any] = {"runs": 0, "executions": 0, "refused": 0}
    while not done.exists():
        time.sleep(10)
        try:
            settings = DrainSettings(ledger_window_seconds=WINDOW_SECONDS)
            found["executions"] += archive(path, ARCHIVED_DAYS, settings=settings).executions
            found["runs"] += 1
        except StoreError as error:  # it was not free in time; the next run takes it
            found["refused"] += 1
            print(f"archive: {error}", file=sys.stderr)
    return found


def check(path: Path, written: list[dict[str, Any]], reader: dict[str, Any]) -> dict[str, bool]:
    """What must hold at the end."""
    with LearningDatabase(path, timeout_seconds=120.0) as database:
        count, distinct, total, whole = database.sql(
            "SELECT count(*), count(DISTINCT task_id), "
            "sum(CAST(md5_number_upper(task_id) AS HUGEINT)), "
            "count(*) FILTER (model_tier IS NOT NULL AND pool_type IS NOT NULL AND complete) "
            "FROM all_executions"
        )[0]
        lost = database.sql("SELECT reason, sum(count) FROM losses GROUP BY 1")
    tasks = sum(w["tasks"] for w in written)
    print(f"{count:,} executions of {tasks:,} tasks, {distinct:,} different, {whole:,} with all "
          f"their spans; losses: {lost or 'none'}")  # fmt: skip
    return {
        "every task once": count == distinct == tasks and total == sum(w["sum"] for w in written),
        "every task with all its spans": whole == tasks,
        "no loss noted": not lost and not any(w["failed"] for w in written),
        "the spool is empty": not Spool(path).list() and not Spool(path).broken(),
        "memory is flat": all(_flat(w["resident_mb"]) for w in written),
        "readers got in within a second": not reader["refused"] and reader["reads"] > 0,
        "a reader never saw fewer than before": reader["shrank"] == 0,
    }


def _flat(resident: list[float]) -> bool:
    quarter = max(1, len(resident) // 4)
    return median(resident[-quarter:]) <= GROWTH * median(resident[quarter : 2 * quarter] or [0])


def run(path: Path, spans: int, rate: float) -> bool:
    tasks = spans // SPANS_PER_TASK // WRITERS
    done = path.with_name("done")
    LearningDatabase(path)  # a reader finds a store from the start
    begun = time.monotonic()
    writers = [_start("writer", path, n, tasks, rate / WRITERS) for n in range(WRITERS)]
    others = [_start(role, path, 0, 0, 0.0) for role in ("reader", "archiver")]
    written = [_result(writer) for writer in writers]
    exported = time.monotonic() - begun
    LearningDatabase(path, timeout_seconds=120.0).drain()
    done.touch()
    reader, archiver = (_result(other) for other in others)
    print(f"{tasks * WRITERS * SPANS_PER_TASK:,} spans of {tasks * WRITERS:,} tasks through "
          f"{WRITERS} processes in {exported:.0f} s, {time.monotonic() - begun:.0f} s to the end; "
          f"load {os.getloadavg()[0]:.1f}")  # fmt: skip
    for number, writer in enumerate(written):
        mb = writer["resident_mb"]
        quarter = max(1, len(mb) // 4)
        print(f"writer {number}: resident {median(mb[quarter : 2 * quarter] or mb):.0f} MB in its "
              f"second quarter, {median(mb[-quarter:]):.0f} MB in its last, peak {max(mb):.0f}, "
              f"{writer['failed']} exports failed")  # fmt: skip
    waits = sorted(reader.pop("waits")) or [0.0]
    print(f"reader: {reader['reads']} reads, {len(reader['refused'])} refused for a second "
          f"(held by {dict(Counter(reader['refused']))}); median "
          f"{median(waits) * 1e3:.0f} ms, p99 {waits[int(len(waits) * 0.99)] * 1e3:.0f} ms, "
          f"worst {waits[-1] * 1e3:.0f} ms")  # fmt: skip
    print("archiver: not in this release" if archiver.get("missing") else f"archiver: {archiver}")
    held = check(path, written, reader)
    for name, holds in held.items():
        print(f"{'holds' if holds else 'DOES NOT HOLD'}: {name}")
    return all(held.values())


def _start(role: str, path: Path, number: int, tasks: int, rate: float) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--role", role, "--store", str(path)]
    command += ["--number", str(number), "--tasks", str(tasks), "--rate", str(rate)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _result(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{process.args} ended with {process.returncode}")
    return dict(json.loads(out))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spans", type=int, default=2_000_000)
    parser.add_argument("--rate", type=float, default=4_000.0, help="spans a second; 0: no limit")
    parser.add_argument("--dir", type=Path, help="where the store is written; on a real disk")
    parser.add_argument("--role", choices=("writer", "reader", "archiver"), help=argparse.SUPPRESS)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--tasks", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        done = options.store.with_name("done")
        if options.role == "writer":
            found = write(options.store, options.number, options.tasks, options.rate)
        else:
            part = read if options.role == "reader" else keep_archiving
            found = part(options.store, done)
        print(json.dumps(found))
        return 0
    with tempfile.TemporaryDirectory(prefix="otel-learning-soak-", dir=options.dir) as folder:
        return 0 if run(Path(folder) / "store.duckdb", options.spans, options.rate) else 1


if __name__ == "__main__":
    sys.exit(main())
