"""Runs `otel-learning serve` as people do, and asks it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

from tests.command_line import ENTRY, environment

START_SECONDS = 30.0


@dataclass
class Server:
    """A process that serves one store."""

    process: subprocess.Popen[str]
    http: str
    grpc: str
    store: Path
    log: Path

    def ask(
        self, path: str, body: Any = None, headers: Mapping[str, str] | None = None,
        method: str | None = None,
    ) -> tuple[int, Any]:  # fmt: skip
        """Status and answer; JSON both ways, unless the body is bytes."""
        status, found, _ = self.request(path, body, headers, method)
        try:
            return status, json.loads(found)
        except ValueError:
            return status, found.decode(errors="replace")

    def request(
        self, path: str, body: Any = None, headers: Mapping[str, str] | None = None,
        method: str | None = None,
    ) -> tuple[int, bytes, Message]:  # fmt: skip
        sent = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(
            self.http + path, data=body, headers=sent, method=method
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers

    def end(self, which: signal.Signals = signal.SIGTERM, timeout: float = 30) -> int:
        self.process.send_signal(which)
        return self.process.wait(timeout)

    def said(self) -> str:
        """What it wrote to stderr."""
        return self.log.read_text(encoding="utf-8")


@contextmanager
def serving(
    folder: Path, *arguments: str, grpc: bool = False, env: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A server on free ports, ended when it is left; its store is `learning.duckdb` there."""
    log = folder / "serve.log"
    grpc_port = free_port() if grpc else 0
    command = [sys.executable, "-c", ENTRY, "serve", "--port", "0", "--grpc-port", str(grpc_port),
               "--json", *arguments]  # fmt: skip
    with log.open("a") as errors:
        process = subprocess.Popen(
            command, cwd=folder, env=environment(env), stdout=subprocess.PIPE, stderr=errors,
            text=True,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line == "}\n":
                break
        assert lines, log.read_text(encoding="utf-8")
        said = json.loads("".join(lines))
        yield Server(process, said["http"], said["grpc"] or "", Path(said["store"]), log)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()


def is_listening(port: int) -> bool:
    """Whether something on this machine takes connections on a port."""
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_until(true: Any, seconds: float = 20.0) -> None:
    """Waits for something that other processes or threads bring about."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)
