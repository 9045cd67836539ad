"""A policy's life: proposed, in the shadow, in force, rolled back; each step a row and a receipt.

What is in force stands in the store; the file beside it follows. A kill between the two is mended
by the next command, or by the keeper.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from otel_learning.errors import OtelLearningError
from otel_learning.learning import policy_file, policy_outcomes
from otel_learning.learning.policy_evidence import Proposal, Wanted, propose
from otel_learning.store.database import LearningDatabase
from otel_learning.store.failpoints import failpoint
from otel_learning.store.lake.address import is_lake
from otel_learning.store.policies import Book, Version, book, held, writing
from otel_learning.store.reader import Reader

PERSON: Final = "person"
KEEPER: Final = "otel-learning"
"""Who did something: somebody at a command line, or MODE=act by itself."""


class PolicyRefusedError(OtelLearningError):
    """A policy may not be put in force as things are; nothing was changed."""


def draft(database: LearningDatabase, wanted: Wanted, now: datetime) -> Proposal | None:
    """What would be proposed; nothing is written. None where there is nothing to learn from."""
    database.drain()
    known = book(database)
    active = known.active()
    return propose(
        database, wanted, active.document if active is not None else None,
        last_change=known.last("applied", "rolled_back"), now=now,
    )  # fmt: skip


def store_proposal(
    database: LearningDatabase, proposal: Proposal, *, actor: str, mode: str, now: datetime
) -> str:
    """Writes a proposal down and returns its version.

    The same rules from the same evidence are the same version: asking twice proposes once.
    """
    with writing(database) as known:
        newest = known.versions()[-1:]
        for before in newest:
            if before.state == "proposed" and _same(before.document, proposal.document):
                return before.policy_version
        version = known.next_version()
        known.add({**proposal.document, "policy_version": version}, proposal.as_dict())
        known.happened(version, "proposed", at=now, actor=actor, mode=mode)
    return version


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    named = ("decision", "context", "environment", "cost_weight", "default", "parent", "evidence",
             "rules")  # fmt: skip
    plain = [json.dumps([each[name] for name in named], sort_keys=True) for each in (one, other)]
    return plain[0] == plain[1]


def shadow(
    database: LearningDatabase, wanted: str | None, *, actor: str, mode: str, now: datetime
) -> dict[str, Any]:
    """Puts a version into the shadow: judged by what it would have drawn, followed by nobody."""
    with writing(database) as known:
        version = known.version(wanted)
        if version.state == "active":
            raise PolicyRefusedError(
                f"policy {version.policy_version} is in force", "otel-learning policy rollback"
            )
        for other in known.versions():
            if other.state == "shadow" and other.policy_version != version.policy_version:
                known.happened(other.policy_version, "retired", at=now, actor=actor, mode=mode,
                               why=f"policy {version.policy_version} is in the shadow")  # fmt: skip
        receipt = _receipt("shadowed", version, actor, mode, now)
        known.happened(version.policy_version, "shadowed", at=now, actor=actor, mode=mode,
                       receipt=receipt)  # fmt: skip
    return receipt


def apply(
    database: LearningDatabase,
    wanted: str | None,
    *,
    actor: str,
    mode: str,
    now: datetime,
    overrule: bool = False,
) -> dict[str, Any]:
    """Puts a version in force and writes the policy file; returns the receipt.

    Raises:
        InputError: there is no such version.
        PolicyRefusedError: a gate is not passed and nobody overrules it, or it has expired.
    """
    with writing(database) as known:
        version = known.version(wanted)
        refuse(version, now, overrule=overrule)
        before = known.active()
        receipt = _receipt("applied", version, actor, mode, now)
        failed = [gate for gate in version.proposal["gates"] if not gate["passed"]]
        receipt["overruled"] = failed
        receipt["replaces"] = before.policy_version if before is not None else None
        if before is None or before.policy_version != version.policy_version:
            if before is not None:
                known.happened(before.policy_version, "retired", at=now, actor=actor, mode=mode,
                               why=f"policy {version.policy_version} is in force")  # fmt: skip
            known.happened(version.policy_version, "applied", at=now, actor=actor, mode=mode,
                           receipt=receipt)  # fmt: skip
    failpoint("policy: applied")
    mend(database)
    return receipt


def refuse(version: Version, now: datetime, *, overrule: bool) -> None:
    """Raises PolicyRefusedError where a version may not be put in force."""
    name = version.policy_version
    if datetime.fromisoformat(version.document["expires_at"]) <= now:
        raise PolicyRefusedError(
            f"policy {name} has expired", "otel-learning policy propose makes one from new evidence"
        )
    failed = [gate["gate"] for gate in version.proposal["gates"] if not gate["passed"]]
    if failed and not overrule:
        raise PolicyRefusedError(
            f"policy {name} does not pass: {', '.join(failed)}",
            "a person may apply it all the same, with --yes",
        )


def rollback(
    database: LearningDatabase,
    wanted: str | None,
    *,
    actor: str,
    mode: str,
    now: datetime,
    why: str | None = None,
) -> dict[str, Any]:
    """Takes a version back: of the one in force, what was in force before takes its place again.

    Where nothing was, or that has expired, the file is removed and routers follow their default.
    """
    with writing(database) as known:
        active = known.active()
        version = active if wanted is None and active is not None else known.version(wanted)
        if version.state in ("retired", "rolled_back"):
            raise PolicyRefusedError(
                f"policy {version.policy_version} is not in force",
                "see otel-learning policy status",
            )
        receipt = _receipt("rolled_back", version, actor, mode, now)
        receipt["why"] = why
        restored = _before(known, version, now) if version.state == "active" else None
        receipt["restores"] = restored.policy_version if restored is not None else None
        known.happened(version.policy_version, "rolled_back", at=now, actor=actor, mode=mode,
                       why=why, receipt=receipt)  # fmt: skip
        if restored is not None:
            known.happened(
                restored.policy_version, "applied", at=now, actor=actor, mode=mode,
                why=f"policy {version.policy_version} was rolled back",
                receipt={**_receipt("applied", restored, actor, mode, now), "replaces": None},
            )  # fmt: skip
    failpoint("policy: rolled back")
    mend(database)
    return receipt


def _before(known: Book, version: Version, now: datetime) -> Version | None:
    """What a version in force has replaced, where it may still be followed."""
    replaced = None
    for event in known.events():
        if event.policy_version == version.policy_version and event.event == "applied":
            replaced = event.receipt.get("replaces")
    for other in known.versions():
        if other.policy_version == replaced and other.state == "retired":
            expires = datetime.fromisoformat(other.document["expires_at"])
            return other if expires > now else None
    return None


def mend(database: LearningDatabase) -> bool:
    """Makes the policy file what the store says is in force; True where it was not."""
    with held(database) as known:
        active = known.active()
        wanted = active.document if active is not None else None
        if policy_file.in_place(database.path) == wanted and (
            wanted is not None or not policy_file.place_of(database.path).exists()
        ):
            return False
        policy_file.put(database.path, wanted)
    return True


def status(store: Reader, mode: str) -> dict[str, Any]:
    """What is in force, in the shadow, and what happened: as `policy status` prints it."""
    known = book(store)
    versions = known.versions()
    active = next((v for v in versions if v.state == "active"), None)
    shadow_of = next((v for v in versions if v.state == "shadow"), None)
    found = policy_file.in_place(store.path)
    return {
        "mode": mode,
        "active": None if active is None else {
            **_shown(active),
            "promises": [each.as_dict() for each in policy_outcomes.watched(store, active)],
        },
        "shadow": None if shadow_of is None else {
            **_shown(shadow_of), **policy_outcomes.shadowed(store, shadow_of),
        },
        "history": [
            {"policy_version": e.policy_version, "event": e.event, "at": e.happened_at,
             "actor": e.actor, "mode": e.mode, "why": e.why}
            for e in known.events()
        ],
        "file": {
            "path": None if is_lake(store.path) else policy_file.place_of(store.path),
            "policy_version": found["policy_version"] if found is not None else None,
            "in_place": found == (active.document if active is not None else None),
        },
        "switched_off": policy_file.switched_off(store.path),
    }  # fmt: skip


def _shown(version: Version) -> dict[str, Any]:
    document = version.document
    return {
        "policy_version": version.policy_version,
        "since": version.state_since,
        "expires_at": document["expires_at"],
        "decision": document["decision"],
        "environment": document["environment"],
        "rules": document["rules"],
    }


def _receipt(
    what: str, version: Version, actor: str, mode: str, now: datetime
) -> dict[str, Any]:  # fmt: skip
    document = version.document
    return {
        "event": what,
        "policy_version": version.policy_version,
        "at": now.isoformat(),
        "actor": actor,
        "mode": mode,
        "evidence": document["evidence"],
        "effect": version.proposal["effect"],
        "promises": version.proposal["promises"],
    }
