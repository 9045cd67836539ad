"""A lake: what a publication costs, how many files it leaves, what questions cost beside the file.

    .venv-lake/bin/python benchmarks/lake.py --store FILE [--writers 1,2,4] [--json FILE]

FILE is a store that `benchmarks/large.py --keep` has left; it is only read. A PostgreSQL of its
own is started, as the tests do it, with fsync on. All of the store is laid into a lake, and the
same questions are put to both by turns; then 1, 2 and 4 processes publish stores of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import asking  # noqa: E402
import duckdb  # noqa: E402
from tables import number, table  # noqa: E402

from otel_learning import LearningDatabase  # noqa: E402
from otel_learning.store import lease, outbox  # noqa: E402
from otel_learning.store.lake import catalog, layout, upkeep  # noqa: E402
from otel_learning.store.lake.address import LakeAddress  # noqa: E402
from otel_learning.store.lake.publish import Publisher  # noqa: E402
from otel_learning.store.transaction import transaction  # noqa: E402
from tests.lake.cluster import Cluster  # noqa: E402

LAID_AT_ONCE = 500_000
BATCHES = {512: 8, 5_000: 6, 20_000: 4}
"""Executions of a publication, and how many of such each writer makes."""
REPETITIONS = 9


def lay(store: Path, address: LakeAddress, data: Path) -> float:
    """Lays all executions of a store into a new lake, in the order of time; the seconds it took."""
    begun = time.perf_counter()
    con = catalog.connect(address, read_only=False, data_path=str(data))
    layout.shell(con)
    with catalog.turn(con):
        layout.bring_up(con)
    con.execute(f"ATTACH {lease.quoted(store)} AS store (READ_ONLY)")
    days = con.execute(
        "SELECT day, count(*) FROM store.settled_executions GROUP BY day ORDER BY day"
    ).fetchall()
    while days:
        part = [days.pop(0)]
        while days and sum(count for _, count in part) + days[0][1] <= LAID_AT_ONCE:
            part.append(days.pop(0))
        within = f"day BETWEEN DATE '{part[0][0]}' AND DATE '{part[-1][0]}'"
        with transaction(con):
            con.execute(
                "INSERT INTO lake.settled_executions BY NAME SELECT *, uuid() AS store_id "
                f"FROM store.settled_executions WHERE {within} ORDER BY started_at"
            )
            con.execute(
                "INSERT INTO lake.settled_attempts BY NAME SELECT *, "
                "CAST(timezone('UTC', started_at) AS DATE) AS day FROM store.settled_attempts "
                f"WHERE {within} ORDER BY started_at"
            )
            con.execute(
                f"INSERT INTO lake.execution_keys FROM store.execution_keys WHERE {within} "
                "ORDER BY key"
            )
    con.execute(
        "INSERT INTO lake.feedback BY NAME SELECT *, uuid() AS store_id FROM store.feedback"
    )
    con.execute(
        "INSERT INTO lake.changed_days SELECT DISTINCT day, now() FROM lake.settled_executions"
    )
    catalog.close(con)
    return time.perf_counter() - begun


def compare(store: Path, lake: str) -> list[tuple[str, float, float]]:
    """Milliseconds (median) of each question to the file and to the lake, asked by turns."""
    found = []
    with (
        LearningDatabase(store) as file_database, LearningDatabase(lake) as lake_database,
        file_database.snapshot() as one, lake_database.snapshot() as other,
    ):  # fmt: skip
        for reader in (one, other):
            # As many threads for both; a store is opened with one.
            reader.sql(f"SET threads = {os.cpu_count()}")
        last = one.sql("SELECT max(day) FROM settled_executions")[0][0]
        spans = {"week": asking._before(last, 7), "month": asking._before(last, 30)}
        ids = one.sql(
            "SELECT task_id, trace_ids[1] FROM settled_executions USING SAMPLE reservoir("
            f"{REPETITIONS + 1} ROWS) REPEATABLE (7)"
        )
        questions: dict[str, Callable[[Any, int], object]] = {
            name: lambda reader, _, query=query: reader.sql(query.format(**spans))
            for name, query in (asking.DASHBOARDS | asking.AD_HOC).items()
        }
        questions["execution(task_id=...), with attempts and feedback"] = lambda reader, turn: (
            reader.execution(task_id=ids[turn][0])
        )
        questions["execution(trace_id=...), with attempts and feedback"] = lambda reader, turn: (
            reader.execution(trace_id=ids[turn][1])
        )
        for name, question in questions.items():
            times: dict[int, list[float]] = {0: [], 1: []}
            for turn in range(REPETITIONS + 1):
                for place, reader in enumerate((one, other)):
                    begun = time.perf_counter()
                    question(reader, turn)
                    times[place].append((time.perf_counter() - begun) * 1e3)
            found.append((name, median(times[0][1:]), median(times[1][1:])))
            say(f"{name}: {found[-1][1]:.1f} ms, {found[-1][2]:.1f} ms")
    return found


# --------------------------------------------------------------------------------- writers


def fill(path: Path, source: Path, executions: int) -> None:
    """A store with executions like the source's newest, under ids and traces of its own."""
    LearningDatabase(path).close()
    with lease.exclusive(path, 60), lease.connection(path, 60) as con:
        con.execute(f"ATTACH {lease.quoted(source)} AS source (READ_ONLY)")
        con.execute(
            "CREATE TEMP TABLE new_ids AS SELECT execution_id, uuid() AS other, "
            "replace(CAST(uuid() AS VARCHAR), '-', '') AS trace FROM source.settled_executions "
            f"ORDER BY started_at DESC LIMIT {executions}"
        )
        con.execute(
            "INSERT INTO settled_executions BY NAME SELECT e.* REPLACE (n.other AS execution_id, "
            "e.task_id || n.trace AS task_id, [n.trace] AS trace_ids) "
            "FROM source.settled_executions AS e JOIN new_ids AS n USING (execution_id) "
            "ORDER BY started_at"
        )
        con.execute(
            "INSERT INTO settled_attempts BY NAME SELECT a.* REPLACE (n.other AS execution_id, "
            "n.trace AS trace_id) FROM source.settled_attempts AS a "
            "JOIN new_ids AS n USING (execution_id) ORDER BY started_at"
        )
        con.execute("DETACH source")


def publish_as_told(store: str, address: str, batch: str) -> None:
    """One writer: prints the seconds of each publication, from the store to the lake's commit."""
    publisher = Publisher(Path(store), LakeAddress.of(address), batch=int(batch))
    publisher._begin(done := _nothing())
    with publisher._store() as con:
        assert outbox.waiting(con)
    sys.stdin.readline()
    seconds = []
    while True:
        begun = time.perf_counter()
        taken = publisher._take(done)
        if not taken.changes:
            break
        seconds.append(time.perf_counter() - begun)
    sys.stdout.write(json.dumps({"seconds": seconds, "retries": done.retries}))


def _nothing() -> Any:
    from otel_learning.store.lake.publish import Published

    return Published()


def writers(
    count: int, batch: int, times: int, source: Path, lake: str, folder: Path
) -> dict[str, float]:
    """So many processes publish stores of their own at once."""
    stores = [folder / f"writer-{count}-{batch}-{number}.duckdb" for number in range(count)]
    for store in stores:
        fill(store, source, batch * times)
    running = [
        subprocess.Popen(
            [sys.executable, __file__, "--as-writer", str(store), lake, str(batch)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for store in stores
    ]  # fmt: skip
    time.sleep(3 + count)  # until each is connected
    begun = time.perf_counter()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [json.loads(process.communicate()[0]) for process in running]
    wall = time.perf_counter() - begun
    seconds = sorted(s for answer in answers for s in answer["seconds"])
    return {
        "writers": count, "batch": batch, "median_s": median(seconds), "worst_s": seconds[-1],
        "executions_per_s": count * batch * times / wall,
        "retries": sum(answer["retries"] for answer in answers),
    }  # fmt: skip


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--writers", default="1,2,4")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    found: dict[str, Any] = {"duckdb": duckdb.__version__, "load_before": os.getloadavg()[0]}
    cluster = Cluster(fsync=True)
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            lake, data = f"ducklake:postgres:{cluster.database()}", folder / "data"
            address = LakeAddress.of(lake)
            found["laid_s"] = lay(chosen.store, address, data)
            kept = upkeep.maintain(address, snapshots_seconds=0)
            found["laid"] = {"files": kept.files, "bytes": kept.bytes}
            say(f"laid in {found['laid_s']:.0f} s: {kept.files} files, {kept.bytes >> 20} MiB")
            found["queries"] = compare(chosen.store, lake)
            found["writers"] = []
            before = len(list(data.rglob("*.parquet")))
            for count in map(int, chosen.writers.split(",")):
                for batch, times in BATCHES.items():
                    found["writers"].append(
                        writers(count, batch, times, chosen.store, lake, folder)
                    )
                    say(str(found["writers"][-1]))
            publications = sum(
                count * times
                for count in map(int, chosen.writers.split(","))
                for times in BATCHES.values()
            )
            files = len(list(data.rglob("*.parquet"))) - before
            found["files_per_publication"] = files / publications
            kept = upkeep.maintain(address, snapshots_seconds=0)
            found["upkeep"] = {"files_before": kept.files_before, "files": kept.files,
                               "steps": kept.steps}  # fmt: skip
    finally:
        cluster.stop()
    found["load_after"] = os.getloadavg()[0]
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    sys.stdout.write(
        table(("question", "file, ms", "lake, ms"),
              [(name, number(a), number(b)) for name, a, b in found["queries"]])
        + "\n"
        + table(("writers", "executions each", "median, s", "worst, s", "executions a second",
                 "retries"),
                [tuple(number(value) for value in row.values()) for row in found["writers"]])
        + f"\n{found['files_per_publication']:.2f} files per publication; {found['upkeep']}\n"
    )  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as-writer"]:
        publish_as_told(*sys.argv[2:5])
    else:
        main()
