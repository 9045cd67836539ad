"""Each example runs offline, in seconds, and prints the records it promises."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.command_line import environment

EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS = 60


def run(*command: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    proxies = {"HTTP_PROXY": "", "HTTPS_PROXY": "", "NO_PROXY": "*"}
    started = time.monotonic()
    done = subprocess.run(
        command, cwd=EXAMPLES.parent, env=environment({"PATH": path, **proxies}),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < SECONDS
    return done.stdout


def needs(*modules: str) -> None:
    for module in modules:
        try:
            found = find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            pytest.skip(f"{module} is not installed")


def test_registered_in_code() -> None:
    """The exporter in a batch processor leaves a priced record."""
    printed = run(sys.executable, "examples/01_register_in_code.py")

    assert "task-1: bug_fix in shop/api" in printed
    assert "tier fast, model gpt-4o-mini, success True" in printed
    assert "1200 + 300 tokens" in printed and "(priced)" in printed


def test_declarative_configuration() -> None:
    """An application without a line about exporters is recorded by a file."""
    needs("opentelemetry.configuration", "opentelemetry.instrumentation")

    lines = run("sh", "examples/02_declarative_config/run.sh").splitlines()

    assert [line.split() for line in lines[2:]] == [
        ["task-1", "documentation", "fast", "true", "example"],
        ["task-2", "documentation", "balanced", "false", "example"],
        ["task-3", "documentation", "fast", "true", "example"],
    ]


def test_own_profile() -> None:
    """Names that nobody else uses become columns by a profile."""
    printed = run("sh", "examples/03_own_profile/run.sh")

    assert printed.splitlines()[-1].split() == [
        "WO-4711", "migration", "express", "warehouse", "true", "0.42", "acme",
    ]  # fmt: skip


def test_litellm_router() -> None:
    """LiteLLM's own fallback is seen as a failed attempt and a fallback."""
    needs("litellm")

    printed = run(sys.executable, "examples/04_litellm_router.py")

    assert "task-2: tier balanced, model gpt-4o-mini, success True, fallback True" in printed
    assert "1. openai/gpt-4o: initial, success False" in printed
    assert "task-1: tier fast, model gpt-4o-mini, success True, fallback False" in printed


def test_langgraph() -> None:
    """A graph's run is one execution by the task id in its metadata."""
    needs("langgraph", "langchain_openai", "openinference.instrumentation.langchain")

    printed = run(sys.executable, "examples/05_langgraph.py")

    assert "task-1: bug_fix, model gpt-4o-mini" in printed
    assert "task-2: bug_fix, model gpt-4o," in printed
