"""Commands that keep a store well: copies of it, and its size."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from otel_learning.cli.options import AsJson, Db

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def register(app: typer.Typer) -> None:
    app.command()(backup)
    app.command()(restore)
    app.command()(compact)
    app.command()(repair)


def backup(
    destination: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DEST]",
            help="The file to write. Default: one with the time in its name, in `<store>.backups`.",
            show_default=False,
        ),
    ] = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Copy the store while applications write to it, and check the copy."""
    from otel_learning.cli.options import settings_in_force
    from otel_learning.cli.output import print_json, print_pairs, size
    from otel_learning.cli.progress import spinner
    from otel_learning.store.backup import back_up
    from otel_learning.store.drain import DrainSettings

    chosen = settings_in_force(db)
    with spinner("copying the store"):
        made = back_up(
            chosen.path.expanduser().resolve(), destination, settings=DrainSettings.of(chosen)
        )
    answer = {
        "path": made.path,
        "executions": made.executions,
        "size_bytes": made.bytes,
        "made_at": made.made_at,
    }
    if as_json:
        print_json(answer)
    else:
        print_pairs({"backup": f"{made.path} ({size(made.bytes)})", "executions": made.executions})


def restore(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A file that `backup` wrote.")],
    yes: Yes = False,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the store's place; the store that was there is kept beside it."""
    from otel_learning.cli.asking import confirm
    from otel_learning.cli.exits import say
    from otel_learning.cli.options import settings_in_force
    from otel_learning.cli.output import print_json, print_pairs
    from otel_learning.cli.progress import spinner
    from otel_learning.store import restore as restoring
    from otel_learning.store.drain import DrainSettings

    chosen = settings_in_force(db)
    path = chosen.path.expanduser().resolve()
    executions = restoring.examine(source.expanduser().resolve())
    if path.exists():
        confirm(f"put {source} ({executions} executions) in the place of {path}?", yes)
    with spinner("copying the backup"):
        done = restoring.restore(path, source, settings=DrainSettings.of(chosen))
    if done.other_key:
        say(
            "note: the backup brought another key for user ids; start applications anew, so that "
            "they use it"
        )
    answer = {"path": path, "executions": done.executions, "replaced": done.replaced}
    if as_json:
        print_json(answer)
    else:
        print_pairs({**answer, "replaced": done.replaced or "there was no store"})


def compact(db: Db = None, as_json: AsJson = False) -> None:
    """Rewrite the store file without the space that deleted rows leave."""
    from otel_learning.cli.options import open_store
    from otel_learning.cli.output import print_json, print_pairs, size
    from otel_learning.cli.progress import spinner
    from otel_learning.store import compaction

    with open_store(db) as database, spinner("rewriting the store"):
        database.drain()
        done = compaction.compact(database.path)
    if as_json:
        print_json({"bytes_before": done.bytes_before, "bytes_after": done.bytes_after})
    else:
        print_pairs({"before": size(done.bytes_before), "after": size(done.bytes_after)})


def repair(db: Db = None, as_json: AsJson = False) -> None:
    """Look the store over and repair what is damaged; every original is kept."""
    from dataclasses import asdict

    from otel_learning.cli.exits import say
    from otel_learning.cli.options import settings_in_force
    from otel_learning.cli.output import print_json, print_pairs
    from otel_learning.cli.progress import spinner
    from otel_learning.store import repair as repairs
    from otel_learning.store.drain import DrainSettings

    chosen = settings_in_force(db)
    path = chosen.path.expanduser().resolve()
    with spinner("reading the whole store"):
        done = repairs.repair(path, settings=DrainSettings.of(chosen))
    for loss in done.lost:
        say(f"lost: {loss}")
    if as_json:
        print_json(asdict(done))
        return
    if done.sound:
        print_pairs({"store": f"{path} is sound; nothing was changed", "wal": done.wal})
        return
    damaged = {name: rows for name, rows in done.tables.items() if rows["lost"]}
    print_pairs(
        {
            "segments": f"{done.segments_recovered} recovered, {done.segments_lost} lost",
            "wal": done.wal,
            "tables": damaged or ("all rows were read" if done.tables else "not written anew"),
            "rebuilt": f"{done.executions_rebuilt} executions from the ledger's files",
            "backup used": done.base or "none",
            "kept": ", ".join(done.kept) or "nothing",
        }
    )
