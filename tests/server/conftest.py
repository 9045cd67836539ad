"""A server to ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import demo_store, run_cli
from tests.server.serving import Server, serving

__all__ = ["demo_store", "run_cli"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of an empty store, on both protocols."""
    with serving(tmp_path, grpc=True) as found:
        yield found
