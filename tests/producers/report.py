"""Writes `docs/reference/producers.md`: how well each producer is read. Run as a module.

python -m tests.producers.report
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from otel_learning.mapping.profile import load
from tests.corpus_replay import CORPUS
from tests.producers.measure import Measurement, measure
from tests.producers.truth import FACTS, Recording, recordings

PAGE: Final = CORPUS.parent.parent / "docs" / "reference" / "producers.md"
_NOTE: Final = "<!-- Written by tests/producers/report.py from what its tests measure. -->"

WHY_MISSED: Final[Mapping[tuple[str, str], str]] = {
    ("langgraph_langsmith", "fallback_used"):
        "LangSmith ends a call that timed out with status OK: nothing says that it failed",
    ("litellm_router_otel", "actual_cost"):
        "a streamed call leaves no cost: LiteLLM writes it on the caller's span, where the next "
        "call writes over it",
    ("llamaindex_openinference", "fallback_used"):
        "the second engine runs in a trace of its own, and no key ties the two",
    ("ms_agent_framework", "error_type"):
        "the error's text is cut off before it names the cause",
    ("openai_agents_v2", "fallback_used"):
        "a guardrail stopped the run before any model call; whether it fell back stays open",
    ("pydantic_ai_instrumented", "error_type"):
        "the error is a group of errors and its text names none of them",
    ("smolagents_openinference", "error_type"):
        "an agent that ran out of steps says so in words that name no family of errors",
}  # fmt: skip
"""Producer and fact -> why it is not always right, although the spans hold it."""


def page(measurements: Sequence[Measurement]) -> str:
    facts = sum(found.facts for found in measurements)
    correct = sum(found.correct for found in measurements)
    parts = [
        "# Producers",
        _NOTE,
        "How well spans are read without any configuration. Each recording holds the spans that "
        "the released packages wrote, while a fake model server kept its own log of what really "
        "happened; the spans are then exported to a store, and the views `executions` and "
        "`attempts` are compared with that log, fact by fact. A fact counts where the spans hold "
        "it under a name that says what it is. An unknown success or fallback is half right.",
        f"Right: **{correct / facts:.1%}** of {facts} facts, in {len(measurements)} recordings. "
        "Grouping is the F1 measure of executions that are one task, whole and unmixed.",
        _table(
            ("Producer", "Recorded with", "Tasks", "Facts", "Right", "Grouping"),
            (
                (
                    found.producer, _packages(found.recording), str(len(found.recording.tasks)),
                    str(found.facts), f"{found.accuracy:.1%}", f"{found.grouping.f1:.1%}",
                )
                for found in measurements
            ),
        ),
        _unrecorded(),
        "## What is missed, and why",
        "The spans hold these facts, and the store does not always say them rightly.",
        _table(
            ("Producer", "Fact", "Tasks", "Why"),
            (
                (found.producer, f"`{fact}`", _share(found, fact), _why(found, fact))
                for found in measurements
                for fact in found.missed
            ),
        ),
        "## What only you can name",
        "The spans hold these facts, under names or in places that mean something only to the "
        "application that wrote them. A [profile of your own](../how-to/own-profile.md) reads "
        "what stands under a name; recorded texts are read with `CONTENT=prompt`, as far as they "
        "are the first message of a user.",
        _held(measurements, ("profile", "content_task", "content_prompt")),
        "## What no mapping can read",
        "The spans do not hold these facts. [Known limits](../known-limits.md) says what to do.",
        _held(measurements, ("no",)),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def _share(found: Measurement, fact: str) -> str:
    return f"{len(found.missed[fact])} of {found.compared[fact]}"


def _why(found: Measurement, fact: str) -> str:
    return WHY_MISSED.get((found.producer, fact), "not known yet")


def _packages(recording: Recording) -> str:
    return ", ".join(f"{name} {version}" for name, version in recording.versions.items())


def _unrecorded() -> str:
    names = [profile.name for profile in load() if not profile.recorded]
    if not names:
        return "No built-in profile is from source alone: a recording stands behind each."
    return f"From source, unrecorded: {', '.join(names)}."


def _held(measurements: Sequence[Measurement], classes: Sequence[str]) -> str:
    rows = []
    for found in measurements:
        reasons: dict[tuple[str, str], int] = {}
        for fact in (*FACTS, "grouping"):
            for task in found.recording.tasks:
                if task.holds(fact) in classes:
                    key = (fact, task.why_not(fact))
                    reasons[key] = reasons.get(key, 0) + 1
        total = len(found.recording.tasks)
        rows += [
            (found.producer, f"`{fact}`", f"{count} of {total}", reason)
            for (fact, reason), count in reasons.items()
        ]
    return _table(("Producer", "Fact", "Tasks", "Where it is, or why not"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        measurements = [measure(recording, Path(folder)) for recording in recordings()]
    PAGE.write_text(page(measurements), encoding="utf-8")
    for found in measurements:
        print("\n".join(found.lines()))


if __name__ == "__main__":
    main()
