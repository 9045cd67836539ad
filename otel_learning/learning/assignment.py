"""Which variant a unit gets: a pure function of the experiment, its variants and the unit's id.

Nothing is stored and nothing is drawn, so every process, release and restart gives the same
answer, and a router may call it in its hot path. Needs no library.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Final

_BITS: Final = 53
"""Of the hash that are used; as many as a float holds exactly."""


def choose(
    experiment: str,
    unit_id: str,
    variants: Sequence[str],
    weights: Sequence[float] | None = None,
) -> str:
    """The variant of a unit; each variant gets its weight's share of all units.

    Weighted rendezvous hashing: every variant draws a score for the unit and the highest wins, so
    taking a variant out moves its own units and no others.

    Args:
        experiment: the experiment's name; it makes assignments of two experiments independent.
        unit_id: the id of what is assigned, such as a task id.
        variants: names, at least one; their order does not matter.
        weights: positive, in the order of `variants`; all the same where not given.

    Returns:
        One of `variants`.

    Source:
        Thaler, Ravishankar: Using name-based mappings to increase hit rates (1998); the weighted
        form is Schindelhauer, Schomaker: Weighted distributed hash tables (SPAA 2005).

    Example:
        >>> choose("router-2", "task-17", ["A", "B"])
        'A'
    """
    shares = weights if weights is not None else [1.0] * len(variants)
    scores = (
        (_score(experiment, variant, unit_id, weight), variant)
        for variant, weight in zip(variants, shares, strict=True)
    )
    return max(scores)[1]


def _score(experiment: str, variant: str, unit_id: str, weight: float) -> float:
    """Exponentially distributed with that rate, as a negative number: the highest one wins."""
    # The length of each part is in the text: "a|b" + "c" must not be "a" + "b|c".
    parts = (experiment, variant, unit_id)
    text = "otel_learning.assignment.1" + "".join(f"|{len(part)}:{part}" for part in parts)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    uniform = ((int.from_bytes(digest[:8], "big") >> (64 - _BITS)) + 0.5) / 2**_BITS
    return math.log(uniform) / weight
