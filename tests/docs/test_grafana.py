"""The Grafana dashboard: every panel's query runs on a read copy and returns what it shows."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from otel_learning.knowledge.rates import interval
from otel_learning.store.export_rows import Selection
from otel_learning.store.exporting import Export, export
from tests.command_line import copy_store
from tests.docs.pages import ROOT

FILE = ROOT / "docs" / "grafana" / "otel-learning.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
QUERY = re.compile(r"\$__timeFilter\((\w+)\)")
KINDS = {
    "stat": "one number", "gauge": "one number", "timeseries": "times", "table": "rows",
    "bargauge": "names or numbers", "piechart": "names",
}  # fmt: skip
CONVERTED = {"BIGINT", "DOUBLE", "VARCHAR", "TIMESTAMP WITH TIME ZONE"}
"""Types that the plugin turns into fields, NULL among them; it knows no HUGEINT, for one."""


@pytest.fixture(scope="module")
def read_copy(demo_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Grafana reads: a copy of the demo's store."""
    folder = tmp_path_factory.mktemp("grafana")
    store = copy_store(demo_store, folder / "learning.duckdb")
    export(store, Export(folder / "copy.duckdb", "duckdb", Selection()))
    return folder / "copy.duckdb"


@pytest.fixture
def grafana(read_copy: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection as the plugin's, on a server that is not set to UTC."""
    with contextlib.closing(duckdb.connect(str(read_copy), read_only=True)) as con:
        con.execute("SET TimeZone = 'America/New_York'")
        yield con


def as_the_plugin(
    con: duckdb.DuckDBPyConnection, sql: str, days: float = 400, **chosen: list[str]
) -> str:
    """The query with macros and variables put in, as the SDK of data sources does it.

    The time filter compares with RFC 3339 texts of whole seconds, both ends inclusive. A variable
    with several values becomes quoted texts with commas between them; All is every choice.
    """
    last = datetime.now(UTC) + timedelta(days=1)
    first = last - timedelta(days=days)
    low, high = (moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in (first, last))
    sql = QUERY.sub(rf"\1 >= '{low}' AND \1 <= '{high}'", sql)
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] != "query":
            continue
        values = chosen.get(variable["name"])
        if values is None:
            values = [str(value) for (value,) in con.execute(variable["query"]).fetchall()]
        listed = ",".join("'" + value.replace("'", "''") + "'" for value in values)
        sql = sql.replace(f"${variable['name']}", listed)
    assert "$" not in sql
    return sql


def _result(
    con: duckdb.DuckDBPyConnection, panel: dict[str, Any], **chosen: Any
) -> tuple[list[str], list[str], list[tuple[Any, ...]]]:
    found = con.execute(as_the_plugin(con, panel["targets"][0]["rawSql"], **chosen))
    described = found.description or []
    return [c[0] for c in described], [str(c[1]) for c in described], found.fetchall()


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panels_query_returns_what_it_shows(
    panel: dict[str, Any], grafana: duckdb.DuckDBPyConnection
) -> None:
    """Columns of the names and types that the panel needs, and rows of the demo in them."""
    names, types, rows = _result(grafana, panel)

    assert rows
    assert set(types) <= CONVERTED
    numeric = [n for n, t in zip(names, types, strict=True) if t in ("BIGINT", "DOUBLE")]
    shows = KINDS[panel["type"]]
    if shows == "one number":
        assert len(rows) == 1
        assert numeric == names
    elif shows == "times":
        assert (names[0], types[0]) == ("time", "TIMESTAMP WITH TIME ZONE")
        assert numeric == names[1:]
        times = [row[0] for row in rows]
        assert times == sorted(set(times))
    elif shows == "names":
        assert (types[0], len(numeric)) == ("VARCHAR", 1)
        assert len({row[0] for row in rows}) == len(rows)
    for override in panel["fieldConfig"]["overrides"]:
        assert override["matcher"]["options"] in names


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_without_rows_is_no_error(
    panel: dict[str, Any], grafana: duckdb.DuckDBPyConnection
) -> None:
    """A period in which nothing ran, and a repository that is not there."""
    assert _result(grafana, panel, days=0.0001) is not None
    assert _result(grafana, panel, repo=["it's not there"]) is not None


def test_the_figures_are_those_of_the_store(grafana: duckdb.DuckDBPyConnection) -> None:
    """Totals, rates with the interval that the command line gives, and days of UTC."""
    by_title = {panel["title"]: panel for panel in PANELS}
    [(count, known, good, cost)] = grafana.execute(
        "SELECT count(*), count(success), count(*) FILTER (success), sum(actual_cost) "
        "FROM executions"
    ).fetchall()

    def of(title: str, **chosen: Any) -> list[dict[str, Any]]:
        names, _, rows = _result(grafana, by_title[title], **chosen)
        return [dict(zip(names, row, strict=True)) for row in rows]

    assert of("Executions") == [{"executions": count}]
    assert of("Success")[0]["success %"] == pytest.approx(100 * good / known)
    assert of("Cost")[0]["cost USD"] == pytest.approx(cost)
    tiers = of("Success by tier")
    assert sum(tier["outcomes known"] for tier in tiers) == known
    for tier in tiers:
        n = tier["outcomes known"]
        rate = interval(round(tier["success %"] * n / 100), n)
        assert tier["low %"] == pytest.approx(100 * rate.low, abs=1.5)
        assert tier["high %"] == pytest.approx(100 * rate.high, abs=1.5)
    days = of("Success per day")
    assert all((day["time"].timestamp() % 86_400) == 0 for day in days)
    assert sum(day["outcomes known"] for day in days) == known
    assert sum(hour["executions"] for hour in of("Executions per hour")) == count
    assert sum(of("Quality bands")[0].values()) == count
    [repo] = of("Repositories", repo=["shop/api"])
    [(mine,)] = grafana.execute(
        "SELECT count(*) FROM executions WHERE repo = 'shop/api'"
    ).fetchall()
    assert (repo["repo"], repo["executions"]) == ("shop/api", mine)


def test_the_file_is_a_dashboard() -> None:
    """Seventeen panels that do not overlap, on the plugin, by variables that are there."""
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    cells: set[tuple[int, int]] = set()
    for panel in PANELS:
        place = panel["gridPos"]
        mine = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not mine & cells, panel["title"]
        assert place["x"] + place["w"] <= 24
        cells |= mine
        [target] = panel["targets"]
        for source in (panel["datasource"], target["datasource"]):
            assert source == {"type": "motherduck-duckdb-datasource", "uid": "${datasource}"}
        assert (target["format"], target["rawQuery"]) == (1, True)
        assert panel["description"]
        assert not re.findall(r"\$__(?!timeFilter\()", target["rawSql"])

    assert len(PANELS) == len({panel["id"] for panel in PANELS}) == 17
    assert variables.keys() == {"datasource", "environment", "repo"}
    assert variables["datasource"]["query"] == "motherduck-duckdb-datasource"
