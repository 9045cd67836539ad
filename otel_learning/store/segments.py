"""Observations <-> Arrow: the layout of spool segments and of ledger blobs.

Only columns that hold something are written: a segment of one observation stays small.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import pyarrow as pa
import pyarrow.compute as pc

from otel_learning.observation import FACTS, Facts, Observation

FORMAT: Final = 1
"""Of segments; a drainer leaves segments of a format it does not know to a newer one."""

_TYPES: Final = {
    "text": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_(),
}  # fmt: skip
_HEAD: Final = (
    ("trace_id", pa.string()),
    ("span_id", pa.string()),
    ("parent_id", pa.string()),
    ("local_root", pa.bool_()),
    ("role", pa.string()),
    ("start_ns", pa.int64()),
    ("end_ns", pa.int64()),
    ("status", pa.string()),
    ("producer", pa.string()),
    ("profile", pa.string()),
    ("revision", pa.int32()),
    ("dropped", pa.int32()),
)
_HEAD_NAMES: Final = frozenset(name for name, _ in _HEAD)


def to_batch(
    observations: Sequence[Observation], notes: Mapping[str, Any] | None = None
) -> pa.RecordBatch:
    """Observations as one Arrow batch; `notes` travel in its schema."""
    heads = [
        (o.trace_id, o.span_id, o.parent_id, o.local_root, o.role, o.start_ns, o.end_ns,
         o.status, o.producer, o.profile, o.revision, o.dropped)
        for o in observations
    ]  # fmt: skip
    columns = list(zip(*heads, strict=True)) if heads else [()] * len(_HEAD)
    fields = []
    arrays = []
    for (name, kind), column in zip(_HEAD, columns, strict=True):
        fields.append(pa.field(name, kind))
        arrays.append(pa.array(column, kind))
    facts = [o.facts for o in observations]
    present: dict[str, None] = {}
    for mapping in facts:
        present.update(dict.fromkeys(mapping))
    for name in present:
        kind = _TYPES[FACTS[name]]
        fields.append(pa.field(name, kind))
        arrays.append(pa.array([mapping.get(name) for mapping in facts], kind))
    metadata = {"notes": json.dumps(dict(notes))} if notes else None
    return pa.record_batch(arrays, schema=pa.schema(fields, metadata=metadata))


def from_batch(batch: pa.RecordBatch) -> list[Observation]:
    """The observations of a batch. Columns that this release does not know are left out."""
    columns = {name: batch.column(name).to_pylist() for name in batch.schema.names}
    rows = batch.num_rows
    empty = [None] * rows
    fact_columns = [(n, c) for n, c in columns.items() if n in FACTS and n not in _HEAD_NAMES]
    all_facts: list[Facts] = [{} for _ in range(rows)]
    for name, column in fact_columns:
        for facts, value in zip(all_facts, column, strict=True):
            if value is not None:
                facts[name] = value
    heads = zip(*(columns.get(name, empty) for name, _ in _HEAD), strict=True)
    return [
        Observation(
            trace_id, span_id, parent_id, bool(local_root), cast(Any, role), start_ns, end_ns,
            status, producer, profile, revision or 0, dropped or 0, facts,
        )
        for (trace_id, span_id, parent_id, local_root, role, start_ns, end_ns, status, producer,
             profile, revision, dropped), facts in zip(heads, all_facts, strict=True)
    ]  # fmt: skip


def without_ancestors(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.filter(pc.not_equal(batch.column("role"), "ancestor"))


def joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Several batches as one; a column that one of them lacks is null there."""
    tables = [pa.Table.from_batches([b]).replace_schema_metadata(None) for b in batches]
    table = pa.concat_tables(tables, promote_options="default").combine_chunks()
    found = table.to_batches()
    return found[0] if found else batches[0].slice(0, 0)


def notes_of(batch: pa.RecordBatch) -> dict[str, Any]:
    metadata = batch.schema.metadata or {}
    found = metadata.get(b"notes")
    return dict(json.loads(found)) if found else {}


def encode(batch: pa.RecordBatch, compression: pa.Codec | None = None) -> bytes:
    """The batch as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def write_all(descriptor: int, body: bytes) -> None:
    """Writes everything, however many calls it takes. Raises OSError on a full disk."""
    view = memoryview(body)
    while view:
        view = view[os.write(descriptor, view) :]


def decode(body: bytes | memoryview) -> list[pa.RecordBatch]:
    """The batches of an Arrow IPC stream. Raises pyarrow.ArrowException or OSError if broken."""
    with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
        return list(reader)
