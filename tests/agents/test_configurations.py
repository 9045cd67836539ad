"""What the how-to tells people to put into their clients works as it stands there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp.client.stdio import StdioServerParameters

from tests.agents.processes import ROOT, Served, ask
from tests.command_line import ENTRY
from tests.docs.pages import blocks

PAGE = ROOT / "docs" / "how-to" / "use-from-agents.md"
SERVERS = [
    server
    for block in blocks(PAGE)
    if block.language == "json"
    for group in json.loads(block.body).values()
    for server in group.values()
]


@pytest.mark.parametrize("server", [s for s in SERVERS if "command" in s], ids=lambda s: s["args"])
def test_a_client_starts_what_is_written_there(server: dict[str, Any], demo_copy: Path) -> None:
    """With a store's path in the place of the one on the page."""
    assert server["command"] == "otel-learning"
    place = server["args"].index("--db") + 1
    arguments = [*server["args"][:place], str(demo_copy), *server["args"][place + 1 :]]
    # The script's first lines, so that the test runs this very code.
    started = StdioServerParameters(
        command=sys.executable, args=["-c", ENTRY, *arguments], env={"PYTHONPATH": str(ROOT)}
    )

    assert ask(started, "describe_store")["executions"] == 90


def test_addresses_are_those_that_are_served(demo_server: Served) -> None:
    """The path is the server's, and the port the default one."""
    urls = [server["url"] for server in SERVERS if "url" in server]
    path = demo_server.url.rsplit("/", 1)[1]

    assert urls[0] == f"http://127.0.0.1:4319/{path}"
    assert all(url.endswith(f"/{path}") for url in urls)
    help_text = (ROOT / "otel_learning" / "cli" / "mcp.py").read_text()
    assert "= 4319" in help_text
