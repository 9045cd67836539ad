"""The address of a lake: `ducklake:postgres:` and how PostgreSQL is reached."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from otel_learning.errors import InputError

PREFIX: Final = "ducklake:"
ONLY_READ: Final = "a lake is only read"
PUBLISH_HINT: Final = "name a store's file with --db; `publish` takes it to the lake"
_CATALOG: Final = "postgres:"
_HINT: Final = 'for example "ducklake:postgres:host=db.internal dbname=lake"'
_FOLDED: Final = re.compile(r"^(postgres(?:ql)?):/+")
"""Where an address came as a path, that has made one slash of two."""
_SECRETS: Final = (
    (re.compile(r"(password\s*=\s*)('[^']*'|\S+)", re.IGNORECASE), r"\1..."),
    (re.compile(r"(://[^:/@\s]*):[^@\s]*@"), r"\1:...@"),
)


@dataclass(frozen=True, slots=True)
class LakeAddress:
    """Where a lake's catalog is."""

    postgres: str
    """What libpq takes: `key=value` pairs, or a URI."""

    @property
    def catalog(self) -> str:
        """As DuckLake takes it."""
        return f"{PREFIX}{_CATALOG}{self.postgres}"

    def __str__(self) -> str:
        """For people: without a password."""
        shown = self.catalog
        for secret, instead in _SECRETS:
            shown = secret.sub(instead, shown)
        return shown

    @classmethod
    def of(cls, said: str | Path) -> LakeAddress:
        """Reads an address.

        Raises:
            InputError: it is none, or its catalog is not in PostgreSQL.
        """
        text = str(said)
        if not text.startswith(PREFIX):
            raise InputError(f"{text!r} is no lake's address", _HINT)
        catalog = text.removeprefix(PREFIX)
        if not catalog.startswith(_CATALOG):
            raise InputError(
                "the catalog of a lake is in PostgreSQL: others let one process write at a time",
                _HINT,
            )
        return cls(_FOLDED.sub(r"\1://", catalog.removeprefix(_CATALOG)))


def is_lake(said: str | Path) -> bool:
    """Whether it is meant for a lake's address, not for a store's path."""
    return str(said).startswith(PREFIX)


def shown(said: str | Path) -> str:
    """A store's path, or a lake's address without its password, for people."""
    return str(LakeAddress.of(said)) if is_lake(said) else str(said)


def refuse_lake(said: str | Path) -> None:
    """Raises InputError where something other than reading is asked of a lake."""
    if is_lake(said):
        raise InputError(ONLY_READ, PUBLISH_HINT)
