"""Every way of switching the exporter on, with the real tools that do it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel_learning import LearningDatabase, LearningSpanExporter, LearningSpanProcessor
from tests.durability import harness

PROGRAM = harness.PROGRAMS / "instrumented.py"


def _instrumented(cwd: Path, *arguments: str, **variables: str) -> tuple[str, str]:
    script = Path(sys.executable).with_name("opentelemetry-instrument")
    if not script.exists():
        pytest.skip("opentelemetry-distro is not installed here")
    done = subprocess.run(
        [str(script), *arguments, sys.executable, str(PROGRAM), "5"],
        capture_output=True, text=True, cwd=cwd, timeout=60, check=False,
        env=harness.environment(**variables),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def _assert_all_there(path: Path) -> None:
    with LearningDatabase(path, create=False) as db:
        rows = db.sql("SELECT task_id, user_rating FROM executions ORDER BY 1")
    assert rows == [("t-0", 4.0), ("t-1", None), ("t-2", None), ("t-3", None), ("t-4", None)]


def test_by_environment(tmp_path: Path) -> None:
    """`OTEL_TRACES_EXPORTER=learning OTEL_LOGS_EXPORTER=learning`, and nothing else."""
    out, err = _instrumented(
        tmp_path, OTEL_TRACES_EXPORTER="learning", OTEL_LOGS_EXPORTER="learning",
        OTEL_METRICS_EXPORTER="none",
    )  # fmt: skip
    assert (out, err) == ("TracerProvider\n", "")
    _assert_all_there(tmp_path / "learning.duckdb")


def test_beside_another_exporter(tmp_path: Path) -> None:
    """`console,learning`, with settings as variables: both get every span."""
    out, err = _instrumented(
        tmp_path, OTEL_TRACES_EXPORTER="console,learning", OTEL_LOGS_EXPORTER="learning",
        OTEL_METRICS_EXPORTER="none",
        OTEL_EXPORTER_LEARNING_PATH=str(tmp_path / "deep" / "store.duckdb"),
        OTEL_EXPORTER_LEARNING_COLOUR="blue",
    )  # fmt: skip
    assert out.count('"name": "task"') == 5
    assert err.count("OTEL_EXPORTER_LEARNING_COLOUR") == 1
    _assert_all_there(tmp_path / "deep" / "store.duckdb")


def test_beside_an_exporter_that_cannot_send(tmp_path: Path) -> None:
    """`otlp,learning` without a collector: the other's failure is not ours."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    _, err = _instrumented(
        tmp_path, OTEL_TRACES_EXPORTER="otlp,learning", OTEL_LOGS_EXPORTER="learning",
        OTEL_METRICS_EXPORTER="none", OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_EXPORTER_OTLP_TIMEOUT="1",
    )  # fmt: skip
    assert "otel_learning" not in err
    _assert_all_there(tmp_path / "learning.duckdb")


def test_by_a_declarative_file(tmp_path: Path) -> None:
    """OTEL_CONFIG_FILE: the mapping under `learning:` arrives as keyword arguments."""
    pytest.importorskip("opentelemetry.configuration")
    config = tmp_path / "otel.yaml"
    body = (
        "  processors:\n    - batch:\n        exporter:\n          learning:\n"
        "            path: ${STORE:-from-yaml.duckdb}\n            settle_after: 60\n"
        "            drain: on\n"
    )
    config.write_text(f'file_format: "1.0"\ntracer_provider:\n{body}logger_provider:\n{body}')
    _, err = _instrumented(tmp_path, OTEL_CONFIG_FILE=str(config))
    assert "otel_learning" not in err
    _assert_all_there(tmp_path / "from-yaml.duckdb")


def test_by_a_declarative_file_without_a_body(tmp_path: Path) -> None:
    """`learning:` alone is enough."""
    pytest.importorskip("opentelemetry.configuration")
    config = tmp_path / "otel.yaml"
    exporter = "  processors:\n    - simple:\n        exporter:\n          learning:\n"
    config.write_text(
        f'file_format: "1.0"\ntracer_provider:\n{exporter}logger_provider:\n{exporter}'
    )
    _instrumented(tmp_path, OTEL_CONFIG_FILE=str(config))
    _assert_all_there(tmp_path / "learning.duckdb")


@pytest.mark.parametrize("way", ["batch", "processor"])
def test_by_code(tmp_path: Path, way: str) -> None:
    """A BatchSpanProcessor around the exporter, or the processor alone: the provider's flush."""
    path = tmp_path / "learning.duckdb"
    provider = TracerProvider(shutdown_on_exit=False)
    if way == "batch":
        provider.add_span_processor(BatchSpanProcessor(LearningSpanExporter(path=path)))
    else:
        provider.add_span_processor(LearningSpanProcessor(path=path))
    tracer = provider.get_tracer("t")
    for i in range(600):
        with tracer.start_as_current_span("t", attributes=harness.task_attributes(f"t-{i}")):
            pass
    assert provider.force_flush()
    provider.shutdown()
    assert len(harness.stored_tasks(path)) == 600


def test_the_default_store_is_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`learning.duckdb` where the application was when it made the exporter."""
    monkeypatch.chdir(tmp_path)
    exporter = LearningSpanExporter()
    monkeypatch.chdir("/")
    exporter.export(harness.task("t"))
    assert exporter.force_flush()
    exporter.shutdown()
    assert (tmp_path / "learning.duckdb").exists()
    assert not Path("/learning.duckdb").exists()
