"""Questions over HTTP get what the same questions get from Python, and clear errors."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from otel_learning import LearningDatabase, recommend
from otel_learning.learning import experiments
from tests.command_line import copy_store
from tests.server.serving import Server, serving
from tests.server.spans import json_of, task_span


@pytest.fixture(scope="module")
def demo(demo_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a store that the demo filled."""
    folder = tmp_path_factory.mktemp("api")
    copy_store(demo_store, folder / "learning.duckdb")
    with serving(folder) as found:
        yield found


def query(**arguments: Any) -> str:
    given = {name: value for name, value in arguments.items() if value is not None}
    return "?" + urllib.parse.urlencode(given, doseq=True) if given else ""


# ---------------------------------------------------------------------------------- advice


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"task_type": "bug_fix", "cost_weight": 0.2},
        {"candidates": ["fast", "premium"], "default": "fast", "min_success": 0.5},
        {"by": "model_tier/pool_type"},
        {"description": "the tests fail after the merge"},
    ],
)
def test_recommend_is_what_python_says(demo: Server, asked: dict[str, Any]) -> None:
    """The same rows give the same answer over HTTP, field by field."""
    status, told = demo.ask("/api/recommend" + query(**asked))

    expected = recommend(demo.store, **asked).as_dict()
    assert status == 200
    assert set(told) == set(expected)
    for name in ("choice", "basis", "propensities", "sensitivity"):
        assert told[name] == expected[name], name
    for name in ("frontier", "reasons"):
        assert told[name] == list(expected[name]), name
    assert [one["arm"] for one in told["candidates"]] == [
        one["arm"] for one in expected["candidates"]
    ]
    assert told["candidates"] == expected["candidates"]


def test_recommend_takes_a_list_with_commas(demo: Server) -> None:
    """Candidates may be given several times, or with commas."""
    one = demo.ask("/api/recommend?candidates=fast,premium")[1]
    other = demo.ask("/api/recommend?candidates=fast&candidates=premium")[1]

    assert [c["arm"] for c in one["candidates"]] == [c["arm"] for c in other["candidates"]]
    assert {c["arm"] for c in one["candidates"]} == {"fast", "premium"}


def test_recommend_never_fails_a_router(tmp_path: Path) -> None:
    """A store that cannot be read gives the default and a reason, and status 200."""
    with serving(tmp_path) as server:
        server.store.unlink()
        server.store.write_bytes(b"this is no database" * 1000)
        status, told = server.ask("/api/recommend?default=small")

    assert (status, told["choice"], told["basis"]) == (200, "small", "insufficient")
    assert told["reasons"]


@pytest.mark.parametrize(
    ("asked", "status", "named"),
    [
        ("cost_weight=much", 422, "cost_weight"),
        ("cost_weight=-1", 422, "cost_weight"),
        ("min_success=2", 422, "min_success"),
        ("tasktype=fix", 422, "tasktype"),
        ("by=colour", 400, "colour"),
        ("as_of=yesterday", 422, "as_of"),
    ],
)
def test_a_question_that_is_none(demo: Server, asked: str, status: int, named: str) -> None:
    """What cannot be understood is named, with a hint, and not passed over."""
    found, told = demo.ask(f"/api/recommend?{asked}")

    assert (found, named in told["error"]) == (status, True), told
    assert told["hint"]


def test_stats(demo: Server) -> None:
    """Every arm with its interval and support."""
    status, told = demo.ask("/api/stats?task_type=bug_fix")

    assert status == 200
    assert {arm["arm"] for arm in told["arms"]} == {"fast", "balanced", "premium"}
    assert all(arm["support"] >= 0 for arm in told["arms"])


# ------------------------------------------------------------------------------ executions


def test_executions_page_by_page(demo: Server) -> None:
    """Pages follow each other without a gap or a repetition, and filters hold on each."""
    seen: list[str] = []
    after = None
    for _ in range(200):
        status, page = demo.ask("/api/executions" + query(limit=17, success="true", after=after))
        assert status == 200
        assert all(one["success"] is True for one in page["executions"])
        seen += [one["execution_id"] for one in page["executions"]]
        after = page["next"]
        if after is None:
            break

    with LearningDatabase(demo.store) as database:
        expected = [str(e.execution_id) for e in database.executions(success=True, limit=100_000)]
    assert seen == expected
    assert len(seen) > 17


@pytest.mark.parametrize(
    ("asked", "status", "named"),
    [
        ("limit=0", 422, "limit"),
        ("limit=1001", 422, "limit"),
        ("after=nowhere", 400, "after='nowhere'"),
        ("success=maybe", 422, "success"),
        ("color=red", 422, "color"),
        ("since=2026-02-01&until=2026-01-01", 400, "later than"),
    ],
)
def test_filters_that_are_none(demo: Server, asked: str, status: int, named: str) -> None:
    """A filter that is not understood is an error that names it."""
    found, told = demo.ask(f"/api/executions?{asked}")

    assert (found, named in told["error"]) == (status, True), told


def test_one_execution(demo: Server) -> None:
    """One execution comes with its attempts and feedback."""
    (first, *_) = demo.ask("/api/executions?limit=1")[1]["executions"]

    status, told = demo.ask(f"/api/executions/{first['execution_id']}")

    assert status == 200
    assert told["execution"] == first
    assert len(told["attempts"]) == first["attempt_count"]
    assert demo.ask(f"/api/executions/{uuid4()}")[0] == 404
    status, told = demo.ask("/api/executions/one")
    assert (status, "execution_id" in told["error"]) == (422, True)


def test_search(demo: Server) -> None:
    """The most similar first, with the fields that the command line gives."""
    status, told = demo.ask("/api/search?q=fix+the+failing+test&limit=5")

    assert status == 200
    assert len(told) == 5
    similarities = [one["similarity"] for one in told]
    assert similarities == sorted(similarities, reverse=True)
    assert {"execution_id", "task_description", "repo", "task_type", "success"} <= set(told[0])
    assert demo.ask("/api/search")[0] == 422
    assert demo.ask("/api/search?q=%20")[0] == 400


def test_solutions(demo: Server) -> None:
    """What worked before, with intervals and support."""
    status, told = demo.ask("/api/solutions?min_support=1")

    assert status == 200
    with LearningDatabase(demo.store) as database:
        expected = [one.solution_summary for one in database.solutions(min_support=1)]
    assert [one["solution_summary"] for one in told] == expected[:50]


# -------------------------------------------------------------------------------- feedback


def test_feedback_under_every_id(tmp_path: Path) -> None:
    """Feedback finds its execution by task, execution and trace, before or after it came."""
    with serving(tmp_path) as server:
        early = server.ask("/api/feedback", {"task_id": "task-2", "accepted": True})
        server.ask("/v1/traces", json_of([task_span(n) for n in (1, 2, 3)]))
        records = server.ask("/api/executions")[1]["executions"]
        by_task = {one["task_id"]: one for one in records}
        trace = by_task["task-3"]["trace_ids"][0]
        said = [
            {"execution_id": by_task["task-1"]["execution_id"], "rating": 5, "source": "a test"},
            {"trace_id": trace.upper(), "accepted": False, "comment": "no"},
        ]
        answers = [early, *(server.ask("/api/feedback", one) for one in said)]
        found = {
            task: server.ask(f"/api/executions/{one['execution_id']}")[1]
            for task, one in by_task.items()
        }

    assert all(status == 200 and UUID(told["feedback_id"]) for status, told in answers)
    assert found["task-1"]["execution"]["user_rating"] == 5
    assert found["task-2"]["execution"]["user_accepted"] is True
    assert found["task-3"]["execution"]["user_accepted"] is False
    assert found["task-3"]["feedback"][0]["comment"] == "no"


def test_feedback_that_is_sent_twice(tmp_path: Path) -> None:
    """A feedback id of one's own makes a repetition harmless, a change possible, and a way back."""
    with serving(tmp_path) as server:
        server.ask("/v1/traces", json_of([task_span(1)]))
        said = {"task_id": "task-1", "rating": 2, "feedback_id": str(uuid4())}
        for each in (said, said, {**said, "rating": 4}):
            assert server.ask("/api/feedback", each) == (200, {"feedback_id": said["feedback_id"]})
        (record,) = server.ask("/api/executions")[1]["executions"]
        assert (record["user_rating"], record["feedback_count"]) == (4, 1)

        assert server.ask("/api/feedback", {**said, "revoked": True})[0] == 200
        (record,) = server.ask("/api/executions")[1]["executions"]
        assert (record["user_rating"], record["feedback_count"]) == (None, 0)


@pytest.mark.parametrize(
    ("said", "status", "named"),
    [
        ({"task_id": "t"}, 400, "says nothing"),
        ({"accepted": True}, 422, "give one of task_id"),
        ({"task_id": "t", "trace_id": "a" * 32, "accepted": True}, 422, "task_id, trace_id"),
        ({"task_id": "t", "acepted": True}, 422, "acepted"),
        ({"task_id": "t", "accepted": "yes"}, 422, "accepted"),
        ({"task_id": "t", "rating": 6}, 422, "rating"),
        ({"trace_id": "xyz", "accepted": True}, 422, "trace_id"),
        ({"span_id": "b" * 16, "accepted": True}, 400, "its trace is needed"),
        ({"task_id": "t", "accepted": True, "visibility": "all"}, 422, "visibility"),
        ({"task_id": "t", "revoked": True}, 422, "feedback_id"),
        ([], 422, ""),
        (b"{", 400, "not JSON"),
    ],
)
def test_feedback_that_is_none(demo: Server, said: Any, status: int, named: str) -> None:
    """A word that is unknown or wrong is named; nothing is stored."""
    headers = {"Content-Type": "application/json"}
    found, told = demo.ask("/api/feedback", said, headers)

    assert (found, named in told["error"]) == (status, True), told


def test_feedback_has_to_be_json(demo: Server) -> None:
    """A form, as a page of another site could send one, is not taken."""
    for headers in ({"Content-Type": "application/x-www-form-urlencoded"},
                    {"Content-Type": "text/plain"}):  # fmt: skip
        status, told = demo.ask("/api/feedback", b'{"task_id": "t", "accepted": true}', headers)
        assert (status, told["hint"]) == (415, "send application/json")


# -------------------------------------------------------------- experiments and policies


def test_experiments(tmp_path: Path) -> None:
    """Listed, shown, and asked for a variant, as the library answers."""
    with LearningDatabase(tmp_path / "learning.duckdb") as database:
        experiments.create(database, "tiers", variants=["small", "large"], metric="success")
        expected = experiments.assign(database, "tiers", "task-1")
    with serving(tmp_path) as server:
        (listed,) = server.ask("/api/experiments")[1]
        status, shown = server.ask("/api/experiments/tiers")
        assigned = server.ask("/api/experiments/tiers/assign", {"unit_id": "task-1"})
        missing = server.ask("/api/experiments/none")
        none = server.ask("/api/experiments/none/assign", {"unit_id": "task-1"})
        empty = server.ask("/api/experiments/tiers/assign", {})

    assert (listed["name"], listed["state"], listed["decision"]) == ("tiers", "running", None)
    assert (status, shown["state"], len(shown["variants"])) == (200, "running", 2)
    assert assigned == (200, expected._asdict())
    assert (missing[0], none[0], empty[0]) == (404, 404, 422)


def test_policies(demo: Server) -> None:
    """The status says the mode and what happened; where nothing is in force, that is 404."""
    status, told = demo.ask("/api/policy")

    assert status == 200
    assert {"mode", "active", "shadow", "history"} <= set(told)
    status, told = demo.ask("/api/policy/document")
    assert (status, told["error"]) == (404, "no policy is in force")


# ------------------------------------------------------------------------ pages and health


def test_the_pages_are_there(demo: Server) -> None:
    """The dashboard is served at `/`, beside the API, out of the same store."""
    status, page, headers = demo.request("/")

    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    assert b"</html>" in page
    assert demo.ask("/no-such-page")[0] == 404


def test_an_unknown_address_is_a_page_for_people(demo: Server) -> None:
    """A browser gets a page with a way out; a program gets JSON, below /api browsers too."""
    people = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    status, text = demo.ask("/no/such", headers=people)
    assert status == 404 and "there is no page /no/such" in text and "To the overview" in text
    for path, headers in (("/no/such", {}), ("/api/none", people)):
        status, answer = demo.ask(path, headers=headers)
        assert status == 404 and answer["error"]


def test_health_and_figures(server: Server) -> None:
    """Alive, ready, and counting in the form that Prometheus reads."""
    from prometheus_client.parser import text_string_to_metric_families

    server.ask("/v1/traces", json_of([task_span(n) for n in range(5)]))
    server.ask("/api/recommend")

    assert server.ask("/healthz") == (200, {"status": "ok"})
    status, ready = server.ask("/readyz")
    assert (status, ready["ready"], ready["why"]) == (200, True, None)
    status, text = server.ask("/metrics")
    families = {one.name: one for one in text_string_to_metric_families(text)}
    assert status == 200
    assert [
        s.value for s in families["otel_learning_received_items"].samples
        if s.name.endswith("_total") and s.labels == {"signal": "traces"}
    ] == [5]  # fmt: skip
    routes = {s.labels["route"] for s in families["otel_learning_requests"].samples}
    assert routes >= {"/v1/traces", "/api/recommend", "/healthz"}
    assert families["otel_learning_store_bytes"].samples[0].value > 0
    assert "process_resident_memory_bytes" in families
