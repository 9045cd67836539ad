"""Runs the demo in a process of its own and shows what the store learned from it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from otel_learning.cli.exits import CommandFailed, say
from otel_learning.cli.output import print_json, print_table, print_text
from otel_learning.cli.progress import spinner
from otel_learning.learning.recommend import recommend
from otel_learning.store.database import LearningDatabase

TIMEOUT_SECONDS: Final = 25.0
"""The demo promises to end within 30 s."""

SWITCHED_ON: Final = {
    "OTEL_TRACES_EXPORTER": "learning",
    "OTEL_LOGS_EXPORTER": "learning",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_SERVICE_NAME": "acme-orchestrator",
    # Its own environment, so that a demo never teaches a production router.
    "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=demo",
}
"""All that the demo sets to switch the exporter on."""

_MINE: Final = "environment = 'demo' AND recorded_at >= to_timestamp(?)"
_LAST: Final = f"""
SELECT task_id, task_type, repo, model_tier, model, success, fallback_used AS fallback,
       attempt_count AS attempts, round(duration_seconds, 1) AS seconds,
       round(actual_cost, 5) AS cost_usd, user_rating AS rating
FROM executions WHERE {_MINE} ORDER BY started_at DESC LIMIT 10
"""
_TIERS: Final = """
SELECT model_tier, sum(executions) AS executions,
       round(sum(successes) / nullif(sum(successes) + sum(failures), 0), 3) AS success_rate,
       round(sum(total_cost), 4) AS total_cost_usd,
       round(sum(total_cost) / sum(executions), 5) AS cost_per_task_usd
FROM tier_performance GROUP BY model_tier ORDER BY cost_per_task_usd
"""
_TASK_TYPE: Final = "bug_fix"
"""The kind of task for which the demo shows advice."""
_FALLBACK: Final = f"""
SELECT execution_id, task_id FROM executions WHERE {_MINE}
ORDER BY fallback_used DESC NULLS LAST, success DESC NULLS LAST, attempt_count DESC,
         started_at DESC LIMIT 1
"""
_ATTEMPTS: Final = """
SELECT ordinal, role, reason, model, success, error_type, round(duration_seconds, 1) AS seconds,
       input_tokens, output_tokens
FROM attempts WHERE execution_id = ? ORDER BY ordinal
"""


def run(path: Path, *, as_json: bool) -> None:
    """Runs the orchestrator into the store at `path` and prints what came of it."""
    started = time.time()
    say(f"An orchestrator runs, offline, switched on by {_variables(path)}")
    with spinner("tasks are carried out"):
        _orchestrate(path)
    database = LearningDatabase(path)
    executions = database.query(_LAST, [started])
    tiers = database.query(_TIERS)
    chosen = database.sql(_FALLBACK, [started])
    if not chosen:
        raise CommandFailed(f"the demo left no execution in {path}", "see otel-learning doctor")
    count = database.sql(f"SELECT count(*) FROM executions WHERE {_MINE}", [started])[0][0]
    execution_id, task_id = chosen[0]
    attempts = database.query(_ATTEMPTS, [str(execution_id)])
    advice = recommend(database, task_type=_TASK_TYPE)
    following = _how_to_go_on(path, task_id)
    if as_json:
        print_json({
            "path": str(path),
            "executions": count,
            "seconds": round(time.time() - started, 2),
            "last_executions": _objects(*executions),
            "tiers": _objects(*tiers),
            "fallback": {"execution_id": execution_id, "task_id": task_id,
                         "attempts": _objects(*attempts)},
            "advice": advice.as_dict(),
            "next": following,
        })  # fmt: skip
        return
    print_text(f"{count} executions in {path}. The last ones:\n")
    print_table(*executions)
    print_text("\nWhat each tier did and cost (view tier_performance):\n")
    print_table(*tiers)
    print_text(f"\nThe model calls of {task_id} (view attempts):\n")
    print_table(*attempts)
    print_text(f"\nWhat it advises for a {_TASK_TYPE} task (otel-learning recommend):\n")
    print_text(advice.explain())
    print_text("\nGo on with:\n")
    for command in following:
        print_text(f"  {command}")


def _orchestrate(path: Path) -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("OTEL_")
    }
    environment |= {**SWITCHED_ON, "OTEL_EXPORTER_LEARNING_PATH": str(path)}
    command = [sys.executable, "-m", "otel_learning.cli.demo"]
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(),
            timeout=TIMEOUT_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(
            f"the demo did not end within {TIMEOUT_SECONDS:g} s",
            "is another program holding the store?",
        ) from error
    if done.returncode:
        raise CommandFailed(f"the demo's orchestrator ended with exit code {done.returncode}")


def _variables(path: Path) -> str:
    chosen = {"OTEL_TRACES_EXPORTER": "learning", "OTEL_EXPORTER_LEARNING_PATH": str(path)}
    return " ".join(f"{name}={shlex.quote(value)}" for name, value in chosen.items())


def _how_to_go_on(path: Path, task_id: str) -> list[str]:
    db = f"--db {shlex.quote(str(path))}"
    sql = "SELECT task_type, model_tier, avg(success::INT) FROM executions GROUP BY ALL"
    return [
        f"otel-learning recommend --task-type {_TASK_TYPE} --cost-weight 0.3 {db}",
        f'otel-learning query "{sql}" {db}',
        f"otel-learning explain {db} --task-id {task_id}",
        f"otel-learning doctor {db}",
    ]


def _objects(names: list[str], rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [dict(zip(names, row, strict=True)) for row in rows]
