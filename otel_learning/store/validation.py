"""Whether a store is sound: its schema, its rows, and what is derived from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_learning.records import ErrorType
from otel_learning.store import rollups, schema
from otel_learning.store.ledger_files import LedgerFiles

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that holds, or does not."""

    check: str
    passed: bool
    detail: str
    """How many rows break it, or which things are missing."""


_KNOWN_ERRORS: Final = ", ".join(f"'{kind.value}'" for kind in ErrorType)

_ROWS: Final = {
    "an execution is stored once": "SELECT count(*) - count(DISTINCT execution_id) FROM executions",
    "an attempt belongs to an execution":
        "SELECT count(*) FROM attempts ANTI JOIN executions USING (execution_id)",
    "an attempt is stored once":
        "SELECT count(*) - count(DISTINCT (execution_id, ordinal)) FROM attempts",
    "an outcome has its source":
        "SELECT count(*) FROM executions WHERE (success IS NULL) <> (success_source IS NULL)",
    "an error type is one of the known": "SELECT count(*) FROM executions "
        f"WHERE error_type IS NOT NULL AND error_type NOT IN ({_KNOWN_ERRORS})",
    "shares, scores and ratings are in their ranges":
        "SELECT count(*) FROM executions WHERE NOT (coalesce(routing_confidence, 0) BETWEEN 0 "
        "AND 1 AND coalesce(propensity, 0) BETWEEN 0 AND 1 AND coalesce(complexity_score, 0) "
        "BETWEEN 0 AND 100 AND coalesce(quality_score, 0) BETWEEN 0 AND 100 "
        "AND coalesce(user_rating, 1) BETWEEN 1 AND 5)",
    "costs, tokens and durations are not negative":
        "SELECT count(*) FROM executions WHERE least(actual_cost, router_cost, cost_estimate, "
        "input_tokens, output_tokens, duration_seconds, attempt_count) < 0",
    "times lie in 2000..2100":
        "SELECT count(*) FROM executions WHERE NOT (coalesce(year(started_at), 2000) BETWEEN "
        "2000 AND 2100 AND coalesce(year(ended_at), 2000) BETWEEN 2000 AND 2100)",
    "feedback is noted on its execution":
        "SELECT count(*) FROM executions AS e LEFT JOIN (SELECT execution_id, count(*) AS said "
        "FROM feedback WHERE execution_id IS NOT NULL AND NOT revoked GROUP BY 1) AS f "
        "ON e.execution_id = f.execution_id WHERE coalesce(e.feedback_count, 0) <> "
        "coalesce(f.said, 0)",
    "at most one policy is in force":
        "SELECT greatest(count(*) - 1, 0) FROM policies WHERE state = 'active'",
    "an execution's day is that of its start":
        "SELECT count(*) FROM (FROM settled_executions UNION ALL FROM open_executions) "
        "WHERE day IS DISTINCT FROM coalesce(CAST(timezone('UTC', started_at) AS DATE), "
        "DATE '1970-01-01')",
    "an execution is found by its task and its traces":
        "SELECT count(*) FROM (SELECT md5_number_upper(name) AS key, day FROM ("
        "  SELECT 'task|' || task_id AS name, day FROM settled_executions"
        "  UNION ALL SELECT 'trace|' || unnest(trace_ids), day FROM settled_executions"
        ") WHERE name IS NOT NULL) ANTI JOIN execution_keys USING (key, day)",
    "an experiment has a trail, and a trail its experiment":
        "SELECT count(*) FROM experiment_definitions FULL JOIN (SELECT experiment, ordinal FROM "
        "experiment_events WHERE ordinal = 1 AND event = 'created') AS e USING (experiment) "
        "WHERE ordinal IS NULL OR created_at IS NULL",
    "an experiment is there once, and each row of its trail too":
        "SELECT (SELECT count(*) - count(DISTINCT experiment) FROM experiment_definitions) + "
        "(SELECT count(*) - count(DISTINCT (experiment, ordinal)) FROM experiment_events)",
    "a text that was noted is its execution's description":
        "SELECT count(*) FROM described_executions AS d JOIN executions AS e "
        "USING (execution_id, updated_at) "
        "WHERE d.text IS DISTINCT FROM md5_number_upper(e.task_description)",
}  # fmt: skip
"""What must hold -> a query that counts the rows of which it does not."""


def validate(con: duckdb.DuckDBPyConnection, path: Path) -> list[Check]:
    """Every check, in a store of this release's schema; it changes nothing.

    Raises as `schema.checked` does where the schema is a newer or a changed one.
    """
    waiting = schema.checked(schema.applied(con), str(path))
    if waiting:
        names = ", ".join(f"{step.version} {step.name}" for step in waiting)
        return [Check("the schema is this release's", False, f"not applied: {names}")]
    checks = [_shape(con)]
    if not checks[0].passed:
        return checks  # the queries below would fail on what is missing
    for name, query in _ROWS.items():
        wrong = con.execute(query).fetchall()[0][0]
        checks.append(Check(name, not wrong, f"{wrong} rows" if wrong else "all rows"))
    for table, differing in rollups.differing(con).items():
        checks.append(
            Check(f"{table} equals its source", not differing,
                  f"{differing} rows differ" if differing else "every rolled day")
        )  # fmt: skip
    checks.append(_ledger(con, path))
    checks.append(_archives(con))
    return checks


def _shape(con: duckdb.DuckDBPyConnection) -> Check:
    """Whether tables, views, columns and types are those that the steps make."""
    import duckdb

    with duckdb.connect() as fresh:
        fresh.execute("SET threads = 1")
        fresh.execute("SET TimeZone = 'UTC'")
        schema.upgrade(fresh, ":memory:")
        wanted = _columns(fresh)
    found = _columns(con)
    missing = sorted(f"{table}.{column}" for table, column, _ in wanted - found)
    # Tables of the user's own are no fault.
    return Check(
        "tables and views are those of the schema",
        not missing,
        f"missing or of another type: {', '.join(missing)}" if missing else "all columns",
    )


def _columns(con: duckdb.DuckDBPyConnection) -> set[tuple[str, str, str]]:
    return set(
        con.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() "
            "WHERE NOT internal AND database_name = current_database()"
        ).fetchall()
    )


def _ledger(con: duckdb.DuckDBPyConnection, path: Path) -> Check:
    files = LedgerFiles(path)
    rows = con.execute("SELECT file, observations FROM ledger").fetchall()
    wrong = []
    for file, observations in rows:
        held = files.read(file)
        if held is None or len(held) != observations:
            wrong.append(file)
    detail = f"gone or broken: {', '.join(wrong[:5])}" if wrong else f"{len(rows)} files"
    return Check("the ledger's files hold what the store says", not wrong, detail)


def _archives(con: duckdb.DuckDBPyConnection) -> Check:
    rows = con.execute("SELECT file FROM archives WHERE archived_at IS NOT NULL").fetchall()
    files = [str(file) for (file,) in rows]
    gone = [file for file in files if not Path(file).exists()]
    detail = f"gone: {', '.join(gone[:5])}" if gone else f"{len(files)} files"
    return Check("the archived files are in their place", not gone, detail)
