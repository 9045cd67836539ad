"""What similar executions add to a rate: only where that foretells outcomes held back.

The nearest executions by description are one more, finest level of the tree: a context whose
rows they are. How far it may move figures is not assumed but tried on executions that are held
back: one half of them chooses the deviations, the other half must confirm that they help, by two
standard errors. Where they do not, the description changes nothing. On benchmarks of routing,
neighbours seldom add anything to task types (Li, arXiv:2505.12601).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Final

from otel_learning.learning.evidence import Environment, Weights
from otel_learning.learning.pooling import (
    Context,
    Normal,
    Outcomes,
    Pooling,
    rate_of,
)
from otel_learning.store.evidence_rows import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

ROWS_MOST: Final = 1000
"""Newest executions that are compared with; all their vectors are in memory, 2 MB."""
ROWS_LEAST: Final = 200
"""Fewer cannot confirm that neighbours help."""
NEIGHBOURS: Final = 30
_HELD_BACK_MOST: Final = 400
_DEVIATIONS: Final = (0.01, 0.3, 0.7, 1.4)
_ERRORS: Final = 2.0
"""Standard errors by which the gain must exceed nothing."""


class Similar:
    """The described executions of one environment, and whether they help.

    Args:
        rows: from `store.evidence_rows.described`.
        environment: the evidence that neighbours are to add to.
        weights: how its rates are weighted; neighbours are weighted alike.
        vectors: those of texts that are known already; gets the others.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        environment: Environment,
        weights: Weights,
        vectors: dict[str, Vector] | None = None,
    ) -> None:
        # Imported here: they need numpy, and advice without a description does not.
        import numpy as np

        from otel_learning.knowledge.embedding import HashedEmbedder

        index = {arm: i for i, arm in enumerate(environment.arms)}
        self._rows = [row for row in rows if row[weights] is not None and row["arm"] in index]
        self._arms = [index[row["arm"]] for row in self._rows]
        self._environment, self._weights = environment, weights
        self._embedder = HashedEmbedder()
        self.pooling: Pooling | None = None
        """How far neighbours may move figures; None where they do not help."""
        if len(self._rows) < ROWS_LEAST:
            self.reason = "description-too-few-rows"
            return
        known = vectors if vectors is not None else {}
        texts = [row["description"] for row in self._rows]
        new = [text for text in dict.fromkeys(texts) if text not in known]
        known.update(zip(new, self._embedder.embed(new), strict=True))
        for text in set(known) - set(texts):
            del known[text]
        self._matrix = np.stack([known[text] for text in texts])
        self._learn()
        self.reason = "similar-used" if self.pooling is not None else "description-does-not-help"

    def moved(self, rates: list[Normal], description: str) -> list[Normal]:
        """The rates of all arms, moved by what executions like this one came to."""
        if self.pooling is None:
            return rates
        alike = self._matrix @ self._embedder.embed([description])[0]
        return self.pooling.posterior(rates, self._context(alike, None))

    def _context(self, alike: Vector, without: str | None) -> Context:
        """The outcomes of the nearest executions, all of another text than `without`."""
        known = [0.0] * len(self._environment.arms)
        successes = known[:]
        left = NEIGHBOURS
        for i in alike.argsort(kind="stable")[::-1]:
            row = self._rows[i]
            if row["description"] == without:
                continue
            if not left or alike[i] <= 0:
                break
            left -= 1
            known[self._arms[i]] += row[self._weights]
            successes[self._arms[i]] += row[self._weights] * row["success"]
        scales = [
            sums.of(self._weights, "known") / sums.of(self._weights, "squares")
            if sums.of(self._weights, "squares") > 0 else 1.0
            for sums in self._environment.root
        ]  # fmt: skip
        return Context(
            [Outcomes(k * s, y * s) for k, y, s in zip(known, successes, scales, strict=True)]
        )

    # ------------------------------------------------------------------- do they help?

    def _learn(self) -> None:
        """Chooses the deviations on one half of what is held back, confirms them on the other."""
        count = min(len(self._rows), _HELD_BACK_MOST)
        held = [i * len(self._rows) // count for i in range(count)]
        cases = []
        for i in held:
            row = self._rows[i]
            place = self._environment.narrowed((row["task_type"], row["repo"]))
            rates = self._environment.rates(place, self._weights)
            context = self._context(self._matrix @ self._matrix[i], row["description"])
            cases.append((rates, context, self._arms[i], bool(row["success"])))
        best, most = None, 0.0
        for shared, single in product(_DEVIATIONS, repeat=2):
            pooling = Pooling(((shared**2, single**2, 1.0),))
            gain = sum(_gain(pooling, *case) for case in cases[::2])
            if gain > most:
                best, most = pooling, gain
        if best is None:
            return
        gains = [_gain(best, *case) for case in cases[1::2]]
        mean = sum(gains) / len(gains)
        error = math.sqrt(sum((gain - mean) ** 2 for gain in gains)) / len(gains)
        if mean > _ERRORS * error:
            self.pooling = best


def _gain(
    pooling: Pooling, rates: list[Normal], context: Context, arm: int, success: bool
) -> float:
    """By how much neighbours foretell one outcome better, as log likelihood."""

    def log(rate: float) -> float:
        return math.log(max(rate if success else 1 - rate, 1e-9))

    return log(rate_of(pooling.posterior(rates, context)[arm])) - log(rate_of(rates[arm]))
