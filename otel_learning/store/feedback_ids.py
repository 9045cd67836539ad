"""Ids that feedback is given under, as the store spells them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_learning.errors import InputError

if TYPE_CHECKING:
    from otel_learning.records import FeedbackTarget
    from otel_learning.store.reader import Reader


def target_of(reader: Reader, kind: FeedbackTarget, said: str) -> str:
    """The id that feedback about `said` is stored under.

    Raises:
        InputError: a span that the store does not know stands without its trace.
    """
    if kind == "execution_id":
        return said.lower()
    if kind == "trace_id":
        return said.replace("-", "").lower()
    if kind == "span_id":
        return _with_trace(reader, said.lower())
    return said


def _with_trace(reader: Reader, span: str) -> str:
    if ":" in span:
        return span
    rows = reader.sql("SELECT trace_id FROM attempts WHERE span_id = ? LIMIT 1", [span])
    if not rows:
        raise InputError(
            f"the span {span!r} is not one of a model call, so its trace is needed",
            "name it as TRACE_ID:SPAN_ID",
        )
    return f"{rows[0][0]}:{span}"
