"""What repositories report of themselves, and how strictly they were said to be checked."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from otel_learning.records import QualityPolicy
from otel_learning.store.experiments import writing
from otel_learning.store.reader import Reader

_REPORTS_MAX: Final = 2_000
_COLUMNS: Final = ", ".join(QualityPolicy.model_fields)


class Report(NamedTuple):
    """What one execution's `metadata` holds."""

    task_type: str | None
    metadata: dict[str, Any]


def read_reports(
    reader: Reader, repo: str, environment: str | None, as_of: datetime | None
) -> list[Report]:
    """The metadata of a repository's executions, the newest first."""
    rows = reader.sql(
        "SELECT task_type, CAST(metadata AS VARCHAR) FROM executions WHERE repo = $repo "
        "AND environment IS NOT DISTINCT FROM $environment AND metadata IS NOT NULL "
        "AND ($as_of IS NULL OR coalesce(ended_at, started_at) < $as_of) "
        "ORDER BY started_at DESC NULLS LAST, execution_id LIMIT $most",
        {"repo": repo, "environment": environment, "as_of": as_of, "most": _REPORTS_MAX},
    )
    found = []
    for task_type, text in rows:
        try:
            metadata = json.loads(text)
        except ValueError:
            continue  # cut short at the length that one span may add
        if isinstance(metadata, dict):
            found.append(Report(task_type, metadata))
    return found


def newest(reader: Reader, repo: str) -> QualityPolicy | None:
    """The policy in force; None where none was ever stored."""
    names, rows = reader.query(
        f"SELECT {_COLUMNS} FROM quality_policies WHERE repo = ? "
        "ORDER BY last_adjusted DESC, policy_id LIMIT 1",
        [repo],
    )
    return QualityPolicy(**dict(zip(names, rows[0], strict=True))) if rows else None


def append(path: Path, policy: QualityPolicy) -> None:
    """Stores a policy; those before it stay, as its history.

    Raises:
        StoreMissingError, StoreLockedError: there is no store, or it was not free in time.
        StoreError: it cannot be written.
    """
    with writing(path) as con:
        con.execute(
            f"INSERT INTO quality_policies ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                str(policy.policy_id), policy.repo, policy.project_maturity,
                policy.coverage_threshold, policy.strictness_level, policy.last_adjusted,
                policy.adjustment_reason,
            ],
        )  # fmt: skip
