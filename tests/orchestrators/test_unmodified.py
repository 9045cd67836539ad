"""Nothing of the router changes: released orchestrators, switched on by environment alone."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from otel_learning import Attempt, ExecutionRecord, LearningDatabase
from tests.orchestrators.endpoint import INPUT_TOKENS, OUTPUT_TOKENS, endpoint

HERE = Path(__file__).parent
VENV = HERE.parent.parent / ".venv-orchestrators"
PROGRAM_SECONDS = 120

pytestmark = pytest.mark.skipif(
    not (VENV / ".ready").exists(),
    reason="the released orchestrators are not installed: make .venv-orchestrators/.ready",
)


def _ran(
    program: str, folder: Path, *arguments: str, without: str = "", broken: bool = True
) -> dict[str | None, tuple[ExecutionRecord, list[Attempt]]]:
    """Runs a program under `opentelemetry-instrument` and reads its executions, by task id."""
    switched_on = {
        "OTEL_TRACES_EXPORTER": "learning",
        "OTEL_LOGS_EXPORTER": "learning",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_SERVICE_NAME": "shop",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": without,
    }
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "*"}
    names = ("PATH", "HOME", "PYTHONPATH")
    inherited = {name: os.environ[name] for name in names if name in os.environ}
    with endpoint() as server:
        done = subprocess.run(
            [str(VENV / "bin" / "opentelemetry-instrument"), str(VENV / "bin" / "python"),
             str(HERE / "programs" / program), server.url, *arguments],
            cwd=folder, env={**inherited, **quiet, **switched_on}, timeout=PROGRAM_SECONDS,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "otel_learning" not in done.stdout + done.stderr
        assert "broken" in server.asked or not broken
    with LearningDatabase(folder / "learning.duckdb", create=False) as database:
        return {
            found.task_id: (found, database.attempts(found.execution_id))
            for found in database.executions()
        }


def _check_litellm(found: dict[str | None, tuple[ExecutionRecord, list[Attempt]]]) -> None:
    assert set(found) == {"ticket-1", "ticket-2"}
    cheap, _ = found["ticket-1"]
    assert (cheap.task_type, cheap.repo, cheap.model_tier) == ("bug_fix", "acme/shop", "cheap")
    assert (cheap.success, cheap.success_source, cheap.service_name) == (True, "stated", "shop")
    assert cheap.model is not None and "gpt-4o-mini" in cheap.model
    assert (cheap.input_tokens, cheap.output_tokens) == (INPUT_TOKENS, OUTPUT_TOKENS)
    strong, _ = found["ticket-2"]
    assert (strong.model_tier, strong.success) == ("strong", True)
    assert strong.model is not None and "gpt-4.1" in strong.model
    assert (strong.input_tokens, strong.output_tokens) == (INPUT_TOKENS, OUTPUT_TOKENS)
    assert all(record.complete and record.trace_ids for record, _ in found.values())


def test_a_litellm_router(tmp_path: Path) -> None:
    """A LiteLLM Router, instrumented by OpenInference: its executions, with every attempt."""
    found = _ran("litellm_router.py", tmp_path)

    _check_litellm(found)
    strong, attempts = found["ticket-2"]
    assert [attempt.success for attempt in attempts] == [False, True]
    assert [attempt.reason for attempt in attempts] == ["initial", "fallback"]
    assert strong.fallback_used is True
    assert strong.failed_attempt_count == 1


def test_a_litellm_router_by_its_own_callback(tmp_path: Path) -> None:
    """The same program with LiteLLM's own OpenTelemetry callback, and no instrumentation."""
    found = _ran("litellm_router.py", tmp_path, "otel", without="litellm,langchain")

    _check_litellm(found)


def test_a_langgraph_graph(tmp_path: Path) -> None:
    """A LangGraph graph with a router node: its executions, router calls apart from work."""
    found = _ran("langgraph_router.py", tmp_path)

    assert set(found) == {"issue-1", "issue-2"}
    easy, attempts = found["issue-1"]
    assert (easy.task_type, easy.repo, easy.success) == ("coding", "acme/shop", True)
    assert [attempt.role for attempt in attempts] == ["router", "work"]
    assert easy.model is not None and easy.model.startswith("gpt-4o-mini")
    assert easy.fallback_used is False
    assert easy.input_tokens == 2 * INPUT_TOKENS
    hard, attempts = found["issue-2"]
    assert [(a.role, a.success) for a in attempts] == [
        ("router", True), ("work", False), ("work", True),
    ]  # fmt: skip
    assert (hard.success, hard.fallback_used, hard.failed_attempt_count) == (True, True, 1)
    assert hard.requested_model == "broken"
    assert hard.model is not None and hard.model.startswith("gpt-4.1")


def test_a_litellm_router_told_by_a_policy(tmp_path: Path) -> None:
    """The plug-in draws for one kind of task, LiteLLM itself for the other; spans say so."""
    rule = {"when": {"task_type": "bug_fix"}, "propensities": {"gpt-4.1": 0.9, "gpt-4o-mini": 0.1}}
    document = {"format": 1, "policy_version": "5", "decision": "requested_model", "rules": [rule]}
    (tmp_path / "learning.duckdb.policy.json").write_text(json.dumps(document), encoding="utf-8")

    found = _ran("litellm_policy.py", tmp_path, broken=False)

    bugs = [each for each in found.values() if each[0].task_type == "bug_fix"]
    others = [each[0] for each in found.values() if each[0].task_type == "docs"]
    assert (len(bugs), len(others)) == (20, 20)
    for record, attempts in bugs:
        assert (record.policy_version, record.propensity_of) == ("5", "requested_model")
        (attempt,) = attempts
        asked = str(attempt.requested_model).removeprefix("openai/")
        assert record.propensity == {"gpt-4.1": 0.9, "gpt-4o-mini": 0.1}[asked]
    assert sum("gpt-4.1" in str(record.model) for record, _ in bugs) >= 14
    assert {record.policy_version for record in others} == {None}
    assert {str(record.model).removeprefix("openai/") for record in others} == {
        "gpt-4.1", "gpt-4o-mini",
    }  # fmt: skip
