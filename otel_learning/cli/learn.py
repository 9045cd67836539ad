"""Commands that say what the records teach: evidence in tables, and advice."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from otel_learning.cli.options import AsJson, AsOf, Db, InEnvironment

By = Annotated[
    str,
    typer.Option(
        "--by",
        metavar="COLUMN",
        help="What tells arms apart: model_tier, pool_type, swarm_topology, requested_model, "
        "agent; or several, as model_tier/pool_type.",
    ),
]
TaskType = Annotated[str | None, typer.Option(metavar="T", help="The kind of task. Default: all.")]
Repo = Annotated[str | None, typer.Option(metavar="R", help="The repository. Default: all.")]


def register(app: typer.Typer) -> None:
    app.command()(recommend)
    app.command()(stats)


def recommend(
    task_type: TaskType = None,
    repo: Repo = None,
    description: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The task in words.")
    ] = None,
    environment: InEnvironment = None,
    candidate: Annotated[
        list[str] | None,
        typer.Option(
            "--candidate", metavar="ARM", help="An arm to choose from; may be given several times."
        ),
    ] = None,
    by: By = "model_tier",
    cost_weight: Annotated[
        float,
        typer.Option(
            metavar="W",
            help="The success, 0..1, that you would give up to save the dearest arm's whole cost.",
        ),
    ] = 0.05,
    min_success: Annotated[
        float | None, typer.Option(metavar="P", help="Only arms that succeed at least so often.")
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option(metavar="USD", help="Only arms that cost at most so much.")
    ] = None,
    default: Annotated[
        str | None, typer.Option(metavar="ARM", help="The choice where there is no evidence.")
    ] = None,
    as_of: AsOf = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Say which arm suits a task, with the evidence beside it."""
    from otel_learning.cli.options import open_store
    from otel_learning.cli.output import print_json, print_text
    from otel_learning.cli.progress import spinner
    from otel_learning.learning.recommend import recommend as ask

    with open_store(db) as database, spinner("the store works on it"):
        # Here somebody looks on: a store that cannot be read is an error, not a default.
        database.drain()
        answer = ask(
            database, task_type=task_type, repo=repo, description=description,
            environment=environment, candidates=candidate, by=by, cost_weight=cost_weight,
            min_success=min_success, max_cost=max_cost, default=default, as_of=as_of,
        )  # fmt: skip
    if as_json:
        print_json(answer.as_dict())
    else:
        print_text(answer.explain())


def stats(
    task_type: TaskType = None,
    repo: Repo = None,
    environment: InEnvironment = None,
    by: By = "model_tier",
    as_of: AsOf = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Show what is known of each arm: success with its interval, cost, time, support."""
    from otel_learning.cli.options import open_store
    from otel_learning.cli.output import print_json, print_table, print_text
    from otel_learning.cli.progress import spinner
    from otel_learning.learning.recommend import evidence

    with open_store(db) as database, spinner("the store works on it"):
        database.drain()
        found = evidence(
            database, task_type=task_type, repo=repo, environment=environment, by=by, as_of=as_of
        )
    if as_json:
        print_json(found)
        return
    names = [
        "arm", "success", "90 %", "", "cost USD", "seconds", "quality", "executions", "known",
    ]  # fmt: skip
    print_table(names, [_row(arm) for arm in found["arms"]])
    print_text(f"{found['basis']}; {', '.join(found['reasons'])}")


def _row(arm: dict[str, Any]) -> list[Any]:
    from otel_learning.cli.output import cell

    low, high = arm["success_low"], arm["success_high"]
    known = arm["outcomes_known"]
    return [
        arm["arm"],
        None if arm["success_rate"] is None else f"{arm['success_rate']:.0%}",
        None if low is None else f"{low:.0%} to {high:.0%}",
        _bar(low, arm["success_rate"], high),
        None if arm["expected_cost"] is None else cell(float(f"{arm['expected_cost']:.3g}")),
        None if arm["expected_duration_seconds"] is None
        else cell(float(f"{arm['expected_duration_seconds']:.3g}")),
        None if arm["mean_quality"] is None else round(arm["mean_quality"], 1),
        arm["support"],
        None if known is None else f"{known:.0%}",
    ]  # fmt: skip


def _bar(low: float | None, rate: float | None, high: float | None) -> str:
    """The interval and the rate on a line from 0 to 1, twenty characters wide."""
    if low is None or rate is None or high is None:
        return ""
    places = [min(19, int(20 * value)) for value in (low, rate, high)]
    line = ["·"] * 20
    line[places[0] : places[2] + 1] = ["─"] * (places[2] + 1 - places[0])
    line[places[1]] = "●"
    return "".join(line)
