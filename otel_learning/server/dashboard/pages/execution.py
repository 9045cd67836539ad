"""One execution: a timeline of its attempts, its fields, what was said of it, what was alike."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from otel_learning.errors import InputError
from otel_learning.server.dashboard import words
from otel_learning.server.dashboard.page import (
    Cell,
    Figure,
    Note,
    Page,
    Pairs,
    Prose,
    Section,
    Table,
)
from otel_learning.server.dashboard.pages import common
from otel_learning.server.dashboard.pages.executions import outcome
from otel_learning.store.lake.address import is_lake

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_learning.records import Attempt, ExecutionDetail, ExecutionRecord, FeedbackRecord
    from otel_learning.server.dashboard.asked import Asked
    from otel_learning.server.dashboard.page import Block
    from otel_learning.store.database import LearningDatabase

STEPS_MOST: Final = 40
"""Attempts that are drawn; the table has all."""
SIMILAR: Final = 6
SMALL: Final = 2_000
"""Descriptions that are compared without vectors having been made beforehand."""
_GROUPS: Final = {
    "Identity": ("task_id", "run", "execution_id", "trace_ids", "session_id", "user_hash",
                 "environment", "service_name"),
    "Route": ("model_tier", "model", "requested_model", "provider", "pool_type", "swarm_topology",
              "agent", "selector", "routing_confidence", "complexity_score", "propensity",
              "propensity_of", "policy_version", "experiment", "variant"),
    "Outcome": ("success", "success_source", "quality_score", "error_type", "error_class",
                "error_message", "fallback_used", "solution_summary", "user_accepted",
                "user_rating"),
    "Cost and resources": ("actual_cost", "cost_source", "cost_estimate", "router_cost",
                           "input_tokens", "output_tokens", "duration_seconds", "attempt_count",
                           "failed_attempt_count", "peak_memory_mb", "cpu_time_seconds"),
    "Where it comes from": ("producer", "profile", "complete", "settled", "started_at",
                            "ended_at", "recorded_at", "updated_at", "sampling_ratio",
                            "dropped_attributes", "file_count", "estimated_tokens", "metadata"),
}  # fmt: skip


def build(database: LearningDatabase, _: Asked, places: Mapping[str, str]) -> Page:
    """The page of the execution of that id."""
    try:
        found = database.execution(places["id"])
    except InputError as error:
        raise common.Gone(str(error.args[0]), error.hint or "") from error
    if found is None:
        raise common.Gone(
            f"there is no execution {words.plain(places['id'])}",
            "it may have been archived or erased: see the list of executions",
        )
    one = found.execution
    title = words.plain(one.task_description or one.task_id or str(one.execution_id), 120)
    return Page(
        f"/executions/{one.execution_id}", title, _answer(one),
        [
            Section("How it went", _timeline(found)),
            Section("What was said of it", _feedback(found.feedback)),
            *(Section(heading, _fields(one, names)) for heading, names in _GROUPS.items()),
            Section("Similar executions", _similar(database, one)),
        ],
        f"{words.name(one.task_type)} in {words.name(one.repo)}, {words.moment(one.started_at)}",
    )  # fmt: skip


def _answer(one: ExecutionRecord) -> str:
    said = outcome(one)
    text = {"success": "It succeeded", "failure": "It failed"}.get(
        said.text, "Its outcome is not known"
    )
    if said.note:
        text += f" ({said.note})"
    text += f", cost {words.money(one.actual_cost)}" if one.actual_cost is not None else ""
    text += f", took {words.seconds(one.duration_seconds)}" if one.duration_seconds else ""
    if one.fallback_used:
        text += ", and fell back to another model"
    if not one.complete:
        text += ". Its topmost span has not been seen"
    return text + "."


# ----------------------------------------------------------------------------------- attempts


def _timeline(found: ExecutionDetail) -> list[Block]:
    if not found.attempts:
        return [Note("No model call of it was seen.")]
    blocks: list[Block] = []
    figure = _figure(found.attempts)
    if figure is not None:
        blocks.append(figure)
    else:
        blocks.append(Note("No call has a start and a duration, so there is no timeline."))
    blocks.append(_table(found.attempts))
    return blocks


def _figure(attempts: Sequence[Attempt]) -> Figure | None:
    from otel_learning.server.dashboard import charts
    from otel_learning.server.dashboard.svg import drawn

    timed = [a for a in attempts if a.started_at is not None and a.duration_seconds is not None]
    if not timed:
        return None
    first = min(a.started_at for a in timed if a.started_at is not None)
    steps = []
    for a in timed[:STEPS_MOST]:
        assert a.started_at is not None and a.duration_seconds is not None
        start = (a.started_at - first).total_seconds()
        shade = "var(--bad)" if a.success is False else (
            "var(--arm-rest)" if a.role == "router" else "var(--accent)"
        )  # fmt: skip
        steps.append(charts.Step(
            words.label(a.model), round(start, 6), round(start + a.duration_seconds, 6), shade,
            words.plain(f"{a.ordinal}. {_what(a)}: {words.label(a.model or a.requested_model)}, "
                        f"{_how(a)}, {words.seconds(a.duration_seconds)}", 64),
        ))  # fmt: skip
    return Figure(
        "Model calls over time, seconds", " ".join(f"{s.said}." for s in steps),
        drawn(charts.timeline, tuple(steps), "whole"), _table(timed), "whole",
    )  # fmt: skip


def _what(attempt: Attempt) -> str:
    if attempt.role == "router":
        return "routing"
    return {"initial": "work", "retry": "retry", "fallback": "fallback"}[attempt.reason]


def _how(attempt: Attempt) -> str:
    if attempt.success is None:
        return "outcome unknown"
    if attempt.success:
        return "worked"
    kind = "" if attempt.error_type is None else f" ({attempt.error_type.replace('_', ' ')})"
    return f"failed{kind}"


def _table(attempts: Sequence[Attempt]) -> Table:
    rows = [
        [
            Cell(str(a.ordinal)), Cell(_what(a)),
            Cell(words.name(a.model or a.requested_model), note=words.plain(a.provider or "")),
            Cell(_how(a), note=words.plain(a.error_class or "", 80),
                 tone="bad" if a.success is False else "good" if a.success else ""),
            Cell(words.seconds(a.duration_seconds)), Cell(words.money(a.cost)),
            Cell("unknown" if a.input_tokens is None else words.count(a.input_tokens)),
            Cell("unknown" if a.output_tokens is None else words.count(a.output_tokens)),
        ]
        for a in attempts
    ]  # fmt: skip
    return Table(
        "Model calls in order",
        ("No.", "For", "Model", "How", "Time", "Cost", "Tokens in", "Tokens out"),
        rows, frozenset((4, 5, 6, 7)),
    )  # fmt: skip


# ------------------------------------------------------------------------- fields and words


def _fields(one: ExecutionRecord, names: Sequence[str]) -> list[Block]:
    """What is known of a group of fields, and the names of those that are not."""
    known = [name for name in names if getattr(one, name) not in (None, (), {})]
    unknown = [name.replace("_", " ") for name in names if name not in known]
    blocks: list[Block] = []
    if known:
        blocks.append(
            Pairs([(name.replace("_", " "), Cell(_said(name, getattr(one, name))))
                   for name in known])
        )  # fmt: skip
    if unknown:
        blocks.append(Prose([f"Not known: {', '.join(unknown)}."], quiet=True))
    return blocks


def _said(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in ("actual_cost", "cost_estimate", "router_cost"):
        return words.money(value)
    if name in ("duration_seconds", "cpu_time_seconds"):
        return words.seconds(value)
    if name in ("routing_confidence", "propensity", "sampling_ratio"):
        return words.share(value)
    if name.endswith("_at"):
        return words.moment(value)
    if name == "metadata":
        return words.plain(json.dumps(value, ensure_ascii=False), 1000)
    if isinstance(value, tuple):
        return words.plain(", ".join(value), 400)
    if isinstance(value, int):
        return words.count(value)
    return words.plain(f"{value:g}" if isinstance(value, float) else str(value), 500)


def _feedback(found: Sequence[FeedbackRecord]) -> list[Block]:
    if not found:
        return [Note("Nobody has said anything yet. To say it:",
                     "otel-learning feedback TASK_ID --accepted")]  # fmt: skip
    rows = []
    for one in found:
        verdict = {True: "accepted", False: "rejected", None: ""}[one.accepted]
        stars = "" if one.rating is None else f"{one.rating:g} of 5"
        rows.append([
            Cell(words.clock(one.given_at)),
            Cell(", ".join(filter(None, (verdict, stars))) or "a word"),
            Cell(words.plain(one.comment or "")), Cell(words.plain(one.source or "")),
        ])  # fmt: skip
    return [
        Table("Feedback in the order of time", ("When (UTC)", "Verdict", "Comment", "Source"), rows)
    ]


# ------------------------------------------------------------------------------------ alike


def _similar(database: LearningDatabase, one: ExecutionRecord) -> list[Block]:
    if not one.task_description:
        return [Note("It has no description to compare others with.")]
    if is_lake(database.path):
        return [Note("A lake has no vectors to compare descriptions by; a host's store has.")]
    try:
        from otel_learning.knowledge.models import embedder_of
        from otel_learning.knowledge.search import catch_up, search
        from otel_learning.settings import load
        from otel_learning.store.neighbours import embedding_models
    except ModuleNotFoundError:
        return [Note("To find similar executions needs the extra learn:",
                     "pip install 'otel-learning[learn]'")]  # fmt: skip
    models = embedding_models(database)
    model = models[0] if models else None
    if model is None and database.count_executions() <= SMALL:
        setting = load()[0].embedder
        if embedder_of(setting).model == "hashed" or setting == "hashed":
            model = catch_up(database, setting, 1.0)
    if model is None:
        return [Note("No description has a vector yet:", "otel-learning embed")]
    try:
        found = search(database, model, one.task_description, limit=SIMILAR + 1)
    except ModuleNotFoundError:
        return [Note("The model of the vectors is not installed here.")]
    rows: list[list[Cell]] = []
    for match in found:
        other = match.execution
        if other.execution_id == one.execution_id or len(rows) == SIMILAR:
            continue
        rows.append([
            Cell(words.plain(other.task_description or other.task_id or "", 90),
                 f"/executions/{other.execution_id}",
                 note=f"{words.name(other.task_type)}, {words.name(other.repo)}"),
            Cell(words.share(round(match.similarity, 2))), outcome(other),
            Cell(words.name(other.model_tier)), Cell(words.money(other.actual_cost)),
        ])  # fmt: skip
    if not rows:
        return [Note("There is no other execution like it.")]
    heads = ("Task", "Alike", "Outcome", "Tier", "Cost")
    return [Table("Executions whose task is most alike", heads, rows, frozenset((1, 4)))]
