"""`recommend`: which arm suits a task, with the evidence beside it. For a router's hot path."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from otel_learning.errors import InputError
from otel_learning.learning.advice import Question, advise, nothing, weights_for
from otel_learning.learning.evidence import Environment, shape_of
from otel_learning.learning.memory import Memory, View
from otel_learning.learning.offpolicy import arm_values
from otel_learning.learning.recommendation import Recommendation
from otel_learning.store.evidence_rows import ARM_COLUMNS
from otel_learning.store.lake.address import is_lake
from otel_learning.store.reader import Reader

if TYPE_CHECKING:
    from otel_learning.store.async_database import AsyncLearningDatabase

_MEMORIES_MOST: Final = 16
"""Choices of arms, and moments, that are kept in memory for one store."""

_log: Final = logging.getLogger(__name__)

_Memories = OrderedDict[tuple[tuple[str, ...], datetime | None], Memory]
_of_readers: WeakKeyDictionary[Reader, _Memories] = WeakKeyDictionary()
_of_paths: dict[Path, _Memories] = {}
_registry = threading.Lock()


def _after_fork_in_child() -> None:
    # Another thread of the parent may have held it.
    global _registry
    _registry = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)


def recommend(
    db: Reader | AsyncLearningDatabase | str | Path,
    *,
    task_type: str | None = None,
    repo: str | None = None,
    description: str | None = None,
    environment: str | None = None,
    candidates: Sequence[str] | None = None,
    by: str | Sequence[str] = "model_tier",
    cost_weight: float = 0.05,
    min_success: float | None = None,
    max_cost: float | None = None,
    default: str | None = None,
    as_of: datetime | None = None,
) -> Recommendation:
    """Which arm to choose, from what the store's executions say.

    It maximises `success_rate - cost_weight * expected_cost / max(expected_cost)` over the
    candidates. A store that is missing, locked or unreadable gives the default, and a reason that
    says so; only an argument that cannot be understood is an error.

    The first call reads the store; later calls with the same `db` are answered from memory,
    which a thread renews. Keep one database, or give its path, where many calls are made.

    Args:
        db: a LearningDatabase, or the path of a store.
        task_type: the kind of task; None is all of them.
        repo: the repository; None is all of them.
        description: the task in words.
        environment: which environment's executions teach; None is the one with most of them.
        candidates: the arms to choose from; None is all that the environment has seen.
        by: the column that tells arms apart, or several ("model_tier/pool_type").
        cost_weight: the success that one would give up to save the dearest arm's whole cost.
        min_success: only arms whose success rate is at least this, 0..1.
        max_cost: only arms whose expected cost is at most this, USD.
        default: the choice where there is no evidence.
        as_of: only executions that had ended before; None is all.

    Raises:
        InputError: an argument is not what the call takes.
    """
    columns = arm_columns(by)
    question = Question(
        _text(task_type), _text(repo), _arms(candidates),
        _number("cost_weight", cost_weight), _limit("min_success", min_success),
        _limit("max_cost", max_cost), _text(default),
    )  # fmt: skip
    memory = _memory(db, columns, moment_utc(as_of))
    view = memory.view()
    if view is None:
        return nothing(question, question.candidates or (), [memory.failure or "store-unreadable"])
    try:
        answer = _answer(memory, view, question, _text(environment), _text(description))
    except Exception:
        # A fault of ours, or the interpreter ending: the router's task goes on all the same.
        _log.warning("no advice could be made; the default is answered", exc_info=True)
        return nothing(question, question.candidates or (), ["advice-failed"])
    return replace(answer, snapshot_age_seconds=view.age_seconds)


def evidence(
    db: Reader | AsyncLearningDatabase | str | Path,
    *,
    task_type: str | None = None,
    repo: str | None = None,
    environment: str | None = None,
    by: str | Sequence[str] = "model_tier",
    as_of: datetime | None = None,
) -> dict[str, Any]:
    """What is known of every arm in a context, as plain values: what `stats` prints.

    The same figures as `recommend`'s candidates, and the mean quality of each arm there.
    """
    columns, moment = arm_columns(by), moment_utc(as_of)
    answer = recommend(
        db, task_type=task_type, repo=repo, environment=environment, by=columns, as_of=moment
    )
    arms = [asdict(candidate) for candidate in answer.candidates]
    view = _memory(db, columns, moment).view()
    found = None
    if view is not None and view.environments:
        found = view.environments.get(
            view.main_environment() if environment is None else environment
        )
    for arm in arms:
        arm["mean_quality"] = None
        if found is not None:
            sums = found.sums((task_type, repo))[found.arms.index(arm["arm"])]
            if sums.quality_weight:
                arm["mean_quality"] = sums.quality_sum / sums.quality_weight
    return {
        "by": "/".join(columns),
        "environment": found.name if found is not None else environment,
        "task_type": task_type,
        "repo": repo,
        "basis": answer.basis,
        "half_life_days": view.half_life_days if view is not None else None,
        "reasons": answer.reasons,
        "arms": arms,
        "off_policy": _off_policy(found),
    }


def _off_policy(found: Environment | None) -> dict[str, Any]:
    """Success of choosing each arm always, over all contexts, where propensities were logged."""
    if found is None:
        return {}
    return {
        arm: {**asdict(worth), "overlap_doubtful": worth.overlap_doubtful}
        for arm, worth in arm_values(found).items()
    }


def _answer(
    memory: Memory, view: View, question: Question, environment: str | None,
    description: str | None,
) -> Recommendation:  # fmt: skip
    key = (question, environment, description)
    known = view.answers.get(key)
    if known is not None:
        return known
    reasons = []
    if environment is None and view.environments:
        environment = view.main_environment()
        reasons.append(f"environment={environment or 'unset'}")
    elif environment is not None and environment not in view.environments:
        reasons.append("environment-unseen")
    found = view.environments.get(environment)
    if view.half_life_days is not None:
        reasons.append(f"half-life-days={view.half_life_days:g}")
    similar = None
    if found is not None and description is not None:
        similar = memory.similar(view, found, weights_for(found, question))
        reasons.append(similar.reason if similar is not None else "description-unread")
    move = None if similar is None else partial(similar.moved, description=description or "")
    answer = advise(found, question, reasons, move)
    if found is not None:
        shape = shape_of(found.narrowed((question.task_type, question.repo)))
        memory.uses(environment, shape, "v")
        if answer.basis == "randomised":
            memory.uses(environment, shape, "w")
    view.remember(key, answer)
    return answer


def _memory(db: Any, columns: tuple[str, ...], as_of: datetime | None) -> Memory:
    with _registry:
        if isinstance(db, Reader):
            memories = _of_readers.setdefault(db, OrderedDict())
            store: Reader | Path = db.path if hasattr(db, "drain") else db
        else:
            path = getattr(db, "path", db)
            if not isinstance(path, str | Path):
                raise InputError(f"db={db!r} is no store", "a LearningDatabase, or a path")
            store = Path(path) if is_lake(path) else Path(path).expanduser().resolve()
            memories = _of_paths.setdefault(store, OrderedDict())
        key = (columns, as_of)
        memory = memories.get(key)
        if memory is None:
            memory = memories[key] = Memory(store, columns, as_of)
            if len(memories) > _MEMORIES_MOST:
                memories.popitem(last=False)
        else:
            memories.move_to_end(key)
        return memory


# ------------------------------------------------------------------------------ arguments


def arm_columns(by: str | Sequence[str]) -> tuple[str, ...]:
    """The columns that tell arms apart, out of `model_tier/pool_type` or a list of them.

    Raises InputError.
    """
    parts = by.replace(",", "/").split("/") if isinstance(by, str) else list(by)
    columns = tuple(part.strip() for part in parts)
    for column in columns:
        if column not in ARM_COLUMNS:
            raise InputError(f"by={column!r} is no column to choose by", ", ".join(ARM_COLUMNS))
    if not columns or len(set(columns)) < len(columns):
        raise InputError(f"by={by!r} names no columns, or one twice", 'for example "model_tier"')
    return columns


def _arms(candidates: Sequence[str] | None) -> tuple[str, ...] | None:
    if candidates is None:
        return None
    if isinstance(candidates, str):
        raise InputError(f"candidates={candidates!r} is no list", f"give [{candidates!r}]")
    arms = tuple(
        "/".join(map(str, arm)) if isinstance(arm, tuple | list) else _text(arm) or ""
        for arm in candidates
    )
    if not arms:
        raise InputError("candidates is empty", "name at least one arm, or leave it out")
    return tuple(dict.fromkeys(arms))


def _text(value: object) -> str | None:
    if value is None:
        return None
    return str(value.value) if isinstance(value, Enum) else str(value)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{name}={value!r} is no number")
    if value < 0:
        raise InputError(f"{name}={value!r} is negative", "give 0 or more")
    return float(value)


def _limit(name: str, value: object) -> float | None:
    return None if value is None else _number(name, value)


def moment_utc(moment: datetime | None, name: str = "as_of") -> datetime | None:
    """A time in UTC; one without a zone is taken for that. Raises InputError."""
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        raise InputError(f"{name}={moment!r} is no datetime", "for example datetime.now(UTC)")
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
