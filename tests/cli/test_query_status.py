"""`query` and `status`: tables and JSON, reads only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from otel_learning.cli.output import cell, plain, unique_names
from tests.command_line import Run


def test_json_is_a_list_of_objects(run_cli: Run, demo_store: Path) -> None:
    """Every type that a column may have comes out as JSON that any parser reads."""
    done = run_cli(
        "query",
        "SELECT 1 AS i, 1.5::DECIMAL(5,2) AS d, 'a' AS t, NULL AS n, TIMESTAMPTZ '2026-01-02 "
        "03:04:05+00' AS at, DATE '2026-01-02' AS day, uuid() AS id, [1, 2] AS l, {'k': 1} AS s, "
        "MAP {'a': 1} AS m, 'nan'::DOUBLE AS nan, INTERVAL 90 SECOND AS v, 'ab'::BLOB AS b, "
        "2::HUGEINT AS h, 1 AS i",
        "--json", "--db", str(demo_store),
    )  # fmt: skip

    row = json.loads(done.stdout)[0]
    assert done.stderr == ""
    assert row["i"] == row["i_1"] == 1
    assert row["d"] == 1.5
    assert row["at"] == "2026-01-02T03:04:05+00:00"
    assert row["day"] == "2026-01-02"
    assert len(row["id"]) == 36
    assert (row["l"], row["s"], row["m"]) == ([1, 2], {"k": 1}, {"a": 1})
    assert row["nan"] is None
    assert (row["v"], row["b"], row["h"]) == (90.0, "6162", 2)


def test_a_table_that_is_piped_is_whole(run_cli: Run, demo_store: Path) -> None:
    """No cell is cut or folded where stdout is no terminal, and no markup is read in it."""
    done = run_cli(
        "query", f"SELECT '{'x' * 300}' AS a, '[bold]b[/]' AS b", "--db", str(demo_store)
    )

    assert "x" * 300 + "   [bold]b[/]" in done.stdout


def test_control_characters_do_not_reach_the_terminal() -> None:
    """What a producer wrote into a text cannot steer the terminal of whoever reads it."""
    assert cell("a\x1b[31mb\nc") == "a\\x1b[31mb\\nc"


def test_names_that_stand_twice_are_told_apart() -> None:
    """Objects keep every column: a second `a` is `a_1`."""
    assert unique_names(["a", "b", "a", "a_1", "a"]) == ["a", "b", "a_1", "a_1_1", "a_2"]


def test_infinity_is_null_in_json() -> None:
    """JSON has no infinity; null is what every parser takes."""
    assert plain([float("inf"), float("nan"), 1.0]) == [None, None, 1.0]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM settled_executions",
        "DROP VIEW executions",
        "INSERT INTO losses VALUES ('x', 1, now(), 'y')",
        "CREATE TABLE mine (a INT)",
        "SELECT 1; DELETE FROM feedback",
    ],
)
def test_a_statement_that_writes_is_refused(run_cli: Run, demo_store: Path, statement: str) -> None:
    """`query` only reads: a statement that writes fails and changes nothing."""
    before = run_cli("query", "SELECT count(*) FROM executions", "--db", str(demo_store)).stdout

    done = run_cli("query", statement, "--db", str(demo_store))

    assert done.returncode == 1
    assert "read" in done.stderr and done.stderr.count("\n") == 1
    after = run_cli("query", "SELECT count(*) FROM executions", "--db", str(demo_store)).stdout
    assert after == before


def test_a_query_that_is_wrong_is_one_line(run_cli: Run, demo_store: Path) -> None:
    """DuckDB's message about an unknown column comes as one line that names it."""
    done = run_cli("query", "SELECT colour FROM executions", "--db", str(demo_store))

    assert done.returncode == 1
    assert "colour" in done.stderr and done.stderr.count("\n") == 1


def test_status_counts_what_the_views_hold(run_cli: Run, demo_store: Path) -> None:
    """`status` says the same as SQL does, and an absolute path."""
    found = json.loads(run_cli("status", "--json", "--db", str(demo_store)).stdout)
    counted = json.loads(
        run_cli(
            "query",
            "SELECT (SELECT count(*) FROM executions) AS total, (SELECT count(*) FROM attempts) "
            "AS attempts, (SELECT count(*) FROM feedback WHERE execution_id IS NOT NULL) AS said",
            "--json", "--db", str(demo_store),
        ).stdout
    )[0]  # fmt: skip

    assert found["path"] == str(demo_store)
    assert found["executions"]["total"] == counted["total"]
    assert found["executions"]["settled"] + found["executions"]["open"] == counted["total"]
    assert found["attempts"] == counted["attempts"]
    assert found["feedback"]["resolved"] == counted["said"]
    assert found["spool"] == {"waiting_segments": 0, "waiting_bytes": 0, "broken_segments": 0}
    assert found["losses"] == {}
    assert found["last_drain"] is not None


def test_status_as_text_has_a_line_for_each(run_cli: Run, demo_store: Path) -> None:
    """Without `--json` it is one pair a line."""
    lines = run_cli("status", "--db", str(demo_store)).stdout.splitlines()

    assert [line.split("  ")[0] for line in lines] == [
        "store", "schema version", "executions", "attempts", "feedback", "ledger", "growth",
        "spool", "losses", "last drain",
    ]  # fmt: skip
