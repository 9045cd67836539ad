"""Bytes per execution in a large store, by what takes them."""

from __future__ import annotations

from pathlib import Path

import duckdb

from otel_learning.store import lease

LIMIT = 350.0
IDS = ("execution_id", "task_id", "trace_ids", "session_id", "user_hash")
TEXTS = ("task_description", "error_message", "solution_summary", "metadata")
ATTEMPT_IDS = ("execution_id", "trace_id", "span_id", "response_id")
FIGURES = "executions: categories, times and numbers"
TEXT, LEDGER = "executions: texts", "ledger: its keys"


def bytes_by_group(path: Path, folder: Path) -> dict[str, float]:
    """Bytes per execution of each group of columns, copied into a compacted file of its own."""
    ids, texts, attempt_ids = ", ".join(IDS), ", ".join(TEXTS), ", ".join(ATTEMPT_IDS)
    rolled = (
        "rolled_tiers", "rolled_pools", "rolled_solutions", "rolled_routes", "rolled_days",
        "rolled_solution_months",
    )  # fmt: skip
    groups = {
        "executions: ids": [f"SELECT {ids} FROM store.settled_executions"],
        FIGURES: [f"SELECT * EXCLUDE ({ids}, {texts}) FROM store.settled_executions"],
        TEXT: [f"SELECT {texts} FROM store.settled_executions"],
        "attempts: ids": [f"SELECT {attempt_ids} FROM store.settled_attempts"],
        "attempts: the rest": [f"SELECT * EXCLUDE ({attempt_ids}) FROM store.settled_attempts"],
        "days by task and trace": ["FROM store.execution_keys"],
        "feedback": ["FROM store.feedback"],
        "rollups": [f"FROM store.{table}" for table in rolled],
        LEDGER: ["FROM store.ledger_keys", "FROM store.expired_keys", "FROM store.ledger"],
    }
    sizes = {}
    with duckdb.connect() as con:
        con.execute(f"ATTACH {lease.quoted(path)} AS store (READ_ONLY)")
        row = con.execute("SELECT count(*) FROM store.settled_executions").fetchall()
        executions = int(row[0][0])
        for name, parts in groups.items():
            copy = folder / "weighed.duckdb"
            con.execute(
                f"ATTACH {lease.quoted(copy)} AS weighed (STORAGE_VERSION "
                f"'{lease.STORAGE_VERSION}', BLOCK_SIZE {lease.BLOCK_BYTES})"
            )
            for number, part in enumerate(parts):
                con.execute(f"CREATE TABLE weighed.part_{number} AS {part}")
            con.execute("CHECKPOINT weighed")
            con.execute("DETACH weighed")
            sizes[name] = copy.stat().st_size / executions
            copy.unlink()
    return sizes


def ledger_files(path: Path, executions: int) -> float:
    """Bytes per execution of the folder beside the store."""
    folder = path.with_name(path.name + ".ledger")
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / executions
