"""The commands `experiment ...`: compare variants on live work, and end with a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from otel_learning.cli.options import AsJson, AsOf, Db, InEnvironment

if TYPE_CHECKING:
    from otel_learning.learning.definition import Experiment

experiment = typer.Typer(
    name="experiment",
    help="Compare variants on live work, and end with a decision.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The experiment.")]
Note = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Why; kept in the experiment's trail.")
]


def register(app: typer.Typer) -> None:
    app.add_typer(experiment)


@experiment.command()
def create(
    name: Name,
    variants: Annotated[
        str, typer.Option(metavar="A,B", help="Names; the first one is the control.")
    ],
    metric: Annotated[
        str,
        typer.Option(
            metavar="M",
            help="success, accepted, rating, quality_score, actual_cost, duration_seconds, or "
            "another number of an execution.",
        ),
    ] = "success",
    goal: Annotated[
        str | None, typer.Option(metavar="max|min", help="Default: what is better for M.")
    ] = None,
    unit: Annotated[
        str, typer.Option(metavar="U", help="task_id, session_id, repo or user_hash.")
    ] = "task_id",
    mode: Annotated[
        str,
        typer.Option(
            metavar="MODE",
            help="sequential: look at any time. fixed: look once, at the horizon; needs the "
            "extra learn.",
        ),
    ] = "sequential",
    alpha: Annotated[
        float, typer.Option(metavar="P", help="How rarely a wrong variant may be named.")
    ] = 0.05,
    power: Annotated[
        float, typer.Option(metavar="P", help="How surely a difference of EFFECT is found.")
    ] = 0.8,
    effect: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="The smallest difference worth finding. Default: 0.1 of a rate, a fifth of a "
            "number's mean.",
        ),
    ] = None,
    horizon: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Known outcomes per variant in the fixed mode. Default: the plan's."
        ),
    ] = None,
    weights: Annotated[
        str, typer.Option(metavar="1,1", help="Each variant's share of the units.")
    ] = "",
    by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMNS",
            help="What the variants choose, as model_tier or model_tier/pool_type.",
        ),
    ] = None,
    arms: Annotated[
        str | None,
        typer.Option(metavar="X,Y", help="The value of --by that each variant stands for."),
    ] = None,
    strata: Annotated[
        str, typer.Option(metavar="COLUMNS", help="Compare within these, as repo,task_type.")
    ] = "",
    guardrail: Annotated[
        list[str] | None,
        typer.Option(
            metavar="M=SHARE",
            help="The winner may not be worse in M than the control by more than SHARE; may be "
            "given again.",
        ),
    ] = None,
    environment: InEnvironment = None,
    task_type: Annotated[
        str | None, typer.Option(metavar="T", help="Only tasks of this kind take part.")
    ] = None,
    repo: Annotated[
        str | None, typer.Option(metavar="R", help="Only tasks in this repository take part.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and store nothing.")
    ] = False,
    note: Note = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Fix what is compared, and forecast how many outcomes and days it takes."""
    from otel_learning.cli.experiment_view import created
    from otel_learning.cli.options import open_store
    from otel_learning.cli.output import print_json, print_pairs
    from otel_learning.cli.progress import spinner
    from otel_learning.learning import experiments

    with open_store(db) as database, spinner("planning"):
        made = experiments.create(
            database, name, variants=_listed(variants), metric=metric,
            goal=goal, unit=unit, mode=mode,  # type: ignore[arg-type]
            alpha=alpha, power=power, effect=effect, horizon=horizon,
            weights=_numbers(weights), by=by, arms=None if arms is None else _listed(arms),
            strata=_listed(strata), guardrails=[_guardrail(one) for one in guardrail or ()],
            environment=environment, task_type=task_type, repo=repo, note=note,
            store=not dry_run,
        )  # fmt: skip
    answer = created(made)
    print_json(answer) if as_json else print_pairs(
        {k: _said(v) for k, v in {**answer, **answer["plan"], "plan": None}.items() if v}
    )


@experiment.command(name="list")
def list_(db: Db = None, as_json: AsJson = False) -> None:
    """List all experiments with their state and decision."""
    from otel_learning.cli.options import open_store
    from otel_learning.cli.output import print_rows
    from otel_learning.learning import experiments

    with open_store(db) as database:
        found = experiments.list_all(database)
    print_rows(
        ["name", "state", "decision", "metric", "variants", "created_at", "ended_at"],
        [
            (e.definition.name, e.state, e.decision, e.definition.metric,
             list(e.definition.variants), e.created_at, e.ended_at)
            for e in found
        ],
        as_json=as_json,
    )  # fmt: skip


@experiment.command()
def show(
    name: Name,
    as_of: AsOf = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Show what the outcomes say: every variant with its interval, and the decision, if any."""
    from otel_learning.cli.experiment_view import print_finding
    from otel_learning.cli.options import open_store
    from otel_learning.cli.output import print_json
    from otel_learning.cli.progress import spinner
    from otel_learning.learning import experiments

    with open_store(db) as database, spinner("reading outcomes"):
        found = experiments.show(database, name, as_of=as_of)
    print_json(found.to_dict()) if as_json else print_finding(found)


@experiment.command()
def assign(
    name: Name,
    unit_id: Annotated[
        str, typer.Option("--unit-id", metavar="ID", help="The id of what is assigned.")
    ],
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Say which variant a unit gets: the same id, the same variant, everywhere and for good."""
    from otel_learning.cli.options import open_store
    from otel_learning.cli.output import print_json, print_pairs
    from otel_learning.learning import experiments

    with open_store(db) as database:
        found = experiments.assign(database, name, unit_id)._asdict()
    print_json(found) if as_json else print_pairs({k: v for k, v in found.items() if v})


@experiment.command()
def stop(
    name: Name,
    variant: Annotated[
        str | None,
        typer.Option(metavar="V", help="Take only this variant out; the others go on."),
    ] = None,
    note: Note = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """End an experiment without a decision, or take one variant out of it."""
    from otel_learning.cli.options import open_store
    from otel_learning.learning import experiments

    with open_store(db) as database:
        _say_state(experiments.stop(database, name, variant=variant, note=note), as_json)


@experiment.command()
def decide(
    name: Name,
    variant: Annotated[
        str | None,
        typer.Option(metavar="V", help="What is decided. Default: what the evidence says."),
    ] = None,
    note: Note = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """End an experiment with a decision, kept with the evidence of this moment."""
    from otel_learning.cli.options import open_store
    from otel_learning.learning import experiments

    with open_store(db) as database:
        _say_state(experiments.decide(database, name, variant=variant, note=note), as_json)


def _say_state(found: Experiment, as_json: bool) -> None:
    from otel_learning.cli.output import print_json, print_pairs

    answer = {
        "name": found.definition.name,
        "state": found.state,
        "decision": found.decision,
        "dropped": [variant for variant, _ in found.dropped],
    }
    if as_json:
        print_json(answer)
    else:
        print_pairs({key: _said(value) for key, value in answer.items() if value})


def _said(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _listed(said: str) -> list[str]:
    return [part.strip() for part in said.split(",") if part.strip()]


def _numbers(said: str) -> list[float]:
    from otel_learning.errors import InputError

    try:
        return [float(part) for part in _listed(said)]
    except ValueError:
        raise InputError(f"--weights {said!r} are no numbers", "for example 1,1") from None


def _guardrail(said: str) -> tuple[str, float]:
    from otel_learning.errors import InputError

    metric, _, share = said.partition("=")
    try:
        return metric.strip(), float(share or 0.0)
    except ValueError:
        raise InputError(
            f"--guardrail {said!r} is none", "a metric and a share, as actual_cost=0.1"
        ) from None
