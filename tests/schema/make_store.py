"""Makes the store that tests of later releases open: run it with the release that is to be kept.

    python -m tests.schema.make_store

It writes `stores/schema-N.tar.gz`, N being the newest schema version: the store file and its
ledger, of tasks on several days, some open, some failed, some with feedback.
"""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path

from otel_learning import FeedbackRecord, LearningDatabase, LearningSpanExporter
from otel_learning.store import schema
from tests.durability import harness

STORES = Path(__file__).parent / "stores"
DAYS = 3
TASKS_PER_DAY = 8


def fill(path: Path) -> None:
    """Tasks of several days: by turns in two repos, on two tiers; every fifth one failed."""
    exporter = LearningSpanExporter(path=path)
    for number in range(DAYS * TASKS_PER_DAY):
        start = harness.START_NS + (number % DAYS) * 86_400 * harness.SECOND_NS
        attributes = harness.task_attributes(
            f"task-{number}",
            **{
                "learning.task.repo": f"repo-{number % 2}",
                "learning.route.model_tier": ("small", "large")[number % 2],
                "learning.route.pool_type": ("spot", "gpu")[number // 2 % 2],
                "learning.outcome.success": number % 5 != 0,
                "learning.outcome.cost": 0.01 * (number + 1),
                "learning.outcome.solution_summary": f"summary {number % 3}",
            },
        )
        parent = 99 if number % 7 == 6 else None  # one in seven waits for its root
        exporter.export(
            [
                harness.span(
                    number + 1, 1, attributes, parent=parent, start_ns=start, seconds=1 + number
                )
            ]
        )
    if not exporter.force_flush():
        raise RuntimeError("force_flush() returned False")
    exporter.shutdown()
    with LearningDatabase(path) as database:
        for number in (1, 2):
            database.record_feedback(
                FeedbackRecord(target_kind="task_id", target_id=f"task-{number}", rating=number)
            )
        database.drain()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "learning.duckdb"
        fill(path)
        version = schema.supported_version()
        with tarfile.open(STORES / f"schema-{version}.tar.gz", "w:gz") as archive:
            for name in (path.name, f"{path.name}.ledger"):
                archive.add(path.with_name(name), arcname=name)


if __name__ == "__main__":
    main()
