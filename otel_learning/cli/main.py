"""The console script: puts the commands together and ends with the right exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Annotated, Any

import typer

from otel_learning.cli import (
    calibration,
    capture,
    erasing,
    experiment,
    exporting,
    feedback,
    insights,
    knowledge,
    learn,
    mcp,
    migrate,
    policy,
    publishing,
    quality,
    report,
    serve,
    solving,
    store,
    upkeep,
)
from otel_learning.cli.exits import ExitCode, code_of, say, say_error
from otel_learning.errors import OtelLearningError

app = typer.Typer(
    name="otel-learning",
    help="Learn from an orchestrator's OpenTelemetry spans: which route suits which task.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 no store, 130 interrupted.",
)
capture.register(app)
store.register(app)
upkeep.register(app)
erasing.register(app)
exporting.register(app)
migrate.register(app)
learn.register(app)
calibration.register(app)
feedback.register(app)
experiment.register(app)
quality.register(app)
policy.register(app)
knowledge.register(app)
solving.register(app)
insights.register(app)
mcp.register(app)
publishing.register(app)
report.register(app)
serve.register(app)

_EXTRAS = {
    "numpy": "learn", "scipy": "learn", "anyio": "mcp", "mcp": "mcp", "mcp_types": "mcp",
    **dict.fromkeys(("fastapi", "google.rpc", "grpc", "h11", "prometheus_client", "starlette",
                     "uvicorn", "altair", "jinja2", "markupsafe", "vl_convert"), "serve"),
}  # fmt: skip
"""Packages that some commands need, and the extra that brings each."""

# Typer brings its own copy of click since 0.20 and used the package before; this is either's.
_ClickError: Any = typer.BadParameter.__mro__[2]


def _version(wanted: bool) -> None:
    if wanted:
        from otel_learning import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _main(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        say(context.get_help())
        raise typer.Exit(ExitCode.USAGE)


def run() -> None:
    """Runs the command line and exits: an error is one line on stderr, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            # A terminal that cannot show a character must not end a command.
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(_run())


def _run() -> int:
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else ExitCode.DONE
    except typer.Exit as done:
        return done.exit_code
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted")
        return ExitCode.INTERRUPTED
    except RuntimeError as error:
        # What DuckDB makes of Ctrl-C while it works on a query.
        if "interrupted" not in str(error):
            raise
        say("interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has had enough; the interpreter's own flush must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except _ClickError as error:
        say_error(error.format_message(), _usage_hint(error))
        return ExitCode.USAGE
    except ModuleNotFoundError as error:
        if error.name not in _EXTRAS:
            raise
        hint = f"pip install otel-learning[{_EXTRAS[error.name]}]"
        say_error(f"this needs {error.name}, which is not installed", hint)
        return ExitCode.USAGE
    except OtelLearningError as error:
        say_error(str(error.args[0]), error.hint)
        return code_of(error)
    except OSError as error:
        say_error(str(error))
        return ExitCode.FAILED


def _usage_hint(error: Any) -> str:
    context = getattr(error, "ctx", None)
    return f"see {context.command_path if context is not None else 'otel-learning'} --help"
