"""Asks before what cannot be taken back; where nobody can answer, `--yes` has to."""

from __future__ import annotations

import sys

import typer

from otel_learning.cli.exits import ExitCode, say
from otel_learning.errors import InputError


def confirm(question: str, yes: bool) -> None:
    """Returns where the answer is yes; otherwise the command ends, having done nothing.

    Raises InputError where there is no terminal to ask on.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InputError("nobody can be asked here", "say --yes, having read what will happen")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        say("nothing was changed")
        raise typer.Exit(ExitCode.FAILED)
