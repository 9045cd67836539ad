"""The reasons of `recommend`, and what experiments warn of, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from otel_learning.server.dashboard import words

_WORDS: Final = {
    "environment": "Only executions of the environment {} teach.",
    "environment-unseen": "No execution has that environment.",
    "half-life-days": "The arms have changed over time: an execution counts half after {} days.",
    "no-executions": "There are no executions to learn from.",
    "task-type-unseen": "That task type has not been seen: figures are those of all types.",
    "repo-unseen": "That repository has not been seen: figures are those of the task type.",
    "too-few-outcomes": "Too few outcomes are known to compare two arms.",
    "default": "The default is answered.",
    "no-arm-within-limits": "No arm is within the limits.",
    "limits-excluded-arms": "Limits left arms out.",
    "cost-unknown": "The cost of an arm is unknown, and is taken for the dearest.",
    "nearly-all-to-one-arm": "Nearly all tasks went to {}: little is known of the others.",
    "arm-unseen": "{} has never been chosen.",
    "arm-unproven": "{} has too few known outcomes to be chosen.",
    "few-here": "{} was seldom chosen in this context: its figures lean on other contexts.",
    "outcomes-missing-unevenly": "Outcomes are missing more often for one arm than for another.",
    "overlap-doubtful": "{}: the logged probabilities do not fit how often it was chosen.",
    "propensities-incomplete": "Only some executions carry the router's probabilities.",
    "description-unread": "The description could not be compared with others.",
    # Of experiments.
    "sample_ratio_mismatch": "Units are not shared out by the weights: do not rely on this.",
    "outcomes_missing_unevenly": "Outcomes are missing more often for one variant.",
    "crossed_units": "{} units were given more than one variant, and are left out.",
    "unknown_variants": "{} executions name a variant that the experiment does not have.",
    "unassigned": "{} executions have no unit to be assigned by.",
    "guardrail_broken": "A guardrail is broken: {}.",
    "guardrail": "The guardrail {} is broken.",
    "better_than_every_other": "One variant is shown to be better than every other one.",
    "horizon_not_reached": "The number of outcomes that was fixed is not reached yet.",
    "no_outcomes": "There is a variant without a known outcome.",
    "difference_below_effect": "Any difference is smaller than the one worth finding.",
    "no_difference_shown": "No difference is shown yet: not enough evidence.",
}


def in_words(reasons: Sequence[str]) -> list[tuple[str, str]]:
    """Token and sentence of each reason; a token that has no sentence stands for itself."""
    found = []
    for reason in reasons:
        key = reason
        for mark in ("=", ":"):
            key = key.partition(mark)[0]
        said = _WORDS.get(key)
        value = words.plain(reason[len(key) + 1 :])
        found.append((words.plain(reason), reason if said is None else said.format(value)))
    return found
