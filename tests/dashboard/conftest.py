"""One site per store for this package, and one browser; gone before other tests run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from otel_learning import LearningDatabase
from tests.command_line import run_cli
from tests.dashboard.sites import Site, busy, hostile, serving

__all__ = ["run_cli"]


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A busy store, with feedback, an experiment and a policy."""
    with serving(busy(tmp_path_factory.mktemp("busy") / "learning.duckdb")) as found:
        yield found


@pytest.fixture(scope="package")
def empty_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A store without an execution."""
    path = tmp_path_factory.mktemp("empty") / "learning.duckdb"
    LearningDatabase(path).close()
    with serving(path) as found:
        yield found


@pytest.fixture(scope="package")
def hostile_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A store in which every name is markup."""
    with serving(hostile(tmp_path_factory.mktemp("hostile") / "learning.duckdb")) as found:
        yield found


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A real Chromium: that of CHROMIUM, of playwright, or of the system."""
    with sync_playwright() as playwright:
        known = [os.environ.get("CHROMIUM"), playwright.chromium.executable_path,
                 shutil.which("chromium"), shutil.which("chromium-browser"),
                 shutil.which("google-chrome")]  # fmt: skip
        place = next((name for name in known if name and Path(name).exists()), None)
        if place is None:
            pytest.fail(
                "there is no Chromium to test pages with: make browser, or name one in CHROMIUM",
                pytrace=False,
            )
        chromium = playwright.chromium.launch(
            executable_path=place, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a desk's width, of a context of its own."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    context.set_default_timeout(15_000)
    found = context.new_page()
    yield found
    context.close()
