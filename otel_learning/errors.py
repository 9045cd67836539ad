"""The error tree. A message says what happened, with values; the hint says the way out.

OtelLearningError
├─ ConfigurationError (also ValueError)
├─ MappingError
├─ InputError (also ValueError)
├─ EmbeddingError
│  └─ EmbedderUnavailableError
└─ StoreError
   ├─ StoreMissingError
   ├─ StoreLockedError
   ├─ SpoolFullError
   ├─ SchemaVersionError
   └─ SchemaUpgradeError

The exporter raises none of them: it counts, logs and goes on (rule R3). The library and the
command line raise and show them.
"""

from __future__ import annotations


class OtelLearningError(Exception):
    """The base of every error of this package; `hint` says what to do next."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message} ({self.hint})" if self.hint else message


class ConfigurationError(OtelLearningError, ValueError):
    """A setting or a profile is unknown, malformed or unusable."""


class MappingError(OtelLearningError):
    """A span or a log event could not be mapped; the exporter counts it and goes on."""


class InputError(OtelLearningError, ValueError):
    """An argument or an input file is not what the call takes."""


class EmbeddingError(OtelLearningError):
    """A model failed to turn texts into vectors; the cause is chained."""


class EmbedderUnavailableError(EmbeddingError):
    """The chosen model, or the library that runs it, is not installed."""


class StoreError(OtelLearningError):
    """The store could not be read or written; the cause is chained."""


class StoreMissingError(StoreError):
    """There is no store at that path, and reading does not create one."""


class StoreLockedError(StoreError):
    """Another program holds the store file; its data wait in the spool and nothing is lost."""

    def __init__(self, path: str, holder: str | None = None) -> None:
        self.path = path
        self.holder = holder
        by = f" by {holder}" if holder else ""
        super().__init__(
            f"the store {path} is locked{by}",
            "close that program's connection, or try again: nothing is lost meanwhile",
        )


class SpoolFullError(StoreError):
    """More waits to be stored than `SPOOL_LIMIT` allows; what was given was not taken."""


class SchemaVersionError(StoreError):
    """The store was written by a newer release than this one."""

    def __init__(self, path: str, found: int, supported: int) -> None:
        self.found = found
        self.supported = supported
        super().__init__(
            f"the store {path} has schema version {found}, this release knows up to {supported}",
            "upgrade the package: pip install -U otel-learning",
        )


class SchemaUpgradeError(StoreError):
    """The store is older than this release, and bringing it up takes longer than a drain may."""

    def __init__(self, path: str, version: int) -> None:
        self.version = version
        super().__init__(
            f"the store {path} waits for schema version {version}",
            "run: otel-learning migrate upgrade",
        )
