"""When a person should be asked how good a result was, and when never. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

SECONDS_LEAST: Final = 10.0
SECONDS_LONG: Final = 120.0
RATINGS_MOST: Final = 5
"""In the last hour; whoever has rated more is left alone."""
_AUTOMATION: Final = ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL", "BUILDKITE", "TF_BUILD")


class Asking(NamedTuple):
    """Whether to ask, and a stable token that says why."""

    ask: bool
    reason: str


def should_ask(
    *,
    duration_seconds: float | None,
    success: bool | None,
    auto_selected_model: bool = False,
    swarm: bool = False,
    ratings_last_hour: int = 0,
    interactive: bool = True,
    environ: Mapping[str, str] | None = None,
) -> Asking:
    """Whether a person should be asked about an execution; what forbids it comes first.

    Args:
        duration_seconds: how long it took; None is unknown, and forbids nothing.
        success: None is unknown.
        auto_selected_model: whether a router chose the model.
        swarm: whether several agents worked on it.
        ratings_last_hour: how often this person has rated in the last hour.
        interactive: whether there is a terminal to ask on.
        environ: variables in which a CI names itself; None is none.
    """
    if not interactive:
        return Asking(False, "no-terminal")
    values = environ or {}
    if any(values.get(name, "").lower() not in ("", "0", "false") for name in _AUTOMATION):
        return Asking(False, "ci")
    if duration_seconds is not None and duration_seconds < SECONDS_LEAST:
        return Asking(False, "too-short")
    if ratings_last_hour > RATINGS_MOST:
        return Asking(False, "asked-enough")
    if success is False:
        return Asking(True, "failed")
    if duration_seconds is not None and duration_seconds > SECONDS_LONG:
        return Asking(True, "took-long")
    if swarm:
        return Asking(True, "swarm")
    if auto_selected_model:
        return Asking(True, "auto-selected")
    return Asking(False, "nothing-unusual")
