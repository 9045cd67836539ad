"""The command `serve`: one process that receives, advises and shows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from otel_learning.cli.options import AsJson, Db
from otel_learning.cli.serving import AllowHost, Host, Token, TokenFile, Unprotected

OPEN_SECONDS = 5.0
"""How long the start waits for a store that another program holds; it can wait, too."""


def register(app: typer.Typer) -> None:
    app.command()(serve)


def serve(
    host: Host = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, metavar="N", help="OTLP/HTTP, the API and the pages; 0: any free one."
        ),
    ] = 4318,
    grpc_port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="OTLP/gRPC; 0: none.")
    ] = 4317,
    token: Token = None,
    token_file: TokenFile = None,
    allow_host: AllowHost = None,
    unprotected: Unprotected = False,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Receive OTLP from any SDK or Collector, give advice over HTTP, and show what was learned.

    What is acknowledged is durable. SIGTERM and Ctrl-C end it, and store everything first. With
    --json, one object on stdout says where it listens, once it does. A lake (--db ducklake:...)
    is shown and asked for advice; it receives nothing, and has no gRPC.
    """
    import signal

    from otel_learning.cli.again import begin_again_when_aborted
    from otel_learning.cli.exits import say
    from otel_learning.cli.options import settings_in_force
    from otel_learning.cli.output import print_json
    from otel_learning.cli.serving import log_to_stderr, secret_of
    from otel_learning.server.addresses import check_exposure
    from otel_learning.server.run import Addresses, quiet_libraries, reserve
    from otel_learning.store.lake.address import is_lake, shown

    chosen = settings_in_force(db, lake=True)
    of_lake = is_lake(chosen.path)
    secret = secret_of(chosen, token, token_file)
    check_exposure(host, secret, unprotected=unprotected)
    quiet_libraries()
    addresses = Addresses(host, port, 0 if of_lake else grpc_port)
    taken = reserve(addresses)
    try:
        if of_lake:
            begin_again_when_aborted()
        log_to_stderr()
        _open(chosen.path)

        from otel_learning.server.app import create_app
        from otel_learning.server.run import serve as run

        app = create_app(chosen.path, token=secret, hosts=allow_host or ())
    except BaseException:
        taken.close()
        raise

    def ready(http: str, grpc: str | None) -> None:
        store = shown(app.state.database.path)
        say(f"listening on {http} ({'' if of_lake else 'OTLP/HTTP, '}API, pages)"
            + (f" and {grpc} (OTLP/gRPC)" if grpc else "")
            + f"; store {store}; {'with' if secret else 'without'} a token")  # fmt: skip
        if as_json:
            import sys

            print_json({"http": http, "grpc": grpc, "store": store, "token": secret is not None})
            sys.stdout.flush()

    ended = run(app, addresses, taken, ready)
    if ended == signal.SIGINT:
        raise KeyboardInterrupt


def _open(path: Path) -> None:
    """Makes the store where there is none, and brings in what waits.

    Raises StoreError where it can never be used; one that is merely held is waited for later, and
    so is a lake that is away, or not there yet.
    """
    from otel_learning.cli.exits import say
    from otel_learning.errors import StoreError, StoreLockedError
    from otel_learning.knowledge.database import LearningDatabase
    from otel_learning.store.lake.address import is_lake
    from otel_learning.store.lake.extension import LakeExtensionError

    if is_lake(path):
        try:
            with LearningDatabase(path) as lake:
                lake.sql("SELECT 1")
        except LakeExtensionError:
            raise
        except StoreError as error:
            say(f"warning: {error}")
        return
    try:
        LearningDatabase(path, timeout_seconds=OPEN_SECONDS).drain()
    except StoreLockedError as error:
        say(f"warning: {error.args[0]}: what is received waits in the spool")
