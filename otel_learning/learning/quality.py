"""How much checking a repository's record asks for: less where it is good, more where it fails."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from otel_learning.errors import InputError
from otel_learning.learning.maturity import (
    Maturity,
    Record,
    Strictness,
    level_of,
    record_of,
    score_of,
)
from otel_learning.learning.risk import IMPACTS, Area, areas_of
from otel_learning.records import QualityPolicy
from otel_learning.store import quality_policies
from otel_learning.store.outcomes import first_start, main_environment, read_outcomes

if TYPE_CHECKING:
    from otel_learning.store.database import LearningDatabase
    from otel_learning.store.quality_policies import Report
    from otel_learning.store.reader import Reader

Flow = Literal["full", "standard", "accelerated", "streamlined", "escalated"]

RECORD_ROWS: Final = 20_000
"""The newest executions that are looked at; the score asks for no more than 1,000 outcomes."""
ESCALATED_COVERAGE: Final = 90.0
"""What a failing or declining record asks for at least, percent."""
COVERAGE_KEYS: Final = ("coverage", "test_coverage", "project_coverage", "repo_coverage")
DOCS_KEYS: Final = ("docs", "docs_coverage", "project_docs", "repo_docs")
IMPACT_KEYS: Final = ("impact", "task_impact", "area_impact")
"""Keys of `metadata`, with dots and dashes read as underscores."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What a repository's record says, and what it asks for."""

    repo: str
    maturity: Maturity
    score: float
    """0..100; the level's lowest score and all else in the table of `maturity`."""
    coverage_required: float
    """Percent."""
    strictness: Strictness
    flow: Flow
    """`full` checking, `standard`, `accelerated`, `streamlined`, or `escalated` to a person."""
    max_complexity: int
    gate_met: bool
    reasons: tuple[str, ...]
    """Stable words, some with a figure behind a colon."""
    record: Record
    areas: tuple[Area, ...]
    environment: str | None

    def to_dict(self) -> dict[str, Any]:
        """The form of `quality --json`."""
        return {
            "repo": self.repo,
            "maturity": self.maturity,
            "score": self.score,
            "coverage_required": self.coverage_required,
            "strictness": self.strictness,
            "reasons": list(self.reasons),
            "flow": self.flow,
            "max_complexity": self.max_complexity,
            "gate_met": self.gate_met,
            "environment": self.environment,
            "record": asdict(self.record),
            "areas": [asdict(area) for area in self.areas],
        }

    def to_policy(self, now: datetime | None = None) -> QualityPolicy:
        """The same as a record to store."""
        return QualityPolicy(
            repo=self.repo,
            project_maturity=self.maturity,
            coverage_threshold=self.coverage_required,
            strictness_level=self.strictness,
            last_adjusted=now or datetime.now(UTC),
            adjustment_reason=", ".join(self.reasons),
        )


def examine(
    reader: Reader,
    repo: str,
    *,
    coverage: float | None = None,
    environment: str | None = None,
    as_of: datetime | None = None,
) -> Quality:
    """Reads a repository's record and says what it asks for; the same rows say the same.

    Args:
        reader: a database, or a snapshot of one.
        repo: as `executions` has it.
        coverage: the test coverage of this moment, percent; None is what executions report in
            their metadata, if they do.
        environment: whose executions count; None is the one with most of them (rule R8).
        as_of: only what was known before.

    Raises:
        InputError: the coverage is no percentage.
        StoreError: the store cannot be read.
    """
    if coverage is not None and not 0 <= coverage <= 100:
        raise InputError(f"coverage={coverage!r} is no percentage", "give 0 to 100")
    if environment is None:
        environment = main_environment(reader, repo=repo)
    # NULL is no value that a column can be equal to; such rows are picked out here.
    rows = [
        row
        for row in read_outcomes(
            reader, ["success", "quality_score"], groups=["task_type"], as_of=as_of, repo=repo,
            environment=environment, newest=RECORD_ROWS,
        )
        if row.environment == environment
    ]  # fmt: skip
    reports = quality_policies.read_reports(reader, repo, environment, as_of)
    if coverage is None:
        coverage = _percent(_first(reports, COVERAGE_KEYS))
    docs = _percent(_first(reports, DOCS_KEYS))
    first = first_start(reader, repo, environment, as_of)
    record = record_of(rows, first=first, coverage=coverage, docs=docs)
    return judge(repo, record, environment, rows, _impacts(reports))


def judge(
    repo: str,
    record: Record,
    environment: str | None = None,
    rows: Iterable[Any] = (),
    impacts: Mapping[str | None, str] | None = None,
) -> Quality:
    """What a record asks for; pure."""
    score, weakest = score_of(record)
    level = level_of(score)
    escalated = record.failing or record.declining
    required = max(level.coverage_required, ESCALATED_COVERAGE if escalated else 0.0)
    reasons = ["no_record"] if not record.executions else [f"limited_by:{weakest}"]
    if record.outcomes:
        reasons.append(f"success_at_least:{record.success_low:.2f}")
        reasons.append(f"outcomes:{record.outcomes}")
    reasons += [
        name for name in ("failing", "declining", "quality_falling", "green")
        if getattr(record, name)
    ]  # fmt: skip
    met = not escalated
    if record.coverage is None:
        # Nobody says how well it is tested: a record that has earned trust may stand for it.
        reasons.append("coverage_unknown")
        met = met and level.maturity in ("mature", "stable")
    elif record.coverage < required:
        reasons.append("coverage_below_required")
        met = False
    return Quality(
        repo=repo,
        maturity=level.maturity,
        score=round(score, 1),
        coverage_required=required,
        strictness="strict" if escalated else level.strictness,
        flow="escalated" if escalated else _flow(level.maturity, record.green),
        max_complexity=10 if escalated else level.max_complexity,
        gate_met=met,
        reasons=tuple(reasons),
        record=record,
        areas=tuple(areas_of(list(rows), impacts or {}, required)),
        environment=environment,
    )


def save(database: LearningDatabase, found: Quality) -> QualityPolicy | None:
    """Stores what is asked for, where it is not what the newest stored policy asks for.

    Returns:
        The policy that was stored; None where nothing has changed.

    Raises:
        StoreError: the store cannot be written.
    """
    policy = found.to_policy()
    before = quality_policies.newest(database, found.repo)
    asked = ("project_maturity", "coverage_threshold", "strictness_level")
    if before is not None and all(getattr(before, a) == getattr(policy, a) for a in asked):
        return None
    quality_policies.append(database.path, policy)
    return policy


def _flow(maturity: Maturity, green: bool) -> Flow:
    if maturity == "new":
        return "full"
    if maturity == "developing" or not green:
        return "standard"
    return "streamlined" if maturity == "stable" else "accelerated"


# --------------------------------------------------------------------------------- reports


def _first(reports: Iterable[Report], keys: tuple[str, ...]) -> Any:
    """The newest value under one of the keys."""
    for report in reports:
        for key, value in report.metadata.items():
            if _plain(key) in keys and value is not None:
                return value
    return None


def _plain(key: str) -> str:
    return key.lower().replace(".", "_").replace("-", "_")


def _percent(value: Any) -> float | None:
    """Percent, also of a share of 1 or a text with a sign; None where it is neither."""
    if isinstance(value, str):
        value = value.strip().removesuffix("%")
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if isinstance(value, float | str) and 0 <= number <= 1:
        number *= 100
    return number if 0 <= number <= 100 else None


def _impacts(reports: Iterable[Report]) -> dict[str | None, str]:
    """Kind of work -> the newest impact that is reported of it."""
    found: dict[str | None, str] = {}
    for report in reports:
        for key, value in report.metadata.items():
            if _plain(key) in IMPACT_KEYS and str(value).lower() in IMPACTS:
                found.setdefault(report.task_type, str(value).lower())
    return found
