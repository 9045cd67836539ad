"""Commands about what was done before: `embed` and `search`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from otel_learning.cli.options import AsJson, Db, Every, moment_of

if TYPE_CHECKING:
    from pathlib import Path

    from otel_learning.knowledge.embed import EmbedReport


def register(app: typer.Typer) -> None:
    app.command()(embed)
    app.command()(search)


def embed(
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="hashed, minilm, or the name or folder of a sentence-transformers model. "
            "Default: the setting EMBEDDER. Set that too: a search asks the model it names.",
            show_default=False,
        ),
    ] = None,
    every: Every = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Give every task description a vector, for the search; what has one is left alone.

    The table `solutions` is brought up to date too. A model that differs from the store's takes
    its place once it has done all of them; searches are answered meanwhile. Interrupted or
    killed, it goes on where it was.
    """
    import time

    from otel_learning.cli.options import open_store, settings_in_force
    from otel_learning.cli.output import print_json, print_pairs
    from otel_learning.cli.progress import spinner
    from otel_learning.knowledge.library import store_solutions
    from otel_learning.store.database import LearningDatabase

    setting = model or settings_in_force(db).embedder
    path = open_store(db).path
    while True:
        report = _embed(path, setting)
        with spinner("putting solutions together"):
            store_solutions(LearningDatabase(path, create=False))
        answer = {
            "embedded": report.embedded,
            "unchanged": report.unchanged,
            "model": report.model,
            "dimension": report.dimension,
            "candidates": report.candidates,
            "recall": report.recall,
        }
        if as_json:
            print_json(answer)
        else:
            print_pairs({name: value for name, value in answer.items() if value is not None})
        if every is None:
            return
        time.sleep(every)


def _embed(path: Path, setting: str) -> EmbedReport:
    from otel_learning.cli.progress import bar, spinner
    from otel_learning.knowledge.embed import embed as run
    from otel_learning.knowledge.models import embedder_of
    from otel_learning.store.database import LearningDatabase

    with spinner("loading the model"):
        embedder = embedder_of(setting)
    LearningDatabase(path, create=False).drain()
    with bar("embedding", 1000) as show:
        return run(
            path, embedder, setting,
            progress=lambda done, total: show(1000 * done // (total or 1)),
        )  # fmt: skip


def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A task, in any words.")],
    repo: Annotated[str | None, typer.Option(metavar="R", help="Only of that repository.")] = None,
    task_type: Annotated[
        str | None, typer.Option(metavar="T", help="Only tasks of that type.")
    ] = None,
    outcome: Annotated[
        str | None, typer.Option(metavar="O", help="Only success, failure or unknown.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(parser=moment_of, metavar="TIME", help="Started then (UTC) or later."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(parser=moment_of, metavar="TIME", help="Started before (UTC)."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="So many.")] = 10,
    exact: Annotated[
        bool, typer.Option("--exact", help="Compare with every text, also in a large store.")
    ] = False,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Find executions whose task is like a text, the most similar first.

    A similarity of 1 is the same text. What has no vector yet gets one first.
    """
    from otel_learning.cli.exits import say
    from otel_learning.cli.options import open_store, settings_in_force
    from otel_learning.cli.output import print_json, print_table
    from otel_learning.cli.progress import spinner
    from otel_learning.errors import InputError, StoreLockedError
    from otel_learning.knowledge.search import search as ask
    from otel_learning.store.filters import Filters
    from otel_learning.store.neighbours import embedding_models

    outcomes = {"success": True, "failure": False, "unknown": "unknown", None: None}
    if outcome not in outcomes:
        raise InputError(f"--outcome {outcome!r} is unknown", "success, failure or unknown")
    if not text.strip():
        raise InputError("the text is empty", "describe the task in some words")
    filters: Filters = {
        "repo": repo, "task_type": task_type, "success": outcomes[outcome],  # type: ignore[typeddict-item]
        "since": since, "until": until,
    }  # fmt: skip
    with open_store(db) as database:
        try:
            _embed(database.path, settings_in_force(db).embedder)
        except StoreLockedError as error:
            say(f"warning: {error.args[0]}: what is new is not found")
        models = embedding_models(database)
        with spinner("searching"):
            found = (
                ask(database, models[0], text, limit=limit, exact=exact, **filters)
                if models
                else []
            )
    names = ("similarity", "task_description", "repo", "task_type", "success", "started_at")
    if as_json:
        print_json(
            [
                {
                    "execution_id": match.execution.execution_id,
                    "task_id": match.execution.task_id,
                    **{n: getattr(match.execution, n) for n in names[1:]},
                    "similarity": match.similarity,
                    "vector_similarity": match.vector_similarity,
                    "word_share": match.word_share,
                    "model_tier": match.execution.model_tier,
                    "solution_summary": match.execution.solution_summary,
                }
                for match in found
            ]
        )
    elif found:
        print_table(
            names,
            [[m.similarity, *(getattr(m.execution, n) for n in names[1:])] for m in found],
        )
    else:
        say("no execution with a task description fits")
