"""What was promised, held against what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from cases import BARE, NOOP, OTLP_HTTP, OURS, OURS_EXPORT, OURS_PROCESSOR, SQLITE
from results import Results

BYTES_TASKS = 20_000
"""Tasks at which bytes are compared: a small store is mostly its first blocks."""
P99_PROCESSES = 5


@dataclass(frozen=True)
class Verdict:
    """One target beside its figure."""

    target: str
    limit: float
    values: list[float]
    worst: bool = False
    """Whether the worst round decides, not the median."""
    strict: bool = False
    """Whether the figure must lie below the limit."""
    caveat: str = ""

    @property
    def figure(self) -> float | None:
        if not self.values:
            return None
        return max(self.values) if self.worst else median(self.values)

    @property
    def word(self) -> str:
        figure = self.figure
        if figure is None:
            return "not measured"
        met = figure < self.limit if self.strict else figure <= self.limit
        return "met" if met else "NOT MET"


def verdicts(results: Results) -> list[Verdict]:
    cpu = "cpu_us_per_span"
    found = [
        Verdict(
            "CPU per span, of OTLP/HTTP's", 0.38, results.ratios("direct", OURS, OTLP_HTTP, cpu)
        ),
        Verdict(
            "CPU per span, of the bare limit's", 1.4, results.ratios("direct", OURS, BARE, cpu)
        ),
        Verdict(
            "CPU of export() alone, of OTLP/HTTP's", 0.2,
            results.ratios("direct", OURS_EXPORT, OTLP_HTTP, cpu),
        ),
        Verdict(
            "bytes per execution with its ledger, of SQLite's", 0.7,
            results.ratios("direct", OURS, SQLITE, "bytes_per_task"),
            caveat=_unless(
                results.tasks("direct") == BYTES_TASKS,
                f"at {results.tasks('direct'):,} tasks, the target is for {BYTES_TASKS:,}",
            ),
        ),
        Verdict(
            "bytes per execution at one task per drain", 2048,
            results.values("low", OURS, "bytes_per_task"),
            caveat=f"at {results.tasks('low'):,} tasks" if results.tasks("low") else "",
        ),
    ]  # fmt: skip
    for case, name in ((OURS, "exporter"), (OURS_PROCESSOR, "processor")):
        ratios = results.values("contend", case, "p99_ratio")
        found.append(
            Verdict(
                f"p99 of a busy application's tasks, of its own control, {name}", 1.25, ratios,
                caveat=_unless(
                    len(ratios) >= P99_PROCESSES or not ratios,
                    f"{len(ratios)} processes, the target is for {P99_PROCESSES}",
                ),
            )
        )  # fmt: skip
    for case, name in ((OURS, "exporter"), (OURS_PROCESSOR, "processor")):
        for figure, burst in (
            ("dropped_first_percent", "first burst"), ("dropped_percent", "second burst"),
        ):  # fmt: skip
            found.append(
                Verdict(
                    f"percent dropped in the {burst}, {name}", 0.0,
                    results.values("flood", case, figure), worst=True,
                )
            )  # fmt: skip
    for case, name in ((OURS, "exporter"), (OURS_PROCESSOR, "processor")):
        found.append(
            Verdict(
                f"resident MB beside the application's own, {name}", 200,
                results.differences("memory", case, NOOP, "peak_mb"), worst=True, strict=True,
            )
        )  # fmt: skip
    if results.queries is not None:
        found.append(
            Verdict(
                "time of each dashboard query, of the same on one plain table", 1.5,
                [query["ratio"] for query in results.queries["queries"].values()], worst=True,
                caveat=f"at {results.queries['executions']:,} executions",
            )
        )  # fmt: skip
    return found


def _unless(fine: bool, caveat: str) -> str:
    return "" if fine else caveat
