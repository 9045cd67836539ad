"""Checks what the options of `feedback` may be."""

from __future__ import annotations

from typing import Final, get_args

from otel_learning.errors import InputError
from otel_learning.records import FeedbackIssue, FeedbackTarget, FeedbackVisibility

KINDS: Final[tuple[str, ...]] = get_args(FeedbackTarget)


def checked_kind(kind: str | None) -> FeedbackTarget | None:
    if kind is not None and kind not in KINDS:
        raise InputError(f"--kind {kind!r} is unknown", f"one of {', '.join(KINDS)}")
    return kind  # type: ignore[return-value]


def checked_issue(issue: str | None) -> FeedbackIssue | None:
    if issue is not None and issue not in get_args(FeedbackIssue):
        raise InputError(
            f"--issue {issue!r} is unknown", f"one of {', '.join(get_args(FeedbackIssue))}"
        )
    return issue  # type: ignore[return-value]


def checked_visibility(visibility: str | None) -> FeedbackVisibility | None:
    known = get_args(FeedbackVisibility)
    if visibility is not None and visibility not in known:
        raise InputError(f"--visibility {visibility!r} is unknown", f"one of {', '.join(known)}")
    return visibility  # type: ignore[return-value]
