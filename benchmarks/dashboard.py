"""Every page of the dashboard over a store: seconds as a browser waits for them.

    python benchmarks/dashboard.py STORE [--rounds 7]

A real server on the loopback shows the store; each page is asked for over HTTP, one after the
other. `cold` is the first answer of a fresh process for that page, with its charts drawn; `new` is
with every chart drawn anew (filters that were not asked for before); `warm` the same address again,
with charts out of memory. The store is only read.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import threading
import time
from pathlib import Path
from statistics import median
from urllib.request import urlopen

import uvicorn
from starlette.applications import Starlette

from otel_learning import AsyncLearningDatabase, LearningDatabase
from otel_learning.server.dashboard import catalogue, routes, svg

TARGET_SECONDS = 1.0


def serve(store: Path) -> str:
    """Starts a server in this process and returns its address."""
    app = Starlette(routes=routes())
    app.state.database = AsyncLearningDatabase(store, create=False)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off",
                            ws="none")  # fmt: skip
    server = uvicorn.Server(config)
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


def ask(address: str) -> tuple[float, float, int]:
    """Seconds, seconds of processor time of the server and of this, and bytes of an answer."""
    started, worked = time.perf_counter(), time.process_time()
    with urlopen(address, timeout=45) as found:
        body = found.read()
    return time.perf_counter() - started, time.process_time() - worked, len(body)


def pages(store: Path) -> list[str]:
    """Each page of the navigation, for the default period and for all time, and one execution."""
    known = LearningDatabase(store, create=False)
    found = []
    for entry in catalogue.entries():
        if entry.label is None:
            continue
        found.append(entry.address)
        if "period" in entry.takes:
            found.append(f"{entry.address}?period=all")
    one = known.sql("SELECT execution_id FROM executions ORDER BY started_at DESC LIMIT 1 OFFSET 9")
    repo = known.sql("SELECT repo FROM executions WHERE repo IS NOT NULL LIMIT 1")
    found.append(f"/?repo={repo[0][0]}")
    found.append("/executions?outcome=failure")
    return [*found, f"/executions/{one[0][0]}"]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    asked = pages(options.store)
    address = serve(options.store)
    time.sleep(3)  # the renderer is loaded beside the server's start
    worst = 0.0
    print("| page | cold, ms | charts anew, ms | of it CPU, ms | warm, ms | KB |")
    print("|---|---|---|---|---|---|")
    for path in asked:
        cold, _, size = ask(address + path)
        new, cpu, warm = [], [], []
        for _ in itertools.repeat(None, options.rounds):
            svg.forget()
            waited, worked, _ = ask(address + path)
            new.append(waited)
            cpu.append(worked)
            warm.append(ask(address + path)[0])
        worst = max(worst, cold, median(new))
        print(f"| {path} | {1e3 * cold:.0f} | {1e3 * median(new):.0f} | {1e3 * median(cpu):.0f} | "
              f"{1e3 * median(warm):.0f} | {size / 1024:.0f} |", flush=True)  # fmt: skip
    print(f"\ntarget: every page within {TARGET_SECONDS:g} s: "
          + ("met" if worst <= TARGET_SECONDS else f"NOT MET ({worst:.2f} s)"))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
