"""Every page in a real browser: quiet, accessible, narrow, with and without keyboard and script.

With SCREENSHOTS=1 the pictures of the documentation are written anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page

from tests.dashboard.sites import Site
from tests.dashboard.test_answers import PAGES

IMAGES = Path(__file__).parents[2] / "docs" / "images"
Scheme = Literal["light", "dark"]
SHOTS: dict[str, Scheme] = {"/": "light", "/arms": "light", "/costs": "dark"}


@cache
def axe() -> str:
    """axe-core, out of the package that carries it."""
    import axe_playwright_python

    place = next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js"))
    return place.read_text(encoding="utf-8")


class Watched:
    """What a page said and asked for."""

    def __init__(self, page: Page, site: Site) -> None:
        self.page = page
        self.trouble: list[str] = []
        self._host = urlparse(site.address).netloc
        page.on("console", self._heard)
        page.on("pageerror", self._failed)
        page.route("**/*", self._only_ours)
        self._site = site

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.trouble.append(message.text)

    def _failed(self, error: Error) -> None:
        self.trouble.append(str(error))

    def _only_ours(self, route: Any) -> None:
        if urlparse(route.request.url).netloc == self._host:
            route.continue_()
        else:
            self.trouble.append(f"asked for {route.request.url}")
            route.abort()

    def go(self, path: str) -> None:
        answer = self.page.goto(self._site.address + path)
        assert answer is not None and answer.status == 200, path
        for _ in range(40):  # a page that is being worked out comes back by itself
            if self.page.locator("meta[http-equiv=refresh]").count() == 0:
                break
            self.page.wait_for_timeout(500)
            self.page.goto(self._site.address + path)


@pytest.fixture
def watched(page: Page, site: Site) -> Iterator[Watched]:
    """A page that fails the test where it complains, or asks for something elsewhere."""
    found = Watched(page, site)
    yield found
    assert found.trouble == []


def others(site: Site) -> list[str]:
    """Pages of single things."""
    from otel_learning import LearningDatabase

    store = LearningDatabase(site.store)
    one = store.sql("SELECT execution_id FROM executions ORDER BY attempt_count DESC LIMIT 1")
    return [f"/executions/{one[0][0]}", "/experiments/fast%20or%20balanced", "/policies/1"]


def findings(page: Page) -> list[str]:
    """What axe finds serious or critical."""
    page.evaluate(axe())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{v['id']} ({v['impact']}): {json.dumps([n['html'][:200] for n in v['nodes'][:3]])}"
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible(watched: Watched, site: Site, scheme: Scheme) -> None:
    """axe finds nothing serious on any page, in either theme; all numbers unfolded."""
    watched.page.emulate_media(color_scheme=scheme)
    for path in [*PAGES, *others(site)]:
        watched.go(path)
        watched.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert findings(watched.page) == [], path


def test_mistakes_are_accessible(page: Page, site: Site, empty_site: Site) -> None:
    """So are the pages of errors, and those of an empty store."""
    for address in (f"{site.address}/?period=x", f"{site.address}/executions/x",
                    f"{empty_site.address}/"):  # fmt: skip
        page.goto(address)
        assert findings(page) == [], address


def test_nothing_is_wider_than_a_phone(watched: Watched, site: Site) -> None:
    """At 360 pixels the page does not scroll sideways; a wide table does, by itself."""
    watched.page.set_viewport_size({"width": 360, "height": 740})
    for path in [*PAGES, *others(site)]:
        watched.go(path)
        watched.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        wide = watched.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 360, path
        small = watched.page.evaluate(
            "[...document.querySelectorAll('.narrow text')].filter(t => "
            "t.getBoundingClientRect().height > 0 && t.getBoundingClientRect().height < 9).length"
        )
        assert small == 0, f"{path}: text that cannot be read"


def test_filters_work_without_script(browser: Browser, site: Site) -> None:
    """Plain forms: what is chosen stands in the address, and back in the form."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site.address}/")
    page.select_option("#f-repo", "shop/api")
    page.select_option("#f-period", "all")
    page.fill("#f-since", "2020-01-01")
    page.click("button[type=submit]")

    assert "repo=shop%2Fapi" in page.url and "period=all" in page.url
    assert page.locator("#f-repo").input_value() == "shop/api"
    assert "repository shop/api" in page.locator(".basis").inner_text()
    page.click("text=Reset")
    assert page.url == f"{site.address}/"
    context.close()


@pytest.mark.parametrize("by", ["model_tier", "requested_model", "pool_type", "swarm_topology"])
def test_arms_can_be_told_apart_otherwise(watched: Watched, by: str) -> None:
    """Every choice of `by` has its page, with filters of every kind."""
    watched.go("/arms")
    watched.page.select_option("#f-by", by)
    watched.page.select_option("#f-task_type", "bug_fix")
    watched.page.fill("#f-cost_weight", "0.3")
    watched.page.click("button[type=submit]")

    # What is the default need not stand in the page's own links, but a form sends all it has.
    assert f"by={by}" in watched.page.url
    assert watched.page.locator("#f-cost_weight").input_value() == "0.3"
    assert "bug_fix" in watched.page.locator(".basis").inner_text()


def test_the_list_filters_and_leads_to_one(watched: Watched) -> None:
    """From filtered list to execution: its timeline and its fields are there."""
    watched.go("/executions?outcome=failure")
    watched.page.click("main table a >> nth=0")
    watched.page.locator("figure").first.wait_for()

    assert "/executions/" in watched.page.url
    assert "It failed" in watched.page.locator(".answer").inner_text()


def test_the_keyboard_reaches_everything(watched: Watched) -> None:
    """Tab: first the way to the content, then pages, theme, filters; each shows where one is."""
    watched.go("/")
    reached = []
    for _ in range(30):
        watched.page.keyboard.press("Tab")
        reached.append(watched.page.evaluate(
            "(e => [e.textContent.trim() || e.name || e.id || e.tagName, "
            "getComputedStyle(e).outlineStyle])(document.activeElement)"
        ))  # fmt: skip
    names = [name for name, _ in reached]

    assert names[0] == "Skip to content"
    for wanted in ("Overview", "Executions", "Theme: automatic", "Apply"):
        assert wanted in names
    assert [name for name, style in reached[:20] if style == "none"] == []
    watched.go("/")
    watched.page.keyboard.press("Tab")
    watched.page.keyboard.press("Enter")
    assert watched.page.evaluate("document.activeElement.id") == "content"


def test_the_theme_is_chosen_and_kept(watched: Watched) -> None:
    """The switch overrides the system, charts follow, and the next page remembers."""
    watched.page.emulate_media(color_scheme="light")
    watched.go("/")
    paper = "getComputedStyle(document.body).backgroundColor"
    text = "getComputedStyle(document.querySelector('.wide text')).fill"
    light = watched.page.evaluate(paper), watched.page.evaluate(text)
    watched.page.click("#theme")
    assert watched.page.evaluate(paper) == light[0]
    watched.page.click("#theme")
    dark = watched.page.evaluate(paper), watched.page.evaluate(text)
    assert dark[0] != light[0] and dark[1] != light[1]
    watched.go("/costs")
    assert watched.page.evaluate(paper) == dark[0]
    assert watched.page.locator("#theme").inner_text() == "Theme: dark"


def test_hostile_names_do_nothing(page: Page, hostile_site: Site) -> None:
    """With every name markup, no page runs anything or loads anything."""
    watched = Watched(page, hostile_site)
    for path in [*PAGES, "/executions/00000000-0000-0000-0000-000000000001"]:
        watched.go(path)
        assert page.title() != "pwned"
    assert watched.trouble == []


@pytest.mark.skipif(not os.environ.get("SCREENSHOTS"), reason="writes the docs' pictures")
def test_pictures_for_the_documentation(watched: Watched, site: Site) -> None:
    """SCREENSHOTS=1 writes docs/images/dashboard-*.png."""
    for path, scheme in [*SHOTS.items(), (others(site)[0], "light")]:
        watched.page.emulate_media(color_scheme=scheme)
        watched.page.set_viewport_size({"width": 1120, "height": 1100})
        watched.go(path)
        name = path.strip("/").partition("/")[0] or "overview"
        if path.startswith("/executions/"):
            name = "execution"
        watched.page.screenshot(path=IMAGES / f"dashboard-{name}.png")
    watched.page.set_viewport_size({"width": 360, "height": 740})
    watched.go("/")
    watched.page.screenshot(path=IMAGES / "dashboard-phone.png")
