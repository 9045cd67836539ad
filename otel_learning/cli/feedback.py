"""The command `feedback`: says how good a result was, and shows what was said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from otel_learning.cli.options import AsJson, Db

if TYPE_CHECKING:
    from otel_learning.records import FeedbackRecord
    from otel_learning.store.database import LearningDatabase


def register(app: typer.Typer) -> None:
    app.command()(feedback)


def feedback(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]",
            help="What it is about: a task, execution, trace, span, "
            "session or response id; with --revoke also a feedback id.",
        ),
    ] = None,
    accepted: Annotated[
        bool | None, typer.Option("--accepted/--rejected", help="Whether the result was taken.")
    ] = None,
    rating: Annotated[
        float | None, typer.Option(min=1, max=5, metavar="N", help="1 (poor) to 5 (excellent).")
    ] = None,
    comment: Annotated[str | None, typer.Option(metavar="TEXT", help="Why.")] = None,
    issue: Annotated[
        str | None,
        typer.Option(
            metavar="I", help="What was wrong: wrong_model, too_slow, poor_quality or other."
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option(metavar="S", help="Who says so: a person, a test, a check.")
    ] = None,
    visibility: Annotated[
        str | None,
        typer.Option(
            metavar="V", help="private, team or public: what --export may show. Default: private."
        ),
    ] = None,
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Take back what was said last about ID.")
    ] = False,
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="task_id, execution_id, trace_id, span_id, session_id or response_id; "
            "guessed where it is not given.",
        ),
    ] = None,
    history: Annotated[
        bool,
        typer.Option("--history", help="Show what was said, newest first; of ID if given."),
    ] = False,
    orphans: Annotated[
        bool, typer.Option("--orphans", help="Show what has found no execution, and why.")
    ] = False,
    sources: Annotated[
        bool, typer.Option("--sources", help="Show how well each source agrees with outcomes.")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write what was said as JSON lines: what is public, or --visibility team.",
        ),
    ] = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Say how good an execution's result was, also long after it ended; or see what was said."""
    from otel_learning.cli.options import open_store
    from otel_learning.errors import InputError

    says = {"accepted": accepted, "rating": rating, "comment": comment, "issue": issue}
    views = {"--history": history, "--orphans": orphans, "--sources": sources,
             "--export": export is not None}  # fmt: skip
    asked = [name for name, wanted in views.items() if wanted]
    if len(asked) > 1:
        raise InputError(f"{' and '.join(asked)} are two questions", "ask one of them")
    if asked and (revoke or any(said is not None for said in says.values())):
        raise InputError(f"{asked[0]} shows what was said", "say something new without it")
    if asked:
        with open_store(db) as database:
            database.drain()
            if history:
                _show_history(database, target, kind, as_json=as_json)
            elif orphans:
                _show_orphans(database, as_json=as_json)
            elif sources:
                _show_sources(database, as_json=as_json)
            elif export is not None:
                _export(database, export, visibility, as_json=as_json)
        return
    if target is None:
        raise InputError("there is no ID", "name what the feedback is about, or ask for --history")
    if revoke and any(said is not None for said in says.values()):
        raise InputError("--revoke takes back what was said", "say something new without --revoke")
    if not revoke and all(said is None for said in (accepted, rating, comment)):
        raise InputError(
            f"the feedback about {target!r} says nothing",
            "give --accepted, --rejected, --rating, --comment or --revoke",
        )
    _say(db, target, kind, says, source, visibility, revoke=revoke, as_json=as_json)


def _say(
    db: Path | None, target: str, kind: str | None, says: dict[str, Any], source: str | None,
    visibility: str | None, *, revoke: bool, as_json: bool,
) -> None:  # fmt: skip
    from otel_learning.cli import opinion
    from otel_learning.cli.options import open_store, settings_in_force
    from otel_learning.cli.output import print_json, print_pairs
    from otel_learning.errors import InputError
    from otel_learning.learning.opinion import last_said, new, resolved_to

    if says["comment"] is not None and settings_in_force(db).content == "none":
        raise InputError("a comment is not stored while CONTENT is none", "leave --comment out")
    chosen = opinion.checked_kind(kind)
    words = {**says, "issue": opinion.checked_issue(says["issue"]), "source": source,
             "visibility": opinion.checked_visibility(visibility) or "private"}  # fmt: skip
    with open_store(db) as database:
        if revoke:
            record = last_said(database, target, chosen)
        else:
            record = new(database, target, chosen).model_copy(update=words)
        feedback_id = database.record_feedback(record)
        answer = {
            "feedback_id": feedback_id,
            "resolved_to": resolved_to(database, feedback_id),
        }
    if as_json:
        print_json(answer)
    else:
        print_pairs({**answer, "resolved_to": answer["resolved_to"] or "nothing yet"})


def _show_history(
    database: LearningDatabase, target: str | None, kind: str | None, *, as_json: bool
) -> None:
    from otel_learning.cli import opinion
    from otel_learning.cli.output import print_json, print_table
    from otel_learning.learning.opinion import new

    about = None
    if target is not None:
        about = new(database, target, opinion.checked_kind(kind)).target_id
    found = database.feedback(target_id=about, revoked=True)
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    names = ["given_at", "about", "accepted", "rating", "issue", "source", "visibility", "revoked",
             "comment", "feedback_id"]  # fmt: skip
    print_table(names, [_row(one) for one in found])


def _row(one: FeedbackRecord) -> list[Any]:
    return [
        one.given_at, one.target_id, one.accepted, one.rating, one.issue, one.source,
        one.visibility, one.revoked or None, one.comment, str(one.feedback_id),
    ]  # fmt: skip


def _show_orphans(database: LearningDatabase, *, as_json: bool) -> None:
    from otel_learning.cli.output import print_rows

    print_rows(
        *database.query(
            "SELECT CAST(feedback_id AS VARCHAR) AS feedback_id, target_kind, target_id, given_at, "
            "source, reason FROM feedback_orphans ORDER BY recorded_at DESC, feedback_id"
        ),
        as_json=as_json,
    )


def _show_sources(database: LearningDatabase, *, as_json: bool) -> None:
    from dataclasses import asdict

    from otel_learning.cli.output import print_json, print_table
    from otel_learning.learning.feedback_sources import sources

    found = sources(database)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    names = ["source", "words", "compared", "agrees", "90 %", "weight"]
    print_table(
        names,
        [
            [
                one.source, one.support, one.compared,
                None if one.agreement is None else f"{one.agreement:.0%}",
                None if one.low is None else f"{one.low:.0%} to {one.high:.0%}",
                round(one.weight, 2),
            ]
            for one in found
        ],
    )  # fmt: skip


def _export(
    database: LearningDatabase, file: Path, visibility: str | None, *, as_json: bool
) -> None:
    import json
    import os

    from otel_learning.cli import opinion
    from otel_learning.cli.output import print_json, print_pairs

    shown = opinion.checked_visibility(visibility) or "public"
    found = database.feedback(visibility=shown)
    left_out = {"revoked"}
    if shown != "private":
        # What others see names no execution of ours, and nobody who said it.
        left_out |= {"execution_id", "target_id", "target_kind"}
    lines = [one.model_dump(mode="json", exclude=left_out) for one in found]
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    answer = {"path": str(file), "feedback": len(lines), "visibility": shown}
    if as_json:
        print_json(answer)
    else:
        print_pairs(answer)
