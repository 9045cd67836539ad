"""Keeps the texts of executions as vectors and words: what is missing, what is new, what is gone.

Vectors are computed elsewhere and handed in; this module says for which texts, and stores them.
Everything here follows from the executions and can be computed anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from otel_learning.errors import InputError
from otel_learning.store import copying, lease, schema
from otel_learning.store.drain import ensure_store
from otel_learning.store.failpoints import failpoint
from otel_learning.store.transaction import transaction

if TYPE_CHECKING:
    import duckdb

WIDTHS: Final = (384, 512, 768, 1024)
"""Of the tables that hold vectors; a vector is filled up with zeros to the next one."""
SIGNS: Final = 8
"""Columns of 64 signs each."""
ONE: Final = 32767
"""What 1 is stored as: an inner product is off by about 1e-5."""
TIMEOUT_SECONDS: Final = 60.0
RESORT_SHARE: Final = 0.25
"""Words are laid down anew, by word, when more than this share of them is not."""
RESORT_ROWS: Final = 200_000


@dataclass(frozen=True, slots=True)
class Model:
    """A model whose vectors the store holds."""

    model: str
    embedder: str
    """The setting that it was made with, so that it can be had again."""
    dimension: int
    current: bool
    candidates: int | None = None
    recall: float | None = None
    measured_texts: int | None = None


@dataclass(frozen=True, slots=True)
class Embedded:
    """One text, ready to be stored."""

    text: int
    vector: NDArray[np.float32]
    words: Sequence[int]


@dataclass(frozen=True, slots=True)
class Taken:
    """How far the vectors of one model are."""

    known: bool
    """Whether the store has heard of the model."""
    current: bool
    """Whether it is the one that is asked."""
    present: int
    """Texts that have a vector."""
    missing: dict[int, tuple[Any, Any]]
    """Texts that have none -> the first and the last day of what they belong to."""
    asked: Model | None = None
    """The model, where it is the one that is asked and nothing has changed."""


def table_of(dimension: int) -> str:
    """The table for vectors of that many numbers.

    Raises:
        InputError: they are more than any table takes.
    """
    for width in WIDTHS:
        if dimension <= width:
            return f"vectors_{width}"
    raise InputError(
        f"vectors of {dimension} numbers cannot be stored", f"{WIDTHS[-1]} is the most"
    )


def width_of(dimension: int) -> int:
    return int(table_of(dimension).removeprefix("vectors_"))


class VectorStore:
    """The vectors of one store; holds it only for the time of each call."""

    def __init__(self, path: Path, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.path = path
        self._timeout = timeout_seconds

    @contextmanager
    def _opened(self, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        with copying.database_errors(self.path), lease.exclusive(self.path, self._timeout):
            ensure_store(self.path)
            with lease.connection(self.path, self._timeout, read_only=read_only) as con:
                if not read_only:
                    schema.upgrade(con, str(self.path))
                yield con

    def take_in(self, model: str, embedder: str, dimension: int) -> Taken:
        """Notes which text each execution has, and lets go of what no execution has any longer.

        A store in which nothing has changed is only read.
        """
        table = table_of(dimension)
        with self._opened(read_only=True) as con:
            if not schema.checked(schema.applied(con), str(self.path)):
                asked = up_to_date(con, model)
                if asked is not None:
                    return Taken(True, True, _present(con, table, model), {}, asked)
        with self._opened() as con:
            with transaction(con):
                con.execute(_GONE)
                con.execute(_TAKE_IN)
                prune(con)
                con.execute("UPDATE embedding_models SET complete = FALSE")
                if not _taken(con, table, model).known:
                    con.execute(
                        "INSERT INTO embedding_models "
                        "(model, embedder, dimension, current, complete) "
                        "VALUES (?, ?, ?, FALSE, FALSE)", [model, embedder, dimension],
                    )  # fmt: skip
            return _taken(con, table, model)

    def texts(self, wanted: Mapping[int, tuple[Any, Any]]) -> dict[int, str]:
        """The texts themselves; what is gone meanwhile is left out."""
        first = min(days[0] for days in wanted.values())
        last = max(days[1] for days in wanted.values())
        with self._opened(read_only=True) as con:
            con.register("wanted", pa.table({"text": pa.array(wanted, pa.uint64())}))
            found = con.execute(_TEXTS, [first, last, first, last]).fetchall()
            con.unregister("wanted")
        return {int(text): str(said) for text, said in found}

    def write(self, model: str, dimension: int, texts: Sequence[Embedded]) -> None:
        """Stores vectors and words, in one transaction; of a text that has some, anew."""
        table = table_of(dimension)
        columns = _columns(model, width_of(dimension), texts)
        words = pa.table(
            {
                "word": pa.array([w for t in texts for w in t.words], pa.uint32()),
                "text": pa.array([t.text for t in texts for _ in t.words], pa.uint64()),
            }
        )
        with self._opened() as con:
            con.register("fresh", columns)
            con.register("fresh_words", words)
            try:
                with transaction(con):
                    con.execute(
                        f"DELETE FROM {table} WHERE model = ? "
                        "AND text IN (SELECT text FROM fresh)", [model],
                    )  # fmt: skip
                    con.execute(f"INSERT INTO {table} BY NAME FROM fresh")
                    # Words are those of the text, whatever model; they are there already where
                    # another model has been at it.
                    con.execute(
                        "INSERT INTO text_words SELECT DISTINCT word, text FROM fresh_words "
                        "WHERE text NOT IN (SELECT text FROM text_words "
                        "  WHERE text IN (SELECT text FROM fresh)) ORDER BY word"
                    )
                    failpoint("embed: before commit")
            finally:
                con.unregister("fresh")
                con.unregister("fresh_words")

    def finish(self, model: str) -> None:
        """Makes that model the one that is asked, and lets go of all others' vectors."""
        with self._opened() as con:
            with transaction(con):
                con.execute(
                    "UPDATE embedding_models SET current = TRUE, complete = TRUE WHERE model = ?",
                    [model],
                )
                con.execute("DELETE FROM embedding_models WHERE model <> ?", [model])
                for width in WIDTHS:
                    con.execute(f"DELETE FROM vectors_{width} WHERE model <> ?", [model])
            _lay_down_by_word(con)

    def measured(self, model: str, candidates: int, recall: float, texts: int) -> None:
        """Writes down how many candidates a search takes, and what it finds with them."""
        with self._opened() as con:
            con.execute(
                "UPDATE embedding_models SET candidates = ?, recall = ?, measured_texts = ? "
                "WHERE model = ?", [candidates, recall, texts, model],
            )  # fmt: skip


def models(con: duckdb.DuckDBPyConnection) -> list[Model]:
    """The models that the store has vectors of, the one that is asked first."""
    rows = con.execute(
        "SELECT model, embedder, dimension, current, candidates, recall, measured_texts "
        "FROM embedding_models ORDER BY current DESC, model"
    ).fetchall()
    return [Model(*row) for row in rows]


def up_to_date(con: duckdb.DuckDBPyConnection, model: str) -> Model | None:
    """That model, where it is the one that is asked and every text has its vector; else None."""
    asked = models(con)[:1]
    if asked and asked[0].model == model and lease.one(con, _UNCHANGED):
        return asked[0]
    return None


def prune(con: duckdb.DuckDBPyConnection) -> None:
    """Lets go of vectors and words that no execution stands behind; inside a transaction."""
    con.execute(_USED)
    for table in (*(f"vectors_{width}" for width in WIDTHS), "text_words"):
        con.execute(f"DELETE FROM {table} WHERE text NOT IN (SELECT text FROM used_texts)")
    con.execute("DROP TABLE used_texts")


def erase(con: duckdb.DuckDBPyConnection, relation: str) -> None:
    """Erases what was derived from the executions that `relation` names (rule R5).

    After their rows are gone, inside the same transaction. Solutions are let go of as a whole:
    the next `embed` puts them together from what is left.
    """
    con.execute(f"DELETE FROM described_executions WHERE execution_id IN (FROM {relation})")
    prune(con)
    con.execute("DELETE FROM solutions")


def signs_of(vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """On which side of 512 directions each vector lies: shape (n, 8), 64 signs in a number.

    Numbers with a sign of their own: DuckDB counts the bits of others only after widening them.
    """
    dimension = vectors.shape[1]
    sides = vectors if dimension == 64 * SIGNS else vectors @ _directions(dimension)
    packed = np.packbits(sides > 0, axis=1).view(">i8")
    return packed.astype(np.int64)


def _directions(dimension: int) -> NDArray[np.float32]:
    """Directions at random that are always the same: raw bits of a counter-based generator."""
    bits = np.random.Philox(key=dimension).random_raw(dimension * SIGNS).astype("<u8")
    signs = np.unpackbits(bits.view(np.uint8)).reshape(dimension, 64 * SIGNS)
    return signs.astype(np.float32) * 2 - 1


def _columns(model: str, width: int, texts: Sequence[Embedded]) -> pa.Table:
    vectors = np.stack([text.vector for text in texts]) if texts else np.zeros((0, width))
    stored = np.zeros((len(texts), width), np.int16)
    stored[:, : vectors.shape[1]] = np.round(vectors * ONE)
    signs = signs_of(vectors.astype(np.float32))
    return pa.table(
        {
            "text": pa.array([text.text for text in texts], pa.uint64()),
            "model": pa.array([model] * len(texts), pa.string()),
            **{f"s{i}": pa.array(signs[:, i], pa.int64()) for i in range(SIGNS)},
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(stored.ravel()), width),
        }
    )


def _lay_down_by_word(con: duckdb.DuckDBPyConnection) -> None:
    """Puts the words in order where too many are not: a search then skips all but a few."""
    row = lease.one(
        con, "SELECT (SELECT count(*) FROM text_words), "
        "(SELECT max(sorted_rows) FROM text_words_order)",
    )  # fmt: skip
    rows, in_order = row if row else (0, 0)
    if rows - in_order <= max(RESORT_ROWS, RESORT_SHARE * rows):
        return
    with transaction(con):
        con.execute("CREATE TEMP TABLE by_word AS FROM text_words")
        con.execute("DELETE FROM text_words")
        con.execute("INSERT INTO text_words FROM by_word ORDER BY word, text")
        con.execute("DROP TABLE by_word")
        con.execute("UPDATE text_words_order SET sorted_rows = ?", [rows])


def _taken(con: duckdb.DuckDBPyConnection, table: str, model: str) -> Taken:
    row = lease.one(con, "SELECT current FROM embedding_models WHERE model = ?", [model])
    found = con.execute(_MISSING.format(table=table), [model]).fetchall()
    missing = {int(text): (first, last) for text, first, last in found}
    return Taken(row is not None, bool(row and row[0]), _present(con, table, model), missing)


def _present(con: duckdb.DuckDBPyConnection, table: str, model: str) -> int:
    row = lease.one(con, f"SELECT count(*) FROM {table} WHERE model = ?", [model])
    return int(row[0]) if row else 0


_ROWS: Final = """
    SELECT execution_id, task_description, solution_summary, updated_at, day
    FROM settled_executions
    UNION ALL SELECT execution_id, task_description, solution_summary, updated_at, day
    FROM open_executions
"""

_SAME: Final = "e.execution_id = d.execution_id AND e.updated_at IS NOT DISTINCT FROM d.updated_at"

_GONE: Final = f"""
DELETE FROM described_executions WHERE rowid IN (
    SELECT d.rowid FROM described_executions AS d ANTI JOIN ({_ROWS}) AS e ON {_SAME}
)
"""

_UNCHANGED: Final = f"""
SELECT 1 FROM (
    SELECT count(*) AS n, max(updated_at) AS newest FROM ({_ROWS})
    WHERE task_description IS NOT NULL
) AS e, (
    SELECT count(*) AS n, max(updated_at) AS newest FROM described_executions
) AS d
WHERE e.n = d.n AND e.newest IS NOT DISTINCT FROM d.newest
    AND (SELECT bool_and(complete) FROM embedding_models)
"""
"""Whatever the store learns of an execution makes its `updated_at` the newest; what goes makes
the count another one."""

_TAKE_IN: Final = f"""
INSERT INTO described_executions
SELECT execution_id, md5_number_upper(task_description), updated_at, day
FROM ({_ROWS}) AS e ANTI JOIN described_executions AS d ON {_SAME}
WHERE task_description IS NOT NULL ORDER BY day
"""

_MISSING: Final = f"""
SELECT text, min(day), max(day) FROM (
    SELECT text, day FROM described_executions
    UNION ALL SELECT md5_number_upper(solution_summary), day FROM ({_ROWS})
    WHERE solution_summary IS NOT NULL
) ANTI JOIN (SELECT text FROM {{table}} WHERE model = ?) USING (text)
GROUP BY text ORDER BY min(day) DESC, text
"""
"""The newest first: whoever searches before all is done finds those."""

_TEXTS: Final = """
WITH said AS (
    SELECT task_description AS said FROM settled_executions WHERE day BETWEEN ? AND ?
    UNION SELECT task_description FROM open_executions
    UNION SELECT solution_summary FROM settled_executions WHERE day BETWEEN ? AND ?
    UNION SELECT solution_summary FROM open_executions
)
SELECT md5_number_upper(said) AS text, said FROM said
WHERE said IS NOT NULL AND md5_number_upper(said) IN (SELECT text FROM wanted)
"""

_USED: Final = """
CREATE OR REPLACE TEMP TABLE used_texts AS
SELECT text FROM described_executions
UNION SELECT md5_number_upper(solution_summary) FROM executions WHERE solution_summary IS NOT NULL
"""
