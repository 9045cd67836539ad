"""Profiles: which attribute key of which producer means which fact. Data, not code.

A profile is a TOML file. Those in `profiles/` are built in; a user's own lies over them. Every
key of a span is matched against the aliases once per tuple of keys (see `observe`), so the
number of aliases costs nothing per span.

An alias is an exact key, or, in a profile with `normalised = true`, a pattern over the key
written as lower-case words joined by dots: `acmeTask_Id` is `acme.task.id`, and `*.task.id`
matches it. `metadata.x` and its relatives, where applications put their own keys, read `ctx.x`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Final, cast, get_args

from otel_learning.errors import ConfigurationError
from otel_learning.observation import FACTS, Role

REVISION: Final = 1
"""Raised with every change of the mapping's meaning; the higher revision's observation stands."""

BUILT_IN: Final = (
    "learning", "litellm", "gen_ai", "openinference", "traceloop", "pydantic_ai", "langfuse",
    "mlflow", "openai_agents", "strands", "google_adk", "agent_framework", "crewai", "langgraph",
    "smolagents", "llamaindex", "orb", "plain",
)  # fmt: skip
"""Built-in profiles, the most specific first: where two name a fact, the earlier one is read."""

_TABLES: Final = {
    "name", "about", "revision", "recorded", "normalised", "scopes", "fields", "details", "roles",
    "names", "containers", "events", "resource", "metadata", "ignore", "leaves", "tiers", "joins",
    "scope", "settings", "context", "untimed", "requires", "hides", "roots",
}  # fmt: skip
_ROLES: Final = frozenset(get_args(Role))


@dataclass(frozen=True)
class Profile:
    """One profile, read and checked."""

    name: str
    about: str = ""
    recorded: bool = False
    """True where a fixture recorded from the real package stands behind it."""
    normalised: bool = False
    scopes: tuple[str, ...] = ()
    """Instrumentation scopes (patterns) whose spans are named after this profile."""
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Facts that make a span relevant, with the keys that hold them."""
    details: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Facts that count only on a span that is relevant for another reason."""
    roles: Mapping[str, Mapping[str, Role]] = field(default_factory=dict)
    """Key -> value -> role."""
    names: Mapping[str, Role] = field(default_factory=dict)
    """Span name (pattern) -> role."""
    containers: Mapping[str, str] = field(default_factory=dict)
    """Keys whose value holds further keys; the value names the one inner key looked at."""
    events: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    """Span event or log event name -> fact -> keys."""
    resource: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    metadata: tuple[str, ...] = ()
    """Keys copied to the `metadata` column."""
    ignore: tuple[str, ...] = ()
    """Key patterns that a normalised profile never reads."""
    leaves: tuple[str, ...] = ()
    """Keys that only spans carry which nothing of interest can stand below."""
    tiers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Tier -> model name patterns; read where no tier was stated."""
    joins: tuple[str, ...] = ()
    """Keys whose equal values tie traces without a task id into one execution."""
    scope: tuple[str, ...] = ()
    """Further keys within which a task id is unique."""
    context: tuple[str, ...] = ()
    """Prefixes under which applications put keys of their own."""
    requires: tuple[str, ...] = ()
    """Keys (aliases) of which a span must have one for the profile to be read at all."""
    hides: tuple[str, ...] = ()
    """Keys of spans of this profile's scopes that mean something internal to the framework."""
    roots: tuple[str, ...] = ()
    """Keys that are true on a span which is topmost although it names a parent."""
    untimed: tuple[str, ...] = ()
    """Names (patterns) of spans that do not last as long as what they stand for."""
    settings: Mapping[str, Any] = field(default_factory=dict)


def load(path: str | Path | None = None) -> tuple[Profile, ...]:
    """All profiles in reading order: the user's, if `path` is given, then the built-in ones.

    Raises:
        ConfigurationError: the file cannot be read or says something unknown; it is named.
    """
    built_in = _built_in()
    if path is None:
        return built_in
    file = Path(path).expanduser()
    try:
        content = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the profile {path} cannot be read: {error}") from error
    return (parse(content, file.stem, str(path)), *built_in)


@lru_cache(maxsize=1)
def _built_in() -> tuple[Profile, ...]:
    folder = resources.files("otel_learning.mapping") / "profiles"
    return tuple(
        parse((folder / f"{name}.toml").read_text(encoding="utf-8"), name, f"{name}.toml")
        for name in BUILT_IN
    )


def parse(content: str, default_name: str, origin: str) -> Profile:
    """A profile from TOML. `origin` is named in errors."""
    try:
        table = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"the profile {origin} is not valid TOML: {error}") from error
    _refuse_unknown(table, _TABLES, "table", origin)
    roles = {key: _role_map(key, values, origin) for key, values in _table(table, "roles", origin)}
    return Profile(
        name=str(table.get("name", default_name)),
        about=str(table.get("about", "")),
        recorded=bool(table.get("recorded", False)),
        normalised=bool(table.get("normalised", False)),
        scopes=_strings(table.get("scopes", []), "scopes", origin),
        fields=_facts(table.get("fields", {}), "fields", origin),
        details=_facts(table.get("details", {}), "details", origin),
        roles=roles,
        names=_role_map("names", table.get("names", {}), origin),
        containers={str(k): str(v) for k, v in _table(table, "containers", origin)},
        events={
            str(name): _facts(facts, f"events.{name}", origin)
            for name, facts in _table(table, "events", origin)
        },
        resource=_facts(table.get("resource", {}), "resource", origin),
        metadata=_strings(table.get("metadata", []), "metadata", origin),
        ignore=_strings(table.get("ignore", []), "ignore", origin),
        leaves=_strings(table.get("leaves", []), "leaves", origin),
        tiers={
            str(tier): _strings(patterns, f"tiers.{tier}", origin)
            for tier, patterns in _table(table, "tiers", origin)
        },
        joins=_strings(table.get("joins", []), "joins", origin),
        scope=_strings(table.get("scope", []), "scope", origin),
        context=_strings(table.get("context", []), "context", origin),
        requires=_strings(table.get("requires", []), "requires", origin),
        hides=_strings(table.get("hides", []), "hides", origin),
        roots=_strings(table.get("roots", []), "roots", origin),
        untimed=_strings(table.get("untimed", []), "untimed", origin),
        settings=dict(_table(table, "settings", origin)),
    )


def _table(table: Mapping[str, Any], name: str, origin: str) -> Iterable[tuple[str, Any]]:
    found = table.get(name, {})
    if not isinstance(found, dict):
        raise ConfigurationError(f"the profile {origin}: [{name}] must be a table")
    return found.items()


def _strings(value: Any, name: str, origin: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigurationError(f"the profile {origin}: {name} must be a list of strings")
    return tuple(value)


def _facts(table: Any, name: str, origin: str) -> dict[str, tuple[str, ...]]:
    if not isinstance(table, dict):
        raise ConfigurationError(f"the profile {origin}: [{name}] must be a table")
    _refuse_unknown(table, set(FACTS), f"fact in [{name}]", origin)
    return {
        fact: tuple(
            key for alias in _strings(keys, f"{name}.{fact}", origin) for key in spell_out(alias)
        )
        for fact, keys in table.items()
    }


def _role_map(key: str, values: Any, origin: str) -> dict[str, Role]:
    if not isinstance(values, dict):
        raise ConfigurationError(f"the profile {origin}: [roles.{key}] must be a table")
    for value, role in values.items():
        if role not in _ROLES:
            raise ConfigurationError(
                f"the profile {origin}: role {role!r} of {key} = {value!r} is unknown",
                f"one of {', '.join(sorted(_ROLES))}",
            )
    return {str(value).lower(): cast(Role, role) for value, role in values.items()}


def _refuse_unknown(table: Mapping[str, Any], known: set[str], what: str, origin: str) -> None:
    for name in table:
        if name not in known:
            raise ConfigurationError(
                f"the profile {origin}: unknown {what} {name!r}",
                f"one of {', '.join(sorted(known))}",
            )


def spell_out(alias: str) -> list[str]:
    """`{task,job}.id` is `task.id` and `job.id`."""
    opened = alias.find("{")
    closed = alias.find("}", opened)
    if opened < 0 or closed < 0:
        return [alias]
    return [
        rest
        for choice in alias[opened + 1 : closed].split(",")
        for rest in spell_out(alias[:opened] + choice + alias[closed + 1 :])
    ]


_WORDS: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z]+|\*")


@lru_cache(maxsize=8192)
def normalise(key: str, context: tuple[str, ...] = ()) -> str:
    """A key as lower-case words joined by dots; a context prefix becomes `ctx`."""
    for prefix in context:
        if key.startswith(prefix):
            key = "ctx." + key[len(prefix) :]
            break
    return ".".join(word.lower() for word in _WORDS.findall(key))


def matches(name: str, pattern: str) -> bool:
    """Whether a name fits a pattern; `*` stands for any run of characters, `?` for one."""
    if pattern[:1] == "*" and "*" not in pattern[1:] and "?" not in pattern:
        return name.endswith(pattern[1:])  # nearly all of them, and fifty times as fast
    return fnmatchcase(name, pattern) if "*" in pattern or "?" in pattern else name == pattern


def key_matches(key: str, pattern: str) -> bool:
    """Whether an attribute key fits an alias; `*` stands for one part between dots."""
    if "*" not in pattern:
        return key == pattern
    parts, wanted = key.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(
        want in ("*", part) for part, want in zip(parts, wanted, strict=True)
    )
