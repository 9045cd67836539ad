"""Who imports whom, and what an application pays for importing the exporter."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.architecture.package import tool


def _loaded(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after a statement."""
    program = (
        f"{statement}\nimport json, sys\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout))


_HEAVY = {
    "duckdb",
    "pyarrow",
    "pydantic",
    "pydantic_core",
    "genai_prices",
    "typer",
    "rich",
    "numpy",
}


@pytest.mark.parametrize(
    "statement",
    [
        "import otel_learning",
        "import otel_learning; dir(otel_learning)",
        "import otel_learning.attributes",
        "import otel_learning.errors",
        "import otel_learning.observation",
        "from otel_learning import LearningSpanExporter",
        "from otel_learning import LearningLogExporter",
        "from otel_learning import AsyncLearningDatabase",
        "from otel_learning.capture.span_exporter import LearningSpanExporter",
    ],
)
def test_importing_costs_little(statement: str) -> None:
    """Importing the exporter loads no database, no Arrow, no pydantic: that waits for its use."""
    assert not _loaded(statement) & _HEAVY


def test_the_constants_need_nothing() -> None:
    """A router that uses our attribute names gets strings, without OpenTelemetry."""
    assert not _loaded("import otel_learning.attributes") & {"opentelemetry", "importlib_metadata"}


def test_assembly_needs_no_database() -> None:
    """Executions are put together by pure functions."""
    statement = "import otel_learning.assembly.assemble, otel_learning.assembly.correlation"

    assert not _loaded(statement) & {"duckdb", "pyarrow", "opentelemetry"}


def test_importing_prints_nothing() -> None:
    """R3: a guest is silent, when it comes too."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "from otel_learning import *"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_layers_hold() -> None:
    """Higher packages import lower ones, never the other way: pyproject.toml says which."""
    assert tool("lint-imports") == ""
