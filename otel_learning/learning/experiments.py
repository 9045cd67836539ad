"""Experiments: plan, create, assign, look, stop, decide. The face of this part for programs.

Assignments are computed and never stored; exposures and outcomes are read from executions. Only
definitions, and the trail of what was done to them, are written.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_learning.errors import InputError
from otel_learning.learning.definition import Definition, Experiment, checked
from otel_learning.learning.findings import Finding, get, list_all, show
from otel_learning.learning.metrics import Goal, metric_of
from otel_learning.learning.power import Plan, forecast
from otel_learning.mapping.privacy import hash_user
from otel_learning.store import experiments as stored
from otel_learning.store.copying import beside
from otel_learning.store.outcomes import main_environment, read_outcomes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_learning.learning.definition import Mode
    from otel_learning.store.database import LearningDatabase
    from otel_learning.store.reader import Reader

__all__ = [
    "Assignment", "Experiment", "Finding", "assign", "create", "decide", "get", "list_all", "plan",
    "show", "stop",
]  # fmt: skip

RECORD_DAYS: Final = 28
RECORD_ROWS: Final = 20_000
"""The record from which a plan takes mean, spread and pace: so many days, and executions."""
_HASH: Final = re.compile(r"[0-9a-f]{32}")


class Assignment(NamedTuple):
    """What a unit is given."""

    variant: str
    arm: str | None
    """What the variant stands for, where the experiment says it."""
    state: str
    """The experiment's: once it is decided, every unit is given the decision; once it is stopped
    without one, the first variant."""


# ------------------------------------------------------------------------------- beginning


def create(
    database: LearningDatabase,
    name: str,
    *,
    variants: Sequence[str],
    metric: str = "success",
    goal: Goal | None = None,
    unit: str = "task_id",
    mode: Mode = "sequential",
    alpha: float = 0.05,
    power: float = 0.8,
    effect: float | None = None,
    horizon: int | None = None,
    weights: Sequence[float] = (),
    by: str | None = None,
    arms: Sequence[str] | None = None,
    strata: Sequence[str] = (),
    guardrails: Sequence[tuple[str, float]] = (),
    environment: str | None = None,
    task_type: str | None = None,
    repo: str | None = None,
    note: str | None = None,
    store: bool = True,
) -> Experiment:
    """Fixes what is compared, forecasts what it takes, and stores both.

    Args:
        database: the store.
        name: of the experiment; it is never used again.
        variants: names; the first one is the control.
        metric: success, accepted, rating, quality_score, actual_cost, duration_seconds and others
            in `otel_learning.learning.metrics`.
        goal: max or min; where not given, what is better for that metric.
        unit: what is assigned: task_id, session_id, repo or user_hash.
        mode: `sequential` may be looked at any time; `fixed` is looked at once, at its horizon.
        alpha: the probability of naming a variant that is not the best, 0..1.
        power: the share of differences of the size `effect` that are found, 0..1.
        effect: the smallest difference worth finding, in the metric's unit.
        horizon: known outcomes per variant in the fixed mode; where not given, the plan's.
        weights: each variant's share of the units, relative to each other.
        by: the column, or columns joined by slashes, that `arms` are values of.
        arms: what each variant stands for.
        strata: columns within whose values variants are compared.
        guardrails: metrics, and by which share of the control's mean a winner may be worse.
        environment: whose executions count; None is the one with most of them.
        task_type: only tasks of that kind are taken part with.
        repo: only tasks in that repository.
        note: why, for the trail.
        store: False only makes the plan.

    Raises:
        InputError: a value is not what it takes, there is an experiment of that name, or the
            fixed mode has no horizon.
        StoreError: the store cannot be read or written.
    """
    found = metric_of(metric)
    wanted = Definition(
        name, tuple(variants), metric, goal or found.goal, unit, mode, alpha, power, effect,
        horizon, tuple(weights), by, None if arms is None else tuple(arms), tuple(strata),
        tuple(guardrails), environment, task_type, repo,
    )  # fmt: skip
    definition = checked(wanted)
    now = datetime.now(UTC)
    planned = plan(database, definition, now=now)
    if mode == "fixed" and horizon is None:
        if planned.fixed_support is None:
            raise InputError(
                f"there is no record of {definition.metric} to plan a fixed horizon from",
                "say --horizon N, known outcomes per variant",
            )
        definition = replace(definition, horizon=planned.fixed_support)
    definition = replace(definition, plan=planned.to_dict())
    if not store:
        return Experiment(definition, now, "planned", None, None, (), ())
    stored.add(database.path, name, now, definition.to_dict(), note)
    return get(database, name)


def plan(reader: Reader, definition: Definition, *, now: datetime | None = None) -> Plan:
    """What an experiment would need, from the last RECORD_DAYS days of what it is about."""
    moment = now or datetime.now(UTC)
    environment = definition.environment or main_environment(reader, repo=definition.repo)
    rows = read_outcomes(
        reader, [definition.metric], unit=definition.unit, as_of=moment,
        since=moment - timedelta(days=RECORD_DAYS), environment=environment,
        task_type=definition.task_type, repo=definition.repo, newest=RECORD_ROWS,
    )  # fmt: skip
    seen: dict[str, float] = {}
    for row in rows:
        if row.values[0] is not None:
            seen.setdefault(row.unit or row.execution_id, row.values[0])
    values = list(seen.values())
    n = len(values)
    mean = sum(values) / n if n else None
    variance = sum((v - mean) ** 2 for v in values) / (n - 1) if mean is not None and n > 1 else 0.0
    times = [row.started_at for row in rows if row.started_at is not None]
    spanned = (moment - min(times)).total_seconds() / 86_400 if times else 0.0
    return forecast(
        boolean=metric_of(definition.metric).boolean,
        better_is_more=definition.goal == "max",
        mean=mean,
        deviation=variance**0.5 if n > 1 else None,
        outcomes_per_day=n / max(spanned, 1.0) if n else None,
        effect=definition.effect,
        variants=len(definition.variants),
        alpha=definition.alpha,
        power=definition.power,
        smallest_share=min(definition.weights) / sum(definition.weights),
        sequential=definition.mode == "sequential",
    )


# ------------------------------------------------------------------------------- assigning


def assign(reader: Reader, name: str, unit_id: str) -> Assignment:
    """The variant of a unit: the same for the same id, in every process, for good.

    A router that must not read a store calls `otel_learning.learning.assignment.choose`, which
    gives the same answer while the experiment runs and no variant was dropped.

    Args:
        reader: the store.
        name: the experiment.
        unit_id: the id of a task, session or repository. Of a user the id as spans have it, or
            the hash as the store has it.

    Raises:
        InputError: there is no such experiment, or the id is empty.
        StoreError: the store cannot be read.
    """
    if not unit_id:
        raise InputError("the unit's id is empty", "what is to be assigned needs an id")
    experiment = get(reader, name)
    definition = experiment.definition
    if definition.unit == "user_hash" and not _HASH.fullmatch(unit_id):
        unit_id = _hashed(reader, unit_id)
    if experiment.state == "running":
        variant = definition.assign(unit_id, experiment.dropped_by(None))
    else:
        variant = experiment.decision or definition.variants[0]
    return Assignment(variant, definition.arm_of(variant), experiment.state)


def _hashed(reader: Reader, user: str) -> str:
    """A user's id as executions hold it, by the key that lies beside the store."""
    try:
        key = beside(reader.path, ".key").read_bytes()
    except OSError as error:
        raise InputError(
            "users cannot be assigned yet: the store has no key to hash their ids with",
            "it is made with the first span that names a user",
        ) from error
    return hash_user(user, key)


# ---------------------------------------------------------------------------------- ending


def stop(
    database: LearningDatabase, name: str, *, variant: str | None = None, note: str | None = None
) -> Experiment:
    """Ends an experiment without a decision, or takes one variant out of it.

    Executions that start afterwards do not count. The units of a variant that is taken out are
    shared out among the others; no other unit moves.

    Raises:
        InputError: it has ended already, there is no such variant, or fewer than two would be left.
        StoreError: the store cannot be written.
    """
    finding = show(database, name)
    experiment = _running(finding.experiment, name)
    definition = experiment.definition
    if variant is not None:
        _check_variant(definition, variant)
        left = set(definition.variants) - experiment.dropped_by(None) - {variant}
        if variant in experiment.dropped_by(None) or len(left) < 2:
            raise InputError(
                f"the variant {variant!r} cannot be taken out of {name!r}",
                "two have to be left; end the experiment without --variant",
            )
    event = "stopped" if variant is None else "dropped"
    return _record(database, finding, event, variant, note)


def decide(
    database: LearningDatabase, name: str, *, variant: str | None = None, note: str | None = None
) -> Experiment:
    """Ends an experiment with a decision, and stores it with the evidence of this moment.

    Args:
        database: the store.
        name: the experiment.
        variant: what is decided; None is what the evidence says.
        note: why; needed where the evidence does not say so.

    Raises:
        InputError: it is decided already; the evidence names no variant, or another one, and
            nobody says why; or its units are not shared out as they should be.
        StoreError: the store cannot be written.
    """
    finding = show(database, name)
    experiment = finding.experiment
    if experiment.state == "decided":
        raise InputError(
            f"the experiment {name!r} is decided already: {experiment.decision}",
            "a new question is a new experiment",
        )
    said = finding.verdict.decision
    if variant is None:
        if said is None:
            raise InputError(
                f"the evidence of {name!r} names no variant: {', '.join(finding.verdict.reasons)}",
                "wait for more outcomes, or say --variant with a --note",
            )
        if "sample_ratio_mismatch" in finding.verdict.warnings:
            raise InputError(
                f"the units of {name!r} are not shared out by the weights, so its comparison is "
                "not to be relied on",
                "find out why, or say --variant with a --note",
            )
        variant = said
    else:
        _check_variant(definition=experiment.definition, variant=variant)
        if variant != said and not note:
            raise InputError(
                f"the evidence of {name!r} does not name {variant!r}",
                "say with --note why it is decided all the same",
            )
    return _record(database, finding, "decided", variant, note)


def _running(experiment: Experiment, name: str) -> Experiment:
    if experiment.state != "running":
        raise InputError(f"the experiment {name!r} is {experiment.state} already")
    return experiment


def _check_variant(definition: Definition, variant: str) -> None:
    if variant not in definition.variants:
        raise InputError(
            f"{definition.name!r} has no variant {variant!r}",
            f"one of {', '.join(definition.variants)}",
        )


def _record(
    database: LearningDatabase,
    finding: Finding,
    event: str,
    variant: str | None,
    note: str | None,
) -> Experiment:
    evidence = finding.to_dict()
    details = {key: evidence[key] for key in
               ("reasons", "warnings", "environment", "assignment", "variants", "comparisons",
                "guardrails")}  # fmt: skip
    details["evidence_names"] = finding.verdict.decision
    name = finding.experiment.definition.name
    stored.append(
        database.path, name, datetime.now(UTC), event, variant, note, details,
        seen=len(finding.experiment.trail),
    )  # fmt: skip
    return get(database, name)
