"""`import`: files as the Collector and the SDKs write them, also damaged ones."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from otel_learning import LearningDatabase
from otel_learning.capture.otlp import (
    logs_from_json,
    spans_from_json,
    spans_from_proto,
)
from otel_learning.errors import InputError
from tests.command_line import Run
from tests.corpus_replay import load

CORPUS = Path(__file__).parents[1] / "corpus"
TRACE = "5b8efff798038103d269b633813fc60c"
SPAN = "eee19b7ec3c1b174"
NOW = 1_760_000_000_000_000_000


def hexed(value: Any) -> Any:
    """Protobuf's JSON with ids as hex, which makes it OTLP's JSON."""
    if isinstance(value, dict):
        return {
            name: base64.b64decode(item).hex()
            if name in ("traceId", "spanId", "parentSpanId")
            else hexed(item)
            for name, item in value.items()
        }
    return [hexed(item) for item in value] if isinstance(value, list) else value


def corpus_lines(producer: str, per_line: int = 40) -> list[str]:
    spans = list(load(CORPUS / f"{producer}.jsonl.gz"))
    return [
        json.dumps(hexed(json_format.MessageToDict(encode_spans(spans[i : i + per_line]))))
        for i in range(0, len(spans), per_line)
    ]


def task_line(task_id: str = "t-1", **span: Any) -> str:
    """One span of a task as the Collector's file exporter writes it."""
    body = {
        "traceId": TRACE, "spanId": SPAN, "name": "task", "kind": 2,
        "startTimeUnixNano": str(NOW), "endTimeUnixNano": str(NOW + 2_000_000_000),
        "attributes": [
            {"key": "task.id", "value": {"stringValue": task_id}},
            {"key": "task.success", "value": {"boolValue": True}},
            {"key": "task.file_count", "value": {"intValue": "12"}},
        ],
        "status": {"code": 1}, **span,
    }  # fmt: skip
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "svc"}}]}
    scope_spans = [{"scope": {"name": "acme", "version": "1"}, "spans": [body]}]
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": scope_spans}]})


def records(store: Path) -> list[tuple[Any, ...]]:
    """All that must not change with a second import."""
    return LearningDatabase(store, create=False).sql(
        "SELECT * EXCLUDE (recorded_at, updated_at, settled) FROM executions ORDER BY execution_id"
    )


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_the_same_file_twice_gives_the_same_records(
    run_cli: Run, tmp_path: Path, packed: bool
) -> None:
    """A recorded producer's file is imported whole; importing it again changes nothing."""
    file = tmp_path / ("spans.jsonl.gz" if packed else "spans.jsonl")
    content = "\n".join(corpus_lines("litellm_openinference")).encode()
    file.write_bytes(gzip.compress(content) if packed else content)

    first = run_cli("import", file.name, "--db", "s.duckdb", "--json")
    once = records(tmp_path / "s.duckdb")
    second = run_cli("import", file.name, "--db", "s.duckdb", "--json")

    report = json.loads(first.stdout)
    assert (first.returncode, second.returncode) == (0, 0)
    assert report["spans"] == 193 and report["bad_lines"] == 0
    assert report["executions"] == len(once) == 36
    assert records(tmp_path / "s.duckdb") == once


def test_bad_lines_among_good_ones_are_named_and_counted(run_cli: Run, tmp_path: Path) -> None:
    """A bad line is named by file and number with what is wrong; the good ones are stored."""
    (tmp_path / "mixed.jsonl").write_bytes(
        b"\xef\xbb\xbf" + task_line().encode() + b"\n"
        b"not json\n"
        b"\n"
        b'{"hello": 1}\n'
        b"[1]\n"
        b'{"resourceSpans": 5}\n'
        b"\xff\xfe\n" + task_line("t-2", traceId="zz" * 16).encode() + b"\n"
        + task_line("t-3", spanId="0" * 16).encode() + b"\n"
        + task_line()[:100].encode()
    )  # fmt: skip

    done = run_cli("import", "mixed.jsonl", "--db", "s.duckdb", "--json")

    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert [bad["line"] for bad in report["bad"]] == [2, 4, 5, 6, 7, 8, 9, 10]
    assert report["bad_lines"] == 8 and report["good_lines"] == 1
    assert "mixed.jsonl:2: skipped: it is not JSON" in done.stderr
    assert "Traceback" not in done.stderr
    assert [row[1] for row in records(tmp_path / "s.duckdb")] == ["t-1"]


def test_a_file_without_a_good_line_fails_and_is_named(run_cli: Run, tmp_path: Path) -> None:
    """It ends with 1 and names the file; a good file beside it is imported all the same."""
    (tmp_path / "bad.jsonl").write_text("nothing\nhere\n")
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "good.jsonl").write_text(task_line())

    done = run_cli("import", "bad.jsonl", "empty.jsonl", "gone.jsonl", "good.jsonl")

    assert done.returncode == 1
    for name in ("bad.jsonl", "empty.jsonl", "gone.jsonl"):
        assert f"error: {name}: " in done.stderr
    assert len(records(tmp_path / "learning.duckdb")) == 1


def test_an_import_of_nothing_creates_nothing(run_cli: Run, tmp_path: Path) -> None:
    """Where no file has a good line, no store is made."""
    (tmp_path / "bad.jsonl").write_text("nothing\n")

    done = run_cli("import", "bad.jsonl", "--db", "s.duckdb")

    assert done.returncode == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["bad.jsonl"]


def test_a_gzip_file_cut_short_keeps_what_came_before(run_cli: Run, tmp_path: Path) -> None:
    """Lines before the cut are stored, the cut is named as the last bad line."""
    whole = gzip.compress("\n".join(corpus_lines("litellm_openinference", 5)).encode())
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])

    done = run_cli("import", "cut.jsonl.gz", "--db", "s.duckdb", "--json")

    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert report["good_lines"] > 5
    assert report["bad_lines"] == 1


def test_standard_input_and_drain_off(run_cli: Run, tmp_path: Path) -> None:
    """`-` reads standard input; whoever imports wants records, also where DRAIN is off."""
    done = run_cli(
        "import", "-", "--json", stdin=task_line(), env={"OTEL_EXPORTER_LEARNING_DRAIN": "off"}
    )

    assert json.loads(done.stdout)["executions"] == 1


def test_feedback_in_a_file_of_logs(run_cli: Run, tmp_path: Path) -> None:
    """Log events in a file are read as the log exporter reads them, twice as once."""
    record = {
        "timeUnixNano": str(NOW + 10**12), "eventName": "learning.feedback",
        "attributes": [
            {"key": "learning.task.id", "value": {"stringValue": "t-1"}},
            {"key": "learning.feedback.rating", "value": {"intValue": 4}},
        ],
    }  # fmt: skip
    logs = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})
    (tmp_path / "both.jsonl").write_text(f"{task_line()}\n{logs}\n")

    for _ in range(2):
        run_cli("import", "both.jsonl", "--db", "s.duckdb")

    rows = LearningDatabase(tmp_path / "s.duckdb").sql(
        "SELECT user_rating, feedback_count FROM executions"
    )
    assert rows == [(4.0, 1)]


# ------------------------------------------------------------------------------- the parser


def test_the_parser_gives_back_what_the_encoder_took() -> None:
    """Spans of every recorded producer survive OTLP JSON and protobuf unchanged."""
    for file in sorted(CORPUS.glob("*.jsonl.gz")):
        spans = list(load(file))
        message = encode_spans(spans)
        again = {(s.context.trace_id, s.context.span_id): s for s in spans_from_proto(message)}
        by_json = spans_from_json(hexed(json_format.MessageToDict(message)))
        assert len(by_json) == len(again)
        for span in spans:
            found = again[(span.context.trace_id, span.context.span_id)]
            assert found.name == span.name
            assert (found.start_time, found.end_time) == (span.start_time, span.end_time)
            assert found.kind is span.kind
            assert found.status.status_code is span.status.status_code
            assert found.parent == span.parent or (
                found.parent is not None
                and span.parent is not None
                and found.parent.span_id == span.parent.span_id
                and found.parent.is_remote == span.parent.is_remote
            )
            assert set(found.attributes or {}) == set(span.attributes or {})
            assert [event.name for event in found.events] == [e.name for e in span.events]


@pytest.mark.parametrize("kind", [2, "SPAN_KIND_SERVER"])
@pytest.mark.parametrize("number", ["12", 12])
def test_numbers_and_names_of_enums_integers_and_strings(kind: object, number: object) -> None:
    """Writers differ: enums by name or number, 64-bit integers as strings or numbers."""
    attributes = [{"key": "n", "value": {"intValue": number}}]
    (span,) = spans_from_json(json.loads(task_line(kind=kind, attributes=attributes)))

    assert span.kind.name == "SERVER"
    assert span.attributes is not None and span.attributes["n"] == 12


def test_nested_values_arrive_as_json_or_tuples() -> None:
    """A list of plain values is a tuple, anything nested the JSON that the mapping reads."""
    nested = {"kvlistValue": {"values": [{"key": "a", "value": {"doubleValue": 1.5}}]}}
    plain = {"arrayValue": {"values": [{"stringValue": "x"}, {"stringValue": "y"}]}}
    attributes = [{"key": "n", "value": nested}, {"key": "p", "value": plain}]
    (span,) = spans_from_json(json.loads(task_line(attributes=attributes)))

    assert dict(span.attributes or {}) == {"n": '{"a": 1.5}', "p": ("x", "y")}


def test_what_was_dropped_and_what_is_remote_arrives() -> None:
    """The count of dropped attributes and the remote flag of the parent are kept."""
    (span,) = spans_from_json(
        json.loads(task_line(droppedAttributesCount=3, parentSpanId="00" * 7 + "01", flags=0x301))
    )

    assert span.dropped_attributes == 3
    assert span.parent is not None and span.parent.is_remote


def test_base64_ids_are_understood() -> None:
    """A writer that uses protobuf's own JSON writes ids as base64, which has another length."""
    encoded = base64.b64encode(bytes.fromhex(TRACE)).decode()
    (span,) = spans_from_json(json.loads(task_line(traceId=encoded)))

    assert f"{span.context.trace_id:032x}" == TRACE


@pytest.mark.parametrize(
    "document", [None, 5, [], {"resourceSpans": [{"scopeSpans": [{"spans": [{}]}]}]}]
)
def test_what_is_no_otlp_is_an_input_error(document: object) -> None:
    """Whatever comes instead of OTLP gives InputError, never another exception."""
    with pytest.raises(InputError):
        spans_from_json(document)


def test_a_log_record_without_a_time_stays_without() -> None:
    """No clock of ours is put in, so that the same record gives the same observation."""
    (record,) = logs_from_json(
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"eventName": "e"}]}]}]}
    )

    assert record.log_record.timestamp is None
    assert not record.log_record.observed_timestamp
