"""What serves a store serves a lake: pages, advice, agents; and says what it does not take."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from otel_learning import LearningDatabase, recommend
from tests.command_line import ENTRY, cli_in, demo_store, environment
from tests.lake.cluster import Cluster
from tests.lake.conftest import Place
from tests.lake.publishing import publish

pytest.importorskip("fastapi", reason="needs the extra serve: make lake-test")

__all__ = ["demo_store"]
ROOT = Path(__file__).parents[2]
PAGES = ("/", "/?period=all", "/arms", "/costs", "/failures", "/calibration", "/insights",
         "/experiments", "/policies", "/executions")  # fmt: skip
SECRET = "unspeakable"


@pytest.fixture(scope="module")
def lake(postgres: Cluster, demo_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The demo's executions in a lake; its address has a password, which nobody asks for."""
    address = f"ducklake:postgres:{postgres.database()} password={SECRET}"
    published = publish(demo_store, Place(address, tmp_path_factory.mktemp("data")))
    assert published.executions > 50
    return address


@contextmanager
def _serving(lake: str, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", ENTRY, "serve", "--port", "0", "--db", lake],
            cwd=folder, env=environment({"PYTHONPATH": str(ROOT)}), stdout=out, stderr=out,
        )  # fmt: skip
    try:
        yield process, _listens(log)
    finally:
        process.kill()
        process.wait()


def _listens(log: Path, times: int = 1) -> str:
    """The address, once the log has named it so many times."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = re.findall(r"listening on (http://\S+)", log.read_text())
        if len(found) >= times:
            return str(found[-1])
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def _ask(url: str, body: Any = None) -> tuple[int, str]:
    request = urllib.request.Request(
        url, None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_pages_and_advice_of_a_lake(lake: str, demo_store: Path, tmp_path: Path) -> None:
    """Every page; the API answers what the store answers; nothing tells the password."""
    with _serving(lake, tmp_path) as (_, url):
        for page in PAGES:
            status, text = _ask(url + page)
            assert status == 200, (page, text)
            assert SECRET not in text
        status, text = _ask(f"{url}/api/recommend?task_type=bug_fix")
        told = json.loads(text)
        known = recommend(demo_store, task_type="bug_fix")
        assert told["choice"] == known.choice and told["basis"] == known.basis
        with LearningDatabase(demo_store) as store:
            newest = store.executions(settled=True, limit=1)[0]
        status, text = _ask(f"{url}/api/executions?limit=1")
        assert json.loads(text)["executions"][0]["execution_id"] == str(newest.execution_id)
        assert _ask(f"{url}/executions/{newest.execution_id}")[0] == 200
        for path in ("/readyz", "/healthz", "/metrics", "/api/stats", "/api/solutions",
                     "/api/experiments", "/api/policy", "/openapi.json"):  # fmt: skip
            status, text = _ask(url + path)
            assert status == 200 and SECRET not in text, path
    assert SECRET not in (tmp_path / "log").read_text()


def test_nothing_is_taken(lake: str, tmp_path: Path) -> None:
    """Telemetry and feedback are refused in words that say what to do, and not to come again."""
    with _serving(lake, tmp_path) as (_, url):
        status, text = _ask(f"{url}/v1/traces", {"resourceSpans": []})
        assert status == 501 and "a lake is only read" in json.loads(text)["message"]
        status, text = _ask(f"{url}/api/feedback", {"task_id": "t", "accepted": True})
        assert status == 400 and "a lake is only read" in json.loads(text)["error"]
        status, text = _ask(f"{url}/api/search?q=a+text")
        assert status == 400 and "vectors" in text
    assert [entry.name for entry in tmp_path.iterdir()] == ["log"]


def test_a_server_that_is_aborted_begins_again(lake: str, tmp_path: Path) -> None:
    """As DuckDB may abort it where PostgreSQL goes away; the address stays."""
    with _serving(lake, tmp_path) as (process, url):
        [child] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGABRT)
        assert _listens(tmp_path / "log", times=2) == url
        assert _ask(f"{url}/api/stats")[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


@pytest.mark.usefixtures("postgres")  # leaves it out where there is none
def test_a_lake_that_is_away_and_back(demo_store: Path, tmp_path: Path) -> None:
    """While PostgreSQL is down the server says so, without a password; then it goes on."""
    cluster = Cluster()
    try:
        lake = f"ducklake:postgres:{cluster.database()} password={SECRET}"
        publish(demo_store, Place(lake, tmp_path / "data"))
        with _serving(lake, tmp_path) as (_, url):
            assert _ask(f"{url}/api/executions?limit=1")[0] == 200
            cluster.kill()
            for path in ("/readyz", "/api/executions?limit=1", "/", "/failures"):
                status, text = _ask(url + path)
                assert status == 503 and "lake" in text and SECRET not in text, (path, text)
            cluster.start()
            for path in ("/readyz", "/api/executions?limit=1", "/"):
                assert _ask(url + path)[0] == 200, path
        assert SECRET not in (tmp_path / "log").read_text()
    finally:
        cluster.stop()


def test_a_report_of_a_lake(lake: str, tmp_path: Path) -> None:
    done = cli_in(tmp_path)("report", "--out", "report.html", "--db", lake)

    assert done.returncode == 0, done.stderr
    text = (tmp_path / "report.html").read_text()
    assert "Which arm for which task?" in text and SECRET not in text


def test_agents_ask_a_lake(lake: str, tmp_path: Path) -> None:
    """By the official client; feedback is told the way out."""
    pytest.importorskip("mcp")
    from tests.agents.processes import ask, refused, stdio

    described = ask(stdio(Path(lake)), "describe_store")
    assert described["executions"] > 50 and SECRET not in json.dumps(described)
    assert ask(stdio(Path(lake)), "recommend", task_type="bug_fix")["choice"]
    found = ask(stdio(Path(lake)), "find_solutions", task="a flaky test", min_support=1)
    assert found["solutions"] and "no vectors" in found["notes"][0]
    said = refused(stdio(Path(lake)), "record_feedback", id="t", accepted=True)
    assert "a lake is only read" in said
