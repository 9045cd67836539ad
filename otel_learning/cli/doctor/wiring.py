"""Checks of what stands around the store: entry points, variables, settings, folder, spool."""

from __future__ import annotations

import os
import tempfile
from importlib.metadata import entry_points
from pathlib import Path

from otel_learning.cli.doctor.report import Report
from otel_learning.cli.output import size
from otel_learning.errors import ConfigurationError
from otel_learning.mapping import profile
from otel_learning.settings import PREFIX, Settings
from otel_learning.store.spool import Spool


def installed(report: Report) -> None:
    groups = ("opentelemetry_traces_exporter", "opentelemetry_logs_exporter")
    missing = [g for g in groups if not list(entry_points(group=g, name="learning"))]
    report.add(
        "exporter installed",
        not missing,
        "OpenTelemetry finds the exporters named learning"
        if not missing
        else f"no entry point learning in {', '.join(missing)}",
        "install the package again: pip install otel-learning" if missing else None,
    )


def switched_on(report: Report, recent: int) -> None:
    """Whether this shell switches the exporter on; spans that arrive say so as well."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        report.add("switched on", False, "OTEL_SDK_DISABLED=true turns all telemetry off",
                   "unset OTEL_SDK_DISABLED")  # fmt: skip
        return
    arriving = f"; {recent} executions arrived in the last day" if recent else ""
    file = os.environ.get("OTEL_CONFIG_FILE")
    if file:
        named = _names_learning(file)
        report.add(
            "switched on",
            named or recent > 0,
            f"OTEL_CONFIG_FILE={file} {'names' if named else 'does not name'} the exporter"
            f"{arriving}",
            None
            if named
            else "exporter: {learning: {}} in its processors; variables that name "
            "exporters are not read beside a configuration file",
        )
        return
    traces = _listed("OTEL_TRACES_EXPORTER")
    named = "learning" in traces
    said = (
        f"OTEL_TRACES_EXPORTER={','.join(traces)}" if traces else "OTEL_TRACES_EXPORTER is not set"
    )
    hint = None
    if not named:
        hint = f"OTEL_TRACES_EXPORTER={','.join([*traces, 'learning'])}, or register it in code"
    elif "learning" not in _listed("OTEL_LOGS_EXPORTER"):
        hint = "for feedback as log events also OTEL_LOGS_EXPORTER=learning"
    report.add("switched on", named or recent > 0, f"{said} in this shell{arriving}", hint)


def _listed(variable: str) -> list[str]:
    return [name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()]


def _names_learning(file: str) -> bool:
    try:
        return "learning" in Path(file).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def settings(report: Report, chosen: Settings, problems: list[str], db: Path | None) -> None:
    origin = origins(chosen, db)
    in_force = ", ".join(
        f"{name}={getattr(chosen, name)} ({origin[name]})" for name in Settings.model_fields
    )
    report.add(
        "settings",
        not problems,
        "; ".join([*problems, in_force]),
        "docs/reference/settings.md lists them" if problems else None,
    )


def origins(chosen: Settings, db: Path | None) -> dict[str, str]:
    """Setting -> where its value came from: --db, a variable, the profile's file, the default."""
    by_file: set[str] = set()
    if chosen.profile is not None:
        try:
            by_file = set(profile.load(chosen.profile)[0].settings)
        except ConfigurationError:
            by_file = set()
    found = {}
    for name in Settings.model_fields:
        if name == "path" and db is not None:
            found[name] = "--db"
        elif os.environ.get(PREFIX + name.upper()):
            found[name] = PREFIX + name.upper()
        elif name in by_file:
            found[name] = str(chosen.profile)
        else:
            found[name] = "default"
    return found


def profiles(report: Report, chosen: Settings) -> None:
    if chosen.profile is None:
        report.add("profile", True, f"the {len(profile.BUILT_IN)} built-in ones")
        return
    try:
        mine = profile.load(chosen.profile)[0]
    except ConfigurationError as error:
        report.add("profile", False, str(error.args[0]), error.hint)
        return
    report.add("profile", True, f"{mine.name} over the {len(profile.BUILT_IN)} built-in ones")


def folder(report: Report, path: Path) -> None:
    place = path.parent
    if not place.is_dir():
        report.add("folder", False, f"{place} does not exist", f"mkdir -p {place}")
        return
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        report.add("folder", False, f"{place} cannot be written: {error.strerror}",
                   "OTEL_EXPORTER_LEARNING_PATH names another place")  # fmt: skip
        return
    report.add("folder", True, f"{place} can be written")


def spool(report: Report, path: Path, chosen: Settings) -> None:
    """What waits to be stored, and what was set aside as broken."""
    inbox = Spool(path)
    waiting, broken = inbox.list(), inbox.broken()
    total = sum(segment.size for segment in waiting)
    full = total >= chosen.spool_limit
    detail = f"{len(waiting)} segments wait ({size(total)} of {size(chosen.spool_limit)})"
    if broken:
        detail += f"; {len(broken)} broken ones were set aside in {broken[0].parent}"
    hint = None
    if full:
        hint = "exports fail until the store can be drained: who holds it is said below"
    elif broken:
        hint = "a full disk or a copy cut short leaves these; what they held is lost"
    report.add("spool", not full and not broken, detail, hint)
