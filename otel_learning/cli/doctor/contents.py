"""Checks of what the store holds: do spans arrive, what is mapped, what was lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from otel_learning.cli.doctor.report import Report
from otel_learning.cli.exits import code_of
from otel_learning.cli.growth import growth
from otel_learning.cli.output import cell, size
from otel_learning.errors import OtelLearningError, StoreMissingError
from otel_learning.settings import Settings
from otel_learning.store.database import LearningDatabase

STORE_SECONDS: Final = 5.0
"""How long the doctor waits for a store that another program holds."""
_RECENT: Final = "now() - INTERVAL 1 DAY"


def store(report: Report, path: Path, chosen: Settings) -> int:
    """What the store says; the number of executions of the last day."""
    try:
        database = LearningDatabase(path, create=False, timeout_seconds=STORE_SECONDS)
        return _contents(report, database, chosen)
    except OtelLearningError as error:
        hint = error.hint
        if isinstance(error, StoreMissingError):
            hint = "it is made when the first span arrives; try otel-learning demo"
        report.add("store", False, str(error.args[0]), hint)
        report.code = code_of(error)
        return 0


def _contents(report: Report, database: LearningDatabase, chosen: Settings) -> int:
    (total, last, recent), *_ = database.sql(
        f"SELECT count(*), max(recorded_at), count(*) FILTER (recorded_at >= {_RECENT}) "
        "FROM executions"
    )
    report.add("store", True, f"{database.path}, free to be opened, {total} executions")
    report.add(
        "spans arrive",
        total > 0,
        f"last recorded {cell(last)}, {recent} executions in the last day" if total else
        "no execution was ever recorded",
        None if total else "does a span name a task, a route, an agent or a model call? "
        "otel-learning explain FILE shows what is read from spans",
    )  # fmt: skip
    for check in (_producers, _mapped, _losses):
        for found in check(database):
            report.add(*found)
    grows = growth(database, chosen)
    report.add(
        "size",
        True,
        f"{size(grows['growth_bytes_per_day'])} a day, "
        f"{size(grows['forecast_bytes_30_days'])} in 30 days",
        "; ".join(grows["warnings"]) or None,
    )
    return int(recent)


Found = tuple[str, bool, str, str | None]


def _producers(database: LearningDatabase) -> Iterator[Found]:
    rows = database.sql(
        "SELECT coalesce(producer, '(none)'), coalesce(profile, '(none)'), count(*) "
        f"FROM executions WHERE recorded_at >= {_RECENT} GROUP BY ALL ORDER BY 3 DESC, 1 LIMIT 8"
    )
    if rows:
        said = ", ".join(f"{count} from {scope} by profile {name}" for scope, name, count in rows)
        yield ("producers", True, said, None)


_HINTS: Final = {
    "task_id": "no task id: set learning.task.id on a span of the task, or name your key in a "
    "profile of your own; till then each trace is an execution",
    "task_type": "no task type: set learning.task.type, or name your key in a profile",
    "repo": "no repository: set learning.task.repo, or vcs.repository.name on the resource",
    "model_tier": "no tier: set learning.route.model_tier, or a [tiers] table in a profile",
    "model": "no model: is the model client instrumented?",
    "success": "no outcome: set learning.outcome.success on the task's span",
    "actual_cost": "no cost: are there token counts, and is the model in the price table?",
    "propensity": "no propensity: comparisons of routes stay observational; a router that explores "
    "sets learning.route.propensity",
}


def _mapped(database: LearningDatabase) -> Iterator[Found]:
    shares = ", ".join(f"avg(({column} IS NOT NULL)::INT)" for column in _HINTS)
    rows = database.sql(
        f"SELECT {shares}, count(*), sum(dropped_attributes), avg(complete::INT) FROM "
        "(FROM executions ORDER BY recorded_at DESC LIMIT 10000)"
    )
    *found, count, dropped, complete = rows[0]
    if not count:
        return
    shown = ", ".join(f"{column} {share:.0%}" for column, share in zip(_HINTS, found, strict=True))
    missing = [_HINTS[c] for c, share in zip(_HINTS, found, strict=True) if share == 0]
    yield ("mapped", True, f"{shown}, complete {complete:.0%}", "; ".join(missing) or None)
    if dropped:
        yield (
            "attributes", False, f"the SDK dropped {dropped} attributes of the spans",
            "raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
        )  # fmt: skip


def _losses(database: LearningDatabase) -> Iterator[Found]:
    rows: list[tuple[Any, ...]] = database.sql(
        f"SELECT reason, sum(count)::BIGINT, coalesce(sum(count) FILTER (noted_at >= {_RECENT}), 0)"
        " FROM losses GROUP BY 1 ORDER BY 2 DESC"
    )
    if not rows:
        yield ("losses", True, "none", None)
        return
    said = ", ".join(
        f"{count} {reason} ({recent} in the last day)" for reason, count, recent in rows
    )
    lately = any(recent for _, _, recent in rows)
    yield ("losses", not lately, said, "docs/how-to/troubleshoot.md says what each means")
