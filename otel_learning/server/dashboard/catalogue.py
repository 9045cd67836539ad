"""The list of pages: address, name in the navigation, filters that it takes, who builds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Final

from otel_learning.server.dashboard.asked import AGGREGATE, CONTEXT

if TYPE_CHECKING:
    from otel_learning.server.dashboard.asked import Asked
    from otel_learning.server.dashboard.page import Page
    from otel_learning.store.database import LearningDatabase

Build = Callable[["LearningDatabase", "Asked", Mapping[str, str]], "Page"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A page."""

    address: str
    """With placeholders, as routes have them."""
    module: str
    """Below `pages`; its `build` makes the page, and is loaded when it is first asked for."""
    label: str | None = None
    """In the navigation; None is not in it."""
    takes: tuple[str, ...] = ()
    reported: bool = True
    """Whether the report has it."""
    default_environment: bool = True
    """Whether the environment of most executions is meant where none is asked for."""
    nameless: bool = False
    """Whether it can be asked for executions that have no environment, repository or type."""

    def build(self, database: LearningDatabase, asked: Asked, places: Mapping[str, str]) -> Page:
        made: Build = import_module(f"otel_learning.server.dashboard.pages.{self.module}").build
        return made(database, asked, places)


_LIST: Final = (
    "environment", "repo", "task_type", "model_tier", "outcome", "error_type", "task_id",
    "since", "until", "after",
)  # fmt: skip

_ENTRIES: Final = (
    Entry("/", "overview", "Overview", AGGREGATE, nameless=True),
    Entry("/arms", "arms", "Arms", (*CONTEXT, "by", "cost_weight")),
    Entry("/costs", "costs", "Costs", (*AGGREGATE, "by"), nameless=True),
    Entry("/failures", "failures", "Failures", AGGREGATE, nameless=True),
    Entry("/calibration", "calibration", "Calibration", ("environment", "by")),
    Entry("/quality", "quality", "Quality", ("environment", "repo")),
    Entry("/experiments", "experiments", "Experiments"),
    Entry("/experiments/{name:path}", "experiment", reported=False),
    Entry("/policies", "policies", "Policies"),
    Entry("/policies/{version}", "policy", reported=False),
    Entry("/insights", "insights", "Insights", ("environment",)),
    Entry("/executions", "executions", "Executions", _LIST, default_environment=False),
    Entry("/executions/{id}", "execution", reported=False),
)


def entries() -> tuple[Entry, ...]:
    """Every page, those of the navigation in its order."""
    return _ENTRIES
