"""A store of a million executions and more: what dashboards, look-ups and ingest cost there.

    python benchmarks/large.py [--executions 1000000] [--dir FOLDER] [--keep]

Up to `--ingested` executions, a million, are brought in by the drain from observations; a larger
store is grown from that by copying rows in SQL with other ids and earlier days, which is said
in the output. `--store FILE` measures a store that an earlier run has kept.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import asking
import duckdb
import filling
import weighing
from asking import Asked
from tables import number, table

from otel_learning.store import segments
from otel_learning.store.compaction import compact
from otel_learning.store.drain import Drainer
from otel_learning.store.spool import Spool

INGEST_RATIO = 1.5
WINDOW_DAYS = 7
"""Of the ledger: what came in before has left it, as in a store that is so old."""
TURNS = 20
PER_DRAIN = (2_000, 70)
"""Observations of one drain: a burst, and what an application at ten tasks a second brings."""


def build(path: Path, executions: int, ingested: int) -> str:
    """Makes the store; returns how, in words."""
    first = min(executions, ingested)
    times = -(-executions // first)
    seconds = filling.ingest(path, first)
    said = (
        f"{first:,} executions brought in by the drain in {seconds:,.0f} s "
        f"({first / seconds:,.0f} a second, all in one process)"
    )
    if times > 1:
        filling.grow(path, times)
        said += f"; grown to {first * times:,} by copying rows in SQL, {times * filling.DAYS} days"
    filling.age(path, WINDOW_DAYS)
    return said


def ask(path: Path) -> list[Asked]:
    """Every question: with all days live, then with all but the last one rolled up."""
    filling.say("dashboards, nothing rolled up")
    filling.mark_all(path)
    found = asking.queries(path, asking.DASHBOARDS, None, "live: ")
    filling.say("rolling up")
    start = time.perf_counter()
    filling.roll_up_all(path, but_last=True)
    filling.say(f"rolled up in {time.perf_counter() - start:.1f} s; dashboards, ad hoc, look-ups")
    found += asking.queries(path, asking.DASHBOARDS, asking.DASHBOARD_MS, "rolled up: ")
    found += asking.queries(path, asking.AD_HOC, asking.AD_HOC_MS, "ad hoc, 30 days: ")
    found += asking.one_execution(path, asking.ONE_MS)
    filling.say("compacting")
    compact(path, 60.0)
    return found + asking.one_execution(path, asking.ONE_MS, "compacted: ")


def ingest_beside_empty(path: Path, folder: Path, observations: int) -> list[tuple[float, float]]:
    """Milliseconds of a drain into the large store and into an empty one, by turns."""
    stores = (path, folder / f"empty-{observations}.duckdb")
    drainers = [Drainer(store) for store in stores]
    tasks = filling.Tasks(seed=os.getpid())
    pairs = []
    for turn in range(TURNS + 2):
        at_ns = filling.FIRST_NS + filling.DAYS * filling.DAY_NS + turn * filling.SECOND
        some = []
        while len(some) < observations:
            some += tasks.task(at_ns + len(some))
        body = segments.encode(some)
        took = [0.0, 0.0]
        # The one that comes second finds a warmer machine.
        for which in (0, 1) if turn % 2 else (1, 0):
            Spool(stores[which]).write(body)
            took[which] = filling.drained(drainers[which]) * 1e3
        pairs.append((took[0], took[1]))
    return pairs[2:]  # the first two read caches in


def report(executions: int, asked: list[Asked]) -> str:
    rows = [
        [
            each.name, each.threads, number(each.p50), number(each.worst),
            number(each.limit) if each.limit else "", _verdict(each.p50, each.limit),
        ]
        for each in asked
    ]  # fmt: skip
    head = ["question", "threads", "p50 ms", "slowest ms", "limit", ""]
    return f"{executions:,} executions\n\n{table(head, rows)}"


def weigh(path: Path, folder: Path, executions: int) -> str:
    sizes = weighing.bytes_by_group(path, folder)
    rows = [[name, number(size)] for name, size in sizes.items()]
    # The sum that has a limit leaves out texts and the ledger.
    counted = sum(sizes.values()) - sizes[weighing.TEXT] - sizes[weighing.LEDGER]
    rows += [
        ["all but texts and ledger", f"{number(counted)} {_verdict(counted, weighing.LIMIT)}"],
        ["the store file as it is, all in it", number(path.stat().st_size / executions)],
        ["files of the ledger, all 90 days", number(weighing.ledger_files(path, executions))],
    ]
    return table(["what", "bytes per execution"], rows)


def ingest(path: Path, folder: Path) -> str:
    rows = []
    for observations in PER_DRAIN:
        filling.say(f"drains of {observations:,} observations")
        pairs = ingest_beside_empty(path, folder, observations)
        ratio = median(large / empty for large, empty in pairs)
        rows.append(
            [
                f"{observations:,}", number(median(large for large, _ in pairs)),
                number(median(empty for _, empty in pairs)), number(ratio),
                _verdict(ratio, INGEST_RATIO),
            ]
        )  # fmt: skip
    head = ["observations in one drain", "large ms", "empty ms", "median of paired ratios", ""]
    return table(head, rows)


def _verdict(figure: float, limit: float | None) -> str:
    if limit is None:
        return ""
    return "met" if figure <= limit else "NOT MET"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--ingested", type=int, default=1_000_000, help="at most, by the drain")
    parser.add_argument("--dir", type=Path, help="where stores are written; on a real disk")
    parser.add_argument("--store", type=Path, help="measure this one; its last day is added to")
    parser.add_argument("--keep", action="store_true", help="leave the store in --dir")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="otel-learning-large-", dir=options.dir))
        if not options.keep:
            stack.callback(shutil.rmtree, folder)
        path = options.store or folder / "large.duckdb"
        load = os.getloadavg()[0]
        if options.store is None:
            print(build(path, options.executions, options.ingested), "\n")
        with duckdb.connect(str(path), read_only=True) as con:
            executions = int(con.execute("SELECT count(*) FROM executions").fetchall()[0][0])
        print(report(executions, ask(path)), "\n", flush=True)
        filling.say("bytes")
        print(weigh(path, folder, executions), "\n", flush=True)
        print(ingest(path, folder), "\n")
        print(
            f"DuckDB {duckdb.__version__}, Python {platform.python_version()}, "
            f"{os.cpu_count()} CPUs, load {load:.1f} before and {os.getloadavg()[0]:.1f} after"
        )
        if options.keep:
            print(f"kept: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
