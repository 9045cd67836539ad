"""What the server answers, without a browser: every page and mistake, and nothing dangerous."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest

from otel_learning import LearningDatabase
from otel_learning.knowledge.rates import interval
from otel_learning.learning.quality import examine
from otel_learning.server.dashboard import words
from otel_learning.server.dashboard.catalogue import entries
from otel_learning.store import lease
from tests.dashboard.sites import CANARY, Site, serving

PAGES = [one.address for one in entries() if one.label is not None]


class _Tags(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def tags(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(text)
    return parser.tags


@pytest.mark.parametrize("path", PAGES)
def test_every_page_answers(site: Site, path: str) -> None:
    """Each page has one heading, the policy in its head, and asks for nothing elsewhere."""
    status, headers, text = site.get(path)

    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert not re.search(r">(?:[^<]*\b)?(undefined|NaN|null|None|inf)\b", text)
    found = tags(text)
    assert sum(tag == "h1" for tag, _ in found) == 1
    for tag, attributes in found:
        assert not [n for n in attributes if n.startswith("on") or n == "style"], tag
        for name in ("href", "src", "action"):
            target = attributes.get(name)
            assert target is None or target.startswith(("/", "#")), target


@pytest.mark.parametrize("path", PAGES)
def test_an_empty_store_says_what_to_do(empty_site: Site, path: str) -> None:
    """No page fails, and each names a command to go on with."""
    status, _, text = empty_site.get(path)

    assert status == 200
    assert "otel-learning " in text
    assert "not" in text.lower() or "nothing" in text.lower()


@pytest.mark.parametrize("path", PAGES)
def test_whatever_spans_say_is_text(hostile_site: Site, path: str) -> None:
    """A canary in every name and description stays text on each page."""
    query = "?by=pool_type" if path in ("/arms", "/costs", "/calibration") else ""
    status, _, text = hostile_site.get(path + query)

    assert status == 200
    assert CANARY not in text
    found = tags(text)
    assert not [a for t, a in found if t == "img"]
    assert all(a.get("src", "").startswith("/static/") for t, a in found if t == "script")  # type: ignore[union-attr]


def test_one_hostile_execution_is_text(hostile_site: Site) -> None:
    """Every field of it, and a filter's value that comes back in the form."""
    path = "/executions/00000000-0000-0000-0000-000000000001"
    for asked in (path, "/?repo=%3Cscript%3Ealert(1)%3C/script%3E&period=all",
                  "/executions/%3Cscript%3E", "/?period=%3Cscript%3E"):  # fmt: skip
        _, _, text = hostile_site.get(asked)

        assert not re.search(r"<script(?! src=\"/static/)", text), asked
        assert "&lt;script&gt;" in text, asked


def test_figures_are_those_of_the_store(site: Site) -> None:
    """The tiles of the overview are what SQL says of the same executions."""
    known, successes, cost = LearningDatabase(site.store).sql(
        "SELECT count(success), count(*) FILTER (success), avg(actual_cost) FROM executions"
    )[0]
    rate = interval(successes, known)
    _, _, text = site.get("/?period=all")

    assert f"{words.share(rate.rate)}</p>" in text
    assert f"{words.between(rate.low, rate.high)}, {known:,} known outcomes" in text
    assert f"{words.money(cost)}</p>" in text


def test_quality_is_what_the_command_says(site: Site) -> None:
    """Every repository with its level; one of them with its kinds of work."""
    store = LearningDatabase(site.store)
    for (repo,) in store.sql("SELECT DISTINCT repo FROM executions WHERE repo IS NOT NULL"):
        found = examine(store, repo)
        text = settled(site, f"/quality?repo={quote(repo, safe='')}")
        assert f"{words.plain(repo)} is {found.maturity}" in text
        assert f"score {found.score:g} of 100" in text
        assert words.between(found.record.success_low, found.record.success_high) in text
        assert all(area.area in text for area in found.areas)
        assert f">{repo}</a>" in settled(site, "/quality")


def settled(site: Site, path: str) -> str:
    """A page that is worked out beside the call, once it is."""
    for _ in range(60):
        status, _, text = site.get(path)
        assert status == 200
        if 'http-equiv="refresh"' not in text:
            return text
        time.sleep(0.25)
    raise AssertionError(f"{path} is still being worked out")


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/quality?environment=~all", 400, "a named environment"),
        ("/?period=tomorrow", 400, "period=&#39;tomorrow&#39; is unknown"),
        ("/?colour=red", 400, "no filter &#39;colour&#39;"),
        ("/?since=2026-13-01", 400, "is no day"),
        ("/arms?by=colour", 400, "is unknown"),
        ("/arms?environment=~all", 400, "one environment"),
        ("/executions?after=xyz", 400, "no place in a list"),
        ("/executions?error_type=oops", 400, "is unknown"),
        ("/executions/00000000-0000-0000-0000-00000000dead", 404, "there is no execution"),
        ("/executions/nonsense", 404, "is no UUID"),
        ("/experiments/none", 404, "there is no experiment"),
        ("/policies/77", 404, "there is no policy 77"),
    ],
)
def test_mistakes_are_pages_that_help(site: Site, path: str, status: int, said: str) -> None:
    """The value is named, the way out too, and the policy stands in the head here as well."""
    found, headers, text = site.get(path)

    assert found == status
    assert said in text
    assert "To the overview" in text
    assert "default-src 'none'" in headers["content-security-policy"]


def test_no_execution_fits(site: Site) -> None:
    """A filter that nothing fits is no mistake: the page says so and offers wider ones."""
    for path in ("/", "/costs", "/failures", "/executions"):
        status, _, text = site.get(f"{path}?repo=no/such")

        assert status == 200
        assert "fits these filters" in text


def test_a_store_that_is_missing(tmp_path: Path) -> None:
    """The page says that there is none, and how one comes to be; none is made by looking."""
    with serving(tmp_path / "learning.duckdb", create=False) as site:
        status, _, text = site.get("/")

    assert status == 503
    assert "otel-learning demo" in text
    assert not (tmp_path / "learning.duckdb").exists()


def test_a_store_that_is_held(tmp_path: Path) -> None:
    """Who waits is told that the store is busy, not left alone."""
    store = tmp_path / "learning.duckdb"
    LearningDatabase(store).close()
    with serving(store, timeout_seconds=0.3) as site, lease.exclusive(store, 5):
        status, _, text = site.get("/")

    assert status == 503
    assert "busy" in text


def test_paging_goes_through_all(site: Site) -> None:
    """From page to page each execution is met once."""
    expected = LearningDatabase(site.store).count_executions()
    seen: list[str] = []
    path: str | None = "/executions"
    while path is not None:
        _, _, text = site.get(path)
        seen += re.findall(r'href="/executions/([0-9a-f-]{36})"', text)
        older = re.search(r'<a href="([^"]+)" rel="next">', text)
        path = older[1].replace("&amp;", "&") if older else None

    assert len(seen) == len(set(seen)) == expected


def test_assets_are_kept_by_the_browser(site: Site) -> None:
    """The style sheet has a tag; who has it already is not sent it again."""
    status, headers, _ = site.get("/static/dashboard.css")
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/css")

    again, _, body = site.get("/static/dashboard.css", **{"If-None-Match": headers["etag"]})
    assert (again, body) == (304, "")
    assert site.get("/static/..%2froutes.py")[0] == 404
