"""The command `quality`: how much checking a repository's record asks for, also as a gate."""

from __future__ import annotations

from typing import Annotated

import typer

from otel_learning.cli.options import AsJson, AsOf, Db, InEnvironment


def register(app: typer.Typer) -> None:
    app.command()(quality)


def quality(
    repo: Annotated[str, typer.Argument(metavar="REPO", help="As spans name it.")],
    gate: Annotated[
        bool, typer.Option("--gate", help="Exit with 1 where the gate is not met.")
    ] = False,
    coverage: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            metavar="PERCENT",
            help="The test coverage now. Default: what executions report, if they do.",
        ),
    ] = None,
    save: Annotated[
        bool, typer.Option("--save", help="Store it in quality_policies, where it has changed.")
    ] = False,
    environment: InEnvironment = None,
    as_of: AsOf = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Show how much checking a repository's record asks for, and why."""
    from otel_learning.cli.exits import CommandFailed
    from otel_learning.cli.options import open_store
    from otel_learning.cli.output import print_json, print_pairs, print_table, print_text
    from otel_learning.cli.progress import spinner
    from otel_learning.learning import quality as learned

    with open_store(db) as database, spinner("reading the record"):
        found = learned.examine(
            database, repo, coverage=coverage, environment=environment, as_of=as_of
        )
        if save:
            learned.save(database, found)
    answer = found.to_dict()
    if as_json:
        print_json(answer)
    else:
        names = ("repo", "maturity", "score", "coverage_required", "strictness", "flow",
                 "max_complexity", "gate_met")  # fmt: skip
        print_pairs({name: answer[name] for name in names} | {"reasons": ", ".join(found.reasons)})
        if found.areas:
            print_text()
            print_table(
                ["area", "risk", "coverage", "support", "failures", "at most", "churn", "impact"],
                [
                    (a.area or "(none)", a.risk, a.coverage_required, a.support, a.failure_rate,
                     a.failure_high, a.churn, a.impact)
                    for a in found.areas
                ],
            )  # fmt: skip
    if gate and not found.gate_met:
        raise CommandFailed(
            f"the gate of {repo} is not met: {', '.join(found.reasons)}",
            f"{found.coverage_required:g} % coverage and a record that does not fail are asked for",
        )
