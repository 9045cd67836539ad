"""A large store: observations of made-up tasks, brought in by the drain; grown by copying in SQL.

The mapping of spans is left out. What it makes of a task's spans is made directly: the task's
own, a routing decision and one model call or two, and in one task of fifty feedback.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from otel_learning.observation import Facts, Observation, Role
from otel_learning.store import lease, rollups, segments
from otel_learning.store.drain import Drainer
from otel_learning.store.expired import KEYS_AT_ONCE
from otel_learning.store.ledger import Ledger
from otel_learning.store.spool import Spool

DAYS = 90
SECOND = 1_000_000_000
DAY_NS = 86_400 * SECOND
FIRST_NS = 20_600 * DAY_NS
"""Midnight, UTC, of a day in May 2026."""
OBSERVATIONS_PER_SEGMENT = 2_500
SEGMENTS_PER_DRAIN = 16
ATTEMPTS = 1.5
"""Model calls per execution."""
UNKNOWN_RATE, FAILURE_RATE, FEEDBACK_RATE, SUMMARY_RATE = 0.08, 0.07, 0.02, 0.4

_REPOS = [f"team-{n % 4}/service-{n}" for n in range(12)]
_KINDS = ("summarize", "bugfix", "refactor", "extract", "plan", "review")
_TIERS = ("small", "medium", "large")
_POOLS = ("local", "gpu", "burst", "spot", "batch")
_MODELS = {"small": "gpt-4o-mini", "medium": "claude-sonnet-4-5", "large": "claude-opus-4-1"}
_PROVIDERS = {"small": "openai", "medium": "anthropic", "large": "anthropic"}
_SOLUTIONS = 300
_SEEDS = {
    "settled_executions": "seed_executions",
    "settled_attempts": "seed_attempts",
    "feedback": "seed_feedback",
}


class Tasks:
    """Observations of tasks, in time order; the same seed gives the same ones."""

    def __init__(self, seed: int = 20260) -> None:
        self._random = random.Random(seed)
        self.done = 0

    def task(self, at_ns: int) -> list[Observation]:
        """What one task's spans told."""
        draw = self._random
        number, self.done = self.done, self.done + 1
        trace = f"{draw.getrandbits(128):032x}"
        root = f"{draw.getrandbits(64):016x}"
        tier = draw.choices(_TIERS, (6, 3, 1))[0]
        outcome = draw.random()
        success = None if outcome < UNKNOWN_RATE else outcome >= UNKNOWN_RATE + FAILURE_RATE
        took_ns = int(draw.expovariate(1 / 8.0) * SECOND) + 20_000_000
        calls = 2 if draw.random() < ATTEMPTS - 1 else 1
        cost = 0.0
        told = []
        for attempt in range(calls):
            call = self._call(trace, root, tier, attempt, calls, success, at_ns, took_ns)
            cost += float(call.facts["cost"])
            told.append(call)
        told.append(self._route(trace, root, tier, cost, number, at_ns))
        told.append(self._root(trace, root, number, success, cost, at_ns, took_ns))
        if draw.random() < FEEDBACK_RATE:
            told.append(self._feedback(told[-1]))
        return told

    def _call(
        self, trace: str, root: str, tier: str, attempt: int, calls: int, success: bool | None,
        at_ns: int, took_ns: int,
    ) -> Observation:  # fmt: skip
        draw = self._random
        model, last = _MODELS[tier], attempt == calls - 1
        each = took_ns // calls
        facts: Facts = {
            "requested_model": model,
            "response_model": model,
            "provider": _PROVIDERS[tier],
            "input_tokens": draw.randrange(50, 8000),
            "cost": round(draw.random() * 0.05, 6),
        }
        if not last or success is False:
            facts |= {"success": False, "error_class": "APITimeoutError"}
        elif success:
            # An answer says that the call succeeded; without one nothing does.
            facts["success"] = True
            facts["response_id"] = f"resp_{draw.getrandbits(64):016x}"
            facts["output_tokens"] = draw.randrange(10, 2000)
        start = at_ns + 3_000_000 + attempt * each
        return self._observation(trace, root, "call", start, each, facts)

    def _route(
        self, trace: str, root: str, tier: str, cost: float, number: int, at_ns: int
    ) -> Observation:
        draw = self._random
        facts: Facts = {
            "model_tier": tier,
            "routed_model": _MODELS[tier],
            "pool_type": draw.choice(_POOLS),
            "selector": "bandit",
            "routing_confidence": draw.random(),
            "cost_estimate": cost * 0.9,
            "policy_version": f"v{number * 8 // 1_000_000}",
            "fallback_used": draw.random() < 0.03,
        }
        return self._observation(trace, root, "route", at_ns + 1_000_000, 1_000_000, facts)

    def _root(
        self, trace: str, root: str, number: int, success: bool | None, cost: float, at_ns: int,
        took_ns: int,
    ) -> Observation:  # fmt: skip
        draw = self._random
        kind = draw.choice(_KINDS)
        facts: Facts = {
            "task_id": f"t-{draw.getrandbits(48):012x}-{number}",
            "task_type": kind,
            "task_description": f"{kind}: stage {number % 977} of the document set {number}",
            "repo": draw.choices(_REPOS, range(12, 0, -1))[0],
            "complexity_score": round(draw.random() * 100, 1),
            "estimated_tokens": draw.randrange(100, 9000),
            "total_cost": round(cost, 6),
            "session_id": f"session-{number // 20}",
            "user_hash": f"{draw.randrange(500):032x}",
        }
        if success is not None:
            facts["success"] = success
            facts["quality_score"] = round(draw.random() * 100, 1)
        if success is False:
            facts |= {
                "error_class": "WorkerTimeout",
                "error_message": f"no answer in 30 s (task {number})",
            }
        elif draw.random() < SUMMARY_RATE:
            # Few are frequent and many are rare.
            facts["solution_summary"] = (
                f"used approach {int(_SOLUTIONS * draw.random() ** 2)} of the runbook"
            )
        told = self._observation(trace, None, "task", at_ns, took_ns + 6_000_000, facts)
        told.span_id, told.local_root = root, True
        return told

    def _feedback(self, root: Observation) -> Observation:
        draw = self._random
        facts: Facts = {
            "feedback_kind": "task_id",
            "feedback_target": root.facts["task_id"],
            "feedback_accepted": draw.random() < 0.8,
            "feedback_rating": float(draw.randrange(1, 6)),
        }
        at_ns = (root.end_ns or 0) + 60 * SECOND
        return Observation(
            None, f"{draw.getrandbits(64):016x}", None, False, "feedback", at_ns, at_ns, facts=facts
        )

    def _observation(
        self, trace: str, parent: str | None, role: Role, start: int, took: int, facts: Facts
    ) -> Observation:
        facts["service_name"], facts["environment"] = "orchestrator", "benchmark"
        span = f"{self._random.getrandbits(64):016x}"
        return Observation(
            trace, span, parent, False, role, start, start + took, None, "orchestrator", "plain",
            1, 0, facts,
        )  # fmt: skip


def ingest(path: Path, executions: int) -> float:
    """Has the drain store so many executions over 90 days; returns the drain's seconds."""
    tasks, spool, drainer = Tasks(), Spool(path), Drainer(path)
    seconds, begun, shown = 0.0, time.monotonic(), 0.0
    waiting = 0
    for body in _segments(tasks, executions):
        spool.write(body)
        waiting += 1
        if waiting == SEGMENTS_PER_DRAIN:
            seconds += drained(drainer)
            waiting = 0
        if time.monotonic() - shown >= 10:
            shown = time.monotonic()
            say(f"{tasks.done:,} of {executions:,} executions, {shown - begun:.0f} s")
    return seconds + drained(drainer)


def drained(drainer: Drainer) -> float:
    """Seconds that the drain of all that waits takes."""
    start = time.perf_counter()
    report = drainer.drain(60.0)
    if report.broken or report.waiting or report.late or report.unreadable:
        raise RuntimeError(f"not everything was stored: {report}")
    return time.perf_counter() - start


def _segments(tasks: Tasks, executions: int) -> Iterator[bytes]:
    step = DAYS * DAY_NS // executions
    some: list[Observation] = []
    while tasks.done < executions:
        some += tasks.task(FIRST_NS + tasks.done * step)
        if len(some) >= OBSERVATIONS_PER_SEGMENT or tasks.done == executions:
            yield segments.encode(some)
            some = []


def grow(path: Path, times: int) -> None:
    """Makes so many of each execution, with other ids, on days before those that are there.

    Not the ingest code: rows are copied in SQL, each copy 90 days earlier than the one before,
    and lie in the file in the order of their time. Keys of the ledger are made up too, so that
    the drain has as many to know. Feedback is copied along.
    """
    with lease.exclusive(path, 60.0), lease.connection(path, 60.0) as con:
        con.execute("SET threads = 2")
        con.execute("SET preserve_insertion_order = true")
        for table, seed in _SEEDS.items():
            con.execute(f"CREATE TABLE {seed} AS FROM {table}")
            con.execute(f"DELETE FROM {table}")
        con.execute("CHECKPOINT")
        for copy in reversed(range(times)):
            say(f"copy {times - copy} of {times}")
            for table in ("settled_executions", "settled_attempts"):
                con.execute(_shifted(con, table, copy))
            con.execute(
                f"INSERT INTO feedback SELECT * REPLACE ({_other('feedback_id', copy)} AS "
                f"feedback_id, {_other('execution_id', copy)} AS execution_id, "
                f"target_id || '{_suffix(copy)}' AS target_id) FROM seed_feedback"
            )
            con.execute("CHECKPOINT")
        for seed in _SEEDS.values():
            con.execute(f"DROP TABLE {seed}")
        con.execute("DELETE FROM execution_keys")
        con.execute(
            "INSERT INTO execution_keys SELECT key, day FROM ("
            "SELECT md5_number_upper('task|' || task_id) AS key, day FROM settled_executions "
            "UNION ALL SELECT md5_number_upper('trace|' || unnest(trace_ids)), day "
            "FROM settled_executions) ORDER BY day, key"
        )
        con.execute("CREATE TEMP TABLE known AS FROM ledger_keys")
        for copy in range(1, times):
            con.execute(
                f"INSERT INTO ledger_keys SELECT hash(key + {copy}::UHUGEINT), 0 FROM known "
                "ORDER BY 1"
            )
        for table in ("rolled_days", "rolled_months", "changed_days"):
            con.execute(f"DELETE FROM {table}")
        con.execute("INSERT INTO changed_days SELECT DISTINCT day, now() FROM settled_executions")
        con.execute("CHECKPOINT")


def age(path: Path, window_days: int) -> None:
    """Makes as old as its tasks what was all brought in at once: most has left the window.

    What housekeeping does in the course of weeks is done until nothing is left to do: the ledger
    lets go of what is older than its window, and its keys move behind the filter.
    """
    with lease.exclusive(path, 60.0), lease.connection(path, 60.0) as con:
        drains = "(SELECT max(last_drain) FROM ledger)"
        con.execute(
            f"DELETE FROM ledger WHERE last_drain < {drains} * (1 - ? / ?)", [window_days, DAYS]
        )
        ledger, done = Ledger(path), 0
        ledger.retire(con)
        while ledger.lags:
            ledger.retire(con)
            done += KEYS_AT_ONCE
            if done % 1_000_000 == 0:
                say(f"{done:,} keys moved behind the filter")
        con.execute("CHECKPOINT")


def _suffix(copy: int) -> str:
    return f"-c{copy}" if copy else ""


def _other(column: str, copy: int) -> str:
    return f"CAST(md5({column}::VARCHAR || '{copy}') AS UUID)" if copy else column


def _shifted(con: Any, table: str, copy: int) -> str:
    """Copies a seed table's rows, days earlier and under other ids."""
    columns = [name for name, *_ in con.execute(f"DESCRIBE {table}").fetchall()]
    other = {
        "execution_id": _other("execution_id", copy),
        "task_id": f"task_id || '{_suffix(copy)}'",
        "trace_ids": f"[md5(x || '{copy}') FOR x IN trace_ids]",
        "trace_id": f"md5(trace_id || '{copy}')",
        "span_id": f"left(md5(span_id || '{copy}'), 16)",
        "response_id": f"'resp_' || left(md5(response_id || '{copy}'), 16)",
        "day": f"CAST(day - INTERVAL {DAYS * copy} DAY AS DATE)",
    }
    other |= {
        name: f"{name} - INTERVAL {DAYS * copy * 24} HOUR"
        for name in ("started_at", "ended_at", "recorded_at", "updated_at")
    }
    chosen = [f"{other[n]} AS {n}" if copy and n in other else n for n in columns]
    into = ", ".join(columns)
    return f"INSERT INTO {table} ({into}) SELECT {', '.join(chosen)} FROM {_SEEDS[table]}"


def roll_up_all(path: Path, *, but_last: bool) -> None:
    """Rolls every changed day up; then marks the last day, as it is in a store in use."""
    with lease.exclusive(path, 60.0), lease.connection(path, 60.0) as con:
        rollups.refresh(con, float("inf"), 0.0)
        if but_last:
            con.execute("INSERT INTO changed_days SELECT max(day), now() FROM settled_executions")


def mark_all(path: Path) -> None:
    """Has every day computed live, as if nothing had been rolled up."""
    with lease.exclusive(path, 60.0), lease.connection(path, 60.0) as con:
        con.execute("DELETE FROM changed_days")
        con.execute("INSERT INTO changed_days SELECT DISTINCT day, now() FROM settled_executions")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
