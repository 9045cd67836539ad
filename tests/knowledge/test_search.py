"""Search: what is alike is found, filters hold, and what is stored is what was computed."""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from otel_learning import AsyncLearningDatabase, InputError, LearningDatabase
from otel_learning.knowledge import database as knowledge_database
from otel_learning.knowledge.embed import embed
from otel_learning.knowledge.embedding import HashedEmbedder
from otel_learning.knowledge.models import embedder_of
from otel_learning.knowledge.search import search
from otel_learning.store import lease, similarity
from otel_learning.store.neighbours import embedding_models, recall
from otel_learning.store.vectors import ONE
from tests.knowledge.stores import START, OtherEmbedder, task, write

TEXTS = [
    "Fix the crash when a cart is empty",
    "The shopping cart crashes if nothing is in it",
    "Rotate the signing keys of the gateway",
    "Explain how signing keys are rotated",
    "Add an index to the orders table so that the report is fast",
    None,
    "Why does E4711 appear in the import of old orders?",
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "learning.duckdb"
    outcomes = (True, False, None)
    write(
        path,
        [
            task(i, text, repo="acme/shop" if i < 4 else "acme/api", success=outcomes[i % 3])
            for i, text in enumerate(TEXTS)
        ],
    )
    return path


def test_the_same_text_comes_first_with_similarity_one(path: Path) -> None:
    """Without any step before: a search embeds what has no vector yet."""
    for text in TEXTS:
        if text is not None:
            found = LearningDatabase(path).find_similar_executions(text)

            assert found[0][0].task_description == text
            assert found[0][1] == pytest.approx(1, abs=1e-4)


def test_what_is_found_is_what_the_view_says(path: Path) -> None:
    """The records are fetched by place; feedback and evaluations are told as everywhere else."""
    with lease.exclusive(path, 5), lease.connection(path, 5) as con:
        con.execute(
            "UPDATE settled_executions SET evaluated_quality = 77, user_rating = 4, "
            "feedback_count = CASE WHEN task_id = 't-0' THEN 2 END"
        )
        con.execute("INSERT INTO open_executions FROM settled_executions WHERE task_id = 't-1'")
        con.execute("DELETE FROM settled_executions WHERE task_id = 't-1'")
    database = LearningDatabase(path)
    shown = {one.execution_id: one for one in database.executions()}

    found = [record for record, _ in database.find_similar_executions("cart", limit=10)]

    assert {record.settled for record in found} == {True, False}
    assert found == [shown[record.execution_id] for record in found]
    assert {record.quality_score for record in found} == {77}


def test_alike_tasks_come_before_others(path: Path) -> None:
    """The most similar first, each with a number that falls; what has no text is not there."""
    found = LearningDatabase(path).find_similar_executions("empty cart crash", limit=10)

    assert {record.task_description for record, _ in found[:2]} == set(TEXTS[:2])
    assert [s for _, s in found] == sorted((s for _, s in found), reverse=True)
    assert len(found) == 6
    assert found[1][1] > 2 * found[2][1]


def test_filters_hold(path: Path) -> None:
    """Repository, type, outcome and time: only what fits is found, however alike the rest is."""
    database = LearningDatabase(path)

    assert len(database.find_similar_executions("crash", repo="acme/api")) == 2
    assert database.find_similar_executions("crash", repo="nobody") == []
    assert len(database.find_similar_executions("crash", limit=1)) == 1
    for filters in ({"success": True}, {"success": "unknown"}, {"task_type": "bug_fix"},
                    {"since": START + timedelta(minutes=3)}, {"model": "m-9"}):  # fmt: skip
        expected = {
            record.execution_id
            for record in database.executions(**filters)
            if record.task_description
        }
        found = database.search("crash of the cart", limit=50, **filters)
        assert {match.execution.execution_id for match in found} == expected


def test_a_rare_word_finds_its_text(path: Path) -> None:
    """Full text: a word that one text has leads to it, also in a long question."""
    found = LearningDatabase(path).search("somebody mentioned E4711 yesterday, on the telephone")

    assert found[0].execution.task_description == TEXTS[6]


def test_bad_questions_are_refused(path: Path) -> None:
    """The error names the value."""
    database = LearningDatabase(path)
    for text in ("", " \n"):
        with pytest.raises(InputError, match="nothing to search"):
            database.find_similar_executions(text)
    with pytest.raises(InputError, match="limit"):
        database.find_similar_executions("x", limit=0)


def test_an_empty_store_finds_nothing(tmp_path: Path) -> None:
    """No execution, or none with a text, is no error."""
    database = LearningDatabase(tmp_path / "learning.duckdb")

    assert database.find_similar_executions("anything") == []
    write(database.path, [task(1, None)])
    assert database.find_similar_executions("anything") == []


def test_what_changes_is_found_anew(path: Path) -> None:
    """A description that became another one is no longer found under the old words."""
    database = LearningDatabase(path)
    database.find_similar_executions("cart")
    write_again(path, TEXTS[2] or "", "Paint the fence of the neighbour green")

    [(record, alike)] = database.find_similar_executions("paint a fence", limit=1)
    assert record.task_description == "Paint the fence of the neighbour green"
    assert alike > 0.5
    [(count,)] = database.sql("SELECT count(*) FROM vectors_512")
    assert count == 6


def test_asking_twice_writes_once(path: Path) -> None:
    """Nothing is computed or written where nothing is new."""
    database = LearningDatabase(path)
    database.find_similar_executions("cart")
    before = path.stat().st_mtime_ns

    database.find_similar_executions("keys")

    assert path.stat().st_mtime_ns == before


def test_awaited_it_answers_the_same(path: Path) -> None:
    """AsyncLearningDatabase has the call too."""

    async def ask() -> list[str | None]:
        async with AsyncLearningDatabase(path) as database:
            matches = await database.search("cart", limit=2)
            found = await database.find_similar_executions("cart", "acme/shop", 2)
            assert [m.similarity for m in matches] == [s for _, s in found]
            return [record.task_description for record, _ in found]

    assert set(asyncio.run(ask())) == set(TEXTS[:2])


def test_what_is_stored_is_what_was_computed(path: Path) -> None:
    """A vector comes back as it was, to a hundred-thousandth."""
    embed(path, HashedEmbedder(), "hashed")
    rows = LearningDatabase(path).sql(
        "SELECT DISTINCT task_description, vector FROM executions JOIN vectors_512 "
        "ON text = md5_number_upper(task_description)"
    )

    assert len(rows) == 6
    for text, stored in rows:
        computed = HashedEmbedder().embed([text])[0]
        assert np.abs(np.asarray(stored) / ONE - computed).max() < 2e-5


def test_a_new_model_takes_over_when_it_has_done_all(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then the old one answers; vectors of two models are never compared."""
    other = OtherEmbedder()
    monkeypatch.setattr(
        "otel_learning.knowledge.search.embedder_of",
        lambda setting: other if setting == "other" else embedder_of(setting),
    )
    database = LearningDatabase(path)
    before = database.find_similar_executions("cart")

    halfway = embed(path, other, "other", work_seconds=0)
    asked = embedding_models(database)[0]
    during = search(database, asked, "cart")

    assert halfway.left == 6
    assert asked.model == HashedEmbedder.model
    assert [m.similarity for m in during] == [s for _, s in before]

    done = embed(path, other, "other")
    asked = embedding_models(database)[0]
    after = search(database, asked, "cart")

    assert (done.embedded, done.left, done.dimension) == (6, 0, 300)
    assert [m.model for m in embedding_models(database)] == ["other-300"]
    assert {m.execution.task_description for m in after[:2]} == set(TEXTS[:2])
    assert database.sql("SELECT count(*) FROM vectors_512") == [(0,)]
    assert embed(path, other, "other").unchanged == 6


def test_what_cannot_be_embedded_in_time_is_said(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A call of a program embeds for some seconds at most; the log says what is not found."""
    monkeypatch.setattr(knowledge_database, "CATCH_UP_SECONDS", 0.0)

    with caplog.at_level(logging.WARNING, "otel_learning"):
        LearningDatabase(path).find_similar_executions("cart")

    assert "6 texts" in caplog.text
    assert "otel-learning embed" in caplog.text


def test_candidates_find_what_comparing_all_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above a size only candidates are compared; `embed` makes them enough for this store."""
    monkeypatch.setattr(similarity, "EXACT_TEXTS", 500)
    draw = random.Random(3)
    stems = ("column", "serve", "paint", "index", "crash", "retry")
    words = [f"{stem}{number}" for stem in stems for number in range(40)]
    texts = [" ".join(draw.choices(words, k=draw.randrange(4, 14))) for _ in range(3000)]
    path = tmp_path / "learning.duckdb"
    write(path, [task(i, text) for i, text in enumerate(texts)])

    report = embed(path, HashedEmbedder(), "hashed")
    database = LearningDatabase(path)
    hits = 0
    for text in texts[:20]:
        query = " ".join(draw.sample(text.split(), k=3))
        exact = {m.execution.execution_id for m in database.search(query, exact=True)}
        hits += len(exact & {m.execution.execution_id for m in database.search(query)})

    assert report.recall is not None and report.recall >= 0.98
    assert report.candidates is not None and report.candidates < 3000
    assert hits >= 0.98 * 200


def test_the_measured_recall_can_be_bad(path: Path) -> None:
    """With too few candidates the measure says so: it is no constant."""
    draw = random.Random(4)
    write(path, [task(100 + i, f"{draw.random()} {draw.random()}") for i in range(2000)])
    embed(path, HashedEmbedder(), "hashed")
    database = LearningDatabase(path)
    [model] = embedding_models(database)

    assert recall(database, model, sample=20, candidates=12) < 0.9
    assert recall(database, model, sample=20, candidates=5000) == 1.0


def write_again(path: Path, old: str, new: str) -> None:
    """Gives executions another description, as a late span does."""
    from otel_learning.store import lease

    with lease.exclusive(path, 10), lease.connection(path, 10) as con:
        con.execute(
            "UPDATE settled_executions SET task_description = ?, updated_at = now() "
            "WHERE task_description = ?", [new, old],
        )  # fmt: skip
