"""Fills a store and publishes it by and by: `publish_on.py STORE ADDRESS DATA PREFIX TASKS`.

Each run goes on where the last one was; it prints `done` when all tasks are in the lake.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from otel_learning import LearningDatabase
from otel_learning.errors import StoreError
from otel_learning.store.lake.address import LakeAddress
from otel_learning.store.lake.publish import Publisher
from tests.durability import harness
from tests.lake.publishing import export

AT_ONCE = 200


def main() -> None:
    store, address, data, prefix, tasks = sys.argv[1:]
    path, total = Path(store), int(tasks)
    publisher = Publisher(path, LakeAddress.of(address), data_path=data, batch=AT_ONCE // 2)
    while True:
        stored = 0
        if path.exists():
            with LearningDatabase(path) as database:
                stored = database.count_executions()
        if stored < total:
            export(path, harness.tasks(prefix, stored, min(stored + AT_ONCE, total)))
        try:
            done = publisher.publish()
        except StoreError as error:  # PostgreSQL is away
            sys.stderr.write(f"{error}\n")
            time.sleep(0.2)
            continue
        if stored >= total and not done.left:
            print("done")
            return


if __name__ == "__main__":
    main()
