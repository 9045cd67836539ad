"""What a feedback id stands for: guesses its kind, and finds what was said before."""

from __future__ import annotations

import re
from typing import Any, Final
from uuid import UUID

from otel_learning.errors import InputError
from otel_learning.records import FeedbackRecord, FeedbackTarget
from otel_learning.store.database import LearningDatabase
from otel_learning.store.feedback_ids import target_of

_TRACE: Final = re.compile(r"[0-9a-f]{32}")
_SPAN: Final = re.compile(r"[0-9a-f]{16}")
_SPAN_OF_TRACE: Final = re.compile(r"[0-9a-f]{32}:[0-9a-f]{16}")


def new(database: LearningDatabase, target: str, kind: FeedbackTarget | None) -> FeedbackRecord:
    """Feedback about a target, still saying nothing.

    Raises:
        InputError: a span that the store does not know stands without its trace.
    """
    kind = kind or guess_kind(database, target)
    return FeedbackRecord(target_kind=kind, target_id=target_of(database, kind, target))


def guess_kind(database: LearningDatabase, target: str) -> FeedbackTarget:
    """What an id is: first what the store knows it as, then what it looks like."""
    known = database.sql(
        "SELECT EXISTS (FROM executions WHERE task_id = $id),"
        " EXISTS (FROM executions WHERE CAST(execution_id AS VARCHAR) = lower($id)),"
        " EXISTS (FROM attempts WHERE response_id = $id),"
        " EXISTS (FROM executions WHERE session_id = $id)",
        {"id": target},
    )
    task, execution, response, session = known[0]
    if task:
        return "task_id"
    if execution:
        return "execution_id"
    if response:
        return "response_id"
    if session:
        return "session_id"
    lowered = target.lower()
    if _TRACE.fullmatch(lowered):
        return "trace_id"
    if _SPAN.fullmatch(lowered) or _SPAN_OF_TRACE.fullmatch(lowered):
        return "span_id"
    return "task_id"


def last_said(
    database: LearningDatabase, target: str, kind: FeedbackTarget | None
) -> FeedbackRecord:
    """What was said last under a feedback id, or about a target, marked as taken back.

    It carries all that was said: of two records of one moment the fuller one stands.
    """
    columns = (
        "feedback_id, target_kind, target_id, accepted, rating, comment, source, quality_score, "
        "issue, visibility"
    )
    names: list[str] = []
    rows: list[tuple[Any, ...]] = []
    if _is_uuid(target) and kind is None:
        names, rows = database.query(
            f"SELECT {columns} FROM feedback WHERE feedback_id = ? AND NOT revoked", [target]
        )
    if not rows:
        about = new(database, target, kind)
        names, rows = database.query(
            f"SELECT {columns} FROM feedback WHERE target_kind = ? AND target_id = ? "
            "AND NOT revoked ORDER BY given_at DESC, recorded_at DESC LIMIT 1",
            [about.target_kind, about.target_id],
        )
    if not rows:
        raise InputError(
            f"nothing that could be revoked was said about {target!r}",
            'see what was: otel-learning query "FROM feedback"',
        )
    return FeedbackRecord(**dict(zip(names, rows[0], strict=True)), revoked=True)


def resolved_to(database: LearningDatabase, feedback_id: UUID) -> UUID | None:
    """The execution that feedback was found to be about."""
    rows = database.sql(
        "SELECT execution_id FROM feedback WHERE feedback_id = ?", [str(feedback_id)]
    )
    return rows[0][0] if rows else None


def _is_uuid(value: str) -> bool:
    try:
        UUID(value)
    except ValueError:
        return False
    return True
