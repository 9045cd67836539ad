"""The pages agree with the code, with each other, and with the project's words."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

import otel_learning
from tests.docs.pages import ROOT, pages

_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def test_the_reference_is_what_the_code_says() -> None:
    """The generated pages are fresh; `make docs` writes them anew."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that is there."""
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), target


def test_every_page_is_reachable() -> None:
    """From the README one gets to every page by links."""
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page in seen:
            continue
        seen.add(page)
        for target in _LINK.findall(page.read_text(encoding="utf-8")):
            if target.startswith(("http:", "https:")):
                continue
            found = page.parent / target
            waiting += sorted(found.glob("*.md")) if found.is_dir() else []
            waiting += [found] if found.suffix == ".md" else []

    assert {page.resolve() for page in pages()} - seen == set()


def test_every_reason_for_a_loss_is_explained() -> None:
    """Whatever `doctor` may call a loss stands in the how-to on troubleshooting."""
    sources = "".join(
        file.read_text(encoding="utf-8")
        for folder in ("capture", "store")
        for file in (ROOT / "otel_learning" / folder).glob("*.py")
    )
    reasons = set(re.findall(r'count_loss\(\s*"([^"]+)"|"reason": "([^"]+)"', sources))
    page = (ROOT / "docs" / "how-to" / "troubleshoot.md").read_text(encoding="utf-8")

    assert len(reasons) > 5
    for pair in reasons:
        assert f"| {''.join(pair)} |" in page


def test_every_decision_and_example_is_listed() -> None:
    """The examples' page names each example."""
    listed = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    for entry in (ROOT / "examples").iterdir():
        if re.match(r"\d\d_", entry.name):
            assert entry.name in listed


def test_the_picture_is_well_formed_and_works_in_the_dark() -> None:
    """The SVG is XML, has a title, and a style for dark pages."""
    file = ROOT / "docs" / "images" / "data-flow.svg"
    root = ElementTree.parse(file).getroot()

    assert root.find("{http://www.w3.org/2000/svg}title") is not None
    assert "prefers-color-scheme: dark" in file.read_text(encoding="utf-8")


def test_every_public_name_is_in_a_page_or_is_an_error() -> None:
    """The exporters, the processor and the databases are shown somewhere."""
    text = "".join(page.read_text(encoding="utf-8") for page in pages())
    for name in otel_learning.__all__:
        if name.startswith(("Learning", "Async")):
            assert name in text


def test_the_glossary_is_in_order() -> None:
    """Words stand in the order of the alphabet, each once."""
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^\| ([a-z][^|]*?) \|", text, re.M)

    assert words == sorted(set(words))


def test_the_import_contracts_hold() -> None:
    """Which package may import which is said in pyproject.toml and checked by import-linter."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert contracts["tool"]["importlinter"]["contracts"]

    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports")], cwd=ROOT,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout


def test_the_project_speaks_of_itself_alone() -> None:
    """No page or example names a path of the machine it was written on."""
    files = [*pages(), *(ROOT / "examples").rglob("*.py"), ROOT / "Makefile", ROOT / ".ci" / "run"]
    for file in files:
        found = re.findall(r"(?:^|[^a-z.])/(?:work|farm|root|home)/\w+", file.read_text("utf-8"))
        assert not found, file


def test_make_alone_shows_the_commands() -> None:
    """`make` without a target lists what there is; nothing is installed for it."""
    done = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    )

    shown = {line.split()[0] for line in done.stdout.splitlines() if line}
    assert {"demo", "test", "check", "docs"} <= shown


def test_continuous_integration_runs_what_people_run() -> None:
    """`.ci/run` is executable and calls `make test`, and nothing else."""
    script = ROOT / ".ci" / "run"
    commands = [
        line for line in script.read_text("utf-8").splitlines() if line and line[0] not in "#sc"
    ]

    assert script.stat().st_mode & 0o111
    assert commands == ["exec make test </dev/null"]
