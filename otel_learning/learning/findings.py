"""What became of an experiment, and what its outcomes say: rows in, a finding out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from otel_learning.errors import InputError
from otel_learning.learning.definition import Definition, Experiment
from otel_learning.learning.exposures import Exposures, expose
from otel_learning.learning.metrics import metric_of
from otel_learning.learning.verdict import Question, Verdict, judge
from otel_learning.store import experiments as stored
from otel_learning.store.outcomes import read_outcomes

if TYPE_CHECKING:
    from otel_learning.store.experiments import Stored
    from otel_learning.store.reader import Reader


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
            "reasons": self.verdict.reasons,
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


def list_all(reader: Reader) -> list[Experiment]:
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
