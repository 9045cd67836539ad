"""Starts the server as agents do, and asks it with the official client."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.command_line import ENTRY, environment

T = TypeVar("T")
ROOT = Path(__file__).parents[2]


@dataclass
class Served:
    """A server over HTTP that runs."""

    process: subprocess.Popen[str]
    url: str


@contextmanager
def served(*arguments: str, **variables: str) -> Iterator[Served]:
    """`otel-learning mcp --transport http` on a free port."""
    process = subprocess.Popen(
        [sys.executable, "-c", ENTRY, "mcp", "--transport", "http", "--port", "0", "--json",
         *arguments],
        env=environment({"PYTHONPATH": str(ROOT), **variables}), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or lines[-1] != "}\n":
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            lines.append(line)
        yield Served(process, json.loads("".join(lines))["url"])
    finally:
        process.kill()
        process.communicate()


def stdio(path: Path, program: str = ENTRY) -> StdioServerParameters:
    """What a client is told, to start the server itself."""
    return StdioServerParameters(
        command=sys.executable, args=["-c", program, "mcp", "--db", str(path)],
        env=environment({"PYTHONPATH": str(ROOT)}),
    )  # fmt: skip


@asynccontextmanager
async def connected(
    server: str | StdioServerParameters, mode: str, headers: dict[str, str] | None
) -> AsyncIterator[Client]:
    async with AsyncExitStack() as stack:
        target: Any = server
        if isinstance(server, str):
            sender = await stack.enter_async_context(
                httpx2.AsyncClient(headers=headers, timeout=120)
            )
            target = streamable_http_client(server, http_client=sender)
        yield await stack.enter_async_context(Client(target, mode=mode, read_timeout_seconds=60))


def talk(
    server: str | StdioServerParameters,
    work: Callable[[Client], Awaitable[T]],
    mode: str = "auto",
    headers: dict[str, str] | None = None,
) -> T:
    """What `work` returns that is given a connected client."""

    async def run() -> T:
        async with connected(server, mode, headers) as client:
            return await work(client)

    return asyncio.run(run())


def text_of(answer: Any) -> str:
    """The text that stands for an answer, of clients that show no structure."""
    [content] = answer.content
    assert content.type == "text"
    return str(content.text)


def ask(server: Any, tool: str, mode: str = "auto", **given: Any) -> dict[str, Any]:
    """The structured answer of one tool, which must be a good one."""

    async def work(client: Client) -> Any:
        return await client.call_tool(tool, given)

    answer = talk(server, work, mode)
    assert not answer.is_error, text_of(answer)
    assert json.loads(text_of(answer)) == answer.structured_content
    found: dict[str, Any] = answer.structured_content
    return found


def refused(server: Any, tool: str, **given: Any) -> str:
    """What a tool says that refuses a call."""

    async def work(client: Client) -> Any:
        return await client.call_tool(tool, given)

    answer = talk(server, work)
    assert answer.is_error, answer.structured_content
    return text_of(answer)
