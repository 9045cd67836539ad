"""The command `mcp`: what the record teaches, as tools for agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from otel_learning.cli.options import AsJson, Db
from otel_learning.cli.serving import AllowHost, Host, Token, TokenFile, Unprotected

if TYPE_CHECKING:
    from otel_learning.server.mcp.work import Store


def register(app: typer.Typer) -> None:
    app.command()(mcp)


def mcp(
    transport: Annotated[
        str, typer.Option(metavar="T", help="stdio, for a client that starts it; or http.")
    ] = "stdio",
    host: Host = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="With http; 0: any free one.")
    ] = 4319,
    token: Token = None,
    token_file: TokenFile = None,
    allow_host: AllowHost = None,
    unprotected: Unprotected = False,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Serve recommendations, solutions, search, statistics and feedback to agents (MCP).

    On stdio, stdin and stdout belong to the protocol, and everything else goes to stderr. Over
    http, SIGTERM and Ctrl-C end it; with --json one object on stdout says where it listens. A
    store that is missing or held is told to the agent that asks.
    """
    from otel_learning.cli.exits import say
    from otel_learning.cli.options import settings_in_force
    from otel_learning.cli.serving import log_to_stderr, secret_of
    from otel_learning.errors import ConfigurationError
    from otel_learning.server.addresses import check_exposure
    from otel_learning.server.mcp.serving import serve_stdio
    from otel_learning.server.mcp.work import Store
    from otel_learning.store.drain import DrainSettings
    from otel_learning.store.lake.address import is_lake

    if transport not in ("stdio", "http"):
        raise ConfigurationError(f"--transport {transport!r} is unknown", "stdio or http")
    chosen = settings_in_force(db, lake=True)
    store = Store(chosen.path, DrainSettings.of(chosen))
    log_to_stderr()
    if not is_lake(store.path) and not store.path.exists():
        say(f"warning: there is no store at {store.path} yet")
    if transport == "stdio":
        serve_stdio(store)
        return
    secret = secret_of(chosen, token, token_file)
    check_exposure(host, secret, unprotected=unprotected)
    _serve_http(store, host, port, secret, allow_host or [], as_json=as_json)


def _serve_http(
    store: Store, host: str, port: int, token: str | None, hosts: list[str], *, as_json: bool
) -> None:
    import signal
    import sys

    from otel_learning.cli.again import begin_again_when_aborted
    from otel_learning.cli.exits import say
    from otel_learning.cli.output import print_json
    from otel_learning.server.addresses import bracketed, listen
    from otel_learning.server.mcp.http import PATH, create_app, serve_http
    from otel_learning.store.lake.address import is_lake

    taken = listen(host, port)
    if is_lake(store.path):
        begin_again_when_aborted()
    url = f"http://{bracketed(host)}:{taken.getsockname()[1]}{PATH}"

    def ready() -> None:
        say(f"listening on {url}; store {store.name}; {'with' if token else 'without'} a token")
        if as_json:
            print_json({"url": url, "store": store.name, "token": token is not None})
            sys.stdout.flush()

    if serve_http(create_app(store, host, token, hosts), taken, ready) == signal.SIGINT:
        raise KeyboardInterrupt
