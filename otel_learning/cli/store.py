"""Commands that read the store, or say something about what it holds."""

from __future__ import annotations

from typing import Annotated

import typer

from otel_learning.cli.options import AsJson, Db


def register(app: typer.Typer) -> None:
    app.command()(status)
    app.command()(query)
    app.command()(feedback)


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


def feedback(
    target: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="What it is about: a task, execution, trace, span, "
            "session or response id; with --revoke also a feedback id.",
        ),
    ],
    accepted: Annotated[
        bool | None, typer.Option("--accepted/--rejected", help="Whether the result was taken.")
    ] = None,
    rating: Annotated[
        float | None, typer.Option(min=1, max=5, metavar="N", help="1 (poor) to 5 (excellent).")
    ] = None,
    comment: Annotated[str | None, typer.Option(metavar="TEXT", help="Why.")] = None,
    source: Annotated[
        str | None, typer.Option(metavar="S", help="Who says so: a person, a test, a check.")
    ] = None,
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Take back what was said last about ID.")
    ] = False,
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="task_id, execution_id, trace_id, span_id, session_id or response_id; "
            "guessed where it is not given.",
        ),
    ] = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Say how good an execution's result was, also long after it ended."""
    from otel_learning.cli import opinion
    from otel_learning.cli.options import open_store, settings_in_force
    from otel_learning.cli.output import print_json, print_pairs
    from otel_learning.errors import InputError

    if comment is not None and settings_in_force(db).content == "none":
        raise InputError("a comment is not stored while CONTENT is none", "leave --comment out")
    says = (accepted, rating, comment)
    if revoke and any(said is not None for said in says):
        raise InputError("--revoke takes back what was said", "say something new without --revoke")
    if not revoke and all(said is None for said in says):
        raise InputError(
            f"the feedback about {target!r} says nothing",
            "give --accepted, --rejected, --rating, --comment or --revoke",
        )
    chosen = opinion.checked_kind(kind)
    with open_store(db) as database:
        if revoke:
            record = opinion.last_said(database, target, chosen)
        else:
            record = opinion.new(database, target, chosen).model_copy(
                update={"accepted": accepted, "rating": rating, "comment": comment,
                        "source": source}
            )  # fmt: skip
        feedback_id = database.record_feedback(record)
        answer = {
            "feedback_id": feedback_id,
            "resolved_to": opinion.resolved_to(database, feedback_id),
        }
    if as_json:
        print_json(answer)
    else:
        print_pairs({**answer, "resolved_to": answer["resolved_to"] or "nothing yet"})
