"""What running costs: CPU, memory and bytes a day of an application at a steady rate of tasks.

    python benchmarks/cost.py [--rates 1,100] [--seconds 60] [--dir FOLDER]

For each rate two processes beside each other: an application with the exporter behind its
processor, and the same with nothing. Differences are what the exporter costs. Bytes a day are
those of the store and of its ledger per task, by the tasks of a day; the ledger is let go of
after its window, seven days, so a day's growth is the store's once a week has passed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tables import number, table
from workload import SPANS_PER_TASK, Orchestrator, tracer

DAY = 86_400


def application(path: Path | None, rate: float, seconds: float) -> dict[str, float]:
    """Carries out so many tasks a second; returns the CPU and the memory that this took."""
    processors = []
    if path is not None:
        from otel_learning import LearningSpanProcessor

        processors.append(LearningSpanProcessor(path=path))
    orchestrator = Orchestrator(tracer(*processors))
    orchestrator.task()  # imports, and the store's creation, are not running costs
    time.sleep(5)
    begun, cpu = time.monotonic(), time.process_time()
    while (at := time.monotonic() - begun) < seconds:
        while orchestrator.done <= at * rate:
            orchestrator.task()
        time.sleep(min(0.05, 1 / rate))
    for processor in processors:
        processor.force_flush()
    cpu = time.process_time() - cpu
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    for processor in processors:
        processor.shutdown()
    return {
        "tasks": orchestrator.done,
        "cpu_percent": 100 * cpu / seconds,
        "resident_mb": pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
    }


def measure(rate: float, seconds: float, folder: Path) -> dict[str, float]:
    """The exporter's share: an application with it, less one without."""
    path = folder / f"cost-{rate:g}.duckdb"
    running = [_start(rate, seconds, store) for store in (path, None)]
    mine, control = (json.loads(process.communicate()[0]) for process in running)
    if any(process.returncode for process in running):
        raise RuntimeError("an application failed")
    from otel_learning import LearningDatabase

    with LearningDatabase(path) as database:
        stored = database.sql("SELECT count(*) FROM executions")[0][0]
    if stored != mine["tasks"]:
        raise RuntimeError(f"{stored} of {mine['tasks']} tasks stored")
    ledger = path.with_name(path.name + ".ledger")
    return {
        "rate": rate,
        "cpu": mine["cpu_percent"] - control["cpu_percent"],
        "control_cpu": control["cpu_percent"],
        "memory": mine["resident_mb"] - control["resident_mb"],
        "store": path.stat().st_size / stored,
        "ledger": sum(f.stat().st_size for f in ledger.rglob("*") if f.is_file()) / stored,
        "tasks": stored,
    }


def _start(rate: float, seconds: float, store: Path | None) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--rates", str(rate), "--seconds", str(seconds), "--role"]
    command.append("control" if store is None else str(store))
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def report(found: list[dict[str, Any]]) -> str:
    head = [
        "tasks a second", "CPU, % of one", "application's own CPU, %", "resident MB",
        "store bytes/task", "ledger bytes/task", "store MB a day", "ledger MB at its full week",
    ]  # fmt: skip
    rows = [
        [
            number(f["rate"]), number(f["cpu"]), number(f["control_cpu"]), number(f["memory"]),
            number(f["store"]), number(f["ledger"]), number(f["store"] * f["rate"] * DAY / 1e6),
            number(7 * f["ledger"] * f["rate"] * DAY / 1e6),
        ]
        for f in found
    ]  # fmt: skip
    return table(head, rows)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rates", default="1,100")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--dir", type=Path, help="where stores are written; on a real disk")
    parser.add_argument("--role", help=argparse.SUPPRESS)
    options = parser.parse_args()
    rates = [float(rate) for rate in options.rates.split(",")]
    if options.role:
        path = None if options.role == "control" else Path(options.role)
        print(json.dumps(application(path, rates[0], options.seconds)))
        return 0
    with tempfile.TemporaryDirectory(prefix="otel-learning-cost-", dir=options.dir) as folder:
        found = [measure(rate, options.seconds, Path(folder)) for rate in rates]
    print(report(found))
    print(f"\n{SPANS_PER_TASK} spans per task; load {os.getloadavg()[0]:.1f} at the end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
