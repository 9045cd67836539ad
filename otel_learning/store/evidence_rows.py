"""Sums over executions that learning is made of, one row per arm and context.

A million executions become some hundred rows of sufficient statistics, so that what is held in
memory and computed with does not grow with the store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    import duckdb

ARM_COLUMNS: Final = (
    "model_tier", "pool_type", "swarm_topology", "requested_model", "agent", "provider",
    "selector", "policy_version", "variant",
)  # fmt: skip
"""What a router, or whoever set it up, chose. `model` is not among them: a fallback may have."""
PROPENSITY_LEAST: Final = 0.01
"""A decision that was less probable gives a weight above 100, which one row must not have; one
that was more probable than 1 less this left the other arms with less."""

Row = dict[str, Any]


class EvidenceRows(NamedTuple):
    """Sums of one store for one choice of arms; `arm` is the value, or the values joined by /."""

    days: list[Row]
    """Per environment, arm and day: `known` and `successes`."""
    sums: list[Row]
    """Per environment, task type, repo and arm; the columns of `_SUMS`."""
    spreads: list[Row]
    """Per environment and arm: how far logarithms of costs lie from those of others, as a list of
    quantiles at TAILS for each of SHAPES."""
    half_life_days: float | None


# Weights: one execution stands for 1/sampling_ratio of them. `p` is the probability of the very
# decision that is asked about, where it was logged and neither it nor its complement is too small.
_CHOSEN: Final = """
SELECT
    environment, task_type, repo, {arm} AS arm,
    CAST(timezone('UTC', coalesce(started_at, recorded_at)) AS DATE) AS day,
    started_at AS started, execution_id, task_description AS description,
    success, actual_cost AS cost, duration_seconds AS duration, quality_score AS quality,
    1.0 / greatest(coalesce(sampling_ratio, 1.0), 0.0001) AS sampled,
    CASE WHEN propensity_of = $decision AND propensity BETWEEN {least} AND 1 - {least}
        THEN propensity END AS p
FROM {source}
WHERE {known}
    AND ($as_of IS NULL OR coalesce(ended_at, started_at, recorded_at) < $as_of)
"""

_DAYS: Final = """
SELECT environment, arm, CAST(day - DATE '1970-01-01' AS BIGINT) AS day,
    count(success) AS known, count(*) FILTER (success) AS successes
FROM chosen
GROUP BY environment, arm, day
ORDER BY ALL
"""

_SUMS: Final = """
SELECT
    environment, task_type, repo, arm,
    count(*) AS executions,
    count(success) AS known,
    count(p) AS randomised,
    sum(1 / p) AS balance,
    sum(v) FILTER (p IS NOT NULL AND success IS NOT NULL) AS open_known,
    sum(w * w) FILTER (success) AS w_squares_success,
    {weighed}
    count(cost) AS costs,
    count(duration) AS durations,
    sum(v) FILTER (duration IS NOT NULL) AS duration_weight,
    sum(v * duration) AS duration_sum,
    sum(v) FILTER (quality IS NOT NULL) AS quality_weight,
    sum(v * quality) AS quality_sum
FROM (
    SELECT *, sampled * v_age AS v, sampled * v_age / p AS w FROM (
        SELECT *, CASE WHEN $half_life IS NULL THEN 1.0 ELSE
            pow(0.5, (max(day) OVER (PARTITION BY environment) - day) / $half_life) END AS v_age
        FROM chosen
    )
)
GROUP BY environment, task_type, repo, arm
ORDER BY environment, task_type, repo, arm
"""
_WEIGHED: Final = """
    sum({w}) FILTER (success IS NOT NULL) AS {w}_known,
    sum({w} * {w}) FILTER (success IS NOT NULL) AS {w}_squares,
    sum({w}) FILTER (success) AS {w}_success,
    sum({w}) FILTER (cost IS NOT NULL) AS {w}_cost,
    sum({w}) FILTER (cost > 0) AS {w}_paid,
    sum({w} * cost) AS {w}_cost_sum,
    sum({w} * ln(cost)) FILTER (cost > 0) AS {w}_log,
    sum({w} * ln(cost) * ln(cost)) FILTER (cost > 0) AS {w}_log_squares,
"""

_DESCRIBED: Final = """
SELECT task_type, repo, arm, description, success, sampled AS v, sampled / p AS w
FROM chosen
WHERE environment IS NOT DISTINCT FROM $env AND success IS NOT NULL AND description IS NOT NULL
ORDER BY started DESC NULLS LAST, execution_id
LIMIT $most
"""

# How far single costs lie from the mean that the others of their group give, drawn to the mean
# of their arm as if that were so many executions (`pulls`). Leaving each out of its own mean is
# what makes the band hold for the next one (jackknife+; Barber et al., Annals of Statistics 49,
# 2021).
# The sums of the groups are put together by windows over the few groups, not over all rows.
_PARTS: Final = """
SELECT environment, arm, task_type, repo, count(*) AS n, sum(ln(cost)) AS total,
    sum(ln(cost) * ln(cost)) AS squares
FROM chosen WHERE cost > 0
GROUP BY environment, arm, task_type, repo
"""
_SPREADS: Final = """
, paid AS (SELECT environment, arm, task_type, repo, ln(cost) AS x FROM chosen WHERE cost > 0),
parts AS (
    SELECT environment, arm, task_type, repo, count(*) AS n, sum(x) AS total
    FROM paid GROUP BY ALL
), wholes AS (
    SELECT environment, arm, task_type, repo, {sums}
    FROM parts
    WINDOW {windows}
)
SELECT environment, arm, count(*) AS costs, {quantiles}
FROM (
    SELECT paid.environment, paid.arm, {offs}
    FROM paid JOIN wholes ON paid.arm = wholes.arm
        AND paid.environment IS NOT DISTINCT FROM wholes.environment
        AND paid.task_type IS NOT DISTINCT FROM wholes.task_type
        AND paid.repo IS NOT DISTINCT FROM wholes.repo
)
GROUP BY environment, arm
HAVING costs > 1
ORDER BY environment, arm
"""
SHAPES: Final = {
    "": "", "task_type": ", task_type", "repo": ", repo", "task_type/repo": ", task_type, repo",
}  # fmt: skip
"""How groups of executions are made: the levels of the tree that learning draws figures to."""
PULLS: Final = (1.0, 4.0, 16.0, 64.0, 256.0)
"""How many executions the mean of an arm may count for, beside those of a group."""
TAILS: Final = (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.95, 0.96, 0.97, 0.98, 0.99, 1.0)
"""Shares of `quantiles`: between them lie the ends of a band of 90 %, by the number of rows."""


def read(
    con: duckdb.DuckDBPyConnection,
    by: Sequence[str],
    as_of: datetime | None,
    half_life_days: Callable[[list[Row]], float | None],
    source: str = "executions",
) -> EvidenceRows:
    """Sums over all executions whose route is known in every column of `by`.

    Args:
        con: a connection that only reads.
        by: columns out of ARM_COLUMNS, which the caller has checked.
        as_of: only what had ended before; None is all.
        half_life_days: told the rows per day, after how many days an execution counts half, seen
            from the newest one of its environment; None: never.
        source: what is read, in SQL; it has the columns of `executions`.
    """
    sums = _SUMS.replace("{weighed}", "".join(_WEIGHED.format(w=w) for w in ("v", "w")))
    values = {"as_of": as_of}
    per_day = _dicts(con, _DAYS, by, values, source)
    half_life = half_life_days(per_day)
    return EvidenceRows(
        per_day,
        _dicts(con, sums, by, {**values, "half_life": half_life}, source),
        _dicts(con, _spreads(pulls(_dicts(con, _PARTS, by, values, source))), by, values, source),
        half_life,
    )


def described(
    con: duckdb.DuckDBPyConnection,
    by: Sequence[str],
    environment: str | None,
    as_of: datetime | None,
    limit: int,
) -> list[Row]:
    """The newest executions of an environment that have a description and a known outcome."""
    values = {"as_of": as_of, "env": environment, "most": limit}
    return _dicts(con, _DESCRIBED, by, values, "executions")


def pulls(parts: list[Row]) -> list[float]:
    """For each of SHAPES, the pull with which costs lie nearest to what the others foretell.

    Args:
        parts: `n`, `total` and `squares` of logarithms per environment, arm, task type and repo.
    """
    whole: dict[tuple[Any, ...], tuple[float, float]] = {}
    for row in parts:
        n, total = whole.get((row["environment"], row["arm"]), (0.0, 0.0))
        whole[row["environment"], row["arm"]] = (n + row["n"], total + row["total"])
    found = []
    for shape in SHAPES:
        keys = ["environment", "arm", *filter(None, shape.split("/"))]
        groups: dict[tuple[Any, ...], tuple[float, float, float]] = {}
        for row in parts:
            key = tuple(row[name] for name in keys)
            n, total, squares = groups.get(key, (0.0, 0.0, 0.0))
            groups[key] = (n + row["n"], total + row["total"], squares + row["squares"])
        errors = []
        for pull in PULLS:
            error = 0.0
            for key, (n, total, squares) in groups.items():
                all_n, all_total = whole[key[:2]]
                drawn = total + pull * all_total / all_n
                # The sum of ((n + pull) x - drawn)^2 / (n - 1 + pull)^2 over the group.
                off = (n + pull) ** 2 * squares - 2 * (n + pull) * drawn * total + n * drawn**2
                error += off / (n - 1 + pull) ** 2
            errors.append(error)
        found.append(PULLS[errors.index(min(errors))])
    return found


def _spreads(pulled: Sequence[float]) -> str:
    """The query for `EvidenceRows.spreads`: every shape in one pass."""
    shapes = list(enumerate(SHAPES.values()))
    means = {
        i: f"(total{i} - x + {pulled[i]} * (total0 - x) / nullif(n0 - 1, 0)) "
        f"/ (n{i} - 1 + {pulled[i]})"
        for i, _ in shapes
    }
    return _SPREADS.format(
        sums=", ".join(f"sum(n) OVER s{i} AS n{i}, sum(total) OVER s{i} AS total{i}"
                       for i, _ in shapes),
        windows=", ".join(f"s{i} AS (PARTITION BY environment, arm{more})" for i, more in shapes),
        offs=", ".join(f"x - {means[i]} AS off{i}" for i, _ in shapes),
        quantiles=", ".join(f"quantile_cont(off{i}, {list(TAILS)}) AS shape{i}"
                            for i, _ in shapes),
    )  # fmt: skip


def _dicts(
    con: duckdb.DuckDBPyConnection, query: str, by: Sequence[str], values: dict[str, Any],
    source: str = "executions",
) -> list[Row]:  # fmt: skip
    arm = " || '/' || ".join(by)
    known = " AND ".join(f"{column} IS NOT NULL" for column in by)
    chosen = _CHOSEN.format(arm=arm, known=known, least=PROPENSITY_LEAST, source=source)
    con.execute(
        f"WITH chosen AS MATERIALIZED ({chosen}) {query}", {**values, "decision": "/".join(by)}
    )
    names = [column[0] for column in con.description or []]
    return [dict(zip(names, row, strict=True)) for row in con.fetchall()]
