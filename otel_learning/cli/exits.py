"""Exit codes, and how an error becomes one of them and one line on stderr."""

from __future__ import annotations

import sys
from enum import IntEnum

from otel_learning.errors import (
    ConfigurationError,
    EmbedderUnavailableError,
    InputError,
    OtelLearningError,
    StoreError,
)


class ExitCode(IntEnum):
    DONE = 0
    FAILED = 1
    USAGE = 2
    """A wrong argument, or a setting or profile that cannot be used."""
    NO_STORE = 3
    """There is no store, or it cannot be opened; nothing was created."""
    INTERRUPTED = 130


class CommandFailed(OtelLearningError):
    """A command did its work and the answer is no; exit code 1."""


def code_of(error: OtelLearningError) -> ExitCode:
    """The exit code that an error of this package ends a command with."""
    # Imported here: it loads Arrow, and an error about the store has loaded it already.
    from otel_learning.store.reader import QueryError

    if isinstance(error, QueryError | CommandFailed):
        return ExitCode.FAILED
    if isinstance(error, ConfigurationError | InputError | EmbedderUnavailableError):
        return ExitCode.USAGE
    if isinstance(error, StoreError):
        return ExitCode.NO_STORE
    return ExitCode.FAILED


def say(text: str) -> None:
    """One line on stderr, for people."""
    sys.stderr.write(f"{text}\n")


def say_error(message: str, hint: str | None = None) -> None:
    """One line on stderr: what happened, then the way out."""
    line = " ".join(message.split())
    say(f"error: {line}{f' ({hint})' if hint else ''}")
