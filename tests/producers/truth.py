"""What really happened in a recorded corpus, and which of it the spans can tell at all.

Beside each `<producer>.jsonl.gz` lie `<producer>.expected.json`, the truth as the recording
harness and the fake model server saw it, and `<producer>.recoverable.json`, which says per task
and fact whether the spans hold it: `yes`; `profile`, under names that only the application's
owner can explain; `content_task` and `content_prompt`, only inside recorded texts; `no`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from tests.corpus_replay import CORPUS, corpora

FACTS: Final = (
    "task_id", "task_type", "task_description", "repo", "model_tier", "model", "success",
    "error_type", "fallback_used", "input_tokens", "output_tokens", "attempt_count",
    "actual_cost", "quality_score", "user_feedback",
)  # fmt: skip
"""The facts that are compared, in the order in which tables show them."""


@dataclass(frozen=True)
class Task:
    """One task of a recording."""

    task_id: str
    trace_ids: frozenset[str]
    told: Mapping[str, Any]
    """The truth, by the names of the expected file."""
    mask: Mapping[str, Any]
    """Which facts the spans hold, by the names of the recoverable file."""

    def holds(self, fact: str) -> str | None:
        """`yes`, `profile`, `content_task`, `content_prompt` or `no`; None: not applicable."""
        found = self.mask.get(fact)
        return None if found is None else str(found[0])

    def why_not(self, fact: str) -> str:
        found = list(self.mask.get(fact, []))
        return str(found[1]) if len(found) > 1 else ""

    @property
    def may_be_split(self) -> bool:
        """True where no key ties the task's traces: one execution per trace is all one can ask."""
        return self.holds("grouping") == "no"


@dataclass(frozen=True)
class Recording:
    """A producer's recorded spans and the truth about them."""

    producer: str
    spans: Path
    versions: Mapping[str, str]
    notes: str
    tasks: tuple[Task, ...]

    @cached_property
    def owner(self) -> dict[str, str]:
        """Trace -> the task that it belongs to."""
        return {trace: task.task_id for task in self.tasks for trace in task.trace_ids}


def recordings() -> list[Recording]:
    return [_recording(spans) for spans in corpora()]


def _recording(spans: Path) -> Recording:
    producer = spans.name.removesuffix(".jsonl.gz")
    expected = _read(f"{producer}.expected.json")
    masks = _read(f"{producer}.recoverable.json")["tasks"]
    tasks = tuple(
        Task(told["task_id"], frozenset(told["trace_ids"]), told, masks[told["task_id"]])
        for told in expected["tasks"]
    )
    return Recording(producer, spans, expected["versions"], expected.get("notes", ""), tasks)


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CORPUS / name).read_text(encoding="utf-8"))
    return found
