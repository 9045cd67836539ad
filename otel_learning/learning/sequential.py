"""Tests and intervals that hold however often one looks.

The k-th outcome of one variant is paired with the k-th of the other. Where the variants do not
differ, the difference of a pair is as likely positive as negative, so that

    exp(lambda * S - lambda^2 * V / 2),   S = sum of the differences, V = sum of their squares,

is a supermartingale that starts at 1, for every lambda (de la Pena 1999, lemma 6.1), whatever the
metric's distribution. Mixed over lambda by a normal law it is the evidence below, and by Ville's
inequality it reaches 1/alpha with a probability of at most alpha, at any number of looks.

Sources:
    V. de la Pena: A general class of exponential inequalities for martingales and ratios (Annals
    of Probability 1999). S. Howard, A. Ramdas, J. McAuliffe, J. Sekhon: Time-uniform,
    nonparametric, nonasymptotic confidence sequences (Annals of Statistics 2021), for the mixture
    and its tuning. R. Johari, P. Koomen, L. Pekelis, D. Walsh: Always valid inference (Operations
    Research 2022), for its use in A/B tests. M. Lindon, A. Malek: Anytime-valid inference for
    multinomial count data (NeurIPS 2022), for the shares of variants.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
else:
    Floats = Any

TUNED_PAIRS: Final = 200
"""Pairs at which the test is sharpest; a tenth or ten times as many cost little more."""
SCALE_PAIRS: Final = 10
"""Pairs that differ, from which the metric's scale is taken; before them there is no evidence."""
_SHARE_PRIOR: Final = 100.0
"""How closely the alternative to the stated shares lies around them, in units."""
_STEPS: Final = 60


def log_evidence(
    differences: Floats, alpha: float = 0.05, tuned_pairs: int = TUNED_PAIRS
) -> Floats:
    """The logarithm of the evidence against "no difference", after each pair.

    Exact for boolean metrics. For numbers exact against "the same distribution", and
    asymptotic against "the same mean".

    Args:
        differences: (..., n) of paired outcomes in their order; leading axes are worlds apart.
        alpha: only tunes where the test is sharpest.
        tuned_pairs: pairs at which it is.

    Returns:
        (..., n); 0 until `SCALE_PAIRS` pairs differ. Reaching log(1/alpha) at any time is
        significant at alpha.
    """
    import numpy as np

    squares = differences**2
    differing = np.cumsum(differences != 0, axis=-1)
    rho = _rho(_scale(squares, differing), alpha, tuned_pairs)
    v = np.cumsum(squares, axis=-1)
    s = np.cumsum(differences, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = 0.5 * np.log(rho / (rho + v)) + s**2 / (2 * (rho + v))
    answer: Floats = np.where(differing >= SCALE_PAIRS, found, 0.0)
    return answer


def _scale(squares: Floats, differing: Any) -> Floats:
    """The mean square of the first pairs that differ.

    Given the sizes of all differences, the signs are still fair coins, so taking the scale from
    sizes leaves the test exact.
    """
    first: Floats = (squares * (differing <= SCALE_PAIRS)).sum(axis=-1, keepdims=True)
    return first / SCALE_PAIRS


def _rho(scale: Any, alpha: float, tuned_pairs: int) -> Any:
    """The variance of the mixture's opposite, Howard et al. (2021), section 3.5."""
    log = math.log(1 / alpha)
    return scale * tuned_pairs / (2 * log + math.log(1 + 2 * log))


# ------------------------------------------------------------------------------- intervals


def mean_interval(
    values: Floats, alpha: float = 0.05, tuned_pairs: int = TUNED_PAIRS
) -> tuple[float, float] | None:
    """An interval for the mean of values, or of paired differences, that holds at every look.

    It holds the means that `log_evidence` of `values - mean` does not refute, and excludes 0
    just where the evidence of the same differences is significant. Asymptotic, but for means at
    which the values are symmetric.

    Returns:
        None where too few values differ to say anything.
    """
    import numpy as np

    n = values.shape[-1]
    squares = values**2
    differing = np.cumsum(values != 0)
    if not n or differing[-1] < SCALE_PAIRS:
        return None
    mean = float(values.mean())
    rho = float(_rho(_scale(squares, differing), alpha, tuned_pairs)[0])
    # Of u = n (m - mean)^2 the evidence against a mean m is a function that first rises.
    around = rho + float(((values - mean) ** 2).sum())
    most = (n - 1) * around

    def against(u: float) -> float:
        return float(n * u / (2 * (around + u)) - 0.5 * math.log((around + u) / rho))

    target = math.log(1 / alpha)
    if against(most) < target:
        return None
    half = math.sqrt(_bisect(lambda u: against(u) >= target, 0.0, most) / n)
    return mean - half, mean + half


def level_interval(
    values: Floats, alpha: float = 0.05, tuned_pairs: int = TUNED_PAIRS
) -> tuple[float, float] | None:
    """The same for a number's mean that may lie far from 0 beside its spread; asymptotic."""
    if values.shape[-1] <= SCALE_PAIRS:
        return None
    centre = float(values[:SCALE_PAIRS].mean())
    found = mean_interval(values - centre, alpha, tuned_pairs)
    return None if found is None else (found[0] + centre, found[1] + centre)


def rate_interval(successes: int, known: int, alpha: float = 0.05) -> tuple[float, float] | None:
    """An exact interval for a rate that holds at every look; None where nothing is known.

    The rates under which the outcomes are not 1/alpha times less likely than under a uniform
    mixture of all rates (Robbins 1970; Howard et al. 2021, section 3.6).
    """
    if not known:
        return None
    failures = known - successes
    mixture = (
        math.lgamma(successes + 1) + math.lgamma(failures + 1) - math.lgamma(known + 2)
        - math.log(1 / alpha)
    )  # fmt: skip

    def inside(rate: float) -> bool:
        if not 0 < rate < 1:
            return (failures if rate >= 1 else successes) == 0 and mixture <= 0
        return successes * math.log(rate) + failures * math.log1p(-rate) >= mixture

    seen = successes / known
    low = 0.0 if not successes else _bisect(inside, 0.0, seen)
    high = 1.0 if not failures else 1 - _bisect(lambda u: inside(1 - u), 0.0, 1 - seen)
    return low, high


def _bisect(holds: Callable[[float], bool], below: float, above: float) -> float:
    """Where, between the two, a condition that is false below begins to hold."""
    for _ in range(_STEPS):
        middle = (below + above) / 2
        if holds(middle):
            above = middle
        else:
            below = middle
    return above


# ---------------------------------------------------------------------------------- shares


def log_share_evidence(counts: Sequence[int], weights: Sequence[float]) -> float:
    """The logarithm of the evidence that units do not fall to variants by these weights.

    Exact at every look (Lindon, Malek 2022): counts under a Dirichlet mixture around the
    weights, against counts under the weights themselves.
    """
    total = sum(weights)
    shares = [weight / total for weight in weights]
    prior = [_SHARE_PRIOR * share for share in shares]
    evidence = math.lgamma(sum(prior)) - math.lgamma(sum(prior) + sum(counts))
    for count, share, a in zip(counts, shares, prior, strict=True):
        evidence += math.lgamma(a + count) - math.lgamma(a) - count * math.log(share)
    return evidence
