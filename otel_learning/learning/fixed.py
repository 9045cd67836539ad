"""Tests that are looked at once, when the planned number of outcomes is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from otel_learning.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
else:
    Floats = Any


class Look(NamedTuple):
    """What one look at two groups says."""

    effect: float
    """Mean of the first less that of the second."""
    low: float
    high: float
    p_value: float
    """Two-sided, against "no difference"."""


def look(first: Floats, second: Floats, alpha: float, *, boolean: bool) -> Look:
    """Compares two groups of at least two values: pooled z for rates, Welch's t for numbers.

    Raises:
        ConfigurationError: scipy is not installed.
    """
    import numpy as np

    stats = _stats()
    effect = float(first.mean() - second.mean())
    variances = [float(values.var(ddof=1)) / len(values) for values in (first, second)]
    if boolean:
        half = float(stats.norm.ppf(1 - alpha / 2)) * sum(variances) ** 0.5
        won = [float(values.sum()) for values in (first, second)]
        table = np.array([won, [len(first) - won[0], len(second) - won[1]]])
        # A row of zeros: every outcome is the same.
        p = stats.chi2_contingency(table, correction=False).pvalue if table.any(1).all() else 1.0
        return Look(effect, effect - half, effect + half, float(p))
    if not sum(variances):
        return Look(effect, effect, effect, 0.0 if effect else 1.0)
    test = stats.ttest_ind(first, second, equal_var=False)
    found = test.confidence_interval(1 - alpha)
    return Look(effect, float(found.low), float(found.high), float(test.pvalue))


def interval(values: Floats, alpha: float, *, boolean: bool) -> tuple[float, float] | None:
    """For one look: Wilson's for a rate, Student's for a mean; None where it cannot be said."""
    stats = _stats()
    n = len(values)
    if boolean:
        if not n:
            return None
        found = stats.binomtest(int(values.sum()), n).proportion_ci(1 - alpha, method="wilson")
        return float(found.low), float(found.high)
    if n < 2:
        return None
    spread = float(values.std(ddof=1)) / n**0.5
    half = float(stats.t.ppf(1 - alpha / 2, n - 1)) * spread
    return float(values.mean()) - half, float(values.mean()) + half


def _stats() -> Any:
    try:
        from scipy import stats
    except ImportError as error:
        raise ConfigurationError(
            "experiments with a fixed horizon need scipy",
            "pip install otel-learning[learn]; the sequential mode does without",
        ) from error
    return stats
