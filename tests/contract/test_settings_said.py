"""A wrong setting of any kind: the application runs on, and one WARNING names it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from otel_learning import LearningLogExporter, LearningSpanExporter
from tests.durability import harness

PREFIX = "OTEL_EXPORTER_LEARNING_"
PROFILES: dict[str, str | bytes] = {
    "broken.toml": "name = [unclosed",
    "unknown_fact.toml": "[fields]\nfavourite_colour = ['x.colour']\n",
    "unknown_table.toml": "[felds]\ntask_id = ['x.id']\n",
    "unknown_setting.toml": "[settings]\ncolour = 'blue'\n",
    "bad_setting.toml": "[settings]\nsettle_after = 'soon'\n",
    "binary.toml": b"\xff\xfe\x00",
}
CASES: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "unknown keyword": ({"colour": "blue"}, {}, "colour"),
    "unknown variable": ({}, {"COLOUR": "blue"}, "COLOUR"),
    "malformed number": ({}, {"SETTLE_AFTER": "soon"}, "settle_after"),
    "malformed keyword": ({"spool_limit": "1 GiB"}, {}, "spool_limit"),
    "negative": ({"ledger_window": -1}, {}, "ledger_window"),
    "not a number": ({}, {"CORRELATION_WINDOW": "nan"}, "correlation_window"),
    "infinite": ({}, {"CORRELATION_WINDOW": "inf"}, "correlation_window"),
    "overflowing": ({"settle_after": 1e300}, {}, "settle_after"),
    "bad word": ({"content": "everything"}, {}, "content"),
    "bad word in a variable": ({}, {"DRAIN": "sometimes"}, "drain"),
    "bad boolean": ({}, {"FSYNC": "perhaps"}, "fsync"),
    "nested": ({"mode": {"a": 1}}, {}, "mode"),
    "missing profile": ({"profile": "/nowhere/p.toml"}, {}, "/nowhere/p.toml"),
    "folder for a profile": ({}, {"PROFILE": "/tmp"}, "/tmp"),
    "home of nobody": ({"profile": "~no-such-user-xyz/p.toml"}, {}, "no-such-user-xyz"),
    "NUL": ({"profile": "a\0b"}, {}, "profile"),
    **{name: ({}, {"PROFILE": name}, name) for name in PROFILES},
    "bad_setting.toml": ({}, {"PROFILE": "bad_setting.toml"}, "settle_after"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_setting(
    tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Unknown, malformed, unusable, by keyword, variable or TOML: said once, and data flow."""
    monkeypatch.chdir(tmp_path)
    for name, content in PROFILES.items():
        body = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(body)
    arguments, variables, named = CASES[case]
    for name, value in variables.items():
        monkeypatch.setenv(PREFIX + name, value)
    path = tmp_path / "learning.duckdb"
    from otel_learning.capture import pipeline

    monkeypatch.setattr(pipeline, "_said", set())
    spans = LearningSpanExporter(path=path, **arguments)
    logs = LearningLogExporter(path=path, **arguments)
    for i in range(2):
        assert spans.export(harness.task(f"t-{i}")).name == "SUCCESS"
    assert spans.force_flush()
    assert harness.stored_tasks(path) == {"t-0": 1, "t-1": 1}
    spans.shutdown()
    logs.shutdown()
    [record] = [r for r in caplog.records if r.name.startswith("otel_learning")]
    assert record.levelno == logging.WARNING
    assert record.name == "otel_learning"
    assert named in record.getMessage()


def test_an_unusable_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                          caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    """A path that cannot be one is named, and the default store serves."""
    monkeypatch.chdir(tmp_path)
    exporter = LearningSpanExporter(path="a\0b")
    exporter.export(harness.task("t"))
    assert exporter.force_flush()
    assert harness.stored_tasks(tmp_path / "learning.duckdb") == {"t": 1}
    assert "path" in caplog.text
    exporter.shutdown()


@pytest.mark.parametrize(
    ("given", "meant"), [(False, "off"), (True, "on"), ("OFF", "off"), ("On", "on")]
)
def test_yaml_off_is_off(tmp_path: Path, given: Any, meant: str,
                         caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    """YAML 1.1 reads `drain: off` as false; what is meant is plain. Words count in any case."""
    exporter = LearningSpanExporter(path=tmp_path / "x.duckdb", drain=given)
    assert exporter._pipeline is not None
    assert exporter._pipeline.settings.drain == meant
    assert caplog.records == []
    exporter.shutdown()


def test_an_empty_variable_is_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """OpenTelemetry's rule for variables."""
    monkeypatch.setenv(PREFIX + "SETTLE_AFTER", "")
    monkeypatch.setenv(PREFIX + "PROFILE", "")
    exporter = LearningSpanExporter(path=tmp_path / "x.duckdb")
    exporter.export(harness.task("t"))
    assert exporter.force_flush()
    assert caplog.records == []
    exporter.shutdown()


def test_two_exporters_that_disagree(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One store has one pipeline: what the second one asks for otherwise is named."""
    first = LearningSpanExporter(path=tmp_path / "x.duckdb", content="none")
    second = LearningLogExporter(path=tmp_path / "x.duckdb", content="task")
    [record] = caplog.records
    assert "content='task' is ignored" in record.getMessage()
    first.shutdown()
    second.shutdown()
