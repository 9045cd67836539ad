"""Chooses as the policy file says: for a router's hot path, with nothing but the standard library.

The file is `<store>.policy.json`, put in place by `otel-learning policy apply` and read again
whenever it has changed. Whatever is wrong with it, a choice is made: the router's own default.
Two switches turn it off at once: the variable OTEL_LEARNING_POLICY=off, and a file beside it,
`<store>.policy.off`.
"""

from __future__ import annotations

import json
import math
import os
import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from otel_learning import attributes

FORMAT: Final = 1
"""The version of the file's form; a reader leaves a file of another one alone."""
SUFFIX: Final = ".policy.json"
OFF_SUFFIX: Final = ".policy.off"
OFF_VARIABLE: Final = "OTEL_LEARNING_POLICY"
"""`off` in this variable turns every policy of the process off."""
_OFF_WORDS: Final = frozenset({"off", "0", "false", "no"})
_BYTES_MOST: Final = 4 * 1024 * 1024
"""A larger file is no policy."""
_SUM_OFF: Final = 1e-6
"""How far the probabilities of a rule may be from 1 in sum."""
_ROUTE: Final = {
    "model_tier": attributes.ROUTE_MODEL_TIER,
    "requested_model": attributes.ROUTE_MODEL,
    "pool_type": attributes.ROUTE_POOL_TYPE,
    "swarm_topology": attributes.ROUTE_SWARM_TOPOLOGY,
    "selector": attributes.ROUTE_SELECTOR,
}
"""Columns that a decision may be about -> the attribute that says what was chosen."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What to do with one task."""

    arm: str | None
    """What was drawn, or the default where the policy has nothing to say."""
    reason: str
    """`policy`; else why not: `off`, `missing`, `unreadable`, `expired`, `no-rule`, `no-arm`."""
    propensity: float | None = None
    """With which probability the arm was drawn; None where it was not drawn."""
    decision: str | None = None
    """What was decided: the columns that an arm is a value of."""
    policy_version: str | None = None

    def attributes(self) -> dict[str, str | float]:
        """What belongs on the task's span, so that the store learns from this choice.

        `learning.route.propensity` and its kind, and the arm itself where it was drawn; {} where
        the router fell back to its default, since it alone knows how that was chosen.
        """
        if self.propensity is None or self.decision is None or self.arm is None:
            return {}
        found: dict[str, str | float] = {
            attributes.ROUTE_PROPENSITY: self.propensity,
            attributes.ROUTE_PROPENSITY_OF: self.decision,
        }
        if self.policy_version is not None:
            found[attributes.ROUTE_POLICY_VERSION] = self.policy_version
        columns, values = self.decision.split("/"), self.arm.split("/")
        if len(columns) == len(values):
            for column, value in zip(columns, values, strict=True):
                if column in _ROUTE:
                    found[_ROUTE[column]] = value
        return found


@dataclass(frozen=True, slots=True)
class _When:
    """The contexts that a rule is for."""

    equal: tuple[tuple[str, str | None], ...]
    within: tuple[tuple[str, float, float], ...]
    """(name, lowest, first above)"""

    def fits(self, context: Mapping[str, Any]) -> bool:
        for name, value in self.equal:
            have = context.get(name)
            if (None if have is None else str(have)) != value:
                return False
        for name, low, high in self.within:
            number = context.get(name)
            if isinstance(number, bool) or not isinstance(number, int | float):
                return False
            if not low <= number < high:
                return False
        return True


@dataclass(frozen=True, slots=True)
class _Rule:
    when: _When
    arms: tuple[str, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Policy:
    version: str
    decision: str
    default: str | None
    expires_at: float
    """Seconds since 1970; infinite where it does not expire."""
    rules: tuple[_Rule, ...]


class PolicyReader:
    """Reads a policy file and draws from it. Safe in threads and after a fork; never raises.

    A call costs some microseconds: it asks the file system whether the file has changed, and
    reads it only then. A file that cannot be understood turns the policy off until it is mended.

    Args:
        path: the store (`learning.duckdb`) or its policy file (`learning.duckdb.policy.json`).
        default: the choice where the policy has nothing to say; else the policy's own default.
        draw: gives numbers in [0, 1).
        clock: gives seconds since 1970, for a router that lives in a time of its own.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = "learning.duckdb",
        *,
        default: str | None = None,
        draw: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        store = os.fspath(path)
        store = store.removesuffix(SUFFIX)
        self.path = os.path.expanduser(store) + SUFFIX
        self.off_path = os.path.expanduser(store) + OFF_SUFFIX
        self._default = default
        self._draw = draw
        self._clock = clock
        self._seen: tuple[tuple[int, int, int] | None, _Policy | str] = (None, "missing")

    def choose(
        self,
        context: Mapping[str, Any] | None = None,
        *,
        default: str | None = None,
        candidates: Collection[str] | None = None,
    ) -> Choice:
        """Draws an arm for a task.

        Args:
            context: what is known of the task: `task_type`, `repo`, `complexity_score`.
            default: the choice where the policy has nothing to say, for this call.
            candidates: the arms that can be had now; the others' share goes to these.
        """
        try:
            return self._choose(context or {}, default, candidates)
        except Exception:  # a guest in a router's hot path: whatever it was given, it goes on
            return Choice(default if default is not None else self._default, "unreadable")

    def _choose(
        self, context: Mapping[str, Any], default: str | None, candidates: Collection[str] | None
    ) -> Choice:
        default = default if default is not None else self._default
        if self.off():
            return Choice(default, "off")
        policy = self._policy()
        if isinstance(policy, str):
            return Choice(default, policy)
        default = default if default is not None else policy.default
        if self._clock() >= policy.expires_at:
            return Choice(default, "expired")
        for rule in policy.rules:
            if rule.when.fits(context):
                return self._drawn(policy, rule, default, candidates)
        return Choice(default, "no-rule")

    def _drawn(
        self, policy: _Policy, rule: _Rule, default: str | None, candidates: Collection[str] | None
    ) -> Choice:
        open_to = [
            (arm, share)
            for arm, share in zip(rule.arms, rule.shares, strict=True)
            if share > 0 and (candidates is None or arm in candidates)
        ]
        total = math.fsum(share for _, share in open_to)
        if total <= 0:
            return Choice(default, "no-arm")
        left = self._draw() * total
        arm, share = open_to[-1]
        for candidate in open_to:
            left -= candidate[1]
            if left < 0:
                arm, share = candidate
                break
        return Choice(arm, "policy", share / total, policy.decision, policy.version)

    def off(self) -> bool:
        """Whether one of the two switches is thrown."""
        if os.environ.get(OFF_VARIABLE, "").strip().lower() in _OFF_WORDS:
            return True
        try:
            os.stat(self.off_path)
        except OSError:
            return False
        return True

    def _policy(self) -> _Policy | str:
        try:
            found = os.stat(self.path)
        except OSError:
            return "missing"
        signature = (found.st_mtime_ns, found.st_size, found.st_ino)
        seen, policy = self._seen
        if seen != signature:
            policy = _read(self.path)
            # One assignment: another thread sees the old pair or the new one.
            self._seen = (signature, policy)
        return policy


def _read(path: str) -> _Policy | str:
    try:
        with open(path, "rb") as file:
            body = file.read(_BYTES_MOST + 1)
        if len(body) > _BYTES_MOST:
            return "unreadable"
        return parsed(json.loads(body))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "unreadable"


def parsed(document: Mapping[str, Any]) -> _Policy:
    """What a reader takes from a policy file. Raises ValueError, KeyError or TypeError."""
    if document["format"] != FORMAT:
        raise ValueError(f"format {document['format']!r} is not {FORMAT}")
    rules = tuple(_rule(entry) for entry in document["rules"])
    expires = document.get("expires_at")
    default = document.get("default")
    return _Policy(
        str(document["policy_version"]),
        str(document["decision"]),
        None if default is None else str(default),
        math.inf if expires is None else datetime.fromisoformat(expires).timestamp(),
        rules,
    )


def matching(
    entries: Iterable[Mapping[str, Any]], context: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """The first entry whose `when` fits a context, as a reader finds it; None if none does."""
    return next((entry for entry in entries if _when(entry).fits(context)), None)


def _rule(entry: Mapping[str, Any]) -> _Rule:
    shares = {str(arm): float(share) for arm, share in entry["propensities"].items()}
    if not all(0 <= share <= 1 for share in shares.values()):
        raise ValueError(f"probabilities {shares} are not all in 0..1")
    if abs(math.fsum(shares.values()) - 1) > _SUM_OFF:
        raise ValueError(f"probabilities {shares} do not sum to 1")
    return _Rule(_when(entry), tuple(shares), tuple(shares.values()))


def _when(entry: Mapping[str, Any]) -> _When:
    equal: list[tuple[str, str | None]] = []
    within: list[tuple[str, float, float]] = []
    for name, value in entry["when"].items():
        if isinstance(value, list):
            low, high = value
            within.append(
                (name, -math.inf if low is None else float(low),
                 math.inf if high is None else float(high))
            )  # fmt: skip
        else:
            equal.append((name, None if value is None else str(value)))
    return _When(tuple(equal), tuple(within))
