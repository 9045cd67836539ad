"""The weekly report: what happened, what it cost, and what is worth looking at, as Markdown."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from otel_learning.knowledge.rates import interval
from otel_learning.learning.insights import BEFORE_DAYS, WEEK_DAYS, Insights
from otel_learning.store.reader import Reader

EVIDENCE_SHOWN: Final = 3


def weekly_report(reader: Reader, insights: Insights, *, limit: int = 20) -> str:
    """Insights and the figures of the week that the newest execution ends, as Markdown.

    Args:
        reader: the store that the insights are of.
        insights: what `find_insights` found.
        limit: how many insights are shown at most.
    """
    if insights.until is None:
        return "# Weekly report\n\nThere are no executions yet: not enough evidence.\n"
    until = insights.until
    since = until - timedelta(days=WEEK_DAYS)
    before = since - timedelta(days=BEFORE_DAYS)
    week = _figures(reader, insights.environment, since, until + timedelta(microseconds=1))
    earlier = _figures(reader, insights.environment, before, since)
    lines = [
        "# Weekly report",
        "",
        f"{since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC, environment "
        f"{_plain(insights.environment) if insights.environment else 'not named'}.",
        "",
        "| | This week | Four weeks before |",
        "|---|---|---|",
        f"| Executions | {week['executions']} | {earlier['executions']} |",
        f"| Outcomes known | {_share(week)} | {_share(earlier)} |",
        f"| Success rate (90 % interval) | {_rate(week)} | {_rate(earlier)} |",
        f"| Cost of an execution, USD | {_cost(week)} | {_cost(earlier)} |",
        f"| Cost in all, USD | {_total(week)} | {_total(earlier)} |",
        "",
        "## Insights",
        "",
    ]
    for number, one in enumerate(insights.found[:limit], start=1):
        sources = ", ".join(f"`{identity}`" for identity in one.evidence[:EVIDENCE_SHOWN])
        lines.append(f"{number}. {_plain(one.sentence)} ({one.support} executions; e.g. {sources})")
    if not insights.found:
        lines.append("Nothing stands out from chance.")
    lines += [
        "",
        f"{insights.looked_at} comparisons over {insights.executions} executions were made; of "
        "what is said, at most one in twenty is expected to be chance. Observational: whoever "
        "chose may have had reasons.",
    ]
    return "\n".join(lines) + "\n"


def _figures(reader: Reader, environment: str | None, since: Any, until: Any) -> dict[str, Any]:
    names, rows = reader.query(
        "SELECT count(*) AS executions, count(success) AS known, "
        "count(*) FILTER (success) AS successes, avg(actual_cost) AS cost, "
        "sum(actual_cost) AS total FROM executions "
        "WHERE environment IS NOT DISTINCT FROM ? AND started_at >= ? AND started_at < ?",
        [environment, since, until],
    )
    return dict(zip(names, rows[0], strict=True))


def _share(figures: dict[str, Any]) -> str:
    if not figures["executions"]:
        return "none"
    return f"{figures['known'] / figures['executions']:.0%}"


def _rate(figures: dict[str, Any]) -> str:
    if not figures["known"]:
        return "not known"
    rate = interval(figures["successes"], figures["known"])
    return f"{rate.rate:.1%} ({rate.low:.1%} to {rate.high:.1%})"


def _cost(figures: dict[str, Any]) -> str:
    return "not known" if figures["cost"] is None else f"{figures['cost']:.4g}"


def _total(figures: dict[str, Any]) -> str:
    return "not known" if figures["total"] is None else f"{figures['total']:.2f}"


def _plain(text: str) -> str:
    """Text of producers as text: nothing of it is read as Markdown or HTML."""
    shown = " ".join(text.split())
    for sign in "\\`*_[]<>|#":
        shown = shown.replace(sign, f"\\{sign}")
    return shown
