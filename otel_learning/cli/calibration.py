"""The command `calibration`: whether what a router foretold came true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from otel_learning.cli.learn import By
from otel_learning.cli.options import AsJson, AsOf, Db, InEnvironment

if TYPE_CHECKING:
    from otel_learning.learning.calibration import Calibration


def register(app: typer.Typer) -> None:
    app.command()(calibration)


def calibration(
    by: By = "model_tier",
    environment: InEnvironment = None,
    since_days: Annotated[
        float | None,
        typer.Option(metavar="DAYS", min=0, help="Only executions of the last so many days."),
    ] = None,
    as_of: AsOf = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Show how far estimates and confidence were from what came of them, per arm."""
    from datetime import UTC, datetime, timedelta

    from otel_learning.cli.options import open_store
    from otel_learning.cli.output import print_json
    from otel_learning.cli.progress import spinner
    from otel_learning.learning.calibration import calibrate

    since = None if since_days is None else datetime.now(UTC) - timedelta(days=since_days)
    with open_store(db) as database, spinner("the store works on it"):
        database.drain()
        found = calibrate(database, by=by, environment=environment, since=since, as_of=as_of)
    if as_json:
        print_json([one.as_dict() for one in found])
    else:
        _print(found)


def _print(found: list[Calibration]) -> None:
    from otel_learning.cli.output import print_table, print_text

    if not found:
        print_text("No execution here names an arm.")
        return
    names = [
        "arm", "executions", "actual cost / estimate", "90 % of them", "seconds", "90 % of them",
        "confidence", "success", "Brier", "ECE", "by chance",
    ]  # fmt: skip
    print_table(names, [_row(one) for one in found])
    for one in found:
        _print_curve(one)
        if one.correction is not None:
            print_text(
                f"{one.arm}: a correction ({one.correction.method}) took "
                f"{one.correction.brier_gain:.3f} off the Brier score of held-out outcomes; "
                "--json has it"
            )
        for drift in one.drift:
            since = drift.since.strftime("%Y-%m-%d %H:%M") if drift.since else "some time"
            print_text(
                f"{one.arm}: {drift.what} changed about {since}, from {drift.before:.3g} to "
                f"{drift.after:.3g} (p {drift.p:.2g})"
            )


def _row(one: Calibration) -> list[Any]:
    said = one.confidence
    return [
        one.arm,
        one.support,
        _times(one.cost_ratio),
        _ends(one.cost_low, one.cost_high, _times),
        _short(one.duration_seconds),
        _ends(one.duration_low, one.duration_high, _short),
        None if said is None else f"{said.mean_confidence:.0%}",
        None if said is None else f"{said.success_rate:.0%}",
        None if said is None else f"{said.brier:.3f}",
        None if said is None else f"{said.ece:.3f}",
        None if said is None else f"{said.ece_by_chance:.3f}",
    ]


def _print_curve(one: Calibration) -> None:
    """A line per bin: what was said (`|`), what came (`●`) and its interval."""
    from otel_learning.cli.output import print_text

    if one.confidence is None:
        return
    print_text(f"\n{one.arm}: success (●, with its 90 % interval) where the router said (|)\n")
    for part in one.confidence.bins:
        line = ["·"] * 41
        low, high, rate, said = (
            round(40 * value) for value in (part.low, part.high, part.rate, part.confidence)
        )
        line[low : high + 1] = ["─"] * (high + 1 - low)
        line[rate] = "●"
        line[said] = "|" if said != rate else "◉"
        print_text(f"  {part.confidence:4.0%}  {''.join(line)}  {part.rate:4.0%}  {part.support}")
    print_text("")


def _times(value: float | None) -> str | None:
    return None if value is None else f"x{value:.3g}"


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g}"


def _ends(low: float | None, high: float | None, show: Any) -> str | None:
    return None if low is None else f"{show(low)} to {show(high)}"
