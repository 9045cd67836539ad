"""Writes the Grafana dashboard: each panel is a title, a query, and how its values are shown.

The queries are for the data source `motherduck-duckdb-datasource` on a read copy. Of its macros
only `$__timeFilter(column)` is used, which every release of it has; `$environment` and `$repo`
become lists of quoted words.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

PLUGIN: Final = "motherduck-duckdb-datasource"
SOURCE: Final = {"type": PLUGIN, "uid": "${datasource}"}
UNKNOWN: Final = "(unknown)"
"""What stands for NULL among the choices of a variable."""
_MINE: Final = (
    f"coalesce(environment, '{UNKNOWN}') IN ($environment)\n"
    f"  AND coalesce(repo, '{UNKNOWN}') IN ($repo)"
)
_CHOSEN: Final = f"WHERE $__timeFilter(started_at)\n  AND {_MINE}"
_SUCCESS: Final = "100 * avg(CAST(success AS INTEGER))"
_COUNTED: Final = "avg(CAST(success AS INTEGER)) AS p, count(success) AS n"
_SPREAD: Final = "1.6449 * sqrt(p * (1 - p) / n + 0.6764 / (n * n))"
"""Of Wilson's interval of 90 % (JASA 22, 1927): z = 1.6449, and of z squared a half, a quarter."""
_RATE: Final = f"""\
       100 * p AS "success %",
       100 * (p + 1.3528 / n - {_SPREAD}) / (1 + 2.7055 / n) AS "low %",
       100 * (p + 1.3528 / n + {_SPREAD}) / (1 + 2.7055 / n) AS "high %",
       n AS "outcomes known\""""
_RATE_NAMES: Final = ("success %", "low %", "high %", "outcomes known")


@dataclass(frozen=True)
class Panel:
    """One panel, and where it lies: Grafana's grid is 24 wide."""

    title: str
    kind: str
    sql: str
    columns: tuple[str, ...]
    """What the query returns; the panel relies on these names."""
    place: tuple[int, int, int, int]
    """x, y, width, height."""
    about: str
    period: str | None = None
    """A period of its own, back from the end of the dashboard's; None: the dashboard's."""
    unit: str = "none"
    steps: tuple[tuple[str, float | None], ...] = (("green", None),)
    """Colour from a value on."""
    options: dict[str, Any] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    """Column -> unit, where it is not the panel's."""
    most: float | None = None


def _rising(low: float, high: float) -> tuple[tuple[str, float | None], ...]:
    """More is better."""
    return ("red", None), ("yellow", low), ("green", high)


def _falling(low: float, high: float) -> tuple[tuple[str, float | None], ...]:
    """Less is better."""
    return ("green", None), ("yellow", low), ("red", high)


_OF_RATE: Final = (
    "Of executions with a known outcome. The rate lies between low and high with 90 %; tiers and "
    "pools may have had easier or harder tasks."
)


def _by(column: str, limit: int) -> str:
    """A table: executions and outcomes per value of a column, the most frequent first."""
    return f"""\
WITH counted AS (
  SELECT coalesce({column}, '{UNKNOWN}') AS {column}, count(*) AS executions,
         {_COUNTED},
         sum(actual_cost) AS cost, avg(duration_seconds) AS seconds
  FROM executions
  {_CHOSEN}
  GROUP BY 1
)
SELECT {column}, executions,
{_RATE},
       cost AS "cost USD", seconds AS "avg seconds"
FROM counted
ORDER BY executions DESC, 1
LIMIT {limit}"""


def _hours(count: int) -> str:
    """The start of the hours in which an execution started; of UTC, whatever the session's zone."""
    seconds = 3600 * count
    return f"to_timestamp({seconds} * floor(epoch(started_at) / {seconds}))"


_BY_COLUMNS: Final = ("executions", *_RATE_NAMES, "cost USD", "avg seconds")
_BY_UNITS: Final = {
    "success %": "percent", "low %": "percent", "high %": "percent", "cost USD": "currencyUSD",
    "avg seconds": "s",
}  # fmt: skip

_CALCULATED: Final = {"calcs": ["lastNotNull"], "fields": "", "values": False}
PANELS: Final = (
    Panel(
        "Executions", "stat", f"SELECT count(*) AS executions\nFROM executions\n{_CHOSEN}",
        ("executions",), (0, 0, 6, 4), "Executions that started in the dashboard's period.",
        unit="short", steps=(("blue", None), ("green", 100), ("purple", 1000)),
    ),
    Panel(
        "Success", "stat", f'SELECT {_SUCCESS} AS "success %"\nFROM executions\n{_CHOSEN}',
        ("success %",), (6, 0, 6, 4), "Of executions with a known outcome; empty without one.",
        unit="percent", steps=_rising(90, 95), most=100,
    ),
    Panel(
        "Average quality", "stat",
        f"SELECT avg(quality_score) AS quality\nFROM executions\n{_CHOSEN}",
        ("quality",), (12, 0, 6, 4), "Of executions that have a quality score, 0 to 100.",
        steps=(("red", None), ("orange", 60), ("yellow", 75), ("green", 90)), most=100,
    ),
    Panel(
        "Cost", "stat", f'SELECT sum(actual_cost) AS "cost USD"\nFROM executions\n{_CHOSEN}',
        ("cost USD",), (18, 0, 6, 4), "Of executions whose cost is known.",
        unit="currencyUSD", steps=_falling(1, 5),
    ),
    Panel(
        "Executions per hour", "timeseries", f"""\
SELECT {_hours(1)} AS time, count(*) AS executions
FROM executions
{_CHOSEN}
GROUP BY 1
ORDER BY 1""",
        ("time", "executions"), (0, 4, 12, 8), "By the start; hours of UTC.",
        period="7d", unit="short",
    ),
    Panel(
        "Success per day", "timeseries", f"""\
WITH counted AS (
  SELECT {_hours(24)} AS time, {_COUNTED}
  FROM executions
  {_CHOSEN}
  GROUP BY 1
)
SELECT time,
{_RATE}
FROM counted
ORDER BY 1""",
        ("time", *_RATE_NAMES), (12, 4, 12, 8),
        "Of executions with a known outcome, with the interval of 90 %; days of UTC.",
        period="7d", unit="percent", steps=_rising(90, 95), units={"outcomes known": "short"},
    ),
    Panel(
        "Success by tier", "table", f"""\
WITH counted AS (
  SELECT coalesce(model_tier, '{UNKNOWN}') AS model_tier, {_COUNTED}
  FROM executions
  {_CHOSEN}
  GROUP BY 1
)
SELECT model_tier,
{_RATE}
FROM counted
ORDER BY 1""",
        ("model_tier", *_RATE_NAMES), (0, 12, 8, 8), _OF_RATE,
        unit="percent", steps=_rising(80, 90), units={"outcomes known": "short"},
    ),
    Panel(
        "Average duration by tier", "bargauge", f"""\
SELECT coalesce(model_tier, '{UNKNOWN}') AS model_tier, avg(duration_seconds) AS seconds
FROM executions
{_CHOSEN}
GROUP BY 1
HAVING count(duration_seconds) > 0
ORDER BY 1""",
        ("model_tier", "seconds"), (8, 12, 8, 8), "Of executions whose duration is known.",
        unit="s", steps=_falling(10, 30),
    ),
    Panel(
        "Cost by tier", "piechart", f"""\
SELECT coalesce(model_tier, '{UNKNOWN}') AS model_tier, sum(actual_cost) AS "cost USD"
FROM executions
{_CHOSEN}
GROUP BY 1
HAVING sum(actual_cost) > 0
ORDER BY 2 DESC""",
        ("model_tier", "cost USD"), (16, 12, 8, 8), "Where the money went; known costs alone.",
        unit="currencyUSD",
    ),
    Panel(
        "Pools", "table", _by("pool_type", 20), ("pool_type", *_BY_COLUMNS), (0, 20, 12, 8),
        _OF_RATE, period="7d", unit="short", units=_BY_UNITS,
    ),
    Panel(
        "Repositories", "table", _by("repo", 10), ("repo", *_BY_COLUMNS), (12, 20, 12, 8),
        "The ten with most executions. " + _OF_RATE, period="30d", unit="short", units=_BY_UNITS,
    ),
    Panel(
        "Task types", "table", _by("task_type", 15), ("task_type", *_BY_COLUMNS), (0, 28, 12, 8),
        "The fifteen most frequent. " + _OF_RATE, period="30d", unit="short", units=_BY_UNITS,
    ),
    Panel(
        "Errors", "table", f"""\
SELECT error_type, coalesce(error_class, '{UNKNOWN}') AS error_class,
       count(*) AS executions, max(started_at) AS last
FROM executions
{_CHOSEN}
  AND error_type IS NOT NULL
GROUP BY 1, 2
ORDER BY executions DESC, 1, 2
LIMIT 10""",
        ("error_type", "error_class", "executions", "last"), (12, 28, 12, 8),
        "The ten most frequent; also of executions that succeeded in the end.",
        period="7d", unit="short",
    ),
    Panel(
        "Duration", "gauge", f"""\
SELECT quantile_cont(duration_seconds, 0.5) AS p50,
       quantile_cont(duration_seconds, 0.95) AS p95,
       quantile_cont(duration_seconds, 0.99) AS p99
FROM executions
{_CHOSEN}""",
        ("p50", "p95", "p99"), (0, 36, 8, 7), "Of executions whose duration is known.",
        unit="s", steps=_falling(5, 15),
    ),
    Panel(
        "Quality bands", "bargauge", f"""\
SELECT count(*) FILTER (quality_score >= 90) AS "90 and more",
       count(*) FILTER (quality_score >= 75 AND quality_score < 90) AS "75 to 90",
       count(*) FILTER (quality_score >= 60 AND quality_score < 75) AS "60 to 75",
       count(*) FILTER (quality_score < 60) AS "below 60",
       count(*) FILTER (quality_score IS NULL) AS unknown
FROM executions
{_CHOSEN}""",
        ("90 and more", "75 to 90", "60 to 75", "below 60", "unknown"), (8, 36, 8, 7),
        "Executions by their quality score.", unit="short",
        options={"reduceOptions": _CALCULATED},
    ),
    Panel(
        "Recorded", "stat", f"SELECT count(*) AS executions\nFROM executions\n{_CHOSEN}",
        ("executions",), (16, 36, 4, 7), "Executions of the last 30 days.",
        period="30d", unit="short",
    ),
    Panel(
        "Routing confidence", "gauge",
        f'SELECT 100 * avg(routing_confidence) AS "confidence %"\nFROM executions\n{_CHOSEN}',
        ("confidence %",), (20, 36, 4, 7),
        "The mean of what the router said of itself; whether it came true: otel-learning "
        "calibration.",
        unit="percent", steps=_rising(70, 90), most=100,
    ),
)  # fmt: skip

VARIABLES: Final = {
    name: f"SELECT DISTINCT coalesce({name}, '{UNKNOWN}') AS {name} FROM executions ORDER BY 1"
    for name in ("environment", "repo")
}
_ALL_ROWS: Final = {**_CALCULATED, "values": True}
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "stat": {"colorMode": "value", "graphMode": "none", "reduceOptions": _CALCULATED},
    "gauge": {"reduceOptions": _CALCULATED, "showThresholdLabels": False},
    # One bar or slice per row, under the name in its first column.
    "bargauge": {"orientation": "horizontal", "displayMode": "basic", "reduceOptions": _ALL_ROWS},
    "piechart": {"pieType": "donut", "displayLabels": ["name", "percent"],
                 "reduceOptions": _ALL_ROWS},
    "timeseries": {"legend": {"displayMode": "list", "placement": "bottom"},
                   "tooltip": {"mode": "multi"}},
    "table": {"showHeader": True, "cellHeight": "sm"},
}  # fmt: skip


def dashboard() -> str:
    """The dashboard as JSON, in the classic format that Grafana 10.4 and later import."""
    found = {
        "__requires": [
            {"type": "grafana", "id": "grafana", "name": "Grafana", "version": "10.4.0"},
            {"type": "datasource", "id": PLUGIN, "name": "DuckDB", "version": "0.4.0"},
        ],
        "uid": "otel-learning",
        "title": "Routing and executions",
        "description": "What an AI orchestrator's tasks came to, from a read copy of its learning "
        "store (otel-learning export --format duckdb --every 60).",
        "tags": ["otel-learning"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "timezone": "utc",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": [_source_variable(), *map(_variable, VARIABLES.items())]},
        "panels": [_panel(number, panel) for number, panel in enumerate(PANELS, start=1)],
    }  # fmt: skip
    return json.dumps(found, indent=2) + "\n"


def _source_variable() -> dict[str, Any]:
    return {
        "name": "datasource", "label": "Read copy", "type": "datasource", "query": PLUGIN,
        "current": {}, "hide": 0, "refresh": 1, "regex": "", "multi": False, "includeAll": False,
        "options": [],
    }  # fmt: skip


def _variable(named: tuple[str, str]) -> dict[str, Any]:
    name, sql = named
    return {
        "name": name, "label": name.capitalize(), "type": "query", "datasource": SOURCE,
        "definition": sql, "query": sql, "refresh": 2, "regex": "", "sort": 1, "multi": True,
        "includeAll": True, "current": {"text": ["All"], "value": ["$__all"]}, "hide": 0,
        "options": [],
    }  # fmt: skip


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    x, y, width, height = panel.place
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "min": 0 if panel.most is not None else None,
        "max": panel.most,
        "color": {"mode": _colour(panel)},
        "thresholds": {
            "mode": "absolute",
            "steps": [{"color": colour, "value": value} for colour, value in panel.steps],
        },
    }
    if panel.kind == "timeseries":
        defaults["custom"] = {"drawStyle": "line", "fillOpacity": 10, "showPoints": "auto"}
    found: dict[str, Any] = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": width, "h": height},
        "fieldConfig": {
            "defaults": {name: value for name, value in defaults.items() if value is not None},
            "overrides": _overrides(panel),
        },
        "options": {**_OPTIONS[panel.kind], **panel.options},
        "targets": [
            {
                "refId": "A", "datasource": SOURCE, "editorMode": "code", "rawQuery": True,
                # 1 is a table: panels of series take its column `time` as theirs.
                "format": 1, "rawSql": panel.sql,
            }
        ],
    }  # fmt: skip
    if panel.period is not None:
        found["timeFrom"] = panel.period
    return found


def _colour(panel: Panel) -> str:
    return "palette-classic" if panel.kind in ("timeseries", "piechart") else "thresholds"


def _overrides(panel: Panel) -> list[dict[str, Any]]:
    found = [
        _override(column, [{"id": "unit", "value": unit}]) for column, unit in panel.units.items()
    ]
    if panel.kind == "table" and "success %" in panel.columns and len(panel.steps) > 1:
        found.append(
            _override(
                "success %",
                [{"id": "custom.cellOptions", "value": {"type": "color-background"}}],
            )
        )
    if panel.kind == "timeseries" and "outcomes known" in panel.columns:
        found.append(
            _override("outcomes known", [{"id": "custom.axisPlacement", "value": "right"}])
        )
    return found


def _override(column: str, properties: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"matcher": {"id": "byName", "options": column}, "properties": list(properties)}
