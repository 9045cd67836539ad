"""What it costs to look at an experiment at any time: false alarms and samples, simulated.

`python benchmarks/sequential.py` prints the tables of docs/explanation/sequential-tests.md; fixed
seeds, some ten seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from otel_learning.learning.power import deviation_of_rates, fixed_support, sequential_support
from otel_learning.learning.sequential import log_evidence

RUNS = 2000
PAIRS = 1000
ALPHA = 0.05
WALL = math.log(1 / ALPHA)
Draw = Callable[[np.random.Generator, int], Any]


def coins(rate: float) -> Draw:
    return lambda rng, n: (rng.random((RUNS, n)) < rate).astype(float)


def tails(spread: float, factor: float = 1.0) -> Draw:
    """Log-normal costs with mean `factor`."""
    return lambda rng, n: factor * rng.lognormal(-(spread**2) / 2, spread, (RUNS, n))


def looking(first: Any, second: Any) -> tuple[float, float, float]:
    """Share of alarms: ours at any time; a z-test at any time; a z-test at the end."""
    n = np.arange(1, first.shape[1] + 1)
    means = [np.cumsum(x, axis=1) / n for x in (first, second)]
    squares = [np.cumsum(x**2, axis=1) / n for x in (first, second)]
    variance = sum(s - m**2 for s, m in zip(squares, means, strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.abs(means[0] - means[1]) / np.sqrt(variance / n)
    far = np.nan_to_num(z) > 1.96
    ours = (log_evidence(second - first) >= WALL).any(axis=1).mean()
    return float(ours), float(far[:, 9:].any(axis=1).mean()), float(far[:, -1].mean())


def main() -> None:
    rng = np.random.default_rng(1)
    print("| no difference | ours, every pair | z, every pair | z, once |\n|---|---|---|---|")
    for name, first, second in (
        ("success 0.5", coins(0.5), coins(0.5)),
        ("success 0.7", coins(0.7), coins(0.7)),
        ("success 0.95", coins(0.95), coins(0.95)),
        ("cost, log deviation 0.5", tails(0.5), tails(0.5)),
        ("cost, log deviation 1.3", tails(1.3), tails(1.3)),
        ("same mean, log deviation 0.9 and 1.3", tails(0.9), tails(1.3)),
        ("same mean, log deviation 0.5 and 1.3", tails(0.5), tails(1.3)),
    ):
        shares = looking(first(rng, PAIRS), second(rng, PAIRS))
        print(f"| {name} | " + " | ".join(f"{100 * s:.1f} %" for s in shares) + " |")
    print("\n| truth | one look | half ended by | 80 % ended by | ratio | simulated | wrong side |")
    print("|---|---|---|---|---|---|---|")
    for low, high in ((0.5, 0.6), (0.7, 0.8), (0.7, 0.75), (0.6, 0.8), (0.5, 0.9)):
        spread, null = deviation_of_rates(low, high)
        once = fixed_support(high - low, spread, deviation_null=null)
        always = sequential_support(high - low, spread)
        half = sequential_support(high - low, spread, power=0.5)
        differences = coins(high)(rng, always) - coins(low)(rng, always)
        found = log_evidence(differences) >= WALL
        ended = found.any(axis=1)
        median = np.median(np.where(ended, found.argmax(axis=1) + 1, always))
        at = found.argmax(axis=1)[:, None]
        sums = np.take_along_axis(np.cumsum(differences, axis=1), at, 1)[:, 0]
        wrong = (ended & (sums < 0)).mean()
        print(
            f"| {low:g} against {high:g} | {once} | {half} | {always} | {always / once:.2f} "
            f"| {100 * ended.mean():.0f} %, half by {median:.0f} | {100 * wrong:.2f} % |"
        )


if __name__ == "__main__":
    main()
