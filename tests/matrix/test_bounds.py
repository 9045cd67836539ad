"""What is promised in pyproject.toml is what the matrix runs."""

from __future__ import annotations

import tomllib

from tests.matrix.legs import LEGS, OLDEST_SDK
from tests.matrix.run import ROOT, interpreter

_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_oldest_sdk_is_the_bound() -> None:
    """The oldest OpenTelemetry SDK that is promised is the one that a leg installs."""
    bounds = {name for name in _PROJECT["dependencies"] if name.startswith("opentelemetry-")}

    oldest = OLDEST_SDK.rsplit(".", 1)[0]
    assert bounds == {f"opentelemetry-{part}>={oldest}" for part in ("api", "proto", "sdk")}


def test_the_oldest_duckdb_is_the_bound() -> None:
    """The oldest DuckDB that is promised is the one that a leg installs."""
    bound = next(name for name in _PROJECT["dependencies"] if name.startswith("duckdb"))

    assert f"duckdb=={bound.removeprefix('duckdb>=').split(',')[0]}" in {
        pin for leg in LEGS for pin in leg.pins
    }


def test_every_promised_python_is_run() -> None:
    """Each Python release among the classifiers is run: the first by `make test`, the rest here."""
    promised = {
        line.rsplit(" ", 1)[-1]
        for line in _PROJECT["classifiers"]
        if line.startswith("Programming Language :: Python :: 3.")
    }

    assert promised == {"3.11"} | {leg.python for leg in LEGS}


def test_a_missing_interpreter_is_none() -> None:
    """A release that is nowhere on the machine is named as missing, not run as another."""
    assert interpreter("3.999") is None
