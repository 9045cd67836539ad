"""What commands that serve have in common: who may ask, and where their words go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

AllowHost = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="A name under which the server may be asked, beside localhost; may be given several "
        "times.",
    ),
]
Unprotected = Annotated[
    bool,
    typer.Option(
        "--unprotected",
        help="Let others reach it without a token, where something else keeps strangers out.",
    ),
]


def token_of(token: str | None, file: Path | None, setting: SecretStr | None) -> str | None:
    """The token that was given by either option, else the setting's; None where there is none.

    Raises ConfigurationError: both were given, or what was given is no token.
    """
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
    return token or (setting.get_secret_value() if setting else None) or None


def log_to_stderr() -> None:
    """Shows warnings of the package and its libraries; stdout is for data."""
    import logging
    import sys

    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(levelname)s: %(message)s"
    )
