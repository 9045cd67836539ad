"""Measurements as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from cases import BARE, CASES, NOOP, OTLP_HTTP
from results import Results
from targets import Verdict, verdicts

Cells = Sequence[str]


def number(value: float | None) -> str:
    """Three digits or so; nothing for what was not measured."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def between(values: Sequence[float]) -> str:
    """The median, and from where to where the rounds went."""
    if not values:
        return ""
    if len(values) == 1:
        return number(values[0])
    return f"{number(median(values))} ({number(min(values))}..{number(max(values))})"


def each(values: Sequence[float]) -> str:
    """All rounds, since a median of drops says nothing."""
    return " ".join(number(value) for value in values)


def table(head: Cells, rows: Sequence[Cells]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cases(results: Results) -> str:
    """The one table: a row per case, a column per figure."""
    cpu = "cpu_us_per_span"
    head = [
        "case", "CPU us/span", "x OTLP/HTTP", "x bare limit", "exporting thread us/span",
        "bytes/task", "bytes/task, one per drain", "p99 ms (control)", "p99 x control",
        "% dropped, first burst", "% dropped, second", "resident MB beside", "CPU us/plain span",
        "bytes/task for ten",
    ]  # fmt: skip
    rows = []
    for case, described in CASES.items():
        if not any(found["case"] == case for found in results.measurements):
            continue
        p99 = number(results.typical("contend", case, "p99_ms"))
        control = number(results.typical("contend", case, "p99_control_ms"))
        size = results.typical("direct", case, "bytes_per_task")
        rows.append(
            [
                described.title,
                between(results.values("direct", case, cpu)),
                between(results.ratios("direct", case, OTLP_HTTP, cpu)),
                between(results.ratios("direct", case, BARE, cpu)),
                number(results.typical("direct", case, "export_thread_us_per_span")),
                number(size) if size else "",
                between(results.values("low", case, "bytes_per_task")),
                f"{p99} ({control})" if p99 else "",
                between(results.values("contend", case, "p99_ratio")),
                each(results.values("flood", case, "dropped_first_percent")),
                each(results.values("flood", case, "dropped_percent")),
                between(results.differences("memory", case, NOOP, "peak_mb")),
                between(results.values("plain", case, "cpu_us_per_plain_span")),
                number(results.typical("plain", case, "bytes_per_task_extra")),
            ]
        )
    filled = [n for n in range(len(head)) if n == 0 or any(row[n] for row in rows)]
    return table([head[n] for n in filled], [[row[n] for n in filled] for row in rows])


def targets(results: Results) -> str:
    return table(
        ["target", "limit", "figure", "rounds", "verdict"],
        [_verdict(verdict) for verdict in verdicts(results)],
    )


def _verdict(verdict: Verdict) -> Cells:
    word = f"{verdict.word} ({verdict.caveat})" if verdict.caveat else verdict.word
    return [
        verdict.target,
        f"{'<' if verdict.strict else '<='} {number(verdict.limit)}",
        number(verdict.figure) + (" (worst)" if verdict.worst and verdict.values else ""),
        each(verdict.values),
        word,
    ]


def queries(results: Results) -> str:
    if results.queries is None:
        return ""
    return table(
        ["query", "view ms", "plain table ms", "ratio"],
        [
            [name, number(found["view_ms"]), number(found["plain_ms"]), number(found["ratio"])]
            for name, found in results.queries["queries"].items()
        ],
    )


def stored(results: Results) -> list[str]:
    """Where a store does not hold every task that was given to it, a line each."""
    return [
        f"{found['case']} in {found['mode']}, round {found['round']}: "
        f"{found['figures']['tasks_stored']:,} of {found['tasks']:,} tasks stored"
        for found in results.measurements
        if found["mode"] in ("direct", "low", "plain")
        and found["figures"].get("tasks_stored") not in (None, found["tasks"])
    ]
