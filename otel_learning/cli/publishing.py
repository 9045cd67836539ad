"""`publish`: from a store to a lake, and the lake's upkeep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from otel_learning.cli.options import AsJson, Db, Every

if TYPE_CHECKING:
    from otel_learning.store.lake.address import LakeAddress
    from otel_learning.store.lake.publish import Publisher


def register(app: typer.Typer) -> None:
    app.command()(publish)


def publish(
    lake: Annotated[
        str,
        typer.Option(
            "--lake",
            metavar="ADDRESS",
            help="Where the lake's catalog is: ducklake:postgres: and what libpq takes, as "
            "host=db.internal dbname=lake.",
        ),
    ],
    data_path: Annotated[
        str | None,
        typer.Option(
            "--data-path",
            metavar="PLACE",
            show_default=False,
            help="Where the files of a new lake are to be: a folder that all hosts see, or a "
            "place in an object store.",
        ),
    ] = None,
    every: Every = None,
    look_back: Annotated[
        float,
        typer.Option(
            metavar="DAYS",
            min=0,
            help="How far back runs of the same tasks are looked for that other hosts published.",
        ),
    ] = 31.0,
    maintain: Annotated[
        bool,
        typer.Option(
            "--maintain",
            help="Do not publish: roll up days, merge small files, let go of snapshots older than "
            "an hour, and delete files that nothing needs.",
        ),
    ] = False,
    keep: Annotated[
        float | None,
        typer.Option(
            metavar="DAYS",
            min=0,
            show_default=False,
            help="With --maintain: delete executions from the lake that started longer ago.",
        ),
    ] = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Publish what is settled to a lake that many hosts share: each execution once.

    What changed since the last time is put in the place of what the lake holds of it. Killed or
    cut off, it goes on where it was. With --db, every command that reads takes the address.
    """
    from pathlib import Path

    from otel_learning.cli.again import begin_again_when_aborted
    from otel_learning.cli.options import settings_in_force
    from otel_learning.cli.output import print_json, print_pairs
    from otel_learning.cli.progress import spinner
    from otel_learning.errors import InputError
    from otel_learning.store.drain import DrainSettings
    from otel_learning.store.lake.address import LakeAddress
    from otel_learning.store.lake.publish import Publisher

    address = LakeAddress.of(lake)
    if keep is not None and not maintain:
        raise InputError("--keep deletes from the lake", "give --maintain with it")
    if maintain:
        _maintain(address, keep, as_json=as_json)
        return
    if data_path is not None and "://" not in data_path:
        data_path = str(Path(data_path).expanduser().resolve())
    chosen = settings_in_force(db)
    publisher = Publisher(
        chosen.path.expanduser().resolve(), address,
        data_path=data_path, settings=DrainSettings.of(chosen), look_back_days=look_back,
    )  # fmt: skip
    try:
        if every is not None:
            begin_again_when_aborted()
            _publish_on(publisher, every, as_json=as_json)
            return
        with spinner("publishing"):
            answer = _once(publisher)
    finally:
        publisher.close()
    if as_json:
        print_json(answer)
    else:
        print_pairs(answer)


def _once(publisher: Publisher) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(publisher.publish())


def _publish_on(publisher: Publisher, every: float, *, as_json: bool) -> None:
    """Until interrupted or told to end; a lake or a store that is away is asked again."""
    import signal
    import threading
    import time

    from otel_learning.cli.exits import say, say_error
    from otel_learning.cli.output import print_json, print_pairs
    from otel_learning.errors import StoreError
    from otel_learning.store.lake.extension import LakeExtensionError

    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    say(f"publishing every {every:g} s; Ctrl-C ends it")
    while not ending.is_set():
        begun = time.monotonic()
        try:
            answer = _once(publisher)
        except LakeExtensionError:
            raise
        except StoreError as error:
            say_error(str(error.args[0]), error.hint)
        else:
            if answer["batches"]:
                print_json(answer) if as_json else print_pairs(answer)
        ending.wait(max(0.0, begun + every - time.monotonic()))


def _maintain(address: LakeAddress, keep: float | None, *, as_json: bool) -> None:
    from dataclasses import asdict

    from otel_learning.cli.output import print_json, print_pairs, size
    from otel_learning.cli.progress import spinner
    from otel_learning.store.lake import upkeep

    with spinner("merging files"):
        done = upkeep.maintain(address, keep_days=keep)
    if as_json:
        print_json(asdict(done))
        return
    print_pairs(
        {
            "files": f"{done.files_before} before, {done.files} now, {size(done.bytes)}",
            "days rolled up": done.rolled_up_days,
            "snapshots": f"{done.snapshots_before} before, {done.snapshots} now",
            "executions deleted": done.deleted,
            "unneeded files deleted": done.unneeded_files,
        }
    )
