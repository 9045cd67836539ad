"""The measurements of one run: kept by mode, case and round, so that ratios are of one round."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

Figure = float | int | None


@dataclass
class Results:
    """What a run measured, and what it says about itself."""

    about: dict[str, Any]
    measurements: list[dict[str, Any]] = field(default_factory=list)
    queries: dict[str, Any] | None = None

    def add(self, mode: str, case: str, turn: int, tasks: int, figures: dict[str, Figure]) -> None:
        self.measurements.append(
            {"mode": mode, "case": case, "round": turn, "tasks": tasks, "figures": figures}
        )

    def by_round(self, mode: str, case: str, name: str) -> dict[int, float]:
        """Round -> value."""
        return {
            found["round"]: found["figures"][name]
            for found in self.measurements
            if found["mode"] == mode and found["case"] == case
            and found["figures"].get(name) is not None
        }  # fmt: skip

    def values(self, mode: str, case: str, name: str) -> list[float]:
        return list(self.by_round(mode, case, name).values())

    def typical(self, mode: str, case: str, name: str) -> float | None:
        """The median over the rounds; None where it was not measured."""
        found = self.values(mode, case, name)
        return median(found) if found else None

    def ratios(
        self, mode: str, case: str, other: str, name: str, *, other_name: str | None = None
    ) -> list[float]:
        """Of each round in which both were measured, case to other."""
        mine = self.by_round(mode, case, name)
        theirs = self.by_round(mode, other, other_name or name)
        return [mine[turn] / theirs[turn] for turn in mine if theirs.get(turn)]

    def differences(self, mode: str, case: str, other: str, name: str) -> list[float]:
        mine, theirs = self.by_round(mode, case, name), self.by_round(mode, other, name)
        return [mine[turn] - theirs[turn] for turn in mine if turn in theirs]

    def tasks(self, mode: str) -> int:
        return max((m["tasks"] for m in self.measurements if m["mode"] == mode), default=0)

    def save(self, file: Path) -> None:
        body = {"about": self.about, "measurements": self.measurements, "queries": self.queries}
        file.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, file: Path) -> Results:
        body = json.loads(file.read_text(encoding="utf-8"))
        return cls(body["about"], body["measurements"], body.get("queries"))
