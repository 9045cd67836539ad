"""Filters of executions and places in their order, as SQL conditions with bound values."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypedDict
from uuid import UUID

from otel_learning.errors import InputError
from otel_learning.store.day_keys import day_key

if TYPE_CHECKING:
    from otel_learning.records import ErrorType

ROWS_DEFAULT: Final = 1000
"""Executions in one answer, unless the caller says otherwise."""
NEWEST_FIRST: Final = "started_at DESC NULLS LAST, execution_id"
"""The order of executions; `_behind` says the same as a condition."""

_HUGE: Final = 1e300
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_CURSOR: Final = re.compile(r"(-?\d{1,18})?\.([0-9a-f]{32})")


class Filters(TypedDict, total=False):
    """What executions can be asked for by. All that are given must fit; None is not given.

    `trace_id` fits any trace of the execution, with or without dashes. `success` is True, False,
    or "unknown" where no outcome is known. `min_cost` and `max_cost` are USD of `actual_cost`,
    both inclusive; an execution without a known cost fits neither. `since` (inclusive) and
    `until` (exclusive) compare `started_at`; a time without a zone is read as UTC.
    """

    task_id: str | None
    execution_id: UUID | str | None
    trace_id: str | None
    session_id: str | None
    user_hash: str | None
    environment: str | None
    service_name: str | None
    repo: str | None
    task_type: str | None
    model_tier: str | None
    model: str | None
    requested_model: str | None
    provider: str | None
    pool_type: str | None
    swarm_topology: str | None
    agent: str | None
    experiment: str | None
    variant: str | None
    error_type: ErrorType | str | None
    success: bool | Literal["unknown"] | None
    min_cost: float | None
    max_cost: float | None
    since: datetime | None
    until: datetime | None
    complete: bool | None
    settled: bool | None


class Condition(NamedTuple):
    """What follows WHERE, and the values of its question marks."""

    sql: str
    values: list[Any]
    few: bool = False
    """Whether an id leaves few rows, so that finding them is all the work."""
    key: int | None = None
    """The key by which `execution_keys` names the days of all that fits."""


def where(filters: Filters, after: str | None = None) -> Condition:
    """The condition that all filters make, behind the place `after` in the order NEWEST_FIRST.

    Raises:
        InputError: a filter is unknown, or a value is not what it takes.
    """
    parts: list[Condition] = []
    for name, value in filters.items():
        build = _BUILDERS.get(name)
        if build is None:
            raise InputError(f"there is no filter {name!r}", f"one of {', '.join(_BUILDERS)}")
        if value is not None:
            parts.append(build(name, value))
    _check_ends(filters)
    if after is not None:
        parts.append(_behind(after))
    return Condition(
        " AND ".join(part.sql for part in parts) or "TRUE",
        [value for part in parts for value in part.values],
        any(part.few for part in parts),
        next((part.key for part in parts if part.key is not None), None),
    )


def located(name: Literal["task_id", "trace_id"], value: str) -> Condition:
    """How the executions of one task or one trace are found: said here and nowhere else."""
    if name == "task_id":
        return Condition("task_id = ?", [value], few=True, key=day_key("task", value))
    trace = value.replace("-", "").lower()
    return Condition("list_contains(trace_ids, ?)", [trace], few=True, key=day_key("trace", trace))


def checked_limit(limit: int) -> int:
    """`limit` itself.

    Raises:
        InputError: it is not a whole number from 1.
    """
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise InputError(f"limit={limit!r} is not a positive number", "give 1 or more")
    return limit


def checked_id(execution_id: UUID | str) -> str:
    """An execution id as the store spells it.

    Raises:
        InputError: it is no UUID.
    """
    try:
        return str(UUID(str(execution_id)))
    except ValueError:
        raise InputError(
            f"execution_id={execution_id!r} is no UUID",
            "it is a record's execution_id; task_id and trace_id have filters of their own",
        ) from None


# ------------------------------------------------------------------------------- places


def cursor_at(started_at: datetime | None, execution_id: UUID) -> str:
    """A word for the place of an execution in the order NEWEST_FIRST."""
    stamp = "" if started_at is None else (started_at - _EPOCH) // _MICROSECOND
    said = f"{stamp}.{execution_id.hex}".encode()
    return base64.urlsafe_b64encode(said).decode().rstrip("=")


def _behind(cursor: str) -> Condition:
    """What comes after a place in the order NEWEST_FIRST."""
    started_at, execution_id = _place(cursor)
    later = "execution_id > CAST(? AS UUID)"
    if started_at is None:
        return Condition(f"started_at IS NULL AND {later}", [execution_id])
    return Condition(
        f"(started_at < ? OR started_at IS NULL OR (started_at = ? AND {later}))",
        [started_at, started_at, execution_id],
    )


def _place(cursor: str) -> tuple[datetime | None, str]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        found = _CURSOR.fullmatch(base64.urlsafe_b64decode(padded).decode())
        if found is not None:
            stamp, identity = found.groups()
            started_at = None if stamp is None else _EPOCH + int(stamp) * _MICROSECOND
            # Base64 has many spellings of one text; only ours is taken.
            if cursor_at(started_at, UUID(identity)) == cursor:
                return started_at, str(UUID(identity))
    except (TypeError, ValueError, OverflowError):
        pass
    raise InputError(
        f"after={cursor!r} is no place in a list", "give the `next` of the page before, unchanged"
    )


# ------------------------------------------------------------------------------- filters


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{name}={value!r} is no text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"{name}={value!r} is not valid Unicode") from None
    return str.__str__(value)  # the plain text of an enum's member


def _equal(name: str, value: Any) -> Condition:
    return Condition(f"{name} = ?", [_text(name, value)])


def _flag(name: str, value: Any) -> Condition:
    if not isinstance(value, bool):
        raise InputError(f"{name}={value!r} is neither True nor False")
    return Condition(f"{name} = ?", [value])


def _success(name: str, value: Any) -> Condition:
    if value == "unknown":
        return Condition("success IS NULL", [])
    if not isinstance(value, bool):
        raise InputError(f"{name}={value!r} is no outcome", "True, False or 'unknown'")
    return _flag(name, value)


def _error_type(name: str, value: Any) -> Condition:
    # Loads pydantic, which a program that only imports this need not pay for.
    from otel_learning.records import ErrorType

    known = [str(family) for family in ErrorType]
    if value not in known:
        raise InputError(f"{name}={value!r} is unknown", f"one of {', '.join(known)}")
    return _equal(name, value)


def _execution_id(_: str, value: Any) -> Condition:
    return Condition("execution_id = CAST(? AS UUID)", [checked_id(value)], few=True)


def _task_id(name: str, value: Any) -> Condition:
    return located("task_id", _text(name, value))


def _trace_id(name: str, value: Any) -> Condition:
    return located("trace_id", _text(name, value))


def _amount(sign: str) -> Callable[[str, Any], Condition]:
    def build(name: str, value: Any) -> Condition:
        if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < _HUGE:
            raise InputError(f"{name}={value!r} is no amount", "give it in USD, as a number")
        return Condition(f"actual_cost {sign} ?", [float(value)])

    return build


def _moment(sign: str) -> Callable[[str, Any], Condition]:
    def build(name: str, value: Any) -> Condition:
        return Condition(f"started_at {sign} ?", [_utc(name, value)])

    return build


def _utc(name: str, value: Any) -> datetime:
    if not isinstance(value, datetime):
        raise InputError(f"{name}={value!r} is no datetime", "for example datetime.now(UTC)")
    if value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise InputError(f"{name}={value!r} is out of the calendar") from None


def _check_ends(filters: Filters) -> None:
    """Refuses two ends that are exchanged; each of them is known to be good."""
    low, high = filters.get("min_cost"), filters.get("max_cost")
    if low is not None and high is not None and low > high:
        raise InputError(f"min_cost={low!r} is more than max_cost={high!r}", "exchange them")
    since, until = filters.get("since"), filters.get("until")
    if since is not None and until is not None and _utc("since", since) > _utc("until", until):
        raise InputError(f"since={since} is later than until={until}", "exchange them")


_PLAIN: Final = (
    "session_id", "user_hash", "environment", "service_name", "repo", "task_type", "model_tier",
    "model", "requested_model", "provider", "pool_type", "swarm_topology", "agent", "experiment",
    "variant",
)  # fmt: skip

_BUILDERS: Final[dict[str, Callable[[str, Any], Condition]]] = {
    "task_id": _task_id,
    "execution_id": _execution_id,
    "trace_id": _trace_id,
    **dict.fromkeys(_PLAIN, _equal),
    "error_type": _error_type,
    "success": _success,
    "min_cost": _amount(">="),
    "max_cost": _amount("<="),
    "since": _moment(">="),
    "until": _moment("<"),
    "complete": _flag,
    "settled": _flag,
}
