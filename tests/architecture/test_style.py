"""Style that tools can check."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.architecture.package import PACKAGE, modules, name_of, tool, tree_of

LINES = 550
"""A module that is longer holds two things."""


def test_ruff_is_content() -> None:
    """The rules in pyproject.toml hold everywhere."""
    assert tool("ruff", "check", "--quiet", ".") == ""


def test_types_are_checked() -> None:
    """Types hold, strictly, in the package and in its tests."""
    assert tool("mypy") == ""


@pytest.mark.parametrize("module", modules(), ids=name_of)
def test_a_module_says_what_it_is(module: Path) -> None:
    """The first line of a module is a sentence about it."""
    said = ast.get_docstring(tree_of(module))

    assert said
    assert len(said.splitlines()[0]) > 10


@pytest.mark.parametrize("module", modules(), ids=name_of)
def test_a_module_is_one_thing(module: Path) -> None:
    """No module grows beyond what one reads in one go."""
    lines = module.read_text(encoding="utf-8").count("\n")

    assert lines <= LINES


@pytest.mark.parametrize(
    "module", [m for m in modules() if not m.is_relative_to(PACKAGE / "cli")], ids=name_of
)
def test_nothing_is_printed(module: Path) -> None:
    """R3: only the command line prints; a guest never does."""
    called = {
        node.func.id
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }

    assert "print" not in called


@pytest.mark.parametrize("module", modules(), ids=name_of)
def test_public_things_say_what_they_are(module: Path) -> None:
    """Classes and functions with public names have a docstring, unless they are one line long."""
    silent = [
        node.name
        for node in tree_of(module).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
        and (node.end_lineno or 0) - node.lineno > 12
    ]

    assert not silent


def test_only_the_store_speaks_sql() -> None:
    """DuckDB is imported below `store` alone, and only where it is used."""
    importers = {
        name_of(module).split("/")[0]
        for module in modules()
        for node in ast.walk(tree_of(module))
        if (isinstance(node, ast.Import) and any(a.name == "duckdb" for a in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "duckdb")
    }

    assert importers == {"store"}
