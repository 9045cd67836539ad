"""A policy's life over replayed outcomes, each state of it readable in SQL."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from otel_learning import LearningDatabase
from otel_learning.errors import InputError
from otel_learning.learning import policy_file, policy_keeper, policy_life
from otel_learning.learning.policy_evidence import Proposal, Wanted
from otel_learning.learning.policy_life import PERSON, PolicyRefusedError
from otel_learning.store import failpoints
from otel_learning.store.policy_rows import scope
from tests.learning.policy_world import RATES, Router

WANTED = Wanted(scope("model_tier", "task_type"), "production")


@pytest.fixture
def router(tmp_path: Path) -> Router:
    """A router that has carried 600 tasks out by itself."""
    made = Router(tmp_path / "s.duckdb")
    made.run(600)
    return made


@pytest.fixture
def database(router: Router) -> LearningDatabase:
    return LearningDatabase(router.store)


def states(database: LearningDatabase) -> dict[str, str]:
    """What anybody reads with plain SQL."""
    return dict(database.sql("SELECT policy_version, state FROM policies"))


def draft(database: LearningDatabase, router: Router, wanted: Wanted = WANTED) -> Proposal:
    found = policy_life.draft(database, wanted, router.now)
    assert found is not None
    return found


def propose(database: LearningDatabase, router: Router, wanted: Wanted = WANTED) -> str:
    return policy_life.store_proposal(
        database, draft(database, router, wanted), actor=PERSON, mode="advise", now=router.now
    )


def apply(database: LearningDatabase, router: Router, version: str | None = None) -> None:
    policy_life.apply(database, version, actor=PERSON, mode="advise", now=router.now)


def test_the_whole_story(router: Router, database: LearningDatabase) -> None:
    """Observed, proposed, in the shadow, in force; then bugs grow hard, and it is rolled back."""
    assert policy_keeper.tick(database, WANTED, "observe", router.now) == []
    assert states(database) == {}

    version = propose(database, router)
    (change,) = draft(database, router).changes
    assert (change["context"], change["from"], change["to"]) == (
        {"task_type": "bug_fix"}, "small", "large",
    )  # fmt: skip
    # 0.6 of the tasks go from 0.55 to 0.9.
    assert change["low"] < 0.6 * 0.35 < change["high"]
    assert change["low"] > 0
    assert change["cost_effect"] == pytest.approx(0.6 * 0.008, rel=0.3)
    assert states(database) == {version: "proposed"}

    policy_life.shadow(database, version, actor=PERSON, mode="advise", now=router.now)
    router.run(200)
    assert states(database) == {version: "shadow"}
    seen = policy_life.status(database, "advise")["shadow"]
    assert seen["executions"] == 200
    assert seen["effect"]["low"] < 0.3 * 0.35 < seen["effect"]["high"]
    assert not policy_file.place_of(router.store).exists()

    apply(database, router, version)
    assert states(database) == {version: "active"}
    router.run(300)
    followed = database.sql(
        "SELECT count(*), avg(CAST(success AS INTEGER)), count(*) FILTER (model_tier = 'large') "
        "FROM executions WHERE policy_version = ?", [version],
    )[0]  # fmt: skip
    assert followed[0] > 100
    assert followed[1] > 0.7
    kept = policy_life.status(database, "act")["active"]["promises"]
    assert [promise["broken"] for promise in kept] == [False, False]

    hard = {**RATES, "bug_fix": {"small": 0.2, "large": 0.3}}
    receipts = []
    for _ in range(20):
        router.run(30, hard)
        receipts = policy_keeper.tick(database, WANTED, "act", router.now)
        if receipts and receipts[0]["event"] == "rolled_back":
            break
    assert [receipt["event"] for receipt in receipts] == ["rolled_back"]
    assert "success" in receipts[0]["why"]
    rows = database.sql(
        "SELECT event, actor, mode FROM policy_events WHERE policy_version = ? ORDER BY ordinal",
        [receipts[0]["policy_version"]],
    )
    assert rows[-1] == ("rolled_back", "otel-learning", "act")
    assert states(database)[receipts[0]["policy_version"]] == "rolled_back"


def test_advise_says_and_changes_nothing(router: Router, database: LearningDatabase) -> None:
    """A proposal is written down once; no file, nothing in force; an alarm is said once."""
    receipts = policy_keeper.tick(database, WANTED, "advise", router.now)
    assert [receipt["event"] for receipt in receipts] == ["proposed"]
    assert policy_keeper.tick(database, WANTED, "advise", router.now) == []
    assert set(states(database).values()) == {"proposed"}
    assert not policy_file.place_of(router.store).exists()

    apply(database, router)
    router.run(200, {"bug_fix": {"small": 0.1, "large": 0.1}})
    alarmed = policy_keeper.tick(database, WANTED, "advise", router.now)
    assert [receipt["event"] for receipt in alarmed] == ["alarmed"]
    assert policy_keeper.tick(database, WANTED, "advise", router.now) == []
    assert set(states(database).values()) == {"active"}


def test_act_applies_what_passes_every_gate_and_nothing_else(
    router: Router, database: LearningDatabase
) -> None:
    """With one gate failed nothing is changed; with all passed the file is there."""
    strict = Wanted(WANTED.scope, "production", cost_weight=5.0)
    assert policy_keeper.tick(database, strict, "act", router.now) == []
    assert states(database) == {}

    receipts = policy_keeper.tick(database, WANTED, "act", router.now)

    assert [receipt["event"] for receipt in receipts] == ["applied"]
    assert receipts[0]["overruled"] == []
    found = policy_file.in_place(router.store)
    assert found is not None and found["policy_version"] == receipts[0]["policy_version"]


def test_a_switch_holds_the_keeper_too(
    router: Router, database: LearningDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While routers are told to follow nothing, nothing new is put in force."""
    policy_file.switch_of(router.store).touch()
    assert policy_keeper.tick(database, WANTED, "act", router.now) == []

    policy_file.switch_of(router.store).unlink()
    monkeypatch.setenv("OTEL_LEARNING_POLICY", "off")
    assert policy_keeper.tick(database, WANTED, "act", router.now) == []
    assert states(database) == {}


def test_what_was_rolled_back_is_not_applied_again_unasked(
    router: Router, database: LearningDatabase
) -> None:
    """The same arms in the same contexts stay out until a person says otherwise."""
    (receipt,) = policy_keeper.tick(database, WANTED, "act", router.now)
    policy_life.rollback(database, None, actor=PERSON, mode="act", now=router.now)
    router.now += timedelta(days=3)
    router.run(60)

    assert policy_keeper.tick(database, WANTED, "act", router.now) == []
    assert states(database)[receipt["policy_version"]] == "rolled_back"


def test_the_policy_before_takes_its_place_again(
    router: Router, database: LearningDatabase
) -> None:
    """A rollback restores what was replaced, and a second one leaves nothing."""
    first = propose(database, router)
    apply(database, router, first)
    router.now += timedelta(days=2)
    router.run(300)
    second = propose(database, router)
    policy_life.apply(database, second, actor=PERSON, mode="advise", now=router.now, overrule=True)
    assert states(database) == {first: "retired", second: "active"}

    receipt = policy_life.rollback(database, None, actor=PERSON, mode="act", now=router.now)
    assert receipt["restores"] == first
    assert states(database) == {first: "active", second: "rolled_back"}
    assert router.reader.choose({"task_type": "bug_fix"}).policy_version == first

    receipt = policy_life.rollback(database, None, actor=PERSON, mode="act", now=router.now)
    assert receipt["restores"] is None
    assert states(database) == {first: "rolled_back", second: "rolled_back"}
    with pytest.raises(PolicyRefusedError, match="not in force"):
        policy_life.rollback(database, None, actor=PERSON, mode="act", now=router.now)
    assert not policy_file.place_of(router.store).exists()


def test_a_step_is_bounded_and_the_next_one_goes_on(
    router: Router, database: LearningDatabase
) -> None:
    """At most 60 % of a context's tasks change arms at once."""
    (change,) = draft(database, router).changes
    assert change["after"]["large"] - change["before"].get("large", 0.0) <= 0.6 + 1e-3

    apply(database, router, propose(database, router))
    router.now += timedelta(days=2)
    router.run(400)

    (second,) = draft(database, router).changes
    assert second["before"] == change["after"]
    assert second["after"]["large"] > second["before"]["large"]


def test_versions_rise_and_asking_twice_proposes_once(
    router: Router, database: LearningDatabase
) -> None:
    """The same evidence gives the same version; other evidence the next one."""
    first = propose(database, router)
    assert propose(database, router) == first

    router.run(50)
    assert int(propose(database, router)) == int(first) + 1


def test_gates_that_fail_bind_the_machine_and_a_person_may_overrule(
    router: Router, database: LearningDatabase
) -> None:
    """Without being overruled it is refused; the receipt names what was overruled."""
    apply(database, router, propose(database, router))
    router.run(40)
    second = propose(database, router)

    with pytest.raises(PolicyRefusedError, match="cool_down"):
        apply(database, router, second)
    receipt = policy_life.apply(
        database, second, actor=PERSON, mode="advise", now=router.now, overrule=True
    )
    assert "cool_down" in [gate["gate"] for gate in receipt["overruled"]]


def test_evidence_without_propensities_passes_no_gate(tmp_path: Path) -> None:
    """An observational comparison is shown, and never acted on."""
    from tests.learning.building import plain, store_with

    store = store_with(
        tmp_path / "o.duckdb",
        plain({"small": (60, 60), "large": (110, 10)}, task_type="bug_fix"),
    )
    with LearningDatabase(store) as database:
        now = datetime.fromisoformat("2026-12-01T00:00:00+00:00")
        found = policy_life.draft(database, WANTED, now)

    assert found is not None
    failed = {gate.gate for gate in found.gates if not gate.passed}
    assert {"randomised", "gain"} <= failed
    (change,) = found.changes
    assert change["effect_from"] == "model"
    assert 0 < change["low"] < change["effect"] < change["high"]


def test_an_expired_policy_is_not_put_in_force(router: Router, database: LearningDatabase) -> None:
    """Its evidence is too old by then."""
    version = propose(database, router)
    router.now += timedelta(days=31)

    with pytest.raises(PolicyRefusedError, match="expired"):
        apply(database, router, version)


def test_a_version_that_is_not_there_is_named(database: LearningDatabase) -> None:
    with pytest.raises(InputError, match="no policy 9"):
        policy_life.apply(
            database, "9", actor=PERSON, mode="advise", now=datetime.now().astimezone()
        )


class _Killed(BaseException):
    pass


@pytest.fixture
def kill_at() -> Iterator[dict[str, str]]:
    """Ends whatever passes the place named in it."""
    wanted: dict[str, str] = {}

    def hook(name: str) -> None:
        if name == wanted.get("place"):
            raise _Killed

    before = failpoints.hook
    failpoints.hook = hook
    yield wanted
    failpoints.hook = before


@pytest.mark.parametrize("place", ["policy: applied", "policy: drafted"])
def test_a_kill_between_store_and_file_is_mended(
    router: Router, database: LearningDatabase, kill_at: dict[str, str], place: str
) -> None:
    """The file is the old one or the new one, whole; the next look makes it what the store says."""
    first = propose(database, router)
    kill_at["place"] = place
    with pytest.raises(_Killed):
        apply(database, router, first)
    kill_at.clear()
    assert policy_file.in_place(router.store) is None
    assert states(database) == {first: "active"}
    assert policy_life.status(database, "act")["file"]["in_place"] is False

    policy_keeper.tick(database, WANTED, "act", router.now)

    found = policy_file.in_place(router.store)
    assert found is not None and found["policy_version"] == first
    left = [p.name for p in router.store.parent.iterdir() if p.name.startswith(".")]
    assert left == []


def test_the_file_is_its_owners_alone(router: Router, database: LearningDatabase) -> None:
    """Whatever the umask; and it is small."""
    apply(database, router, propose(database, router))
    file = policy_file.place_of(router.store)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.stat().st_size < 4096
    document = json.loads(file.read_bytes())
    assert document["evidence"]["basis"] == "randomised"
    assert {"cost_weight", "expires_at", "made_at", "default", "environment"} <= set(document)


def test_the_same_rows_give_the_same_policy(router: Router, database: LearningDatabase) -> None:
    """Nothing is kept beside the rows that a proposal would depend on."""
    assert draft(database, router) == draft(database, router)


def test_proposals_of_frozen_tasks_never_teach(router: Router, database: LearningDatabase) -> None:
    """What judges has no part in what is proposed: turning it around changes no rule."""
    before = draft(database, router).document["rules"]
    frozen = "md5_number_upper(coalesce(task_id, CAST(execution_id AS VARCHAR))) % 5 = 0"
    from otel_learning.store import lease

    with lease.exclusive(router.store, 10), lease.connection(router.store, 10) as con:
        con.execute(f"UPDATE settled_executions SET success = NOT success WHERE {frozen}")

    assert draft(LearningDatabase(router.store), router).document["rules"] == before


def test_a_policy_that_keeps_its_promises_does_not_expire(
    router: Router, database: LearningDatabase
) -> None:
    """With MODE=act it is prolonged after half of its time; with no outcome it is not."""
    gone = Wanted(WANTED.scope, "production", cool_down=timedelta(days=400))
    (receipt,) = policy_keeper.tick(database, gone, "act", router.now)
    first = policy_file.in_place(router.store)
    router.now += timedelta(days=16)
    assert policy_keeper.tick(database, gone, "act", router.now) == []

    router.run(200)
    (prolonged,) = policy_keeper.tick(database, gone, "act", router.now)

    second = policy_file.in_place(router.store)
    assert first is not None and second is not None
    assert prolonged["replaces"] == receipt["policy_version"]
    assert second["rules"] == first["rules"]
    assert second["expires_at"] > first["expires_at"]
