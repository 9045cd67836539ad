"""The command `export`: Parquet or CSV files, or a read copy, once or again and again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from otel_learning.cli.options import AsJson, Db, Every, moment_of

if TYPE_CHECKING:
    from otel_learning.store.drain import DrainSettings
    from otel_learning.store.exporting import Export, Exported

FORMATS = ("parquet", "duckdb", "csv")


def register(app: typer.Typer) -> None:
    app.command()(export)


def export(
    destination: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DEST]",
            help="A folder for parquet and csv, a file for duckdb; an earlier export there is "
            "replaced. Default: beside the store, `<store>.parquet`, `<store>.csv` or "
            "`<store>.read.duckdb`.",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format", metavar="F", help="parquet or csv: one file per table; duckdb: a read copy."
        ),
    ] = "parquet",
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=moment_of, metavar="TIME", help="Only what started then (UTC) or later."
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(parser=moment_of, metavar="TIME", help="Only what started before (UTC)."),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only that table; may be given several times."),
    ] = None,
    archived: Annotated[
        bool, typer.Option("--archived", help="Also what `archive` moved into files.")
    ] = False,
    every: Every = None,
    group_readable: Annotated[
        bool,
        typer.Option("--group-readable", help="Let the group of the files read them, too."),
    ] = False,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Write the views for other tools, while applications write to the store.

    Everything is of one moment, is read back before it takes its place, and takes it by a rename:
    whoever has the old file open keeps it. With --every nothing is written while nothing changes.
    `forget` makes read copies anew, and names the other exports.
    """
    from otel_learning.cli.options import settings_in_force
    from otel_learning.errors import InputError
    from otel_learning.store.drain import DrainSettings
    from otel_learning.store.export_rows import TABLES, Selection, checked
    from otel_learning.store.exporting import Export

    if form not in FORMATS:
        raise InputError(f"--format {form!r} is unknown", f"one of {', '.join(FORMATS)}")
    chosen = settings_in_force(db)
    path = chosen.path.expanduser().resolve()
    ending = ".read.duckdb" if form == "duckdb" else f".{form}"
    what = Export(
        (destination or path.with_name(path.stem + ending)).expanduser().absolute(),
        form,  # type: ignore[arg-type]
        checked(
            Selection(
                tuple(table) if table else TABLES,
                since,
                until,
                archived,
            )
        ),
        group_readable,
    )
    settings = DrainSettings.of(chosen)
    if every is None:
        _print(what, _once(path, what, settings), as_json)
        return
    with _ends_with_sigterm():
        _repeat(path, what, settings, every, as_json)


def _once(path: Path, what: Export, settings: DrainSettings) -> Exported:
    from otel_learning.cli.progress import spinner
    from otel_learning.store import exporting

    with spinner("exporting"):
        return exporting.export(path, what, settings=settings)


def _repeat(path: Path, what: Export, settings: DrainSettings, every: float, as_json: bool) -> None:
    import time

    from otel_learning.cli.exits import say
    from otel_learning.errors import InputError, OtelLearningError

    done: object = None
    begun = False
    while True:
        try:
            if done is None or done != _state(path, what):
                _print(what, _once(path, what, settings), as_json)
                done = _state(path, what)
        except OtelLearningError as error:
            if not begun or isinstance(error, InputError):
                raise
            # A store that is held, or a full disk, is no reason to give up what goes on for days.
            say(f"warning: {error}")
        begun = True
        time.sleep(every)


def _state(path: Path, what: Export) -> object:
    """What differs once there is something new to export, or the export is gone."""
    from otel_learning.store.spool import Spool

    found: list[object] = [segment.name for segment in Spool(path).list()]
    for file in (path, what.destination):
        try:
            stat = file.stat()
        except OSError:
            return None
        found.append((stat.st_ino, stat.st_mtime_ns))
    return found


@contextmanager
def _ends_with_sigterm() -> Iterator[None]:
    """SIGTERM is the end of the work, exit code 0; Ctrl-C stays an interruption."""
    import signal

    told = False

    def stop(*_: object) -> None:
        nonlocal told
        told = True
        # What is under way ends as by Ctrl-C: its draft is removed, the old export stays.
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except (KeyboardInterrupt, RuntimeError):
        # DuckDB makes a RuntimeError of an interruption.
        if not told:
            raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _print(what: Export, done: Exported, as_json: bool) -> None:
    import sys

    from otel_learning.cli.output import print_json, print_pairs, size

    answer: dict[str, Any] = {
        "path": done.path,
        "format": what.format,
        "rows": done.rows,
        "size_bytes": done.bytes,
        "since": what.selection.since,
        "until": what.selection.until,
        "made_at": done.made_at,
    }
    if as_json:
        print_json(answer)
    else:
        rows = ", ".join(f"{count} {table}" for table, count in done.rows.items() if count)
        print_pairs({"export": f"{done.path} ({size(done.bytes)})", "rows": rows or "none"})
    sys.stdout.flush()
