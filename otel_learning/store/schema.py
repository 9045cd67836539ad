"""The store's schema: numbered SQL steps, each applied together with its bookkeeping."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

from otel_learning.errors import SchemaVersionError, StoreError

if TYPE_CHECKING:
    import duckdb

_BOOKKEEPING = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER PRIMARY KEY, name VARCHAR, checksum VARCHAR,
    applied_at TIMESTAMPTZ DEFAULT now()
)
"""


@dataclass(frozen=True)
class Migration:
    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


@lru_cache(maxsize=1)
def migrations() -> tuple[Migration, ...]:
    """All steps, in order."""
    folder = resources.files("otel_learning.store") / "migrations"
    steps = []
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".sql") and not file.name.endswith(".down.sql"):
            number, _, name = file.name.removesuffix(".sql").partition("_")
            steps.append(Migration(int(number), name, file.read_text(encoding="utf-8")))
    return tuple(steps)


def supported_version() -> int:
    return migrations()[-1].version


def upgrade(con: duckdb.DuckDBPyConnection, path: str) -> int:
    """Brings the schema up to this release's and returns its version.

    Raises:
        SchemaVersionError: the store is newer than this release.
        StoreError: a step that was applied is not the step of that number here.
    """
    found = applied(con)
    newest = max(found, default=0)
    refuse_newer(path, newest)
    for step in migrations():
        known = found.get(step.version)
        if known is not None and known != step.checksum:
            raise StoreError(
                f"migration {step.version} of the store {path} is not the one of this release",
                "the store was written by a changed copy of the package",
            )
        if known is None:
            con.execute("BEGIN")
            try:
                con.execute(_BOOKKEEPING)
                con.execute(step.sql)
                con.execute(
                    "INSERT INTO schema_migrations (version, name, checksum) VALUES (?, ?, ?)",
                    [step.version, step.name, step.checksum],
                )
                con.execute("COMMIT")
            except BaseException:
                con.execute("ROLLBACK")
                raise
    return supported_version()


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
