"""The commands `policy ...`: from advice to change, each step asked for, shown and taken back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from otel_learning.cli.learn import By
from otel_learning.cli.options import AsJson, Db, InEnvironment
from otel_learning.cli.upkeep import Yes

if TYPE_CHECKING:
    from otel_learning.learning.policy_evidence import Wanted

policy = typer.Typer(
    name="policy",
    help="Let a router follow what was learned: propose, try in the shadow, apply, roll back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Named = Annotated[
    str | None,
    typer.Argument(metavar="[VERSION]", help="The version. Default: the newest.",
                   show_default=False),
]  # fmt: skip
Context = Annotated[
    str,
    typer.Option(
        "--context", metavar="COLUMN",
        help="What the router knows before it chooses: task_type, repo; complexity_score, "
        "file_count or estimated_tokens for thresholds; or two of them, as task_type,repo.",
    ),
]  # fmt: skip
CostWeight = Annotated[
    float,
    typer.Option(
        metavar="W",
        help="The success, 0..1, that you would give up to save the dearest arm's whole cost.",
    ),
]
Default = Annotated[
    str | None,
    typer.Option(metavar="ARM", help="What a router does where the policy says nothing."),
]
CoolDown = Annotated[
    float, typer.Option("--cool-down", metavar="HOURS", help="Hours between two changes, at least.")
]


def register(app: typer.Typer) -> None:
    app.add_typer(policy)


def wanted_of(
    by: str, context: str, environment: str | None, cost_weight: float, default: str | None,
    cool_down_hours: float,
) -> Wanted:  # fmt: skip
    """What was asked for, checked. Raises InputError."""
    import math

    from otel_learning.errors import InputError
    from otel_learning.learning.policy_evidence import Wanted
    from otel_learning.store.policy_rows import scope

    for name, number in (("--cost-weight", cost_weight), ("--cool-down", cool_down_hours)):
        if not (math.isfinite(number) and number >= 0):
            raise InputError(f"{name} {number!r} is no number from 0 on")
    return Wanted(
        scope(by, context), environment, cost_weight, default,
        cool_down=timedelta(hours=cool_down_hours),
    )  # fmt: skip


@policy.command()
def propose(
    by: By = "model_tier",
    context: Context = "task_type",
    cost_weight: CostWeight = 0.05,
    environment: InEnvironment = None,
    default: Default = None,
    cool_down: CoolDown = 24.0,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Propose a policy from the evidence: what would change, by how much, and what speaks against.

    Nothing changes by it: the proposal is written down, and waits to be applied.
    """
    from otel_learning.cli import policy_view
    from otel_learning.cli.options import open_store, settings_in_force
    from otel_learning.cli.output import print_json
    from otel_learning.cli.progress import spinner
    from otel_learning.learning import policy_life

    wanted = wanted_of(by, context, environment, cost_weight, default, cool_down)
    mode = settings_in_force(db).mode
    now = datetime.now(UTC)
    with open_store(db) as database, spinner("the evidence is weighed"):
        found = policy_life.draft(database, wanted, now)
        version = None
        if found is not None:
            version = policy_life.store_proposal(
                database, found, actor=policy_life.PERSON, mode=mode, now=now
            )
    answer = policy_view.proposed(version, found)
    if as_json:
        print_json(answer)
    else:
        policy_view.print_proposal(answer)


@policy.command()
def diff(version: Named = None, db: Db = None, as_json: AsJson = False) -> None:
    """Show what a version changes against what was done when it was made."""
    from otel_learning.cli import policy_view
    from otel_learning.cli.options import open_store
    from otel_learning.cli.output import print_json
    from otel_learning.store.policies import book

    with open_store(db) as database:
        found = book(database).version(version)
    answer = policy_view.stored(found)
    if as_json:
        print_json(answer)
    else:
        policy_view.print_proposal(answer)


@policy.command()
def shadow(version: Named = None, db: Db = None, as_json: AsJson = False) -> None:
    """Watch a version beside what is done: judged by what it would have chosen, not followed."""
    from otel_learning.cli.options import open_store
    from otel_learning.learning import policy_life

    with open_store(db) as database:
        receipt = policy_life.shadow(
            database, version, actor=policy_life.PERSON, mode=_mode(db), now=datetime.now(UTC)
        )
    _print(receipt, as_json)


@policy.command()
def apply(
    version: Named = None, yes: Yes = False, db: Db = None, as_json: AsJson = False
) -> None:  # fmt: skip
    """Put a version in force: write the policy file that routers reload.

    With MODE=act and every gate passed it does so; otherwise it asks, or takes --yes.
    """
    from otel_learning.cli.asking import confirm
    from otel_learning.cli.exits import say
    from otel_learning.cli.options import open_store
    from otel_learning.learning import policy_life
    from otel_learning.learning.policy_file import place_of, switched_off
    from otel_learning.store.policies import book

    mode = _mode(db)
    with open_store(db) as database:
        found = book(database).version(version)
        failed = [gate for gate in found.proposal["gates"] if not gate["passed"]]
        overrule = bool(failed) and (mode != "act" or yes)
        policy_life.refuse(found, datetime.now(UTC), overrule=overrule)
        if mode != "act" or failed:
            for gate in failed:
                say(f"not passed: {gate['gate']}: {gate['why']}")
            confirm(f"put policy {found.policy_version} in force?", yes)
        receipt = policy_life.apply(
            database, found.policy_version, actor=policy_life.PERSON, mode=mode,
            now=datetime.now(UTC), overrule=overrule,
        )  # fmt: skip
        receipt["file"] = str(place_of(database.path))
        if switched_off(database.path):
            say("warning: the kill switch is on, routers follow their default")
    _print(receipt, as_json)


@policy.command()
def rollback(
    version: Annotated[
        str | None,
        typer.Argument(metavar="[VERSION]", show_default=False,
                       help="The version. Default: the one in force, else the newest."),
    ] = None,
    why: Annotated[str | None, typer.Option(metavar="TEXT", help="The reason.")] = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Take a version back; what was in force before it takes its place again."""
    from otel_learning.cli.options import open_store
    from otel_learning.learning import policy_life

    with open_store(db) as database:
        receipt = policy_life.rollback(
            database, version, actor=policy_life.PERSON, mode=_mode(db), now=datetime.now(UTC),
            why=why,
        )  # fmt: skip
    _print(receipt, as_json)


@policy.command()
def status(db: Db = None, as_json: AsJson = False) -> None:
    """Show what is in force and in the shadow, whether promises are kept, and what happened."""
    from otel_learning.cli import policy_view
    from otel_learning.cli.options import open_store
    from otel_learning.cli.output import print_json
    from otel_learning.cli.progress import spinner
    from otel_learning.learning import policy_life

    with open_store(db) as database, spinner("outcomes are looked at"):
        answer = policy_life.status(database, _mode(db))
    if as_json:
        print_json(answer)
    else:
        policy_view.print_status(answer)


@policy.command()
def watch(
    every: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="How long between two looks.")
    ] = 300.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    cool_down: CoolDown = 24.0,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Keep the policy: roll it back when it breaks a promise, renew it as evidence comes in.

    As MODE says: `observe` does nothing, `advise` proposes and warns, `act` applies and rolls
    back. It goes on from the newest policy: its decision, contexts, environment and cost weight;
    where there is none, the model_tier by task_type. A receipt is printed for each thing done.
    Ends with Ctrl-C.
    """
    import time

    from otel_learning.cli.exits import say
    from otel_learning.cli.options import open_store, settings_in_force
    from otel_learning.cli.output import print_json
    from otel_learning.errors import StoreLockedError
    from otel_learning.learning import policy_keeper
    from otel_learning.store.policies import book

    mode = settings_in_force(db).mode
    wanted = wanted_of("model_tier", "task_type", None, 0.05, None, cool_down)
    if mode == "observe":
        say("MODE is observe: nothing is proposed or changed (set OTEL_EXPORTER_LEARNING_MODE)")
    while True:
        done: list[dict[str, Any]] = []
        try:
            with open_store(db) as database:
                newest = book(database).versions()[-1:]
                like = policy_keeper.like(newest[0], wanted) if newest else wanted
                done = policy_keeper.tick(database, like, mode, datetime.now(UTC))
        except StoreLockedError as error:
            if once:
                raise
            say(f"warning: {error}")
        if once and as_json:
            print_json(done)
        else:
            for receipt in done:
                _print(receipt, as_json)
        if once:
            return
        time.sleep(every)


def _mode(db: Path | None) -> str:
    from otel_learning.cli.options import settings_in_force

    return settings_in_force(db).mode


def _print(receipt: dict[str, Any], as_json: bool) -> None:
    from otel_learning.cli.output import print_json, print_pairs

    if as_json:
        print_json(receipt)
        return
    hidden = ("evidence", "effect", "promises", "overruled")
    print_pairs({name: value for name, value in receipt.items()
                 if name not in hidden and value is not None})  # fmt: skip
