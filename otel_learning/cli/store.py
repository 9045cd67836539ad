"""Commands that read the store."""

from __future__ import annotations

from typing import Annotated

import typer

from otel_learning.cli.options import AsJson, Db


def register(app: typer.Typer) -> None:
    app.command()(status)
    app.command()(query)


def status(db: Db = None, as_json: AsJson = False) -> None:
    """Show what the store holds, how it grows, what waits, and what was lost."""
    from otel_learning.cli.exits import say
    from otel_learning.cli.options import settings_in_force
    from otel_learning.cli.output import print_json, print_pairs
    from otel_learning.cli.overview import as_lines, overview

    found = overview(settings_in_force(db))
    for warning in found["warnings"]:
        say(f"warning: {warning}")
    if as_json:
        print_json(found)
    else:
        print_pairs(as_lines(found))


def query(
    sql: Annotated[
        str, typer.Argument(metavar="SQL", help="A query that only reads, in DuckDB's SQL.")
    ],
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Run SQL over the views executions, attempts, tier_performance and the others."""
    from otel_learning.cli.exits import CommandFailed
    from otel_learning.cli.options import open_store
    from otel_learning.cli.output import print_rows
    from otel_learning.cli.progress import spinner
    from otel_learning.errors import InputError
    from otel_learning.store.reader import QueryError

    if not sql.strip().strip(";"):
        raise InputError("the query is empty", 'for example "FROM executions LIMIT 5"')
    with open_store(db) as database, spinner("the store works on it"):
        try:
            names, rows = database.query(sql)
        except QueryError as error:
            # DuckDB draws the place below its message, which one line cannot hold.
            said = str(error).partition("\nLINE ")[0]
            hint = (
                "query only reads"
                if "read-only" in said
                else 'the views and their columns: otel-learning query "SHOW ALL TABLES"'
            )
            raise CommandFailed(said, hint) from error
    print_rows(names, rows, as_json=as_json)
