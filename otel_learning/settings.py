"""Settings: arguments, then `OTEL_EXPORTER_LEARNING_*` variables, then TOML, then defaults.

A setting that is unknown, malformed or unusable never stops an application: it is named, and
its default stands.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX: Final = "OTEL_EXPORTER_LEARNING_"
DEFAULT_PATH: Final = "learning.duckdb"
_LONGEST: Final = 3.2e9
"""Seconds, a century: an infinite time would overflow every clock that it meets."""


class Settings(BaseSettings):
    """All settings, checked. Times are seconds, sizes bytes."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    path: Path = Field(default=Path(DEFAULT_PATH), description="The store file.")
    profile: Path | None = Field(
        default=None, description="A TOML file with a mapping profile of your own."
    )
    content: Literal["none", "task", "prompt"] = Field(
        default="task",
        description=(
            "Which texts are stored. `none`: no task descriptions, error messages, comments or "
            "summaries. `task`: those, masked and cut to 500 characters. `prompt`: the first "
            "user message too, where no description is given."
        ),
    )
    correlation_window: float = Field(
        default=3600.0, gt=0, le=_LONGEST,
        description="Seconds of silence after which a task id's next run starts.",
    )  # fmt: skip
    settle_after: float = Field(
        default=300.0, gt=0, le=_LONGEST,
        description="Seconds without a new span after which an incomplete execution is settled.",
    )  # fmt: skip
    ledger_window: float = Field(
        default=7 * 86_400.0, gt=0, le=_LONGEST,
        description="Seconds for which observations are kept, so that late ones can join.",
    )  # fmt: skip
    drain: Literal["on", "off"] = Field(
        default="on",
        description="`off` only spools, for gevent and serverless: another process drains.",
    )
    fsync: bool = Field(
        default=False, description="Sync every segment to disk: durable against power loss too."
    )
    spool_limit: int = Field(
        default=1024**3, gt=0,
        description="Bytes that may wait in the spool; beyond it exports fail and are counted.",
    )  # fmt: skip
    retention_days: float | None = Field(
        default=None, gt=0, le=36_500,
        description="Days after which executions are old: `archive` takes them out by default, "
        "`status` and `doctor` count them. Nothing is taken out by itself.",
    )  # fmt: skip
    retention_bytes: int | None = Field(
        default=None, gt=0,
        description="Bytes of store and ledger beyond which `status` and `doctor` warn; "
        "5 GB where it is not set.",
    )  # fmt: skip
    embedder: str = Field(
        default="hashed", min_length=1, max_length=500,
        description="What turns task descriptions into vectors for the search. `hashed`: the light "
        "one, by spelling. `minilm`: MiniLM of the extra `minilm`. Any other value is a model of "
        "the extra `sentence-transformers`: its name, or a local folder.",
    )  # fmt: skip
    mode: Literal["observe", "advise", "act"] = Field(
        default="observe",
        description="What is done unasked. `observe`: nothing. `advise`: proposals are written "
        "down. `act`: the policy file is written, and rolled back.",
    )
    token: SecretStr | None = Field(
        default=None,
        description="What requests to `otel-learning serve` and `mcp` have to carry. Without one "
        "they are reached from their own machine alone.",
    )

    @field_validator("path", "profile")
    @classmethod
    def _usable_path(cls, value: Path | None) -> Path | None:
        if value is not None:
            if "\0" in str(value):
                raise ValueError("a path holds no NUL character")
            if str(value).startswith("~"):
                try:
                    value.expanduser()
                except RuntimeError as error:
                    raise ValueError(str(error)) from error
        return value

    @field_validator("content", "drain", "mode", mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        # YAML reads `off` as false; the words of variables count in any case.
        if isinstance(value, bool):
            return "on" if value else "off"
        return value.strip().lower() if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings)


def load(arguments: Mapping[str, Any] | None = None) -> tuple[Settings, list[str]]:
    """The settings in force, and a line for each one that could not be used.

    Never raises: an application must run on with a setting misspelt.
    """
    given = {k: v for k, v in (arguments or {}).items() if v is not None}
    problems = _unknown(given)
    given = {k: v for k, v in given.items() if k in Settings.model_fields}
    toml = _from_toml(given, problems)
    environment = {name for name in Settings.model_fields if os.environ.get(PREFIX + name.upper())}
    # An empty variable means that it is not set (OpenTelemetry's environment variable rules).
    empty = {
        name: Settings.model_fields[name].get_default()
        for name in Settings.model_fields
        if os.environ.get(PREFIX + name.upper()) == "" and name not in given and name not in toml
    }
    values: dict[str, Any] = {
        **empty,
        **{k: v for k, v in toml.items() if k not in environment},
        **given,
    }
    for _ in Settings.model_fields:
        try:
            return Settings(**values), problems
        except ValidationError as error:
            for issue in error.errors():
                name = str(issue["loc"][0]) if issue["loc"] else ""
                problems.append(
                    f"the setting {name}={issue.get('input')!r} is not usable: {issue['msg']}; "
                    f"its default {Settings.model_fields[name].get_default()!r} stands"
                )
                values[name] = Settings.model_fields[name].get_default()
    return Settings(**values), problems


def _unknown(given: Mapping[str, Any]) -> list[str]:
    known = ", ".join(sorted(Settings.model_fields))
    problems = [
        f"the setting {name!r} is unknown (known: {known})"
        for name in given
        if name not in Settings.model_fields
    ]
    variables = {PREFIX + name.upper() for name in Settings.model_fields}
    problems += [
        f"the variable {name} is unknown (known: {', '.join(sorted(variables))})"
        for name in sorted(os.environ)
        if name.startswith(PREFIX) and name not in variables
    ]
    return problems


def _from_toml(given: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """The [settings] table of the profile file, if there is one."""
    file = given.get("profile") or os.environ.get(PREFIX + "PROFILE")
    if not file:
        return {}
    try:
        table = tomllib.loads(Path(str(file)).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):
        # No file, no TOML, no path, no such user's home: the mapping reads the same file and says
        # what is wrong with it, where the setting's own check has not done so.
        return {}
    found = table.get("settings", {})
    if not isinstance(found, dict):
        return {}
    problems += [
        f"the setting {name!r} in {file} is unknown"
        for name in found
        if name not in Settings.model_fields or name == "profile"
    ]
    return {k: v for k, v in found.items() if k in Settings.model_fields and k != "profile"}
