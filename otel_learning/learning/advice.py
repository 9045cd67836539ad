"""Advice from evidence: pure, so that the same rows give the same answer."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from otel_learning.learning import choice
from otel_learning.learning.evidence import Environment, Estimate, Place, Sums, Weights
from otel_learning.learning.pooling import Normal, rate_of
from otel_learning.learning.recommendation import Basis, Candidate, Recommendation

KNOWN_LEAST: Final = 5
"""Known outcomes without which an arm is not compared: an interval of all there is says nothing."""
RANDOMISED_SHARE: Final = 0.95
"""Share of executions that must carry a propensity; said in the contract."""
HERE_FEW: Final = 10
"""Executions of an arm in a context, below which its figures are mostly those from above."""
_ONE_ARM_SHARE: Final = 0.95
_MISSING_GAP: Final = 0.1
_MISSING_Z: Final = 3.0
_BALANCE_OFF: Final = 0.25
_BOTH: Final[tuple[Weights, Weights]] = ("v", "w")
_NOISE_LEAST: Final = 0.1
"""Of the weighted rate's variance: keeps a difference of like numbers from passing for sure."""
_TOKEN_MOST: Final = 48


@dataclass(frozen=True, slots=True)
class Question:
    """What advice is asked about, checked."""

    task_type: str | None = None
    repo: str | None = None
    candidates: tuple[str, ...] | None = None
    cost_weight: float = 0.05
    min_success: float | None = None
    max_cost: float | None = None
    default: str | None = None


def advise(
    environment: Environment | None,
    question: Question,
    reasons: Sequence[str] = (),
    move: Callable[[list[Normal]], list[Normal]] | None = None,
) -> Recommendation:
    """The advice that the evidence of one environment gives.

    Args:
        environment: its evidence; None where there is none.
        question: the context, the candidates, and what matters.
        reasons: what was decided on the way here; the answer's own come after them.
        move: what similar executions make of the rates of all arms of the environment.
    """
    said = list(reasons)
    arms = question.candidates or (tuple(environment.arms) if environment is not None else ())
    if environment is None or not environment.arms:
        return nothing(question, arms, [*said, "no-executions"])
    place = environment.narrowed((question.task_type, question.repo))
    said += _unseen(question, environment)
    index = {arm: i for i, arm in enumerate(environment.arms)}
    root = _root(environment, arms)
    randomised = _randomised(root)
    weights: Weights = "w" if randomised else "v"
    estimates = environment.estimates(place, weights)
    if move is not None:
        for estimate, rate in zip(estimates, move([e.rate for e in estimates]), strict=True):
            estimate.rate = rate
    here = environment.sums(_asked(question))
    candidates = [
        _candidate(arm, estimates[index[arm]], here[index[arm]], environment.root[index[arm]],
                   weights)
        if arm in index else _unknown(arm)
        for arm in arms
    ]  # fmt: skip
    compared = [i for i, c in enumerate(candidates) if c.success_rate is not None]
    rates = [_value(candidates[i].success_rate) for i in compared]
    costs = [candidates[i].expected_cost for i in compared]
    for i, beaten in zip(compared, choice.dominated(rates, costs), strict=True):
        if beaten:
            candidates[i] = _beaten(candidates[i])
    frontier = _frontier([candidates[i] for i in compared])
    basis: Basis = "randomised" if randomised else "observational"
    said += _warnings(arms, root, candidates)
    shares = _propensities(arms, index, environment, place, weights, costs_of(candidates), question)

    proven = [i for i in compared if root[i].known >= KNOWN_LEAST]
    if not proven or (len(proven) < 2 and len(arms) > 1):
        said += ["too-few-outcomes", *_defaulted(question)]
        return Recommendation(
            question.default, "insufficient", tuple(candidates), frontier, shares,
            _tokens(said), None,
        )  # fmt: skip
    allowed = [i for i in proven if _within(candidates[i], question)]
    if not allowed:
        said += ["no-arm-within-limits", *_defaulted(question)]
        return Recommendation(
            question.default, basis, tuple(candidates), frontier, shares, _tokens(said), None
        )
    if len(allowed) < len(proven):
        said.append("limits-excluded-arms")
    # The dearest of all candidates is the measure of cost, whatever the limits leave.
    utility = choice.utilities(rates, costs, question.cost_weight)
    of = dict(zip(compared, utility, strict=True))
    names = [arms[i] for i in allowed]
    chosen = allowed[
        choice.best([of[i] for i in allowed], [candidates[i].expected_cost for i in allowed], names)
    ]
    if any(candidates[i].expected_cost is None for i in compared) and question.cost_weight > 0:
        said.append("cost-unknown")
    strength = None
    if basis == "observational":
        allowed_rates = [_value(candidates[i].success_rate) for i in allowed]
        penalties = [_value(candidates[i].success_rate) - of[i] for i in allowed]
        strength = choice.sensitivity(allowed.index(chosen), allowed_rates, penalties)
    return Recommendation(
        arms[chosen], basis, tuple(candidates), frontier, shares, _tokens(said), None, strength
    )


def weights_for(environment: Environment, question: Question) -> Weights:
    """How evidence is weighted for these candidates: by propensities where they are logged."""
    arms = question.candidates or tuple(environment.arms)
    return "w" if _randomised(_root(environment, arms)) else "v"


def _root(environment: Environment, arms: Sequence[str]) -> list[Sums]:
    index = {arm: i for i, arm in enumerate(environment.arms)}
    return [environment.root[index[arm]] if arm in index else Sums() for arm in arms]


def nothing(question: Question, arms: Sequence[str], reasons: Sequence[str]) -> Recommendation:
    """The answer where there is no evidence: the default, and why."""
    even = {arm: 1 / len(arms) for arm in arms} if arms else {}
    return Recommendation(
        question.default, "insufficient", tuple(_unknown(arm) for arm in arms), (), even,
        _tokens([*reasons, *_defaulted(question)]), None,
    )  # fmt: skip


def _defaulted(question: Question) -> list[str]:
    return ["default"] if question.default is not None else []


# ------------------------------------------------------------------------------ candidates


def _candidate(arm: str, estimate: Estimate, here: Sums, root: Sums, weights: Weights) -> Candidate:
    if root.known <= 0:
        return Candidate(
            arm, None, None, None, estimate.cost, estimate.cost_low, estimate.cost_high,
            estimate.duration_seconds, int(here.executions), 0.0,
            0.0 if root.executions else None, False,
        )  # fmt: skip
    low, high = choice.interval(estimate.rate)
    shown = here if here.executions else root
    return Candidate(
        arm, rate_of(estimate.rate), low, high, estimate.cost, estimate.cost_low,
        estimate.cost_high, estimate.duration_seconds, int(here.executions),
        here.effective(weights), shown.known / shown.executions, False,
    )  # fmt: skip


def _unknown(arm: str) -> Candidate:
    return Candidate(arm, None, None, None, None, None, None, None, 0, 0.0, None, False)


def _beaten(candidate: Candidate) -> Candidate:
    return replace(candidate, dominated=True)


def _frontier(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    left = [c for c in candidates if not c.dominated]
    by_cost = sorted(
        left, key=lambda c: (math.inf if c.expected_cost is None else c.expected_cost, c.arm)
    )
    return tuple(c.arm for c in by_cost)


def _within(candidate: Candidate, question: Question) -> bool:
    if question.min_success is not None and _value(candidate.success_rate) < question.min_success:
        return False
    if question.max_cost is None:
        return True
    return candidate.expected_cost is not None and candidate.expected_cost <= question.max_cost


def _propensities(
    arms: Sequence[str], index: dict[str, int], environment: Environment, place: Place,
    weights: Weights, costs: Sequence[float | None], question: Question,
) -> dict[str, float]:  # fmt: skip
    """Probabilities for an exploring router, of all candidates."""
    levels = environment.rates(place, "v")
    if weights == "w":
        levels = _repaired(levels, environment)
    known = [levels[index[arm]] for arm in arms if arm in index]
    middle = sum(normal.mean for normal in known) / len(known) if known else 0.0
    logits = [levels[index[arm]] if arm in index else Normal(middle, 1.0, 1.0) for arm in arms]
    free = choice.utilities([0.0] * len(arms), costs, question.cost_weight)
    shares = choice.propensities(logits, [-utility for utility in free])
    return dict(zip(arms, shares, strict=True))


def _repaired(levels: list[Normal], environment: Environment) -> list[Normal]:
    """Unweighted rates, moved to the weighted ones as far as the log looks confounded.

    Weights make rates right and noisy. Where both kinds differ by no more than that noise, the
    unweighted ones are kept; else they are moved by a shrunken difference, whose variance is the
    difference of the variances (Hausman, Econometrica 46, 1978; Green & Strawderman, JASA 86,
    1991, for the shrinkage).
    """
    plain, weighted = (environment.rates((None, None), w) for w in _BOTH)
    gaps = [b.mean - a.mean for a, b in zip(plain, weighted, strict=True)]
    noise = [
        max(b.variance - a.variance, _NOISE_LEAST * b.variance)
        for a, b in zip(plain, weighted, strict=True)
    ]
    distance = sum(gap * gap / n for gap, n in zip(gaps, noise, strict=True))
    part = max(0.0, 1 - len(gaps) / distance) if distance > 0 else 0.0
    return [
        level._replace(
            mean=level.mean + part * gap, worth_exploring=level.worth_exploring + part * n
        )
        for level, gap, n in zip(levels, gaps, noise, strict=True)
    ]


def costs_of(candidates: Sequence[Candidate]) -> list[float | None]:
    return [candidate.expected_cost for candidate in candidates]


# --------------------------------------------------------------------------------- reasons


def _randomised(root: Sequence[Sums]) -> bool:
    """Whether logged propensities say of every candidate how it came to be chosen."""
    executions = sum(sums.executions for sums in root)
    randomised = sum(sums.randomised for sums in root)
    return (
        executions > 0
        and randomised >= RANDOMISED_SHARE * executions
        and all(sums.randomised > 0 for sums in root)
    )


def _unseen(question: Question, environment: Environment) -> list[str]:
    said = []
    for name, value, place in (
        ("task-type", question.task_type, (question.task_type, None)),
        ("repo", question.repo, (None, question.repo)),
    ):
        if value is not None and not any(s.executions for s in environment.sums(place)):
            said.append(f"{name}-unseen")
    return said


def _asked(question: Question) -> Place:
    return question.task_type, question.repo


def _warnings(
    arms: Sequence[str], root: Sequence[Sums], candidates: Sequence[Candidate]
) -> list[str]:
    """What makes the figures less sure than their intervals say."""
    said = []
    executions = sum(sums.executions for sums in root)
    for arm, sums, candidate in zip(arms, root, candidates, strict=True):
        if len(arms) > 1 and executions and sums.executions > _ONE_ARM_SHARE * executions:
            said.append(f"nearly-all-to-one-arm:{arm}")
        if not sums.executions:
            said.append(f"arm-unseen:{arm}")
        elif sums.known < KNOWN_LEAST:
            said.append(f"arm-unproven:{arm}")
        elif candidate.support < HERE_FEW:
            said.append(f"few-here:{arm}")
    if _missing_unevenly([sums for sums in root if sums.executions]):
        said.append("outcomes-missing-unevenly")
    if _randomised(root):
        # Were every arm open to every task, each arm's 1/propensity would sum to all executions.
        for arm, sums in zip(arms, root, strict=True):
            if abs(sums.balance / executions - 1) > _BALANCE_OFF:
                said.append(f"overlap-doubtful:{arm}")
    elif any(sums.randomised for sums in root):
        said.append("propensities-incomplete")
    return said


def _missing_unevenly(root: Sequence[Sums]) -> bool:
    """Whether shares of known outcomes differ between two arms by much, and not by chance."""
    if len(root) < 2:
        return False
    shares = [(sums.known / sums.executions, sums.executions) for sums in root]
    (low, n), (high, m) = min(shares), max(shares)
    middle = (low * n + high * m) / (n + m)
    error = math.sqrt(max(middle * (1 - middle), 1e-9) * (1 / n + 1 / m))
    return high - low > _MISSING_GAP and (high - low) / error > _MISSING_Z


_BLANKS: Final = re.compile(r"\s+")


def token(text: str) -> str:
    """A reason as a token: no blanks, at most 48 characters."""
    return _BLANKS.sub("_", text)[:_TOKEN_MOST]


def _tokens(said: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(token(reason) for reason in said))


def _value(number: float | None) -> float:
    return math.nan if number is None else number
