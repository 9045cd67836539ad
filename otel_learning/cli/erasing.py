"""`forget`: erases what belongs to one task, trace, session or user."""

from __future__ import annotations

from typing import Annotated

import typer

from otel_learning.cli.options import AsJson, Db
from otel_learning.cli.upkeep import Yes


def register(app: typer.Typer) -> None:
    app.command()(forget)


def forget(
    task_id: Annotated[
        str | None, typer.Option("--task-id", metavar="ID", help="All runs of a task.")
    ] = None,
    trace_id: Annotated[
        str | None, typer.Option("--trace-id", metavar="ID", help="The executions of a trace.")
    ] = None,
    session_id: Annotated[
        str | None, typer.Option("--session-id", metavar="ID", help="The executions of a session.")
    ] = None,
    user_id: Annotated[
        str | None,
        typer.Option(
            "--user-id", metavar="ID", help="A user's executions; the id as spans have it."
        ),
    ] = None,
    yes: Yes = False,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Erase a task, trace, session or user from the store, the ledger, archives and backups."""
    from dataclasses import asdict

    from otel_learning.capture.user_key import user_key
    from otel_learning.cli.asking import confirm
    from otel_learning.cli.exits import say
    from otel_learning.cli.options import settings_in_force
    from otel_learning.cli.output import print_json, print_pairs
    from otel_learning.cli.progress import spinner
    from otel_learning.errors import InputError
    from otel_learning.store import forget as erasing
    from otel_learning.store.drain import DrainSettings

    named = {
        "task_id": task_id,
        "trace_id": trace_id.replace("-", "").lower() if trace_id else trace_id,
        "session_id": session_id,
    }
    ids = {(kind, value) for kind, value in named.items() if value}
    if len(ids) + bool(user_id) != 1:
        raise InputError(
            "one id is erased at a time", "give --task-id, --trace-id, --session-id or --user-id"
        )
    chosen = settings_in_force(db)
    path = chosen.path.expanduser().resolve()
    kind, value = next(iter(ids), ("user_id", user_id))
    if path.exists():
        confirm(f"erase {kind} {value!r} from {path}, its archives and its backups?", yes)
        if user_id:
            user_key(path)  # so that a user who was never seen is kept out, too
    with spinner("erasing"):
        done = erasing.forget(path, ids, user=user_id, settings=DrainSettings.of(chosen))
    if done.unreachable:
        say("not reached, look after them yourself: " + ", ".join(done.unreachable))
    if as_json:
        print_json(asdict(done))
    else:
        print_pairs({**asdict(done), "unreachable": ", ".join(done.unreachable) or "none"})
