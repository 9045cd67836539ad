"""What the how-to shows is run, on a lake, in the environment that it is written for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.command_line import cli_in, environment
from tests.docs.pages import ROOT, blocks
from tests.lake.conftest import Place

PAGE = ROOT / "docs" / "how-to" / "publish-to-a-lake.md"


def test_the_how_to_runs(lake: Place, tmp_path: Path) -> None:
    """Every block that is to be run, one after the other, on what the demo left."""
    assert cli_in(tmp_path)("demo", "--db", "learning.duckdb").returncode == 0
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    more = {
        "PATH": path, "LAKE_POSTGRES": lake.address.removeprefix("ducklake:postgres:"),
        "LAKE_DATA": str(lake.data_path),
    }  # fmt: skip
    printed = []
    for block in blocks(PAGE):
        if block.named("needs") is None:
            continue
        command = ["bash", "-euo", "pipefail"] if block.language == "sh" else [sys.executable]
        done = subprocess.run(
            [*command, "-c", block.body], cwd=tmp_path, env=environment(more), text=True,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{block.body}\n{done.stdout}\n{done.stderr}"
        printed.append(done.stdout)

    assert len(printed) == 4
    assert "executions" in printed[0] and "files" in printed[3]
