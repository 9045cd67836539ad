"""Policies: what is in force and in the shadow, whether promises are kept, and what happened."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from otel_learning.server.dashboard import words
from otel_learning.server.dashboard.page import Cell, Note, Page, Pairs, Section, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_learning.server.dashboard.asked import Asked
    from otel_learning.server.dashboard.page import Block
    from otel_learning.store.database import LearningDatabase
    from otel_learning.store.policies import Version

PATH: Final = "/policies"
QUESTION: Final = "What policy is in force?"
HISTORY: Final = 100


def build(database: LearningDatabase, _: Asked, __: Mapping[str, str]) -> Page:
    """The page: the figures of `otel-learning policy status`, and every version."""
    from otel_learning.learning.policy_life import status
    from otel_learning.settings import load
    from otel_learning.store.policies import book

    with database.snapshot() as store:
        found = status(store, load()[0].mode)
        versions = list(reversed(book(store).versions()))
    if not versions:
        return Page(PATH, QUESTION, "None: no policy has been proposed.", [
            Section("How to begin", [
                Note("A policy is proposed from the evidence, and nothing changes by it:",
                     "otel-learning policy propose"),
            ]),
        ])  # fmt: skip
    return Page(PATH, QUESTION, _answer(found), [
        Section("In force", [*_active(found)]),
        Section("In the shadow", [*_shadow(found)]),
        Section("All versions", [_versions(versions)]),
        Section("What happened", [_history(found["history"])]),
    ], f"mode {found['mode']}")  # fmt: skip


def _answer(found: Mapping[str, Any]) -> str:
    if found["switched_off"]:
        return "None is followed: the kill switch is on."
    active = found["active"]
    if active is None:
        return "None: routers follow their own default."
    broken = [p for p in active["promises"] if p["broken"]]
    said = f"Policy {active['policy_version']}, since {words.moment(active['since'])}"
    if broken:
        names = " and ".join(str(p["what"]) for p in broken)
        return f"{said}. It breaks its promise of {names}."
    if any(p["outcomes"] for p in active["promises"]):
        return f"{said}. It keeps its promises so far."
    return f"{said}. No outcome tells yet whether it keeps its promises."


def _active(found: Mapping[str, Any]) -> list[Block]:
    active = found["active"]
    if active is None:
        return [Note("Nothing is in force.")]
    blocks: list[Block] = []
    if not found["file"]["in_place"]:
        blocks.append(Note("The policy file is not what is in force. The next command mends it:",
                           "otel-learning policy watch --once", "warn"))  # fmt: skip
    blocks.append(rules(active["rules"], f"What policy {active['policy_version']} says"))
    rows = []
    for promise in active["promises"]:
        money = promise["what"] == "cost"
        say = words.money if money else words.share
        rows.append([
            Cell(str(promise["what"])),
            Cell(f"{'at most' if money else 'at least'} {say(promise['limit'])}"),
            Cell("no outcome yet" if promise["mean"] is None else say(promise["mean"])),
            Cell(words.count(promise["outcomes"])),
            Cell("broken" if promise["broken"] else "kept so far",
                 tone="bad" if promise["broken"] else "good"),
        ])  # fmt: skip
    if rows:
        blocks.append(Table("Its promises", ("Of", "Promised", "Mean since", "Outcomes", "Kept?"),
                            rows, frozenset((2, 3))))  # fmt: skip
    return blocks


def _shadow(found: Mapping[str, Any]) -> list[Block]:
    shadow = found["shadow"]
    if shadow is None:
        return [Note("Nothing is watched in the shadow.")]
    version = shadow["policy_version"]
    return [Pairs([
        ("Version", Cell(f"Policy {version}", f"{PATH}/{version}")),
        ("Since", Cell(words.moment(shadow["since"]))),
        ("Change of success", Cell(effect(shadow["effect"], words.points))),
        ("Change of cost", Cell(effect(shadow["cost_effect"], words.signed_money))),
        ("Executions", Cell(words.count(shadow["executions"]))),
    ])]  # fmt: skip


def effect(found: Mapping[str, Any], say: Any) -> str:
    """A change with its interval; or that it is not known."""
    if found["value"] is None:
        return "not enough evidence"
    if found["low"] is None:
        return str(say(found["value"]))
    low = str(say(found["low"])).removesuffix(" points")
    return f"{say(found['value'])} ({low} to {say(found['high'])})"


def rules(found: Sequence[Mapping[str, Any]], caption: str) -> Table | Note:
    """A policy's rules: in which context which arm, with which probability."""
    if not found:
        return Note("It has no rule: everywhere routers follow their own default.")
    rows = []
    for rule in found:
        shares = sorted(rule["propensities"].items(), key=lambda pair: (-pair[1], pair[0]))
        rows.append([
            Cell(context(rule["when"])), Cell(words.plain(rule["arm"])),
            Cell(", ".join(f"{words.plain(arm)} {words.share(share)}" for arm, share in shares)),
            Cell(words.count(rule["support"])),
        ])  # fmt: skip
    return Table(caption, ("Where", "Arm", "Drawn with", "Executions behind it"), rows,
                 frozenset((3,)))  # fmt: skip


def context(values: Mapping[str, Any]) -> str:
    """A context in words: `task_type bug_fix`, `complexity_score 22 to 40`."""
    return ", ".join(f"{name} {_value(value)}" for name, value in values.items()) or "everywhere"


def _value(value: Any) -> str:
    if not isinstance(value, list):
        return "unknown" if value is None else words.plain(str(value))
    low, high = value
    if low is None:
        return "any" if high is None else f"below {high:g}"
    return f"from {low:g}" if high is None else f"{low:g} to {high:g}"


def _versions(versions: list[Version]) -> Table:
    rows = []
    for one in versions:
        found = one.proposal["effect"]
        failed = [gate["gate"] for gate in one.proposal["gates"] if not gate["passed"]]
        rows.append([
            Cell(f"Policy {one.policy_version}", f"{PATH}/{one.policy_version}"),
            Cell(one.state, note=words.plain(one.why or "")),
            Cell(effect(found, words.points)),
            Cell("all passed" if not failed else f"failed: {', '.join(failed)}",
                 tone="" if not failed else "bad"),
            Cell(words.clock(one.made_at)),
        ])  # fmt: skip
    heads = ("Version", "State", "Change of success", "Gates", "Made (UTC)")
    return Table("Versions, the newest first", heads, rows)


def _history(events: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [Cell(_moment(e["at"])), Cell(f"Policy {e['policy_version']}"),
         Cell(str(e["event"]).replace("_", " ")),
         Cell(words.plain(str(e["actor"]))), Cell(words.plain(str(e["why"] or "")))]
        for e in list(reversed(events))[:HISTORY]
    ]  # fmt: skip
    return Table(
        "What happened, the newest first", ("When (UTC)", "Version", "What", "By", "Why"), rows
    )


def _moment(at: Any) -> str:
    return words.clock(at if isinstance(at, datetime) else datetime.fromisoformat(str(at)))
