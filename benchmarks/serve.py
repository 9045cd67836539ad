"""How much a server takes, and what a span costs it, beside a bare receiver and a peer.

    python benchmarks/serve.py [--tasks 20000] [--rounds 3] [--phoenix FOLDER/bin/phoenix] [--dir D]

Every case gets the same requests of 512 spans (workload.py) as protobuf, over so many connections
as fast as they are answered; a request that is asked to come again does. What is counted is the
server's CPU, of all its threads and children, from the first request until every span is where a
query finds it; the senders' is not. `bare` parses the same messages and throws them away.

Phoenix (arize-phoenix, in an environment of its own) is the peer that stores: SQLite, its default.
It gets a tenth of the spans, so that a round ends. After the last round each storing case is killed
with -9 right after its last answer, and what it had said yes to is counted after a new start.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from tables import number, table
from workload import prebuilt

BATCH = 512
CONNECTIONS = 4
STORED_SECONDS = 300.0
HERE = Path(__file__).parent


@dataclass
class Running:
    """A server that takes spans."""

    process: subprocess.Popen[Any]
    port: int
    grpc_port: int
    folder: Path
    stored: Callable[[], int] | None


@dataclass
class Sent:
    """What was sent, and how it was answered."""

    seconds: float
    refused: int


# ---------------------------------------------------------------------------------- cases


def start_ours(folder: Path) -> Running:
    grpc_port = free_port()
    command = [sys.executable, "-c", "from otel_learning.cli.main import run; run()", "serve",
               "--port", "0", "--grpc-port", str(grpc_port), "--json"]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    lines = list(itertools.takewhile(lambda line: line != "}\n", process.stdout))
    port = int(json.loads("".join([*lines, "}"]))["http"].rpartition(":")[2])
    return Running(process, port, grpc_port, folder, lambda: our_spans(folder))


def our_spans(folder: Path) -> int:
    """Spans behind the executions that a query finds: three for each task that is complete."""
    import duckdb

    if any((folder / "learning.duckdb.spool").glob("v*.json")):
        return 0  # looking into the store would hold the drain up
    try:
        with duckdb.connect(str(folder / "learning.duckdb"), read_only=True) as con:
            counted = con.execute("SELECT count(*) FROM executions WHERE complete").fetchall()
    except duckdb.Error:
        return 0
    return 3 * int(counted[0][0])


def start_bare(folder: Path) -> Running:
    process = subprocess.Popen(
        [sys.executable, str(HERE / "receiver.py"), "parse"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    ports = process.stdout.readline().split()
    return Running(process, int(ports[0]), int(ports[1]), folder, None)


def start_phoenix(program: Path, folder: Path) -> Running:
    port, grpc_port = free_port(), free_port()
    environment = {
        **os.environ, "PHOENIX_WORKING_DIR": str(folder), "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(grpc_port), "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_TELEMETRY_ENABLED": "false", "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
    }  # fmt: skip
    environment.pop("PYTHONPATH", None)
    with (folder / "phoenix.log").open("a") as log:
        process = subprocess.Popen(
            [str(program), "serve"], cwd=folder, env=environment, stdout=log, stderr=log
        )
    wait_until(lambda: status(port, "/healthz") == 200, 120)
    return Running(process, port, grpc_port, folder, lambda: phoenix_spans(folder))


def phoenix_spans(folder: Path) -> int:
    try:
        with sqlite3.connect(f"file:{folder / 'phoenix.db'}?mode=ro", uri=True) as con:
            return int(con.execute("SELECT count(*) FROM spans").fetchone()[0])
    except sqlite3.Error:
        return 0


# -------------------------------------------------------------------------------- sending


def send_http(running: Running, bodies: list[bytes]) -> Sent:
    """Over kept connections, each of which sends when it was answered."""

    def sender(mine: list[bytes]) -> int:
        refused = 0
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
        for body in mine:
            while True:
                connection.request("POST", "/v1/traces", body,
                                   {"Content-Type": "application/x-protobuf"})  # fmt: skip
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    break
                assert answer.status in (429, 503), answer.status
                refused += 1
                time.sleep(float(answer.headers.get("Retry-After", 0.5)))
        connection.close()
        return refused

    return in_threads(sender, bodies)


def send_grpc(running: Running, bodies: list[bytes]) -> Sent:
    import grpc

    path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

    def sender(mine: list[bytes]) -> int:
        refused = 0
        # A channel of its own: equal ones would share one connection.
        options = (("grpc.use_local_subchannel_pool", 1),)
        with grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}", options) as channel:
            call = channel.unary_unary(path)
            for body in mine:
                while True:
                    try:
                        call(body, timeout=60)
                        break
                    except grpc.RpcError as error:
                        retryable = (
                            grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED
                        )  # fmt: skip
                        assert error.code() in retryable, error
                        refused += 1
                        time.sleep(0.5)
        return refused

    return in_threads(sender, bodies)


def in_threads(sender: Callable[[list[bytes]], int], bodies: list[bytes]) -> Sent:
    refused: list[int] = []

    def run(first: int) -> None:
        refused.append(sender(bodies[first::CONNECTIONS]))

    threads = [threading.Thread(target=run, args=(first,)) for first in range(CONNECTIONS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    if len(refused) != CONNECTIONS:
        raise RuntimeError("a sender failed")
    return Sent(seconds, sum(refused))


SENDERS: dict[str, Callable[[Running, list[bytes]], Sent]] = {"http": send_http, "grpc": send_grpc}


# ------------------------------------------------------------------------------ measuring


def measure(start: Callable[[Path], Running], how: str, bodies: list[bytes], warm: list[bytes],
            spans: int, warm_spans: int, folder: Path) -> dict[str, float]:  # fmt: skip
    """One case, once."""
    with case(start, folder) as running:
        send = SENDERS[how]
        send(running, warm)
        if running.stored is not None:
            wait_until(lambda: running.stored() >= warm_spans, STORED_SECONDS)
        time.sleep(2)
        before, started = cpu_of(running.process), time.perf_counter()
        sent = send(running, bodies)
        if running.stored is not None:
            # Looking takes the store's turn for a moment: seldom, so as not to disturb.
            wait_until(
                lambda: running.stored() >= warm_spans + spans, STORED_SECONDS, every=0.5
            )  # fmt: skip
        seconds = time.perf_counter() - started
        used = cpu_of(running.process) - before
        resident = psutil.Process(running.process.pid).memory_info().rss
        return {
            "answered_per_second": spans / sent.seconds,
            "stored_per_second": spans / seconds,
            "cpu_us_per_span": used / spans * 1e6,
            "resident_mb": resident / 1e6,
            "bytes_per_span": 0.0 if running.stored is None else size_of(folder) / (
                spans + warm_spans),
            "refused": sent.refused,
        }  # fmt: skip


def killed(start: Callable[[Path], Running], bodies: list[bytes], spans: int,
           folder: Path) -> int:  # fmt: skip
    """Spans that were acknowledged, and are not there after kill -9 and a new start."""
    with case(start, folder) as running:
        send_http(running, bodies)
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait()
    with case(start, folder) as running:
        assert running.stored is not None
        with suppress(TimeoutError):
            wait_until(lambda: running.stored() >= spans, 20)
        return spans - running.stored()


@contextmanager
def case(start: Callable[[Path], Running], folder: Path) -> Iterator[Running]:
    folder.mkdir(parents=True, exist_ok=True)
    running = start(folder)
    try:
        yield running
    finally:
        running.process.terminate()
        try:
            running.process.wait(60)
        except subprocess.TimeoutExpired:
            running.process.kill()
            running.process.wait()


def cpu_of(process: subprocess.Popen[Any]) -> float:
    """Seconds that a process and its children have computed."""
    found = psutil.Process(process.pid)
    times = [each.cpu_times() for each in (found, *found.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def size_of(folder: Path) -> int:
    return sum(
        entry.stat().st_size
        for entry in folder.rglob("*")
        if entry.is_file() and not entry.name.endswith(".log")
    )


def wait_until(true: Callable[[], bool], seconds: float, every: float = 0.1) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come about")
        time.sleep(every)


def status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


# --------------------------------------------------------------------------------- report


def report(found: dict[str, list[dict[str, float]]], lost: dict[str, int]) -> str:
    heads = ["server", "answered, spans/s", "stored, spans/s", "CPU us/span", "x bare",
             "resident MB", "bytes/span", "asked to come again",
             "lost by kill -9 of what was acknowledged"]  # fmt: skip
    rows = []
    for name, rounds in found.items():
        bare = found.get(f"bare, {name.rpartition(' ')[2]}", [])
        ratios = [
            one["cpu_us_per_span"] / other["cpu_us_per_span"]
            for one, other in zip(rounds, bare, strict=False)
        ]
        stores = rounds[0]["bytes_per_span"] > 0
        rows.append([
            name, spread(rounds, "answered_per_second"),
            spread(rounds, "stored_per_second") if stores else "",
            spread(rounds, "cpu_us_per_span"), number(median(ratios)) if ratios else "",
            spread(rounds, "resident_mb"), spread(rounds, "bytes_per_span") if stores else "",
            number(max(one["refused"] for one in rounds)),
            number(lost[name]) if name in lost else "",
        ])  # fmt: skip
    return table(heads, rows)


def spread(rounds: list[dict[str, float]], name: str) -> str:
    values = sorted(one[name] for one in rounds)
    middle = number(median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({number(values[0])}..{number(values[-1])})"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--phoenix", type=Path, help="its program, in an environment of its own")
    parser.add_argument("--dir", type=Path, help="where stores are written; on a real disk")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    load_before = os.getloadavg()[0]
    built = prebuilt(options.tasks + 2000)
    bodies = [encode_spans(built[i : i + BATCH]).SerializeToString()
              for i in range(0, len(built), BATCH)]  # fmt: skip
    warm, bodies = bodies[:11], bodies[11:]
    warm_spans = 11 * BATCH
    spans = len(built) - warm_spans
    # A task whose spans lie in both parts is complete, and counted, with the second one.
    warm_spans -= warm_spans % 3 + 3

    cases: dict[str, tuple[Callable[[Path], Running], str]] = {
        "bare, http": (start_bare, "http"),
        "otel-learning serve, http": (start_ours, "http"),
        "bare, grpc": (start_bare, "grpc"),
        "otel-learning serve, grpc": (start_ours, "grpc"),
    }
    if options.phoenix:

        def peer(folder: Path) -> Running:
            return start_phoenix(options.phoenix.absolute(), folder)

        cases["Phoenix, http"] = (peer, "http")
        cases["Phoenix, grpc"] = (peer, "grpc")

    found: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
    lost: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="otel-learning-serve-", dir=options.dir) as root:
        names = list(cases)
        for turn in range(options.rounds):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                folder = Path(root) / "case"
                start, how = cases[name]
                share = 10 if name.startswith("Phoenix") else 1
                some = bodies[: len(bodies) // share]
                count = spans if share == 1 else len(some) * BATCH
                figures = measure(start, how, some, warm, count, warm_spans, folder)
                found[name].append(figures)
                shutil.rmtree(folder)
                said = {key: round(value, 1) for key, value in figures.items()}
                print(turn, name, said, file=sys.stderr)
        for name, (start, how) in cases.items():
            if how == "http" and not name.startswith("bare"):
                some = bodies[: len(bodies) // 10]
                count = len(some) * BATCH
                folder = Path(root) / "killed"
                lost[name] = max(0, killed(start, some, count - count % 3 - 3, folder))
                shutil.rmtree(folder)
    load = f"load {load_before:.1f} before, {os.getloadavg()[0]:.1f} after"
    print(report(found, lost))
    about = f"{spans:,} spans, {options.rounds} rounds, {CONNECTIONS} connections"
    print(f"\n{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {os.cpu_count()} CPUs, the senders on them "
          f"too; {load}; {about}")  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps({"found": found, "lost": lost, "load": load}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
