"""The command `insights`: what executions show, each with its evidence; the weekly report."""

from __future__ import annotations

from typing import Annotated

import typer

from otel_learning.cli.options import AsJson, AsOf, Db, InEnvironment


def register(app: typer.Typer) -> None:
    app.command()(insights)


def insights(
    report: Annotated[
        bool, typer.Option("--report", help="The week as Markdown, with its figures.")
    ] = False,
    environment: InEnvironment = None,
    as_of: AsOf = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="So many at most.")] = 20,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Show what stands out: changes, costs, failing cells, drift, the most worthwhile first.

    Every comparison that is made is corrected for all the others: of what is said, at most one
    in twenty is expected to be chance.
    """
    from otel_learning.cli.exits import say
    from otel_learning.cli.options import open_store
    from otel_learning.cli.output import print_json, print_text
    from otel_learning.cli.progress import spinner
    from otel_learning.errors import InputError
    from otel_learning.learning.insights import find_insights
    from otel_learning.learning.weekly import weekly_report

    if report and as_json:
        raise InputError("--report is Markdown, and --json is not", "leave one of them out")
    with open_store(db) as database:
        with spinner("looking for insights"):
            found = find_insights(database, environment=environment, as_of=as_of)
        if report:
            print_text(weekly_report(database, found, limit=limit).rstrip())
            return
    if as_json:
        print_json(
            [
                {
                    "kind": one.kind,
                    "sentence": one.sentence,
                    "support": one.support,
                    "effect": one.effect,
                    "effect_unit": one.effect_unit,
                    "evidence": list(one.evidence),
                    "worth": one.worth,
                    "p_value": one.p_value,
                    "context": one.context,
                    "basis": "observational",
                }
                for one in found.found[:limit]
            ]
        )
        return
    for number, one in enumerate(found.found[:limit], start=1):
        print_text(f"{number}. {one.sentence}")
        print_text(f"   {one.kind}, e.g. {', '.join(map(str, one.evidence[:3]))}")
    say(
        f"{len(found.found)} of {found.looked_at} comparisons over {found.executions} executions "
        "stand out from chance"
        + ("" if found.looked_at else ": not enough evidence for any comparison")
    )
