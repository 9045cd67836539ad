"""Commands about what comes in: the demo, the check of the wiring, explaining, importing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from otel_learning.cli.options import AsJson, Db


def register(app: typer.Typer) -> None:
    app.command()(demo)
    app.command()(doctor)
    app.command()(explain)
    app.command("import")(import_)


def demo(db: Db = None, as_json: AsJson = False) -> None:
    """Run a small offline orchestrator, exporter switched on, and show what came of it."""
    from otel_learning.cli.demo import show
    from otel_learning.cli.options import settings_in_force

    show.run(settings_in_force(db).path.expanduser().resolve(), as_json=as_json)


def doctor(db: Db = None, as_json: AsJson = False) -> None:
    """Check the wiring: is it switched on, do spans arrive, what is mapped, lost, waiting?"""
    from otel_learning.cli.doctor.examination import examine
    from otel_learning.cli.doctor.report import print_checks
    from otel_learning.cli.output import print_json
    from otel_learning.settings import load
    from otel_learning.store.lake.address import refuse_lake

    refuse_lake(load({"path": db})[0].path)
    report = examine(db)
    if as_json:
        print_json(report.checks)
    else:
        print_checks(report.checks)
    raise typer.Exit(report.code)


def explain(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="OTLP JSON lines, also gzipped; - is standard input. "
            "Without it, what the store holds is explained.",
            show_default=False,
        ),
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option(metavar="P", help="A mapping profile of your own.", show_default=False),
    ] = None,
    trace_id: Annotated[
        str | None, typer.Option(metavar="T", help="Only this trace.", show_default=False)
    ] = None,
    task_id: Annotated[
        str | None, typer.Option(metavar="T", help="This task in the store.", show_default=False)
    ] = None,
    execution_id: Annotated[
        str | None,
        typer.Option(metavar="E", help="This execution in the store.", show_default=False),
    ] = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Show what is read from each span, by which key, and what decided each column."""
    from otel_learning.cli import explain_input
    from otel_learning.cli.explain_view import print_explanation
    from otel_learning.cli.options import open_store, settings_in_force
    from otel_learning.cli.output import print_json
    from otel_learning.errors import InputError

    if file is not None:
        if task_id is not None or execution_id is not None:
            raise InputError("a file is explained by --trace-id", "or name a store, and no file")
        found = explain_input.from_file(file, settings_in_force(db), profile, trace_id)
    elif task_id is None and execution_id is None and trace_id is None:
        raise InputError(
            "there is nothing to explain", "name a FILE, or --task-id, --execution-id or --trace-id"
        )
    else:
        with open_store(db) as database:
            found = explain_input.from_store(
                database, settings_in_force(db),
                task_id=task_id, execution_id=execution_id, trace_id=trace_id,
            )  # fmt: skip
    if as_json:
        print_json(found)
    else:
        print_explanation(found)


def import_(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="OTLP JSON lines, also gzipped; - is standard input."
        ),
    ],
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Bring traces that you already have into the store; the same file twice changes nothing."""
    from otel_learning.cli.exits import ExitCode, say_error
    from otel_learning.cli.importing import import_files
    from otel_learning.cli.options import settings_in_force
    from otel_learning.cli.output import print_json, print_pairs
    from otel_learning.cli.progress import bar

    total = sum(file.stat().st_size for file in files if file.is_file())
    with bar("importing", total or None) as progress:
        report = import_files(files, settings_in_force(db), progress)
    found = report.as_dict()
    if as_json:
        print_json(found)
    else:
        print_pairs(
            {
                "executions": found["executions"],
                "spans": found["spans"],
                "log records": found["log_records"],
                "bad lines": found["bad_lines"],
            }
        )
    failed = [file for file in report.files if file.error is not None]
    for file in failed:
        say_error(f"{file.file}: {file.error}")
    if failed:
        raise typer.Exit(ExitCode.FAILED)
