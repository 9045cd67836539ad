"""Assignment: one id, one variant, everywhere and for good; shares within chance."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise

from scipy import stats

from otel_learning.learning.assignment import choose

UNITS = [f"task-{i}" for i in range(20_000)]


def test_a_later_release_gives_the_same_answers() -> None:
    """These are what the first release said; running experiments live on them."""
    said = {
        ("tiers", "task-1"): "B", ("tiers", "task-2"): "B", ("tiers", "ümlaut ☃"): "B",
        ("other", "task-1"): "A", ("other", "task-2"): "A", ("tiers", "a|b"): "B",
    }  # fmt: skip

    assert {key: choose(*key, ["A", "B"]) for key in said} == said
    long = "".join(choose("pinned", f"u{i}", ["A", "B", "C"], [1, 1, 2]) for i in range(40))
    assert long == "CBBCABCCBCCCBACCAABCACCBBBCABCACCCCCCAAC"


def test_another_process_gives_the_same_answers() -> None:
    """Neither the interpreter's hash seed nor a restart matters, and no library is needed."""
    program = (
        "import sys\n"
        "for name in ('numpy', 'scipy', 'duckdb', 'pyarrow'): sys.modules[name] = None\n"
        "from otel_learning.learning.assignment import choose\n"
        "print(''.join(choose('e', f'task-{i}', ['A', 'B', 'C']) for i in range(500)))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True, timeout=60,
        ).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip

    assert answers == {"".join(choose("e", f"task-{i}", ["A", "B", "C"]) for i in range(500))}


def test_the_order_of_the_variants_does_not_matter() -> None:
    """A list that is written the other way round moves nobody."""
    for unit in UNITS[:500]:
        assert choose("e", unit, ["A", "B", "C"], [1, 2, 3]) == choose(
            "e", unit, ["C", "A", "B"], [3, 1, 2]
        )


def test_shares_are_within_chance() -> None:
    """Counts fit the weights, and so do those of any second experiment within each variant."""
    for name, weights in (("e1", [1, 1]), ("e2", [1, 2, 7]), ("e3", [1] * 5)):
        variants = [f"v{i}" for i in range(len(weights))]
        counts = Counter(choose(name, unit, variants, weights) for unit in UNITS)
        wanted = [len(UNITS) * weight / sum(weights) for weight in weights]
        assert stats.chisquare([counts[v] for v in variants], wanted).pvalue > 0.001


def test_two_experiments_do_not_know_of_each_other() -> None:
    """Who gets B in one is spread over both variants of the other."""
    table = Counter((choose("one", u, "AB"), choose("two", u, "AB")) for u in UNITS)
    crossed = [[table["A", "A"], table["A", "B"]], [table["B", "A"], table["B", "B"]]]

    assert stats.chi2_contingency(crossed).pvalue > 0.001


def test_ids_that_differ_little_are_spread_as_well() -> None:
    """Numbered ids, one after the other, make no runs of one variant."""
    said = [choose("e", unit, "AB") for unit in UNITS]
    changes = sum(a != b for a, b in pairwise(said))

    assert stats.binomtest(changes, len(UNITS) - 1, 0.5).pvalue > 0.001


def test_taking_a_variant_out_moves_its_units_alone() -> None:
    """Every other unit stays where it was, and the freed ones are shared out by weight."""
    before = {unit: choose("e", unit, "ABC") for unit in UNITS}
    after = {unit: choose("e", unit, "AB") for unit in UNITS}
    moved = Counter(after[unit] for unit in UNITS if before[unit] == "C")

    assert all(after[u] == before[u] for u in UNITS if before[u] != "C")
    assert stats.chisquare(list(moved.values())).pvalue > 0.001
