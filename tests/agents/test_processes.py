"""The process: what it prints, whom it lets in, how it ends, and a store that is not there."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from tests.agents.processes import ROOT, ask, refused, served, stdio, talk, text_of
from tests.command_line import ENTRY, cli_in, environment
from tests.durability import harness
from tests.lifecycle import stores

HELLO = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {},
               "clientInfo": {"name": "test", "version": "1"}},
}  # fmt: skip


def _post(url: str, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(
        url, json.dumps(HELLO).encode(),
        {"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
         **headers},
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_stdout_belongs_to_the_protocol(tmp_path: Path) -> None:
    """Every line there is JSON-RPC, whatever is printed in the process and by its children."""
    path = tmp_path / "learning.duckdb"
    stores.fill(path, "t", 3)
    noisy = (
        "import os, sys\n"
        "from otel_learning.server.mcp import tools, work\n"
        "real = work.describe_store\n"
        "def loud(store, asked):\n"
        "    print('NOISE from python', flush=True)\n"
        "    os.write(1, b'NOISE from below\\n')\n"
        "    os.system('echo NOISE from a child')\n"
        "    return real(store, asked)\n"
        "place = next(t for t in tools.TOOLS if t.name == 'describe_store')\n"
        "object.__setattr__(place, 'work', loud)\n" + ENTRY
    )
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call",
            "params": {"name": "describe_store", "arguments": {}}}  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", noisy, "mcp", "--db", str(path)], text=True,
        env=environment({"PYTHONPATH": str(ROOT)}), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    lines = []
    for message in (HELLO, {"jsonrpc": "2.0", "method": "notifications/initialized"}, call):
        process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()
        if "id" in message:
            lines.append(process.stdout.readline())
    rest, errors = process.communicate(timeout=20)

    assert [json.loads(line)["id"] for line in lines] == [1, 2]
    assert json.loads(lines[1])["result"]["structuredContent"]["executions"] == 3
    assert rest == ""
    assert errors.count("NOISE") == 3
    assert process.returncode == 0


def test_a_store_may_come_later(tmp_path: Path) -> None:
    """Without one the tools say which is missing; the same session finds it once it is there."""
    path = tmp_path / "learning.duckdb"

    async def work(client: Client) -> tuple[Any, Any, Any]:
        before = await client.call_tool("recommend", {})
        said = await client.call_tool("record_feedback", {"id": "t-0", "accepted": True})
        stores.fill(path, "t", 3)
        return before, said, await client.call_tool("describe_store", {})

    before, said, after = talk(stdio(path), work)

    for answer in (before, said):
        assert answer.is_error
        assert f"there is no store at {path}" in text_of(answer)
    assert after.structured_content["executions"] == 3
    assert len(list(tmp_path.glob("*.duckdb"))) == 1


def test_a_store_that_is_held_is_told(tmp_path: Path) -> None:
    """Who holds it, within seconds; the connection and the other tools stay."""
    path = tmp_path / "learning.duckdb"
    stores.fill(path, "t", 3)

    async def work(client: Client) -> tuple[list[Any], float, Any]:
        with harness.held(path):
            began = time.monotonic()
            held = [
                await client.call_tool("list_executions", {}),
                await client.call_tool("recommend", {}),
            ]
            took = time.monotonic() - began
        return held, took, await client.call_tool("list_executions", {})

    held, took, after = talk(stdio(path), work)

    for answer in held:
        assert answer.is_error
        assert f"the store {path} is locked" in text_of(answer)
        assert "nothing is lost meanwhile" in text_of(answer)
    assert took < 25
    assert len(after.structured_content["executions"]) == 3


def test_a_file_that_is_no_store_is_told(tmp_path: Path) -> None:
    path = tmp_path / "learning.duckdb"
    path.write_text("not a database, but long enough to look like a file " * 100)

    said = refused(stdio(path), "describe_store")

    assert str(path) in said
    assert path.read_text().startswith("not a database")


def test_web_pages_of_others_are_not_served(tmp_path: Path) -> None:
    """A name that is not ours, and a page of another origin; what a program sends is served."""
    path = tmp_path / "learning.duckdb"
    stores.fill(path, "t", 1)
    with served("--db", str(path), "--allow-host", "tools.example") as server:
        port = server.url.rsplit(":", 1)[1]
        assert _post(server.url)[0] == 200
        assert _post(server.url, Host="evil.example")[0] == 421
        assert _post(server.url, Host=f"evil.example:{port.split('/')[0]}")[0] == 421
        assert _post(server.url, Origin="http://evil.example")[0] == 403
        assert _post(server.url, Host="tools.example")[0] == 200
        assert _post(server.url, Origin="http://localhost:1234")[0] == 200


def test_a_token_is_asked_for(tmp_path: Path) -> None:
    """Without it, and with a wrong one, 401 and why; the client with it is served."""
    path, file = tmp_path / "learning.duckdb", tmp_path / "token"
    stores.fill(path, "t", 1)
    file.write_text("s3cret-token\n")
    with served("--db", str(path), "--token-file", str(file)) as server:
        assert _post(server.url) == (
            401,
            '{"error": "a token is needed", "hint": "send the header Authorization: Bearer TOKEN"}',
        )
        status, said = _post(server.url, Authorization="Bearer wrong")
        assert (status, "the token is wrong" in said) == (401, True)
        assert _post(server.url, Authorization="Bearer s3cret-token")[0] == 200

        async def work(client: Client) -> Any:
            return await client.call_tool("describe_store", {})

        answer = talk(server.url, work, headers={"Authorization": "Bearer s3cret-token"})
        assert answer.structured_content["executions"] == 1
    by_variable = {"OTEL_EXPORTER_LEARNING_TOKEN": "of-a-variable"}
    with served("--db", str(path), **by_variable) as server:
        assert _post(server.url)[0] == 401
        assert _post(server.url, Authorization="Bearer of-a-variable")[0] == 200


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--transport", "carrier-pigeon"), 2, "'carrier-pigeon' is unknown (stdio or http)"),
        (("--transport", "http", "--host", "0.0.0.0"), 2, "there is no token"),
        (("--transport", "http", "--token-file", "none"), 2, "--token-file none cannot be read"),
        (("--transport", "http", "--token-file", "empty"), 2, "holds no token"),
        (("--transport", "http", "--host", "192.0.2.1", "--unprotected"), 1, "cannot listen"),
        (("--transport", "http", "--port", "{taken}"), 1, "is in use (choose another"),
    ],
)
def test_what_cannot_be_served(
    tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    (tmp_path / "empty").write_text("\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = cli_in(tmp_path)("mcp", *(a.replace("{taken}", port) for a in arguments))

    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(("end", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_ends_when_it_is_told(tmp_path: Path, end: signal.Signals, code: int) -> None:
    """Over HTTP by a signal, with what it answers answered."""
    path = tmp_path / "learning.duckdb"
    stores.fill(path, "t", 1)
    with served("--db", str(path)) as server:
        assert ask(server.url, "describe_store")["executions"] == 1
        server.process.send_signal(end)
        assert server.process.wait(15) == code
        assert server.process.stderr is not None
        assert "Traceback" not in server.process.stderr.read()


def test_an_extra_that_is_missing_is_named(tmp_path: Path) -> None:
    """Without the SDK the command says what to install."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('mcp', 'mcp_types'):\n"
        "            raise ModuleNotFoundError('no', name=name.split('.')[0])\n"
        "sys.meta_path.insert(0, Without())\n"
    )
    done = cli_in(tmp_path)("mcp", env={"PYTHONPATH": f"{tmp_path}:{ROOT}"})

    assert done.returncode == 2
    assert "pip install otel-learning[mcp]" in done.stderr
