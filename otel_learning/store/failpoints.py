"""Named places that a kill may fall on: tests put one there, and nothing else does anything."""

from __future__ import annotations

from collections.abc import Callable


def _nothing(_: str) -> None:
    return None


hook: Callable[[str], None] = _nothing
"""What is called with the name of each place that is passed."""


def failpoint(name: str) -> None:
    """Passes the place of that name."""
    hook(name)
