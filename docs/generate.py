"""Writes the generated pages and the dashboard, or with --check says which one is out of date."""

from __future__ import annotations

import ast
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import typer.main
from grafana.dashboard import dashboard

from otel_learning import LearningDatabase
from otel_learning.cli.main import app
from otel_learning.mapping.profile import BUILT_IN, Profile, load
from otel_learning.observation import FACTS
from otel_learning.settings import PREFIX, Settings

DOCS = Path(__file__).parent
NOTE = "<!-- Written by docs/generate.py; change the code or docs/descriptions.toml instead. -->\n"


def main(arguments: Sequence[str]) -> int:
    """0 when the pages are, or now are, what the code says; 1 when one is out of date."""
    stale = []
    for name, page in pages().items():
        file = DOCS / name
        if file.exists() and file.read_text(encoding="utf-8") == page:
            continue
        stale.append(name)
        if "--check" not in arguments:
            file.write_text(page, encoding="utf-8")
    for name in stale:
        verb = "is out of date: run make docs" if "--check" in arguments else "written"
        sys.stderr.write(f"docs/{name} {verb}\n")
    return 1 if stale and "--check" in arguments else 0


def pages() -> dict[str, str]:
    """File name -> content of every generated page."""
    makers: dict[str, Callable[[], str]] = {
        "reference/cli.md": cli, "reference/http-api.md": http_api,
        "reference/schema.md": schema, "reference/settings.md": settings,
        "reference/attributes.md": attributes, "grafana/otel-learning.json": dashboard,
    }  # fmt: skip
    return {name: make().rstrip() + "\n" for name, make in makers.items()}


# ------------------------------------------------------------------------------------- cli


def cli() -> str:
    group: Any = typer.main.get_command(app)
    parts = [
        "# Command line\n", NOTE,
        "`otel-learning COMMAND ...`. Every command takes `--db` and `--json`, after its name. "
        "Data go to stdout, all else to stderr. An error is one line that names the value, with a "
        "hint.\n",
        "| Exit code | Meaning |\n|---|---|\n| 0 | done |\n| 1 | failed |\n"
        "| 2 | wrong usage, or a setting or profile that cannot be used |\n"
        "| 3 | there is no store, or it cannot be opened; nothing was created |\n"
        "| 130 | interrupted |\n",
    ]  # fmt: skip
    for name, command in _commands(group):
        usage = [p for p in command.params if p.param_type_name == "argument"]
        words = " ".join(p.metavar or p.name.upper() for p in usage)
        parts.append(f"## `otel-learning {' '.join(filter(None, (name, words)))}`\n")
        parts.append(f"{command.help.strip()}\n")
        rows = [(f"`{p.metavar or p.name}`", p.help) for p in usage]
        rows += [
            (f"`{_spelling(p)}`", p.help or "Show the help and exit.")
            for p in command.params
            if p.param_type_name == "option" and p.name != "help"
        ]
        parts.append(_table(("Argument or option", "Meaning"), rows))
    return "\n".join(parts)


def _commands(group: Any, above: str = "") -> Iterable[tuple[str, Any]]:
    """Every command with its whole name, those of groups too."""
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from _commands(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


def _spelling(option: Any) -> str:
    names = "` / `".join([*option.opts, *option.secondary_opts])
    return names if option.is_flag else f"{names} {option.metavar or 'VALUE'}"


# -------------------------------------------------------------------------------- HTTP API


def http_api() -> str:
    from http_api import page  # beside this file

    return page(NOTE)


# ---------------------------------------------------------------------------------- schema


def schema() -> str:
    described = _descriptions()
    parts = [
        "# Schema\n", NOTE,
        "What any DuckDB client reads. The tables below the views are internal and may change with "
        "any release; the views and tables here do not lose columns. `all_executions` and "
        "`all_attempts` have the columns of `executions` and `attempts`, and show archived rows "
        "too.\n",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        database = LearningDatabase(Path(folder) / "empty.duckdb")
        for name in ("executions", "attempts", "tier_performance", "pool_performance",
                     "solution_patterns", "solutions", "routing_statistics", "rollup_status",
                     "feedback", "feedback_orphans", "calibration", "experiments",
                     "experiment_events", "quality_policies", "policies", "policy_events",
                     "losses"):  # fmt: skip
            meaning = described[name]
            rows = [
                (f"`{column}`", f"`{kind}`", meaning[column])
                for column, kind, *_ in database.sql(f"DESCRIBE {name}")
            ]
            parts.append(f"## `{name}`\n\n{meaning['']}\n")
            parts.append(_table(("Column", "Type", "Meaning"), rows))
    return "\n".join(parts)


# -------------------------------------------------------------------------------- settings


def settings() -> str:
    units = _descriptions()["settings_units"]
    rows = []
    for name, field in Settings.model_fields.items():
        choices = [str(c) for c in get_args(field.annotation) if isinstance(c, str)]
        default = field.get_default()
        rows.append(
            (
                f"`{PREFIX}{name.upper()}`",
                f"`{name}`",
                "none" if default is None else f"`{_plain(default)}`",
                units[name] or (", ".join(f"`{c}`" for c in choices) or "`true`, `false`"),
                field.description or "",
            )
        )
    return "\n".join(
        [
            "# Settings\n", NOTE,
            "A setting is taken from the arguments of an exporter or the mapping under "
            "`learning:` in a declarative file, else from its variable, else from `[settings]` in "
            "your profile, else its default. One that is unknown or unusable is named in a warning "
            "of the logger `otel_learning`, and the application runs on. `otel-learning doctor` "
            "shows what is in force and where it came from.\n",
            _table(("Variable", "Keyword", "Default", "Unit or values", "Meaning"), rows),
        ]
    )  # fmt: skip


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


# ------------------------------------------------------------------------------ attributes


def attributes() -> str:
    own = load()[BUILT_IN.index("learning")]
    facts = {key: fact for fact, keys in own.fields.items() for key in keys}
    described = _descriptions()
    meanings = {**described["executions"], **described["facts"]}
    rows = [
        (
            f"`{key}`",
            FACTS.get(facts.get(key, ""), "event"),
            f"`{constant}`",
            said or meanings[facts[key]],
        )
        for constant, key, said in _constants()
    ]
    parts = [
        "# Attributes\n", NOTE,
        "## Our own\n\nSetting them is optional, on any span of the task. The constants are in "
        "`otel_learning.attributes`; a router may copy the strings and depend on nothing.\n",
        _table(("Attribute", "Type", "Constant", "Meaning"), rows),
        "## What is read from other producers\n\nBy profile, in reading order: where two name a "
        "fact, the earlier one is read. A profile marked *from source, unrecorded* was written "
        "from the producer's code or documentation; no recording of the real package stands "
        "behind it yet. In a profile that is *normalised*, keys are compared as lower-case words "
        "joined by dots, and `*` stands for any run of characters.\n",
    ]  # fmt: skip
    parts += [_profile(profile) for profile in load() if profile is not own]
    return "\n".join(parts)


def _profile(profile: Profile) -> str:
    marks = ["recorded from the real package" if profile.recorded else "from source, unrecorded"]
    if profile.normalised:
        marks.append("normalised")
    lines = [f"### {profile.name}\n\n{profile.about} *{'; '.join(marks)}.*\n"]
    if profile.scopes:
        lines.append(f"Instrumentation scopes: {_codes(profile.scopes)}.\n")
    rows = [
        (f"`{fact}`", _codes(keys))
        for fact in FACTS
        if (keys := (*profile.fields.get(fact, ()), *profile.details.get(fact, ())))
    ]
    rows += [(f"`{fact}` (resource)", _codes(keys)) for fact, keys in profile.resource.items()]
    rows += [
        (f"`{fact}` (event `{event}`)", _codes(keys))
        for event, mapping in profile.events.items()
        for fact, keys in mapping.items()
    ]
    rows += [
        (f"role by `{key}`", ", ".join(f"`{value}` {role}" for value, role in values.items()))
        for key, values in profile.roles.items()
    ]
    rows += [(f"role by span name `{name}`", role) for name, role in profile.names.items()]
    lines.append(_table(("Fact", "Keys"), rows) if rows else "It adds no keys of its own.\n")
    return "\n".join(lines)


def _constants() -> Iterable[tuple[str, str, str]]:
    """Name, value and the string below it, of every constant in `otel_learning.attributes`."""
    source = (resources.files("otel_learning") / "attributes.py").read_text(encoding="utf-8")
    body = ast.parse(source).body
    for node, following in zip(body, [*body[1:], None], strict=True):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Constant)):
            continue
        said = ""
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            said = str(following.value.value)
        assert isinstance(node.target, ast.Name)
        yield node.target.id, str(node.value.value), said


# ---------------------------------------------------------------------------------- shared


def _descriptions() -> dict[str, dict[str, str]]:
    return tomllib.loads((DOCS / "descriptions.toml").read_text(encoding="utf-8"))


def _codes(keys: Iterable[str]) -> str:
    return ", ".join(f"`{key}`" for key in keys)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(str(c).replace("|", "\\|") for c in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
