"""What to read from a span, decided once per instrumentation scope and tuple of attribute keys.

Pure. Profiles hold hundreds of aliases; a plan holds the handful that concern one kind of span.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from otel_learning.mapping import values
from otel_learning.mapping.profile import Profile, key_matches, matches, normalise
from otel_learning.observation import Role

PLANS_LIMIT: Final = 8192
"""Plans kept; a producer that puts counters into keys must not fill the memory."""
KEYS_LIMIT: Final = 1024
"""Attribute keys of one span that are looked at."""

DEFINING: Final = ("task_type", "task_description", "success")
"""Facts that make a span the task's own, where they stand on it directly."""
MASKED: Final = frozenset(
    ("task_description", "prompt", "error_message", "feedback_comment", "solution_summary", "repo",
     "task_type", "feedback_source")
)  # fmt: skip
"""Texts that people or providers wrote. Ids and names are not masked: two must stay two."""

_ROUTER_NAME: Final = re.compile(
    r"(?:^|[^a-z])(?:rout(?:e|er|ing)|triage|(?:model|tier)[ _.-]?select(?:or|ion)|"
    r"select[ _.-]?(?:model|tier)|classify[ _.-]?(?:task|complexity|request|intent|tier)|"
    r"(?:task|complexity|request|intent|tier)[ _.-]?classif(?:ier|ication))(?:[^a-z]|$)"
)


class Candidate(NamedTuple):
    """A key that may hold a fact, and how it is read."""

    key: str
    convert: values.Convert
    profile: str
    strong: bool
    defining: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What to read from spans of one scope with one tuple of keys."""

    single: tuple[tuple[str, str, values.Convert], ...]
    """Fact, the one key that may hold it, how to read it."""
    several: tuple[tuple[str, tuple[Candidate, ...]], ...]
    """Facts that more than one key may hold, the best first."""
    strong: frozenset[str]
    """Facts of `single` that make the span relevant."""
    defining: frozenset[str]
    """Facts of `single` that say on the span itself what the task is, or how it ended."""
    masked: tuple[str, ...]
    """Facts that these keys may give and that may hold a secret."""
    roles: tuple[tuple[str, Mapping[str, Role]], ...]
    containers: tuple[tuple[str, str], ...]
    metadata: tuple[str, ...]
    roots: tuple[str, ...]
    """Keys that say that the span is topmost whatever its parent."""
    leaf: bool
    profile: str | None
    blank: bool
    """True where no fact, role or container can come from these keys."""


class Traits(NamedTuple):
    """What a span's name alone says."""

    role: Role | None
    router: bool
    feedback: bool
    untimed: bool


class Planner:
    """Makes and keeps plans for a fixed list of profiles, the first to be believed first."""

    def __init__(self, profiles: Sequence[Profile]) -> None:
        self._profiles = tuple(profiles)
        self._plans: dict[str, dict[tuple[str, ...], Plan]] = {}
        self._planned = 0
        self._roles = [(key, roles) for p in profiles for key, roles in p.roles.items()]
        self._names = [(pattern, role) for p in profiles for pattern, role in p.names.items()]
        self._untimed = tuple(name for p in profiles for name in p.untimed)
        self._containers = {
            key: inner for p in reversed(self._profiles) for key, inner in p.containers.items()
        }
        self._context = tuple(prefix for p in profiles for prefix in p.context)
        self._ignore = tuple(pattern for p in profiles for pattern in p.ignore)
        self._leaves = frozenset(key for p in profiles for key in p.leaves)
        self._roots = frozenset(key for p in profiles for key in p.roots)
        self._metadata = tuple(key for p in profiles for key in p.metadata)
        self._joins = tuple(key for p in profiles for key in p.joins)
        self._tiers = [
            (pattern, tier)
            for p in profiles
            for tier, patterns in p.tiers.items()
            for pattern in patterns
        ]
        self.traits = lru_cache(maxsize=4096)(self._read_name)
        self.tier_of = lru_cache(maxsize=1024)(self._tier_of)
        self.event = lru_cache(maxsize=1024)(self._find_event)

    def plan(self, scope: str, given: Mapping[str, object]) -> Plan:
        """The plan for these keys, made on first sight."""
        plans = self._plans.get(scope)
        if plans is None:
            plans = self._plans[scope] = {}
        keys = tuple(given)
        plan = plans.get(keys)
        if plan is None:
            if self._planned >= PLANS_LIMIT:
                self._plans = {scope: (plans := {})}
                self._planned = 0
            plan = plans[keys] = self._make(scope, keys)
            self._planned += 1
        return plan

    def candidates(self, scope: str, all_keys: Sequence[str]) -> dict[str, list[Candidate]]:
        """Fact -> the keys that may hold it, the best first."""
        hidden = self._hidden(scope)
        keys = [key for key in _readable(all_keys) if key not in hidden]
        present = set(keys)
        normal = {key: normalise(key, self._context) for key in keys}
        open_keys = [k for k in keys if not any(matches(normal[k], p) for p in self._ignore)]
        found: dict[str, list[Candidate]] = {}
        for profile in self._profiles:
            if profile.requires and not any(
                key_matches(key, alias) for alias in profile.requires for key in keys
            ):
                continue
            claimed: dict[str, str] = {}
            for fact, alias, strong in _aliases(profile):
                if profile.normalised:
                    # By convention a key holds one fact: an estimated cost is no cost.
                    hits = [
                        key
                        for key in open_keys
                        if matches(normal[key], alias)
                        and (claimed.setdefault(key, fact) == fact or fact == "error_message")
                    ]
                elif "*" in alias:
                    hits = [key for key in keys if key_matches(key, alias)]
                else:
                    hits = [alias] if alias in present else []
                known = found.setdefault(fact, []) if hits else []
                for key in hits:
                    if all(candidate.key != key for candidate in known):
                        defining = fact in DEFINING and not normal[key].startswith("ctx.")
                        convert = values.conversion(fact, key)
                        known.append(Candidate(key, convert, profile.name, strong, defining))
        for join in self._joins:
            if join in present:
                candidate = Candidate(join, values.text, "joins", False, False)
                found.setdefault("join_key", []).append(candidate)
        return found

    def _make(self, scope: str, all_keys: tuple[str, ...]) -> Plan:
        found = self.candidates(scope, all_keys)
        alone = {fact: c[0] for fact, c in found.items() if len(c) == 1}
        present = _readable(all_keys)
        roles = tuple((key, roles) for key, roles in self._roles if key in present)
        containers = tuple(
            (key, inner) for key in present if (inner := self._container(key)) is not None
        )
        return Plan(
            single=tuple((fact, c.key, c.convert) for fact, c in alone.items()),
            several=tuple((fact, tuple(c)) for fact, c in found.items() if len(c) > 1),
            strong=frozenset(fact for fact, c in alone.items() if c.strong),
            defining=frozenset(fact for fact, c in alone.items() if c.defining),
            masked=tuple(fact for fact in found if fact in MASKED),
            roles=roles,
            containers=containers,
            metadata=tuple(key for key in self._metadata if key in present),
            roots=tuple(key for key in present if key in self._roots),
            leaf=not self._leaves.isdisjoint(present),
            profile=self._named_after(scope, found),
            blank=not found and not roles and not containers,
        )

    def _named_after(self, scope: str, found: dict[str, list[Candidate]]) -> str | None:
        """The profile that names the scope most closely, else the one most keys were read by."""
        named = [(p.name, s) for p in self._profiles for s in p.scopes if matches(scope, s)]
        if named:
            return max(named, key=lambda entry: len(entry[1]))[0]
        used = [candidate.profile for several in found.values() for candidate in several]
        order = {profile.name: position for position, profile in enumerate(self._profiles)}
        return min(used, key=lambda n: (-used.count(n), order.get(n, 99))) if used else None

    def _hidden(self, scope: str) -> set[str]:
        return {
            key
            for profile in self._profiles
            if profile.hides and any(matches(scope, name) for name in profile.scopes)
            for key in profile.hides
        }

    def _container(self, key: str) -> str | None:
        exact = self._containers.get(key)
        if exact is not None:
            return exact
        patterns = ((p, inner) for p, inner in self._containers.items() if "*" in p)
        return next((inner for pattern, inner in patterns if key_matches(key, pattern)), None)

    def _read_name(self, name: str) -> Traits:
        return Traits(
            role=next((role for pattern, role in self._names if matches(name, pattern)), None),
            router=is_router_name(name),
            feedback="feedback" in name.lower(),
            untimed=any(matches(name, pattern) for pattern in self._untimed),
        )

    def _tier_of(self, model: str) -> str | None:
        """The tier that the table gives a model, None where it lists none."""
        bare = model.lower().rsplit("/", 1)[-1]
        return next((tier for pattern, tier in self._tiers if matches(bare, pattern)), None)

    def _find_event(self, name: str) -> tuple[Profile, Mapping[str, tuple[str, ...]]] | None:
        """The first profile that lists an event of this name, and what it reads from it."""
        if len(name) > 200:
            return None
        normal = normalise(name)
        for profile in self._profiles:
            for pattern, mapping in profile.events.items():
                if matches(normal if profile.normalised else name, pattern):
                    return profile, mapping
        return None


def _readable(all_keys: Sequence[str]) -> list[str]:
    return [key for key in all_keys if isinstance(key, str) and len(key) < 256][:KEYS_LIMIT]


def _aliases(profile: Profile) -> list[tuple[str, str, bool]]:
    """Fact, alias, and whether it makes a span relevant."""
    return [
        (fact, alias, strong)
        for table, strong in ((profile.fields, True), (profile.details, False))
        for fact, aliases in table.items()
        for alias in aliases
    ]


@lru_cache(maxsize=4096)
def is_router_name(name: str) -> bool:
    """Whether a span's or an agent's name says that it decides where work goes."""
    return bool(_ROUTER_NAME.search(name.lower()))
