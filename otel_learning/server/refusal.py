"""Why a request is not served: one reason for every protocol, said in each one's own words."""

from __future__ import annotations

from enum import Enum
from typing import Final

RETRY_SECONDS: Final = 2
"""How long a sender is asked to wait; a drain takes about a second."""


class Reason(Enum):
    """An HTTP status and the gRPC code that says the same (google/rpc/code.proto)."""

    MALFORMED = (400, 3)
    UNAUTHENTICATED = (401, 16)
    FORBIDDEN = (403, 7)
    SLOW = (408, 4)
    TOO_LARGE = (413, 8)
    """RESOURCE_EXHAUSTED without RetryInfo: OTLP's clients do not try again, as they should not."""
    UNSUPPORTED = (415, 3)
    FAILED = (500, 13)
    NOT_HERE = (501, 12)
    """UNIMPLEMENTED: this server takes nothing, and no client tries again."""
    BUSY = (503, 14)
    """UNAVAILABLE: every client tries again, whether it reads RetryInfo or not."""

    def __init__(self, http: int, grpc: int) -> None:
        self.http = http
        self.grpc = grpc


class Refusal(Exception):
    """A request is not served, and the sender is told why and what to do."""

    def __init__(self, reason: Reason, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.hint = hint

    @property
    def retry_seconds(self) -> int | None:
        """After how long the same request may be sent again; None: never."""
        return RETRY_SECONDS if self.reason is Reason.BUSY else None

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message
