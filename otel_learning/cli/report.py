"""The command `report`: the dashboard's pages as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from otel_learning.cli.learn import By, Repo, TaskType
from otel_learning.cli.options import AsJson, Db, InEnvironment


def register(app: typer.Typer) -> None:
    app.command()(report)


def report(
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Where it is written; - is stdout.")
    ] = Path("report.html"),
    since: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="The first day (UTC). Default: 30 days up to the newest.",
                     show_default=False),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DAY", help="The last day (UTC).", show_default=False)
    ] = None,
    environment: InEnvironment = None,
    repo: Repo = None,
    task_type: TaskType = None,
    by: By = "model_tier",
    db: Db = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Write the dashboard's pages as one file: it opens by a double click, and asks for nothing.

    It holds descriptions of tasks and messages of errors, as the pages do: mind whom you send it.
    """
    from otel_learning.cli.exits import say
    from otel_learning.cli.options import open_store
    from otel_learning.cli.output import print_json, print_text, size
    from otel_learning.cli.progress import spinner
    from otel_learning.errors import InputError
    from otel_learning.server.dashboard import asked as asking
    from otel_learning.server.dashboard import report as making

    if str(out) == "-" and as_json:
        raise InputError("--out - and --json both want stdout", "leave one of them out")
    given = {"since": since, "until": until, "environment": environment, "repo": repo,
             "task_type": task_type, "by": by}  # fmt: skip
    wanted = asking.parse(
        [(name, value) for name, value in given.items() if value is not None], given
    )
    with open_store(db) as database, spinner("pages are made"):
        database.drain()
        found = making.pages(database, wanted)
        text = making.written(found, database.path)
    if str(out) == "-":
        print_text(text)
        return
    place = out.expanduser()
    making.put(place, text)
    if as_json:
        print_json({"path": place.resolve(), "size_bytes": len(text.encode()),
                    "pages": [{"page": entry.module, "answer": page.answer}
                              for entry, page in found]})  # fmt: skip
        return
    say(f"{place}: {len(found)} pages, {size(len(text.encode()))}")
    for _, page in found:
        print_text(f"{page.question} {page.answer}")
