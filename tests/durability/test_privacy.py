"""Rule R5: what is secret reaches no file, and no file is readable by others."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import duckdb
import pytest
from opentelemetry.sdk.trace import Event, ReadableSpan

from otel_learning import LearningDatabase, LearningSpanExporter
from otel_learning.records import FeedbackRecord
from tests.durability import harness

CANARY = "canary-7f3a91-prompt-text"
TOKEN = "sk-proj-Zq8wLmN4tYb2VcXr7KdPfG"
GITHUB = "ghp_0123456789abcdefABCDEF0123456789abcd"


def _spans() -> list[ReadableSpan]:
    trace = harness.number_of("private")
    messages = f'[{{"role": "user", "parts": [{{"type": "text", "content": "{CANARY}"}}]}}]'
    call = harness.call_attributes() | dict[str, Any](
        {
            "gen_ai.input.messages": messages,
            "gen_ai.output.messages": messages,
            "gen_ai.system_instructions": CANARY,
            "gen_ai.prompt.0.content": CANARY,
            "gen_ai.completion.0.content": CANARY,
            "gen_ai.tool.definitions": CANARY,
            "llm.input_messages.0.message.content": CANARY,
            "llm.output_messages.0.message.content": CANARY,
            "llm.prompts": (CANARY,),
            "input.value": CANARY,
            "output.value": CANARY,
            "traceloop.entity.input": CANARY,
            "traceloop.entity.output": CANARY,
            "mlflow.spanInputs": CANARY,
            "mlflow.spanOutputs": CANARY,
            "langfuse.observation.input": CANARY,
            "langfuse.observation.output": CANARY,
            "gcp.vertex.agent.llm_request": CANARY,
            "gcp.vertex.agent.llm_response": CANARY,
            "request_data": CANARY,
            "response_data": CANARY,
            "http.request.header.authorization": (f"Bearer {CANARY}",),
            "http.request.header.x-api-key": CANARY,
            "url.query": f"key={CANARY}",
            "db.query.text": CANARY,
        }
    )
    tool = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "grep",
        "gen_ai.tool.call.arguments": CANARY,
        "gen_ai.tool.call.result": CANARY,
        "tool.parameters": CANARY,
    }
    stack = Event(
        "exception",
        {
            "exception.type": "ValueError",
            "exception.message": f"rejected key {TOKEN}",
            "exception.stacktrace": f"Traceback: x = '{CANARY}'",
        },
        harness.START_NS,
    )
    root = harness.task_attributes(
        "private",
        **{
            "learning.task.description": f"deploy with {GITHUB} and password=hunter2-{CANARY}",
            "learning.outcome.error_message": f"401 for {TOKEN}",
            "learning.outcome.success": False,
            "user.id": f"user-{CANARY}",
            "crewai.task.output": CANARY,
        },
    )
    return [
        harness.span(trace, 3, tool, parent=1, name="execute_tool grep", events=(stack,),
                     error=f"ValueError: rejected key {TOKEN}"),
        harness.span(trace, 2, call, parent=1, name="chat", events=(stack,)),
        harness.span(trace, 1, root, name="task", seconds=3),
        harness.span(trace, 4, {"input.value": CANARY, "http.url": CANARY}, parent=1, name="GET"),
    ]  # fmt: skip


def _everything(folder: Path) -> bytes:
    """Every byte of every file, those of the ledger unpacked too."""
    from otel_learning.store.ledger_files import unpack

    found = b""
    for file in sorted(folder.rglob("*")):
        if not file.is_file():
            continue
        body = file.read_bytes()
        found += body
        if file.parent.name.endswith(".ledger"):
            found += unpack(body)
    return found


def _tables(path: Path) -> bytes:
    """Every value of every table, blobs decoded."""
    found = b""
    with duckdb.connect(str(path), read_only=True) as con:
        tables = con.execute("SELECT table_name FROM duckdb_tables() WHERE NOT internal").fetchall()
        assert len(tables) > 8
        for (table,) in tables:
            for row in con.execute(f'FROM "{table}"').fetchall():
                found += repr(row).encode()
    return found


@pytest.mark.parametrize("drain", ["on", "off"])
def test_no_file_holds_a_secret(tmp_path: Path, drain: str) -> None:
    """Prompts, arguments, outputs, stacks, headers, tokens: in no byte beside the store."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path, drain=drain)
    exporter.export(_spans())
    if drain == "on":
        assert exporter.force_flush()
    exporter.shutdown()
    held = _everything(tmp_path)
    if drain == "on":
        with duckdb.connect(str(path)) as con:
            con.execute("CHECKPOINT")
        held += _everything(tmp_path) + _tables(path)
        [(description, message)] = harness.query(
            path, "SELECT task_description, error_message FROM executions"
        )
        assert "deploy with [masked]" in description
        assert "401 for [masked]" in message
    else:
        assert not path.exists()
    assert b"private" in held  # the reading does find what is there
    for secret in (CANARY, TOKEN, GITHUB, "hunter2"):
        assert secret.encode() not in held


def test_a_comment_is_masked(tmp_path: Path) -> None:
    """Feedback given through the library goes the same way."""
    path = tmp_path / "learning.duckdb"
    with LearningDatabase(path) as db:
        db.record_feedback(FeedbackRecord(target_id="t", comment=f"use {TOKEN} next time"))
        assert TOKEN.encode() not in _everything(tmp_path)
        db.drain()
    assert TOKEN.encode() not in _everything(tmp_path) + _tables(path)


@pytest.mark.parametrize("content", ["none", "task", "prompt"])
def test_content_says_what_is_kept(tmp_path: Path, content: str) -> None:
    """`none` keeps no text, `task` descriptions and messages, `prompt` the first user message."""
    path = tmp_path / "learning.duckdb"
    exporter = LearningSpanExporter(path=path, content=content)
    given = harness.task_attributes("a", **{
        "learning.task.description": "fix the parser", "learning.outcome.error_message": "it broke",
        "learning.outcome.solution_summary": "added a test", "learning.outcome.success": False,
    })  # fmt: skip
    messages = '[{"role": "user", "parts": [{"type": "text", "content": "please fix it"}]}]'
    asked = harness.call_attributes(**{"gen_ai.input.messages": messages})
    b = harness.number_of("b")
    exporter.export([
        harness.span(harness.number_of("a"), 1, given),
        harness.span(b, 1, harness.task_attributes("b")),
        harness.span(b, 2, asked, parent=1, name="chat"),
    ])  # fmt: skip
    assert exporter.force_flush()
    rows = harness.query(path, "SELECT task_description, error_message, solution_summary "
                               "FROM executions ORDER BY task_id")  # fmt: skip
    everything = ("fix the parser", "it broke", "added a test")
    told = (None, None, None) if content == "none" else everything
    prompt = "please fix it" if content == "prompt" else None
    assert rows == [told, (prompt, None, None)]
    exporter.shutdown()
    held = _everything(tmp_path) + _tables(path)
    assert (b"fix the parser" in held) is (content != "none")
    assert (b"please fix it" in held) is (content == "prompt")


def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    """Under umask 0: store, log, lock, key, spool, ledger, segments and broken ones."""
    path = tmp_path / "sub" / "learning.duckdb"
    modes: dict[str, int] = {}

    def look() -> None:
        for file in path.parent.rglob("*"):
            modes[file.name] = stat.S_IMODE(file.stat().st_mode)

    def look_unless_spooling(point: str) -> None:
        if not point.startswith("spool"):  # a drain beside it may remove what is looked at
            look()

    from otel_learning.store import failpoints

    before = os.umask(0)
    try:
        passed, failpoints.hook = failpoints.hook, look_unless_spooling
        exporter = LearningSpanExporter(path=path)
        user: dict[str, Any] = {"user.id": "ann"}
        exporter.export([harness.span(1, 1, harness.task_attributes("t", **user))])
        look()
        torn = path.parent / "learning.duckdb.spool" / f"v1-{1:020d}-1-1-{'0' * 8}.json"
        torn.write_bytes(b"torn")
        torn.chmod(0o600)
        assert exporter.force_flush()
        look()
        exporter.shutdown()
    finally:
        failpoints.hook = passed
        os.umask(before)
    kinds = ("learning.duckdb", "learning.duckdb.wal", "learning.duckdb.lock",
             "learning.duckdb.key", "learning.duckdb.spool", ".drained", "broken")  # fmt: skip
    assert set(kinds) <= modes.keys()
    assert any(name.startswith("v1-") for name in modes)
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}
