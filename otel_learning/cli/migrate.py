"""The commands `migrate ...`: the store's schema, up, back, and whether all is as it should be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from otel_learning.cli.options import AsJson, Db
from otel_learning.cli.upkeep import Yes

if TYPE_CHECKING:
    from otel_learning.store.migrating import Moved

migrate = typer.Typer(
    name="migrate",
    help="Take the store's schema up or back, or check the store.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    app.add_typer(migrate)


def _path(db: Path | None) -> Path:
    from otel_learning.cli.options import settings_in_force

    return settings_in_force(db).path.expanduser().resolve()


@migrate.command()
def status(db: Db = None, as_json: AsJson = False) -> None:
    """Show which steps the store has taken, and which wait."""
    from otel_learning.cli.output import print_json, print_rows
    from otel_learning.store import migrating, schema

    steps = migrating.status(_path(db))
    if as_json:
        print_json(
            {
                "version": max((s.version for s in steps if s.applied_at), default=0),
                "supported": schema.supported_version(),
                "steps": [
                    {"version": s.version, "name": s.name, "applied_at": s.applied_at,
                     "on_drain": s.on_drain}
                    for s in steps
                ],
            }
        )  # fmt: skip
        return
    said = [
        (s.version, s.name, s.applied_at or ("with the next drain" if s.on_drain else "upgrade"))
        for s in steps
    ]
    print_rows(["version", "step", "applied"], said, as_json=False)


@migrate.command()
def upgrade(db: Db = None, as_json: AsJson = False) -> None:
    """Take every step that waits, after a copy of the store was made."""
    from otel_learning.cli.progress import spinner
    from otel_learning.store import migrating

    path = _path(db)
    with spinner("migrating the store"):
        done = migrating.upgrade(path)
    _say(done, as_json)


@migrate.command()
def downgrade(
    to: Annotated[int, typer.Option("--to", min=1, metavar="N", help="The schema version.")],
    yes: Yes = False,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Take the steps above version N back, so that an older release opens the store.

    Whatever of this release touches the store next takes them up again.
    """
    from otel_learning.cli.asking import confirm
    from otel_learning.cli.exits import say
    from otel_learning.cli.progress import spinner
    from otel_learning.store import migrating

    path = _path(db)
    lost = migrating.lost_by(path, to)
    for one in lost:
        say(f"lost by this: {one}")
    if lost:
        confirm(f"take {path} back to schema version {to}?", yes)
    with spinner("migrating the store"):
        done = migrating.downgrade(path, to)
    _say(done, as_json)


@migrate.command()
def validate(db: Db = None, as_json: AsJson = False) -> None:
    """Check the schema, what must hold of rows, and that derived tables equal their source."""
    from otel_learning.cli.exits import CommandFailed
    from otel_learning.cli.output import print_json, print_rows
    from otel_learning.cli.progress import spinner
    from otel_learning.store import migrating

    path = _path(db)
    with spinner("checking the store"):
        checks = migrating.check(path)
    if as_json:
        print_json(
            [{"check": c.check, "passed": c.passed, "detail": c.detail} for c in checks]
        )  # fmt: skip
    else:
        said = [("ok" if c.passed else "WRONG", c.check, c.detail) for c in checks]
        print_rows(["", "check", "detail"], said, as_json=False)
    wrong = sum(not c.passed for c in checks)
    if wrong:
        raise CommandFailed(
            f"{wrong} of {len(checks)} checks failed for {path}", "see `otel-learning repair`"
        )


@migrate.command()
def reset(yes: Yes = False, db: Db = None, as_json: AsJson = False) -> None:
    """Begin anew with an empty store, after a copy of it was made."""
    from otel_learning.cli.asking import confirm
    from otel_learning.cli.output import print_json, print_pairs
    from otel_learning.cli.progress import spinner
    from otel_learning.store import migrating

    path = _path(db)
    confirm(f"empty the store {path}, its ledger and its spool?", yes)
    with spinner("copying the store"):
        copy = migrating.reset(path)
    answer = {"path": path, "backup": copy}
    if as_json:
        print_json(answer)
    else:
        print_pairs(answer)


def _say(done: Moved, as_json: bool) -> None:
    from otel_learning.cli.output import print_json, print_pairs

    if as_json:
        print_json({"version": done.version, "steps": done.steps, "backup": done.backup})
    else:
        print_pairs(
            {
                "schema version": done.version,
                "steps": ", ".join(done.steps) or "none",
                "backup": done.backup or "none was needed",
            }
        )
