"""Short words for observations: `seen("call", role="call", at=3, model="m")`."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from otel_learning.assembly.assemble import Assembled, assemble
from otel_learning.assembly.correlation import Correlation, correlate
from otel_learning.mapping.outcome import error_type
from otel_learning.observation import Observation, Role

MORNING: Final = 1_790_000_000 * 10**9
"""When everything begins, in nanoseconds."""
PRICES: Final = {"cheap": 1e-6, "dear": 1e-4}
"""USD per token, of the models that have a price."""


def trace(name: str) -> str:
    return hashlib.blake2b(f"trace {name}".encode(), digest_size=16).hexdigest()


def span(name: str) -> str:
    return hashlib.blake2b(f"span {name}".encode(), digest_size=8).hexdigest()


def clock(seconds: float) -> int:
    return MORNING + int(seconds * 1e9)


def seen(
    name: str,
    *,
    role: Role = "step",
    of: str = "one",
    under: str | None = None,
    at: float | None = 0.0,
    lasting: float = 1.0,
    top: bool | None = None,
    status: str | None = None,
    producer: str | None = None,
    **facts: Any,
) -> Observation:
    """One observation.

    Args:
        name: of the span; two with the same name in one trace are the same span.
        of: the name of its trace.
        under: the name of its parent.
        at: seconds after the morning when it began; None for a span without times.
        lasting: seconds.
        top: whether it is a local root; where not given, the one without a parent is.
        facts: what it tells.
    """
    return Observation(
        trace_id=trace(of),
        span_id=span(name),
        parent_id=None if under is None else span(under),
        local_root=under is None if top is None else top,
        role=role,
        start_ns=None if at is None else clock(at),
        end_ns=None if at is None else clock(at + lasting),
        status=status,
        producer=producer,
        facts=facts,
    )


def call(name: str, model: str | None = None, *, under: str = "task", **more: Any) -> Observation:
    """A model call; it answered, unless `status` is error."""
    if model is not None:
        more.setdefault("requested_model", model)
    if more.get("status") != "error":
        more.setdefault("response_id", f"response of {name}")
    return seen(name, role="call", under=under, **more)


def task(name: str = "task", task_id: str | None = "t-1", **more: Any) -> Observation:
    """A task's own span."""
    if task_id is not None:
        more["task_id"] = task_id
    more.setdefault("lasting", 100.0)
    return seen(name, role="task", **more)


def said(about: str, *, at: float = 0.0, kind: str = "task_id", **facts: Any) -> Observation:
    """Feedback."""
    name = f"feedback {about} {at} {sorted(facts.items())}"
    facts.setdefault("feedback_accepted", True)
    return Observation(
        trace_id=None, span_id=span(name), parent_id=None, local_root=False, role="feedback",
        start_ns=clock(at), end_ns=clock(at),
        facts={"feedback_kind": kind, "feedback_target": about, **facts},
    )  # fmt: skip


def together(*observations: Observation, window: float = 3600.0) -> Correlation:
    return correlate(observations, window)


def names(found: Correlation) -> list[tuple[str | None, int, int]]:
    """Task id, run and number of observations of every group."""
    return [(group.task_id, group.run, len(group.observations)) for group in found.groups]


def price(
    model: str, provider: str | None, input_tokens: int, output_tokens: int, cached_tokens: int
) -> float | None:
    known = PRICES.get(model)
    return None if known is None else known * (input_tokens + output_tokens)


def assembled(*observations: Observation) -> Assembled:
    """The one execution that the observations are."""
    groups = together(*observations).groups
    if len(groups) != 1:
        raise AssertionError(f"{len(groups)} executions: {names(together(*observations))}")
    return assemble(groups[0], price, error_type)


def row(*observations: Observation) -> dict[str, Any]:
    return assembled(*observations).execution


def attempts(*observations: Observation) -> list[dict[str, Any]]:
    return assembled(*observations).attempts
