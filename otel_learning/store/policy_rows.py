"""Executions one by one, as far as policies are judged by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from otel_learning.errors import InputError
from otel_learning.store.evidence_rows import ARM_COLUMNS, PROPENSITY_LEAST
from otel_learning.store.reader import Reader

TEXT_COLUMNS: Final = ("task_type", "repo")
NUMBER_COLUMNS: Final = ("complexity_score", "file_count", "estimated_tokens")
"""What a router knows before it chooses; numbers are told apart by thresholds."""
ROWS_MOST: Final = 100_000
"""The newest executions that a policy is judged by: more make it no surer, and fill memory."""
FROZEN_OF: Final = 5
"""One task in so many never teaches a policy: every one is judged by them."""

_FROZEN: Final = (
    f"md5_number_upper(coalesce(task_id, CAST(execution_id AS VARCHAR))) % {FROZEN_OF} = 0"
)
_WHEN: Final = "coalesce(ended_at, started_at, recorded_at)"

_ROWS: Final = """
SELECT {context}, {arm} AS arm,
    CASE WHEN propensity_of = $decision AND propensity BETWEEN {least} AND 1 - {least}
        THEN propensity END AS p,
    success, actual_cost, 1.0 / greatest(coalesce(sampling_ratio, 1.0), 0.0001),
    epoch_us({when}), {frozen}, policy_version
FROM executions
WHERE {known} AND environment IS NOT DISTINCT FROM $environment
    AND ($as_of IS NULL OR {when} < $as_of)
    AND ($version IS NULL OR policy_version = $version)
    AND ($since IS NULL OR {when} >= $since)
ORDER BY {when} DESC, execution_id DESC
LIMIT {most}
"""

_ENVIRONMENTS: Final = """
SELECT environment FROM executions WHERE {known} AND ($as_of IS NULL OR {when} < $as_of)
GROUP BY environment ORDER BY count(*) DESC, environment IS NULL, environment
"""


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """One execution: what was known, what was chosen how, and what came of it."""

    context: tuple[str | float | None, ...]
    """The values of the context's columns."""
    arm: str
    propensity: float | None
    """Of this very decision; None where it was not logged, or the choice was certain."""
    success: bool | None
    cost: float | None
    """USD."""
    weight: float
    """For how many executions it stands."""
    at_us: int
    """When it ended, in microseconds since 1970."""
    frozen: bool
    """Whether it may never teach."""
    policy_version: str | None


@dataclass(frozen=True, slots=True)
class Scope:
    """Which decision of which executions: the columns are names that were checked."""

    by: tuple[str, ...]
    context: tuple[str, ...]

    @property
    def decision(self) -> str:
        return "/".join(self.by)

    @property
    def number(self) -> str | None:
        """The context's column that is a number, if there is one."""
        return next((name for name in self.context if name in NUMBER_COLUMNS), None)


def scope(by: str | Sequence[str], context: str | Sequence[str]) -> Scope:
    """A scope from what people write. Raises InputError for what is no column."""
    arms = by.replace(",", "/").split("/") if isinstance(by, str) else list(by)
    names = context.replace("/", ",").split(",") if isinstance(context, str) else list(context)
    arms, names = [a.strip() for a in arms], [n.strip() for n in names]
    for column in arms:
        if column not in ARM_COLUMNS:
            raise InputError(f"by={column!r} is no column to choose by", ", ".join(ARM_COLUMNS))
    for column in names:
        if column not in (*TEXT_COLUMNS, *NUMBER_COLUMNS):
            raise InputError(
                f"context={column!r} is no column that a router knows beforehand",
                ", ".join((*TEXT_COLUMNS, *NUMBER_COLUMNS)),
            )
    if len(set(names)) < len(names) or len(names) > 2:
        raise InputError(f"context={context!r} names a column twice, or more than two")
    if sum(name in NUMBER_COLUMNS for name in names) > 1:
        raise InputError(f"context={context!r} names two numbers", "thresholds are of one")
    return Scope(tuple(arms), tuple(names))


def environments(store: Reader, wanted: Scope, as_of: datetime | None) -> list[str | None]:
    """The environments, the one with most executions first."""
    query = _ENVIRONMENTS.format(known=_known(wanted), when=_WHEN)
    return [row[0] for row in store.sql(query, {"as_of": as_of})]


def read(
    store: Reader,
    wanted: Scope,
    environment: str | None,
    *,
    as_of: datetime | None = None,
    policy_version: str | None = None,
    since: datetime | None = None,
) -> list[PolicyRow]:
    """The newest executions of one environment, at most ROWS_MOST, the oldest first."""
    query = _ROWS.format(
        context=", ".join(wanted.context), arm=" || '/' || ".join(wanted.by), when=_WHEN,
        frozen=_FROZEN, known=_known(wanted), least=PROPENSITY_LEAST, most=ROWS_MOST,
    )  # fmt: skip
    found = store.sql(query, {
        "decision": wanted.decision, "environment": environment, "as_of": as_of,
        "version": policy_version, "since": since,
    })  # fmt: skip
    width = len(wanted.context)
    return [PolicyRow(tuple(row[:width]), *row[width:]) for row in reversed(found)]


def training(wanted: Scope, edges: Sequence[float]) -> str:
    """What a policy may learn from, as SQL with the columns of `executions`.

    `task_type` and `repo` hold the context's first and second column: evidence is a tree of two
    levels, whatever they are. A number stands there as the number of its band.
    """
    told: list[str] = [_label(name, edges) for name in wanted.context]
    told += ["CAST(NULL AS VARCHAR)"] * (2 - len(told))
    return (
        f"(SELECT * REPLACE ({told[0]} AS task_type, {told[1]} AS repo) "
        f"FROM executions WHERE NOT ({_FROZEN}))"
    )


def band(value: float | None, edges: Sequence[float]) -> str | None:
    """The number of the band that a value lies in, as text: what `training` calls it."""
    return None if value is None else str(sum(value >= edge for edge in edges))


def _label(name: str, edges: Sequence[float]) -> str:
    if name not in NUMBER_COLUMNS:
        return name
    above = " + ".join(f"CAST({name} >= {float(edge)!r} AS INTEGER)" for edge in edges) or "0"
    return f"CASE WHEN {name} IS NOT NULL THEN CAST({above} AS VARCHAR) END"


def _known(wanted: Scope) -> str:
    return " AND ".join(f"{column} IS NOT NULL" for column in wanted.by)
