"""Who stands below whom, for spans that tell nothing themselves.

A task may reach its model call through an HTTP request and three functions. Of such spans only
their ids and their parent's are kept, packed, and only for minutes: those that turn out to lie
between spans that matter go to the ledger with them.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from otel_learning.observation import Observation
from otel_learning.store import lease

if TYPE_CHECKING:
    import duckdb

_PACKED: Final = struct.Struct("<QQBqq")
_ROOT: Final = 1
_HAS_PARENT: Final = 2
_STATUS: Final = {None: 0, "ok": 4, "error": 8}
_STATUS_BACK: Final = {0: None, 4: "ok", 8: "error"}


def pack(ancestors: list[Observation]) -> bytes:
    packed = []
    for o in ancestors:
        flags = _ROOT * o.local_root | _STATUS.get(o.status, 0)
        if o.parent_id is not None:
            flags |= _HAS_PARENT
        packed.append(
            _PACKED.pack(
                int(o.span_id, 16), int(o.parent_id or "0", 16), flags,
                o.start_ns or 0, o.end_ns or 0,
            )
        )  # fmt: skip
    return b"".join(packed)


def unpack(trace_id: str, body: bytes) -> list[Observation]:
    """What `pack` packed of one trace."""
    found = []
    for span, parent, flags, start, end in _PACKED.iter_unpack(body):
        found.append(
            Observation(
                trace_id=trace_id,
                span_id=f"{span:016x}",
                parent_id=f"{parent:016x}" if flags & _HAS_PARENT else None,
                local_root=bool(flags & _ROOT),
                role="ancestor",
                start_ns=start or None,
                end_ns=end or None,
                status=_STATUS_BACK[flags & 12],
            )
        )
    return found


def load(con: duckdb.DuckDBPyConnection, traces: set[str]) -> list[Observation]:
    """The plain spans kept of these traces."""
    if not traces:
        return []
    known = lease.one(con, "SELECT count(*) FROM ancestry")
    if not known or not known[0]:
        return []
    con.register("wanted_traces", pa.table({"trace_id": sorted(traces)}))
    try:
        rows = con.execute(
            "SELECT trace_id, body FROM ancestry "
            "WHERE trace_id IN (SELECT trace_id FROM wanted_traces)"
        ).fetchall()
    finally:
        con.unregister("wanted_traces")
    return [o for trace_id, body in rows for o in unpack(trace_id, body)]


def save(con: duckdb.DuckDBPyConnection, ancestors: list[Observation]) -> None:
    by_trace: dict[str, list[Observation]] = defaultdict(list)
    for observation in ancestors:
        if observation.trace_id is not None:
            by_trace[observation.trace_id].append(observation)
    if not by_trace:
        return
    bodies = pa.array([pack(members) for members in by_trace.values()], pa.binary())
    con.register("new_ancestry", pa.table({"trace_id": list(by_trace), "body": bodies}))
    try:
        con.execute("INSERT INTO ancestry SELECT trace_id, now(), body FROM new_ancestry")
    finally:
        con.unregister("new_ancestry")


def prune(con: duckdb.DuckDBPyConnection, keep_seconds: float) -> None:
    con.execute("DELETE FROM ancestry WHERE arrived_at < now() - to_seconds(?)", [keep_seconds])


def needed(observations: list[Observation]) -> set[tuple[str | None, str]]:
    """The ancestors on the way from a telling span upwards, and the local roots."""
    spans = {o.key: o for o in observations}
    wanted: set[tuple[str | None, str]] = set()
    traces = set()
    # What has been walked over once is not walked over again: neither a deep chain nor parents
    # that go round in a circle cost more than one step per span.
    walked: set[tuple[str | None, str]] = set()
    for observation in observations:
        if observation.role == "ancestor":
            continue
        traces.add(observation.trace_id)
        current = observation
        while current.parent_id is not None and current.key not in walked:
            walked.add(current.key)
            parent = spans.get((current.trace_id, current.parent_id))
            if parent is None:
                break
            if parent.role == "ancestor":
                wanted.add(parent.key)
            current = parent
    wanted |= {
        o.key for o in observations
        if o.role == "ancestor" and o.local_root and o.trace_id in traces
    }  # fmt: skip
    return wanted
