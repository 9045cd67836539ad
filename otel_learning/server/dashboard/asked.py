"""What a page is asked for, out of its address: every filter is read, checked and written here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from otel_learning.errors import InputError
from otel_learning.store.dashboard_rows import Chosen, Extent, Scope

PERIODS: Final = {"7d": 7, "30d": 30, "90d": 90, "365d": 365, "all": None}
"""Word in the address -> days up to that of the newest execution."""
PERIOD: Final = "30d"
ARMS: Final = {
    "model_tier": "tier", "requested_model": "model", "pool_type": "pool",
    "swarm_topology": "topology",
}  # fmt: skip
"""What arms can be told apart by, and its word."""
OUTCOMES: Final = ("success", "failure", "unknown")
ALL: Final = "~all"
NONE: Final = "~none"
"""Stand for every value, and for executions that have none."""
LENGTH_MOST: Final = 500
COST_WEIGHT: Final = 0.05


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for; "" and None are not given."""

    environment: str = ""
    repo: str = ""
    task_type: str = ""
    period: str = PERIOD
    since: date | None = None
    until: date | None = None
    """The first and the last day looked at; they stand before the period."""
    by: str = "model_tier"
    cost_weight: float = COST_WEIGHT
    model_tier: str = ""
    error_type: str = ""
    outcome: str = ""
    task_id: str = ""
    after: str = ""

    def query(self, **changes: Any) -> str:
        """The address's question for the same, with some of it changed; "" where all is default."""
        wanted = replace(self, **changes)
        given = {
            one.name: getattr(wanted, one.name)
            for one in fields(wanted)
            if getattr(wanted, one.name) != one.default
        }
        return f"?{urlencode(given)}" if given else ""

    @property
    def narrowed(self) -> bool:
        """Whether anything was asked for that is not the default."""
        return bool(self.query(after=""))


AGGREGATE: Final = ("environment", "repo", "task_type", "period", "since", "until")
"""What every page of sums can be asked for."""
CONTEXT: Final = ("environment", "repo", "task_type")


def parse(given: Iterable[tuple[str, str]], allowed: Iterable[str]) -> Asked:
    """What an address asks for; an empty value is not given.

    Args:
        given: names and values.
        allowed: the names that the page takes.

    Raises:
        InputError: a name is unknown or stands twice, or a value is not what it takes.
    """
    names = tuple(allowed)
    values: dict[str, Any] = {}
    for name, value in given:
        if name not in names:
            takes = ", ".join(names)
            raise InputError(
                f"this page has no filter {_short(name)!r}",
                f"it takes {takes}" if names else "it takes none",
            )
        if name in values:
            raise InputError(f"{name} is given twice", "leave one of them out")
        if not value.strip():
            continue
        if len(value) > LENGTH_MOST:
            raise InputError(
                f"{name}={_short(value)!r} is {len(value)} characters long",
                f"at most {LENGTH_MOST}",
            )
        values[name] = _READERS.get(name, _text)(name, value.strip())
    found = Asked(**values)
    if found.since is not None and found.until is not None and found.since > found.until:
        raise InputError(
            f"since={found.since} is later than until={found.until}", "exchange the two days"
        )
    return found


def environment_of(asked: Asked, extent: Extent) -> Chosen:
    """The environment that is looked at: where none is asked for, that of most executions (R8)."""
    if asked.environment:
        return _chosen(asked.environment)
    known = extent.choices["environment"]
    return (known[0][0],) if known else None


def scope_of(asked: Asked, extent: Extent) -> Scope:
    """The executions that are looked at.

    A period ends with the day of the newest execution, so that the same rows give the same page.
    """
    since, until = asked.since, asked.until
    days = PERIODS[asked.period]
    if since is None and until is None and days is not None and extent.newest is not None:
        until = extent.newest.astimezone(UTC).date()
        since = until - timedelta(days=days - 1)
    return Scope(
        environment_of(asked, extent),
        _chosen(asked.repo),
        _chosen(asked.task_type),
        None if since is None else _midnight(since),
        None if until is None else _midnight(until + timedelta(days=1)),
    )


def period_before(scope: Scope) -> Scope | None:
    """The period of the same length before; None where the scope has no two ends."""
    if scope.since is None or scope.until is None:
        return None
    length = scope.until - scope.since
    try:
        return scope._replace(since=scope.since - length, until=scope.since)
    except OverflowError:
        return None


def period_words(scope: Scope) -> str:
    """The period as people say it: `30 days to 24 August 2026`."""
    if scope.since is None and scope.until is None:
        return "all time"
    if scope.until is None:
        assert scope.since is not None
        return f"since {scope.since:%-d %B %Y}"
    last = scope.until - timedelta(days=1)
    if scope.since is None:
        return f"up to {last:%-d %B %Y}"
    days = (scope.until - scope.since).days
    return f"{last:%-d %B %Y}" if days == 1 else f"{days} days to {last:%-d %B %Y}"


def _chosen(said: str) -> Chosen:
    if said in ("", ALL):
        return None
    return (None,) if said == NONE else (said,)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


# --------------------------------------------------------------------------------- values


def _text(name: str, value: str) -> str:
    if "\0" in value:
        raise InputError(f"{name}={value!r} holds a NUL character", "no name does")
    return value


def _one_of(words: Iterable[str]) -> Callable[[str, str], str]:
    known = tuple(words)

    def read(name: str, value: str) -> str:
        if value not in known:
            raise InputError(f"{name}={_short(value)!r} is unknown", f"one of {', '.join(known)}")
        return value

    return read


def _day(name: str, value: str) -> date:
    try:
        found = date.fromisoformat(value)
    except ValueError:
        found = date.min
    if not 1970 <= found.year <= 2100:
        raise InputError(f"{name}={_short(value)!r} is no day", "for example 2026-11-01")
    return found


def _weight(name: str, value: str) -> float:
    try:
        found = float(value)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 10:
        raise InputError(
            f"{name}={_short(value)!r} is no cost weight", "a number from 0 to 10, as 0.05"
        )
    return found


def _error_type(name: str, value: str) -> str:
    from otel_learning.records import ErrorType

    return _one_of(str(family) for family in ErrorType)(name, value)


def _short(value: str) -> str:
    return value if len(value) <= 80 else f"{value[:80]}..."


_READERS: Final[Mapping[str, Callable[[str, str], Any]]] = {
    "period": _one_of(PERIODS),
    "since": _day,
    "until": _day,
    "by": _one_of(ARMS),
    "cost_weight": _weight,
    "error_type": _error_type,
    "outcome": _one_of(OUTCOMES),
}
