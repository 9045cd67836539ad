"""What `doctor` found: one check after the other, and the exit code they add up to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

from otel_learning.cli.exits import ExitCode
from otel_learning.cli.output import cell, print_text


class Check(TypedDict):
    check: str
    ok: bool
    detail: str
    hint: str | None


@dataclass(slots=True)
class Report:
    checks: list[Check] = field(default_factory=list)
    code: ExitCode = ExitCode.DONE

    def add(self, check: str, ok: bool, detail: str, hint: str | None = None) -> None:
        self.checks.append({"check": check, "ok": ok, "detail": detail, "hint": hint})
        if not ok and self.code is ExitCode.DONE:
            self.code = ExitCode.FAILED


def print_checks(checks: list[Check]) -> None:
    width = max(len(check["check"]) for check in checks)
    for check in checks:
        mark = "ok  " if check["ok"] else "FAIL"
        print_text(f"{mark}  {check['check']:<{width}}  {cell(check['detail'])}")
        if check["hint"]:
            print_text(f"      {'':<{width}}  -> {cell(check['hint'])}")
