"""Polls the store with plain DuckDB, read-only; prints how long a read had to be retried."""

from __future__ import annotations

import json
import sys
import time

import duckdb

path, seconds = sys.argv[1], float(sys.argv[2])
until = time.monotonic() + seconds
waits: list[float] = []
refused_at_first = 0
while time.monotonic() < until:
    began = time.monotonic()
    while True:
        try:
            with duckdb.connect(path, read_only=True) as con:
                rows, distinct = con.execute(
                    "SELECT count(*), count(DISTINCT execution_id) FROM executions"
                ).fetchall()[0]
            assert rows == distinct, (rows, distinct)
            break
        except (duckdb.IOException, duckdb.ConnectionException):
            time.sleep(0.02)
    waited = time.monotonic() - began
    waits.append(waited)
    time.sleep(0.1)
waits.sort()
print(json.dumps({
    "reads": len(waits), "median": waits[len(waits) // 2], "max": waits[-1],
    "p95": waits[int(len(waits) * 0.95)],
}))  # fmt: skip
