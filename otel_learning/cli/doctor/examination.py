"""Examines in the order of the data's way. Creates nothing, changes no setting."""

from __future__ import annotations

from pathlib import Path

from otel_learning import settings as settings_module
from otel_learning.cli.doctor import contents, wiring
from otel_learning.cli.doctor.report import Report


def examine(db: Path | None) -> Report:
    """All checks; a failing one sets the exit code."""
    report = Report()
    chosen, problems = settings_module.load({"path": db})
    path = chosen.path.expanduser().resolve()
    wiring.installed(report)
    wiring.settings(report, chosen, problems, db)
    wiring.profiles(report, chosen)
    wiring.folder(report, path)
    wiring.spool(report, path, chosen)
    recent = contents.store(report, path, chosen)
    wiring.switched_on(report, recent)
    return report
