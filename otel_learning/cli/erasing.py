"""Commands that take something out of the store: erased for good, or archived."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from otel_learning.cli.options import AsJson, Db
from otel_learning.cli.upkeep import Yes


def register(app: typer.Typer) -> None:
    app.command()(forget)
    app.command()(archive)


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


def archive(
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            metavar="DAYS",
            show_default=False,
            help="Days since they started, as 90d. Default: RETENTION_DAYS.",
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="FOLDER",
            show_default=False,
            help="Where the files go. Default: `<store>.archive`.",
        ),
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Write no files: what is old is gone for good.")
    ] = False,
    yes: Yes = False,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Move old executions to Parquet files, where the view all_executions still shows them."""
    from dataclasses import asdict

    from otel_learning.cli.asking import confirm
    from otel_learning.cli.options import settings_in_force
    from otel_learning.cli.output import print_json, print_pairs, size
    from otel_learning.cli.progress import spinner
    from otel_learning.errors import InputError
    from otel_learning.store import archive as archives
    from otel_learning.store.drain import DrainSettings

    if delete and to is not None:
        raise InputError("--delete writes no files", "leave --to or --delete out")
    chosen = settings_in_force(db)
    days = _days(older_than, chosen.retention_days)
    path = chosen.path.expanduser().resolve()
    if delete and path.exists():
        confirm(f"delete all that is older than {days:g} days from {path}?", yes)
    with spinner("archiving"):
        done = archives.archive(
            path, days, folder=to, delete=delete, settings=DrainSettings.of(chosen)
        )
    if as_json:
        print_json(asdict(done))
    else:
        print_pairs(
            {
                "executions": f"{done.executions} {'deleted' if delete else 'archived'}"
                + (f", {done.kept} kept, as the ledger may add to them" if done.kept else ""),
                "attempts": done.attempts,
                "files": ", ".join(done.files) or "none",
                "store": f"{size(done.bytes_before)} before, {size(done.bytes_after)} after",
            }
        )


def _days(given: str | None, retention: float | None) -> float:
    if given is None:
        if retention is None:
            from otel_learning.errors import InputError

            raise InputError(
                "nothing says what is old", "give --older-than 90d, or set RETENTION_DAYS"
            )
        return retention
    try:
        days = float(given.strip().lower().removesuffix("d"))
    except ValueError:
        days = -1.0
    if not 0 <= days < 100_000:
        raise typer.BadParameter(f"{given!r} is no number of days, as 90d")
    return days
