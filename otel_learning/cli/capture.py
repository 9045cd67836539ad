"""Commands about what comes in: the demo, the check of the wiring, explaining, importing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from otel_learning.cli.options import AsJson, Db


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(db: Db = None, as_json: AsJson = False) -> None:
    """Run a small offline orchestrator with the exporter switched on, and show what it learned."""
    from otel_learning.cli.demo import show
    from otel_learning.cli.options import settings_in_force

    show.run(settings_in_force(db).path.expanduser().resolve(), as_json=as_json)
