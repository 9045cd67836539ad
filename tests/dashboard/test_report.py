"""The report: one file with all pages, that needs nothing and tells nobody."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.command_line import Run, copy_store
from tests.dashboard.sites import CANARY, Site, hostile
from tests.dashboard.test_browser import findings


@pytest.fixture
def store(site: Site, tmp_path: Path) -> Path:
    """A busy store of one's own."""
    return copy_store(site.store, tmp_path / "learning.duckdb")


def test_a_report_opens_without_a_network(run_cli: Run, store: Path, browser: Browser) -> None:
    """Opened by file://, offline, it shows every page, runs its script, and asks for nothing."""
    done = run_cli("report", "--db", str(store), "--out", "out.html", "--json", timeout=120)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    place = Path(said["path"])
    assert place.stat().st_mode & 0o777 == 0o600
    assert {p["page"] for p in said["pages"]} >= {"overview", "arms", "costs", "failures"}

    context = browser.new_context(offline=True, viewport={"width": 360, "height": 740})
    page = context.new_page()
    asked: list[str] = []
    trouble: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda m: trouble.append(m.text) if m.type == "error" else None)
    page.goto(place.as_uri())

    assert asked == [place.as_uri()]
    assert trouble == []
    assert page.locator("article").count() == len(said["pages"])
    assert page.locator("#theme").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("a:not([href^='#'])").count() == 0
    page.set_viewport_size({"width": 1200, "height": 900})
    assert findings(page) == []
    context.close()


def test_a_report_is_asked_for_like_a_page(run_cli: Run, store: Path) -> None:
    """Filters stand in it; on stdout it is the file; a bad day is an error that names it."""
    done = run_cli("report", "--db", str(store), "--since", "2020-01-01", "--repo", "shop/api",
                   "--out", "-", timeout=120)  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("<!doctype html>")
    assert "since 1 January 2020" in done.stdout and "repository shop/api" in done.stdout

    wrong = run_cli("report", "--db", str(store), "--since", "soon")
    assert wrong.returncode == 2
    assert "since='soon' is no day" in wrong.stderr
    assert run_cli("report", "--db", "none.duckdb").returncode == 3


def test_whatever_spans_say_is_text_in_a_report(run_cli: Run, tmp_path: Path) -> None:
    """The only script is ours, and its hash stands in the file's policy."""
    store = hostile(tmp_path / "learning.duckdb")
    done = run_cli("report", "--db", str(store), "--out", "-", timeout=120)

    assert done.returncode == 0, done.stderr
    assert CANARY not in done.stdout
    assert len(re.findall(r"<script", done.stdout)) == 1
    assert "script-src 'sha256-" in html.unescape(done.stdout)
