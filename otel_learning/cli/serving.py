"""What commands share that serve over a network: the token, and where warnings go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from otel_learning.settings import Settings

Host = Annotated[str, typer.Option("--host", metavar="HOST", help="The address to listen on.")]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        metavar="NAME",
        help="A name under which the server may be asked, beside localhost; may be given several "
        "times.",
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        metavar="TOKEN",
        help="What every request has to carry. Others on this machine can see it here: "
        "--token-file or OTEL_EXPORTER_LEARNING_TOKEN hide it.",
        show_default=False,
    ),
]
TokenFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A file that holds the token, and no more.")
]
Unprotected = Annotated[
    bool,
    typer.Option(
        "--unprotected",
        help="Let others reach it without a token, where something else keeps strangers out.",
    ),
]


def secret_of(chosen: Settings, token: str | None, file: Path | None) -> str | None:
    """The token that requests have to carry: of an option, else of the settings; None is none.

    Raises:
        ConfigurationError: two are given, or one cannot be read or used.
    """
    return _given(token, file) or (chosen.token and chosen.token.get_secret_value()) or None


def _given(token: str | None, file: Path | None) -> str | None:
    from otel_learning.errors import ConfigurationError

    if token is not None and file is not None:
        raise ConfigurationError("--token and --token-file are two tokens", "give one of them")
    if file is not None:
        try:
            token = file.expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"--token-file {file} cannot be read: {error}") from error
    if token is not None and (not token or not token.isascii() or not token.isprintable()):
        where = "--token" if file is None else f"--token-file {file}"
        raise ConfigurationError(f"{where} holds no token", "printable ASCII, on one line")
    return token


def log_to_stderr() -> None:
    """What libraries warn of is said on stderr, a line each."""
    import logging
    import sys

    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(levelname)s: %(message)s"
    )
