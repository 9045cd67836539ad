"""Keeps a policy as MODE says: watches its promises, renews it as evidence comes in.

Nobody asks for what happens here, so it is careful: in `observe` it does nothing, in `advise` it
writes down what it would do, and only in `act`, with every gate passed and no kill switch thrown,
it changes what is in force.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from otel_learning.learning import policy_file, policy_life, policy_outcomes
from otel_learning.learning.policy_evidence import Proposal, Wanted
from otel_learning.learning.policy_gates import COOL_DOWN_OUTCOMES, Gate, passed
from otel_learning.learning.policy_life import KEEPER
from otel_learning.store.database import LearningDatabase
from otel_learning.store.policies import Version, book, writing

Receipts = list[dict[str, Any]]

RENEW_SHARE: Final = 0.5
"""A policy in force that has lived through this share of its time gets as much again."""


def tick(database: LearningDatabase, wanted: Wanted, mode: str, now: datetime) -> Receipts:
    """Looks once, does what MODE allows, and returns a receipt of each thing done.

    Raises:
        StoreLockedError: the store was not free in time; the next look comes.
        StoreError: it cannot be read or written.
    """
    if mode == "observe" or policy_file.switched_off(database.path):
        return []
    database.drain()
    if mode == "act":
        policy_life.mend(database)
    known = book(database)
    active = known.active()
    if active is not None:
        broken = [each for each in policy_outcomes.watched(database, active) if each.broken]
        if broken:
            why = "; ".join(
                f"{each.what} {each.mean:.4g} in {each.outcomes} outcomes, promised "
                f"{'at most' if each.what == 'cost' else 'at least'} {each.limit:.4g}"
                for each in broken
            )
            return _broken(database, active, mode, now, why)
    done = _renewed(database, wanted, active, mode, now)
    if not done and active is not None and mode == "act":
        return _prolonged(database, active, mode, now)
    return done


def _broken(
    database: LearningDatabase, active: Version, mode: str, now: datetime, why: str
) -> Receipts:
    version = active.policy_version
    if mode == "act":
        return [policy_life.rollback(database, version, actor=KEEPER, mode=mode, now=now, why=why)]
    with writing(database) as known:
        if any(e.policy_version == version and e.event == "alarmed"
               and e.happened_at >= active.state_since for e in known.events()):  # fmt: skip
            return []
        receipt = {"event": "alarmed", "policy_version": version, "at": now.isoformat(),
                   "actor": KEEPER, "mode": mode, "why": why}  # fmt: skip
        known.happened(version, "alarmed", at=now, actor=KEEPER, mode=mode, why=why,
                       receipt=receipt)  # fmt: skip
    return [receipt]


def _renewed(
    database: LearningDatabase, wanted: Wanted, active: Version | None, mode: str, now: datetime
) -> Receipts:
    found = policy_life.draft(database, wanted, now)
    if found is None or not passed(found.gates) or _tried(database, found):
        return []
    version = policy_life.store_proposal(database, found, actor=KEEPER, mode=mode, now=now)
    if mode == "act":
        return [policy_life.apply(database, version, actor=KEEPER, mode=mode, now=now)]
    return [{"event": "proposed", "policy_version": version, "at": now.isoformat(),
             "actor": KEEPER, "mode": mode, "effect": found.effect.as_dict()}]  # fmt: skip


def _prolonged(database: LearningDatabase, active: Version, mode: str, now: datetime) -> Receipts:
    """Gives a policy that keeps its promises, and that nothing better is known than, more time."""
    document = active.document
    made, expires = (datetime.fromisoformat(document[name]) for name in ("made_at", "expires_at"))
    if now < made + RENEW_SHARE * (expires - made) or expires <= now:
        return []
    kept = policy_outcomes.watched(database, active)
    outcomes = min((each.outcomes for each in kept), default=0)
    if outcomes < COOL_DOWN_OUTCOMES:
        return []
    why = f"policy {active.policy_version} kept its promises in {outcomes} outcomes"
    with writing(database) as known:
        version = known.next_version()
        known.add(
            {**document, "policy_version": version, "parent": active.policy_version,
             "made_at": now.isoformat(), "expires_at": (now + (expires - made)).isoformat()},
            {**active.proposal, "changes": [], "gates": [Gate("kept", True, why).as_dict()]},
        )  # fmt: skip
        known.happened(version, "proposed", at=now, actor=KEEPER, mode=mode, why=why)
    return [policy_life.apply(database, version, actor=KEEPER, mode=mode, now=now)]


def _tried(database: LearningDatabase, found: Proposal) -> bool:
    """Whether the same was rolled back before, or waits already: neither is done again unasked."""

    def arms(rules: list[dict[str, Any]]) -> list[Any]:
        return [(rule["when"], rule["arm"]) for rule in rules]

    return any(
        version.state in ("rolled_back", "proposed", "shadow")
        and arms(version.document["rules"]) == arms(found.document["rules"])
        for version in book(database).versions()
    )


def like(version: Version, wanted: Wanted) -> Wanted:
    """What is asked for so that the next version is about the same as this one."""
    document = version.document
    return replace(
        wanted, scope=policy_outcomes.scope_of(document), environment=document["environment"],
        cost_weight=document["cost_weight"], default=document["default"],
    )  # fmt: skip
