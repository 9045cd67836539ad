"""Recorded orchestrators, sent by real clients of several languages: the same executions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExportResult

from otel_learning import LearningDatabase, LearningSpanExporter
from tests.cli.test_import import hexed
from tests.corpus_replay import corpora, load
from tests.durability.harness import wait_for
from tests.server.serving import Server, free_port, is_listening, serving

pytestmark = pytest.mark.slow

NODE = Path(__file__).parent / "node"
_OF_THE_STORE = {"recorded_at", "updated_at", "settled"}
"""What may differ between two stores that were told the same (R2)."""

Known = dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Known]]:
    """The executions of all corpora, exported in this process."""
    store = tmp_path_factory.mktemp("expected") / "learning.duckdb"
    exporter = LearningSpanExporter(path=store)
    for corpus in corpora():
        assert exporter.export(list(load(corpus))) is SpanExportResult.SUCCESS
    assert exporter.force_flush()
    exporter.shutdown()
    found = known(store)
    assert len(found) > 100
    yield store, found


@pytest.fixture
def server(tmp_path: Path, expected: tuple[Path, Known]) -> Iterator[Server]:
    """A server of an empty store, whose key hashes users as the expected one does."""
    key = expected[0].with_name("learning.duckdb.key")
    shutil.copy(key, tmp_path / key.name)
    with serving(tmp_path, grpc=True) as found:
        yield found


def known(store: Path) -> Known:
    """Every execution with its attempts, by its id."""
    attempts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with LearningDatabase(store) as database:
        names, rows = database.query("FROM attempts ORDER BY execution_id, ordinal")
        for row in rows:
            attempts[str(row[0])].append(dict(zip(names, row, strict=True)))
        records = database.executions(limit=100_000)
    return {
        str(one.execution_id): (
            one.model_dump(mode="json", exclude=_OF_THE_STORE), attempts[str(one.execution_id)]
        )
        for one in records
    }  # fmt: skip


def send_http(server: Server) -> None:
    exporter = OTLPSpanExporter(f"{server.http}/v1/traces")
    for corpus in corpora():
        assert exporter.export(list(load(corpus))) is SpanExportResult.SUCCESS


def send_grpc(server: Server) -> None:
    exporter = GrpcExporter(server.grpc, insecure=True)
    for corpus in corpora():
        assert exporter.export(list(load(corpus))) is SpanExportResult.SUCCESS
    exporter.shutdown()


def send_json(server: Server) -> None:
    for corpus in corpora():
        message = json_format.MessageToDict(encode_spans(list(load(corpus))))
        assert server.ask("/v1/traces", hexed(message)) == (200, {})


@pytest.mark.parametrize("send", [send_http, send_grpc, send_json], ids=lambda f: f.__name__)
def test_python_sends_the_corpora(
    server: Server, expected: tuple[Path, Known], send: Callable[[Server], None]
) -> None:
    """All corpora over the network give what they give in process, field by field."""
    send(server)

    found = known(server.store)
    assert found.keys() == expected[1].keys()
    for identity, wanted in expected[1].items():
        assert found[identity] == wanted


# ------------------------------------------------------------------------------- a Collector


@pytest.mark.parametrize("form", ["http", "grpc"])
def test_a_collector_passes_the_corpora_on(
    server: Server, expected: tuple[Path, Known], tmp_path: Path, form: str
) -> None:
    """An application sends to a Collector, which batches and compresses as it likes."""
    rotel = pytest.importorskip("rotel", reason="there is no rotel for this Python or machine")
    own = {name: free_port() for name in ("http", "grpc")}
    with subprocess.Popen(
        [
            Path(rotel.__file__).with_name("rotel-agent"), "start",
            "--otlp-http-endpoint", f"127.0.0.1:{own['http']}",
            "--otlp-grpc-endpoint", f"127.0.0.1:{own['grpc']}",
            "--exporter", "otlp", "--otlp-exporter-protocol", form,
            "--otlp-exporter-endpoint", server.http if form == "http" else f"http://{server.grpc}",
            "--pid-file", tmp_path / "pid", "--log-file", tmp_path / "log",
        ],
        env={"PATH": os.environ["PATH"]}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as collector:  # fmt: skip
        try:
            wait_for(lambda: is_listening(own["http"]), 20, "the Collector's start")
            exporter = OTLPSpanExporter(f"http://127.0.0.1:{own['http']}/v1/traces")
            for corpus in corpora():
                assert exporter.export(list(load(corpus))) is SpanExportResult.SUCCESS
        finally:
            collector.terminate()  # it sends what it has before it ends
            collector.wait(60)

    found = known(server.store)
    assert found.keys() == expected[1].keys()
    for identity, wanted in expected[1].items():
        assert found[identity] == wanted


# ------------------------------------------------------------------------------------ Node


def node(*arguments: str) -> None:
    """Runs the Node SDK; `make test` has installed it."""
    assert (NODE / "node_modules").is_dir(), (
        f"the Node SDK is not installed: npm ci --prefix {NODE.relative_to(Path.cwd())}"
    )
    done = subprocess.run(
        ["node", str(NODE / "send.mjs"), *arguments],
        env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("form", ["proto", "json", "grpc"])
def test_node_sends_the_corpora(
    server: Server, expected: tuple[Path, Known], form: str
) -> None:  # fmt: skip
    """The Node SDK's exporters send the same corpora, in each of their forms."""
    address = server.grpc if form == "grpc" else server.http

    node(form, address, "corpora", *map(str, corpora()))

    found = known(server.store)
    assert found.keys() == expected[1].keys()
    for identity, wanted in expected[1].items():
        assert as_numbers(found[identity]) == as_numbers(wanted)


def test_node_traces_tasks(server: Server) -> None:
    """An application on Node that is traced as its documentation says is learned from."""
    node("proto", server.http, "tasks", "1000")

    with LearningDatabase(server.store) as database:
        records = database.executions(limit=10_000)
    assert {one.task_id for one in records} == {f"node-{number}" for number in range(1000)}
    assert all((one.success, one.attempt_count, one.model) == (True, 1, "m-1") for one in records)


def as_numbers(value: Any) -> Any:
    """JavaScript knows one kind of number: 1.0 and 1 are the same."""
    return json.loads(json.dumps(value, default=str), parse_int=float)
