"""What the base install does without numpy, and what it says where a command needs an extra."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_learning import LearningSpanExporter
from tests.command_line import Run
from tests.durability import harness

_WITHOUT = """
import sys

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("numpy", "scipy"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])

sys.meta_path.insert(0, Without())
"""


@pytest.fixture
def without_numpy(tmp_path: Path) -> dict[str, str]:
    """Variables of a Python that has neither numpy nor scipy."""
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "sitecustomize.py").write_text(_WITHOUT, encoding="utf-8")
    exporter = LearningSpanExporter(path=tmp_path / "learning.duckdb")
    exporter.export(harness.tasks("t", 0, 3))
    exporter.shutdown()
    return {"PYTHONPATH": str(tmp_path / "without")}


@pytest.mark.parametrize("module", ["fastapi", "uvicorn", "grpc", "prometheus_client"])
def test_serve_names_its_extra(run_cli: Run, tmp_path: Path, module: str) -> None:
    """Without the server's libraries, one line says which extra brings them."""
    (tmp_path / "without").mkdir()
    program = _WITHOUT.replace('("numpy", "scipy")', repr((module,)))
    (tmp_path / "without" / "sitecustomize.py").write_text(program, encoding="utf-8")

    done = run_cli("serve", env={"PYTHONPATH": str(tmp_path / "without")})

    assert done.returncode == 2
    assert done.stderr == (
        f"error: this needs {module}, which is not installed (pip install otel-learning[serve])\n"
    )


def test_advice_needs_no_extra(run_cli: Run, without_numpy: dict[str, str]) -> None:
    for command in (("recommend",), ("stats",), ("status",), ("experiment", "list")):
        done = run_cli(*command, "--json", env=without_numpy)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [("search", "a task"), ("insights",)])
def test_an_extra_that_is_missing_is_named(
    run_cli: Run, without_numpy: dict[str, str], command: tuple[str, ...]
) -> None:
    done = run_cli(*command, env=without_numpy)
    assert done.returncode == 2
    assert done.stderr == (
        "error: this needs numpy, which is not installed (pip install otel-learning[learn])\n"
    )
