"""The store's schema: numbered SQL steps, each applied together with its bookkeeping.

`0002_name.sql` leads up, `0002_name.down.sql` back. A step's second comment line says whether a
drain may apply it (`-- on drain: always`, `below 2,000,000 executions`, `never`); the way back
begins with what it loses (`-- loses: ...`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Final

from otel_learning.errors import SchemaUpgradeError, SchemaVersionError, StoreError
from otel_learning.store.transaction import transaction

if TYPE_CHECKING:
    import duckdb

_BOOKKEEPING: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER PRIMARY KEY, name VARCHAR, checksum VARCHAR,
    applied_at TIMESTAMPTZ DEFAULT now()
)
"""
_ON_DRAIN: Final = re.compile(r"^-- on drain: (?:(always|never)|below ([\d,]+) executions)$", re.M)
_LOSES: Final = re.compile(r"^-- loses: (.+)$", re.M)


@dataclass(frozen=True)
class Migration:
    """One step."""

    version: int
    name: str
    sql: str
    back: str | None = None
    """The way back; the first step has none."""

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def executions_on_drain(self) -> float:
        """Up to how many executions a drain applies it; more take too long for that."""
        found = _ON_DRAIN.search(self.sql)
        if found is None or found[1] == "never":
            return 0.0
        return float("inf") if found[1] else float(found[2].replace(",", ""))

    @property
    def loses(self) -> str | None:
        """What goes with the way back."""
        return " ".join(_LOSES.findall(self.back or "")) or None


@lru_cache(maxsize=1)
def migrations() -> tuple[Migration, ...]:
    """All steps, in order."""
    folder = resources.files("otel_learning.store") / "migrations"
    texts = {
        entry.name: entry.read_text(encoding="utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    }
    steps = []
    for name in sorted(texts):
        if name.endswith(".down.sql"):
            continue
        stem = name.removesuffix(".sql")
        number, _, title = stem.partition("_")
        steps.append(Migration(int(number), title, texts[name], texts.get(f"{stem}.down.sql")))
    return tuple(steps)


def supported_version() -> int:
    """The newest schema that this release knows."""
    return migrations()[-1].version


def upgrade(con: duckdb.DuckDBPyConnection, path: str, *, on_drain: bool = True) -> list[Migration]:
    """Brings the schema up to this release's and returns the steps that it took.

    Args:
        con: a connection that writes.
        path: the store's, for messages.
        on_drain: takes only such steps as a drain may; every other waits for the command.

    Raises:
        SchemaVersionError: the store is newer than this release.
        SchemaUpgradeError: a step waits for the command.
        StoreError: a step that was applied is not the step of that number here, or the file holds
            something else than a store.
    """
    found = applied(con)
    if not found:
        _refuse_foreign(con, path)
    pending = checked(found, path)
    for step in pending:
        if on_drain and step.executions_on_drain <= _executions(con, step):
            raise SchemaUpgradeError(path, step.version)
        _take(con, step)
    return pending


def checked(found: dict[int, str], path: str) -> list[Migration]:
    """The steps that a store still has to take. Raises as `upgrade` does."""
    newest = max(found, default=0)
    refuse_newer(path, newest)
    for step in migrations():
        if found.get(step.version, step.checksum) != step.checksum:
            raise StoreError(
                f"migration {step.version} of the store {path} is not the one of this release",
                "the store was written by a changed copy of the package",
            )
    return [step for step in migrations() if step.version not in found]


def downgrade(con: duckdb.DuckDBPyConnection, path: str, version: int) -> list[Migration]:
    """Takes the steps above `version` back, the newest first; returns them.

    Raises as `upgrade` does, and StoreError where a step has no way back.
    """
    steps = to_take_back(applied(con), path, version)
    for step in steps:
        with transaction(con):
            for statement in statements(con, step.back or ""):
                con.execute(statement)
            con.execute("DELETE FROM schema_migrations WHERE version = ?", [step.version])
    return steps


def to_take_back(found: dict[int, str], path: str, version: int) -> list[Migration]:
    """The steps above `version` that a store has taken, the newest first. Raises as above."""
    checked(found, path)
    steps = [step for step in reversed(migrations()) if version < step.version in found]
    for step in steps:
        if step.back is None:
            raise StoreError(
                f"there is no way back from schema version {step.version}",
                "restore a backup of the older version",
            )
    return steps


def refuse_newer(path: str, version: int) -> None:
    """Raises SchemaVersionError for a version that this release does not know."""
    if version > supported_version():
        raise SchemaVersionError(path, version, supported_version())


def applied(con: duckdb.DuckDBPyConnection) -> dict[int, str]:
    """Version -> checksum of the steps that the store has had; {} for an empty file."""
    import duckdb

    try:
        rows = con.execute("SELECT version, checksum FROM schema_migrations").fetchall()
    except duckdb.CatalogException:
        return {}
    return {int(version): str(checksum) for version, checksum in rows}


def _refuse_foreign(con: duckdb.DuckDBPyConnection, path: str) -> None:
    """Raises StoreError where a file without a schema of ours has tables."""
    rows = con.execute(
        "SELECT table_name FROM duckdb_tables() "
        "WHERE database_name = current_database() AND NOT temporary ORDER BY 1"
    ).fetchall()
    tables = [str(name) for (name,) in rows]
    if tables:
        raise StoreError(
            f"{path} is not a learning store",
            "it is a read copy: name the store that it was made of, or query it with DuckDB"
            if "read_copy" in tables
            else f"it holds {', '.join(tables[:3])}; name another file",
        )


def statements(con: duckdb.DuckDBPyConnection, sql: str) -> Iterable[str]:
    """The statements of a step, one by one: DuckDB binds all of a text before it runs any.

    Of this connection: the module's own function opens one more, whose threads stay for good and
    end a forked child with an abort.
    """
    return [statement.query for statement in con.extract_statements(sql)]


def _take(con: duckdb.DuckDBPyConnection, step: Migration) -> None:
    with transaction(con):
        con.execute(_BOOKKEEPING)
        for statement in statements(con, step.sql):
            con.execute(statement)
        con.execute(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES (?, ?, ?)",
            [step.version, step.name, step.checksum],
        )


def _executions(con: duckdb.DuckDBPyConnection, step: Migration) -> int:
    """How many rows the step would go through; none in a new store."""
    if step.version == migrations()[0].version:
        return -1
    rows = con.execute("SELECT count(*) FROM settled_executions").fetchall()
    return int(rows[0][0]) or -1
