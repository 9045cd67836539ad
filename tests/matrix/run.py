"""Runs the contract and durability tests in every leg: `make matrix`.

    python -m tests.matrix.run [LEG ...]

Each leg has an environment of its own below `.venv-matrix`, made on first use and again when
its requirements change. An interpreter that is not on this machine is named and left out.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.matrix.legs import LEGS, Leg

ROOT: Final = Path(__file__).parents[2]
HOME: Final = ROOT / ".venv-matrix"
TESTS: Final = (
    "tests/contract",
    "tests/durability",
    "tests/schema",
    "tests/store",
    "tests/lifecycle",
)


def interpreter(version: str) -> str | None:
    """The command of a Python release: this one, one on PATH, or one that pyenv installed."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    installed = sorted(pyenv.glob(f"versions/{version}*/bin/python"), reverse=True)
    found = [shutil.which(f"python{version}"), *map(str, installed)]
    return next((command for command in found if command and _answers(command)), None)


def _answers(command: str) -> bool:
    # pyenv puts commands on PATH that say only that their release is not the chosen one.
    return subprocess.run([command, "--version"], capture_output=True, check=False).returncode == 0


def prepare(leg: Leg, base: str) -> Path:
    """The leg's interpreter, in an environment that holds what it asks for."""
    folder = HOME / leg.name
    python, stamp = folder / "bin" / "python", folder / ".ready"
    asked = (ROOT / "pyproject.toml").read_text(encoding="utf-8") + repr((leg, base))
    wanted = hashlib.sha256(asked.encode()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([base, "-m", "venv", str(folder)], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "--upgrade", "pip>=25.1"], check=True)
    subprocess.run(
        [*install, "--editable", f".{leg.extras}", "--group", "dev", *leg.pins],
        check=True, cwd=ROOT,
    )  # fmt: skip
    stamp.write_text(wanted, encoding="utf-8")
    return python


def run(leg: Leg) -> bool | None:
    """Whether the tests pass there; None where its interpreter is missing."""
    base = interpreter(leg.python)
    if base is None:
        return None
    python = prepare(leg, base)
    command = [str(python), "-m", "pytest", "-m", "not slow", "-q", "-p", "no:cacheprovider"]
    return subprocess.run([*command, *TESTS], cwd=ROOT, check=False).returncode == 0


def main(names: Sequence[str]) -> int:
    chosen = [leg for leg in LEGS if not names or leg.name in names]
    results: dict[str, str] = {}
    for leg in chosen:
        print(f"== {leg.name}", flush=True)
        began = time.monotonic()
        passed = run(leg)
        took = f"{time.monotonic() - began:.0f} s"
        results[leg.name] = {
            True: f"passed in {took}",
            False: f"FAILED in {took}",
            None: f"left out: python{leg.python} is not on this machine",
        }[passed]
    for name, result in results.items():
        print(f"{name:14} {result}")
    return int(not chosen or any(result.startswith("FAILED") for result in results.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
