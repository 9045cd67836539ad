"""The style sheet and the script, as they are in the package."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import Final

KINDS: Final = {
    "dashboard.css": "text/css", "dashboard.js": "text/javascript", "icon.svg": "image/svg+xml",
}  # fmt: skip


@cache
def asset(name: str) -> bytes:
    """A file of ours, as it is sent."""
    place = resources.files("otel_learning.server.dashboard") / "static" / name
    return place.read_bytes()


@cache
def version(name: str) -> str:
    """What tells one content of a file from another."""
    return hashlib.sha256(asset(name)).hexdigest()[:16]
