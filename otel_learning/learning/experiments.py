"""Experiments: plan, create, assign, look, stop, decide. The face of this part for programs.

Assignments are computed and never stored; exposures and outcomes are read from executions. Only
definitions, and the trail of what was done to them, are written.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_learning.errors import InputError
from otel_learning.learning.definition import Definition, Experiment, checked
from otel_learning.learning.exposures import Exposures, expose
from otel_learning.learning.metrics import Goal, metric_of
from otel_learning.learning.power import Plan, forecast
from otel_learning.learning.verdict import Question, Verdict, judge
from otel_learning.store import experiments as stored
from otel_learning.store.outcomes import main_environment, read_outcomes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_learning.learning.definition import Mode
    from otel_learning.store.database import LearningDatabase
    from otel_learning.store.experiments import Stored
    from otel_learning.store.reader import Reader

RECORD_DAYS: Final = 28
RECORD_ROWS: Final = 20_000
"""The record from which a plan takes mean, spread and pace: so many days, and executions."""


class Assignment(NamedTuple):
    """What a unit is given."""

    variant: str
    arm: str | None
    """What the variant stands for, where the experiment says it."""
    state: str
    """The experiment's: once it is decided, every unit is given the decision; once it is stopped
    without one, the first variant."""


@dataclass(slots=True)
class Finding:
    """An experiment, and what its outcomes say."""

    experiment: Experiment
    verdict: Verdict
    environment: str | None
    """The one whose executions are counted."""
    assignment: str
    """`recorded`: spans name the variants; `computed`: from the units' ids."""
    as_of: datetime | None
    other_environments: int = 0
    """Executions of the experiment elsewhere; they do not count."""
    notes: list[str] = field(default_factory=list)

    @property
    def decision(self) -> str | None:
        """What was decided, else what the evidence says; None where it says nothing."""
        return self.experiment.decision or self.verdict.decision

    def to_dict(self) -> dict[str, Any]:
        """The form of `experiment show --json`."""
        definition = self.experiment.definition
        return {
            "name": definition.name,
            "state": self.experiment.state,
            "decision": self.decision,
            "decided": self.experiment.decision is not None,
            "reasons": [*self.verdict.reasons, *self.notes],
            "warnings": self.verdict.warnings,
            "metric": definition.metric,
            "goal": definition.goal,
            "mode": definition.mode,
            "alpha": definition.alpha,
            "unit": definition.unit,
            "assignment": self.assignment,
            "environment": self.environment,
            "other_environments": self.other_environments,
            "as_of": self.as_of,
            "variants": [asdict(found) for found in self.verdict.variants],
            "comparisons": [asdict(found) for found in self.verdict.comparisons],
            "guardrails": self.verdict.guardrails,
            "plan": definition.plan,
            "trail": list(self.experiment.trail),
        }


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


# --------------------------------------------------------------------------------- reading


def get(reader: Reader, name: str) -> Experiment:
    """One experiment.

    Raises:
        InputError: there is none of that name.
    """
    return _experiment(_stored(reader, name))


def _stored(reader: Reader, name: str) -> Stored:
    found = stored.read(reader, name)
    if not found:
        known = [one.name for one in stored.read(reader)]
        raise InputError(
            f"there is no experiment {name!r}",
            f"one of {', '.join(known[-10:])}" if known else "make one: experiment create",
        )
    return found[0]


def experiments(reader: Reader) -> list[Experiment]:
    """All of them, in the order of their creation."""
    return [_experiment(one) for one in stored.read(reader)]


def _experiment(found: Stored, as_of: datetime | None = None) -> Experiment:
    """An experiment as it was before `as_of`."""
    events = [event for event in found.events if as_of is None or event.happened_at < as_of]
    decided = [event for event in events if event.event == "decided"]
    stopped = [event for event in events if event.event == "stopped"]
    ended = [*stopped, *decided]
    return Experiment(
        definition=Definition.of(found.definition),
        created_at=found.created_at,
        state="decided" if decided else "stopped" if stopped else "running",
        decision=decided[-1].variant if decided else None,
        ended_at=min(event.happened_at for event in ended) if ended else None,
        dropped=tuple(
            (event.variant, event.happened_at)
            for event in events
            if event.event == "dropped" and event.variant is not None
        ),
        trail=tuple(event._asdict() for event in events),
    )


def assign(reader: Reader, name: str, unit_id: str) -> Assignment:
    """The variant of a unit: the same for the same id, in every process, for good.

    A router that must not read a store calls `otel_learning.learning.assignment.choose`, which
    gives the same answer while the experiment runs and no variant was dropped.

    Raises:
        InputError: there is no such experiment, or the id is empty.
    """
    if not unit_id:
        raise InputError("the unit's id is empty", "what is to be assigned needs an id")
    experiment = get(reader, name)
    definition = experiment.definition
    if experiment.state == "running":
        variant = definition.assign(unit_id, experiment.dropped_by(None))
    else:
        variant = experiment.decision or definition.variants[0]
    return Assignment(variant, definition.arm_of(variant), experiment.state)


def show(reader: Reader, name: str, *, as_of: datetime | None = None) -> Finding:
    """What the outcomes say, as far as they were known before `as_of`.

    An execution counts for the variant that its spans name. Where no span names the experiment,
    for the one its unit is assigned to, if it started while the experiment ran.

    Raises:
        InputError: there is no such experiment.
        ConfigurationError: it has a fixed horizon, and scipy is not installed.
    """
    if as_of is not None and as_of.tzinfo is None:
        as_of = as_of.replace(tzinfo=UTC)
    experiment = _experiment(_stored(reader, name), as_of)
    definition = experiment.definition
    exposed, environment, recorded, others = _exposures(reader, experiment, as_of)
    asked = Question(
        variants=definition.variants,
        weights=definition.weights,
        metric=metric_of(definition.metric),
        goal=definition.goal,
        alpha=definition.alpha,
        horizon=definition.horizon if definition.mode == "fixed" else None,
        guardrails=tuple((metric_of(m), allowed) for m, allowed in definition.guardrails),
        effect=definition.effect or (definition.plan or {}).get("effect"),
        dropped=experiment.dropped_by(None),
        arms=None
        if definition.arms is None
        else dict(zip(definition.variants, definition.arms, strict=True)),
    )
    return Finding(
        experiment,
        judge(asked, exposed),
        environment,
        "recorded" if recorded else "computed",
        as_of,
        others,
    )


def _exposures(
    reader: Reader, experiment: Experiment, as_of: datetime | None
) -> tuple[Exposures, str | None, bool, int]:
    definition = experiment.definition
    columns = [*definition.strata, *(definition.by.split("/") if definition.by else ())]
    measures = [definition.metric, *(name for name, _ in definition.guardrails)]
    scope: dict[str, Any] = {"task_type": definition.task_type, "repo": definition.repo}
    rows = read_outcomes(
        reader, measures, unit=definition.unit, groups=columns, experiment=definition.name,
        as_of=as_of, **scope,
    )  # fmt: skip
    recorded = bool(rows)
    if not recorded:
        rows = [
            row._replace(variant=None)
            for row in read_outcomes(
                reader, measures, unit=definition.unit, groups=columns, as_of=as_of,
                since=experiment.created_at, **scope,
            )
        ]  # fmt: skip
    if experiment.ended_at is not None:
        end = experiment.ended_at
        rows = [row for row in rows if row.started_at is None or row.started_at < end]
    environment = definition.environment
    if environment is None:
        counts: dict[str | None, int] = {}
        for row in rows:
            counts[row.environment] = counts.get(row.environment, 0) + 1
        environment = max(counts, key=lambda e: (counts[e], e or ""), default=None)
    mine = [row for row in rows if row.environment == environment]
    exposed = expose(
        mine,
        definition.variants,
        lambda unit, at: definition.assign(unit, experiment.dropped_by(at)),
        metrics=len(measures),
        strata=len(definition.strata),
        arms=None
        if definition.arms is None
        else dict(zip(definition.variants, definition.arms, strict=True)),
    )
    return exposed, environment, recorded, len(rows) - len(mine)


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
