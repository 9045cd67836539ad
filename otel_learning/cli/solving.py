"""The command `solutions`: what worked before, with the evidence beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from otel_learning.cli.options import AsJson, Db, InEnvironment

if TYPE_CHECKING:
    from otel_learning.knowledge.library import Library
    from otel_learning.knowledge.solutions import Solution

EVIDENCE_SHOWN: Final = 20
SIMILAR: Final = 200
_COLUMNS: Final = (
    "solution_summary", "error_type", "success_rate", "success_low", "success_high", "support",
    "helped", "repos", "task_types",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    app.command()(solutions)


def solutions(
    task: Annotated[
        str | None,
        typer.Option("--for", metavar="TEXT", help="Only what helps with this task, for a prompt."),
    ] = None,
    min_support: Annotated[
        int, typer.Option(min=1, metavar="N", help="Known outcomes behind a solution at least.")
    ] = 3,
    environment: InEnvironment = None,
    across: Annotated[
        bool,
        typer.Option(
            "--across", help="What holds in three or more repositories, and kinds of tasks."
        ),
    ] = False,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="So many at most.")] = 50,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Show what worked before, how surely, against which error, and what did not help.

    Summaries that mean the same are one solution. Rates are of known outcomes, with intervals of
    90 %. With --for, the text for an agent's prompt, with the executions it comes from.
    """
    from otel_learning.cli.exits import say
    from otel_learning.cli.options import open_store
    from otel_learning.cli.output import print_json, print_table, print_text
    from otel_learning.cli.progress import spinner
    from otel_learning.errors import InputError
    from otel_learning.knowledge import library as knowledge

    if task is not None and not task.strip():
        raise InputError("the text after --for is empty", "describe the task in some words")
    if task is not None and across:
        raise InputError("--for and --across ask for different things", "leave one of them out")
    with open_store(db) as database:
        with spinner("looking for solutions"):
            known = knowledge.library(database, environment=environment, min_support=min_support)
        if across:
            _across(known, limit, as_json)
            return
        if task is not None:
            found = knowledge.for_task(known, _similar(database, task, known.environment))[:limit]
            if as_json:
                print_json([{**_row(one), "relevance": alike} for one, alike in found])
            else:
                print_text(knowledge.prompt(found))
            return
    rows = [_row(one) for one in known.solutions[:limit]]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(_COLUMNS, [[row[name] for name in _COLUMNS] for row in rows])
    else:
        say(f"no solution has {min_support} known outcomes behind it: not enough evidence")


def _similar(database: Any, task: str, environment: str | None) -> Any:
    from otel_learning.knowledge.search import catch_up, search
    from otel_learning.settings import load

    model = catch_up(database, load()[0].embedder, 60.0)
    if model is None:
        return []
    return search(database, model, task, limit=SIMILAR, environment=environment)


def _row(one: Solution) -> dict[str, Any]:
    return {
        "solution_summary": one.solution_summary,
        "error_type": one.error_type,
        "success_rate": one.rate.rate,
        "success_low": one.rate.low,
        "success_high": one.rate.high,
        "support": one.support,
        "repos": list(one.repos),
        "task_types": list(one.task_types),
        "pattern_id": one.pattern_id,
        "kind": one.kind,
        "uses": one.uses,
        "helped": one.helped,
        "baseline": one.baseline,
        "errors": one.errors,
        "task_context": one.task_context,
        "wordings": list(one.wordings),
        "first_used_at": one.first_used_at,
        "last_used_at": one.last_used_at,
        "evidence": list(one.evidence[:EVIDENCE_SHOWN]),
    }


def _across(known: Library, limit: int, as_json: bool) -> None:
    from otel_learning.cli.exits import say
    from otel_learning.cli.output import print_json, print_table
    from otel_learning.knowledge.projects import across, clusters

    carried = across(known.solutions)[:limit]
    kinds = clusters(known.executions, known.vectors)[:limit]
    patterns = [
        {
            **_row(one.solution),
            "first_repo": one.first_repo,
            "elsewhere_rate": one.elsewhere.rate,
            "elsewhere_low": one.elsewhere.low,
            "elsewhere_high": one.elsewhere.high,
            "elsewhere_support": one.elsewhere_support,
            "carries_over": one.carries_over,
        }
        for one in carried
    ]
    tasks = [
        {
            "description": one.description,
            "repos": list(one.repos),
            "support": one.support,
            "best": one.best,
            "arms": {
                tier: {
                    "success_rate": rate.rate, "success_low": rate.low,
                    "success_high": rate.high, "support": count,
                }
                for tier, (rate, count) in one.arms.items()
            },
            "evidence": list(one.evidence[:EVIDENCE_SHOWN]),
        }
        for one in kinds
    ]  # fmt: skip
    if as_json:
        print_json({"patterns": patterns, "clusters": tasks, "basis": "observational"})
        return
    if patterns:
        names = ("solution_summary", "repos", "carries_over", "elsewhere_rate",
                 "elsewhere_low", "elsewhere_support")  # fmt: skip
        print_table(names, [[row[name] for name in names] for row in patterns])
    else:
        say("no solution was used in three or more repositories often enough")
    if tasks:
        print_table(
            ("tasks like", "repos", "support", "best tier"),
            [[row["description"], row["repos"], row["support"], row["best"]] for row in tasks],
        )
