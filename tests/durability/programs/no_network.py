"""Export, drain and read where every attempt to reach a network raises."""

import socket
import sys
from typing import Any


def refuse(*_: Any, **__: Any) -> Any:
    raise AssertionError("a network was wanted")


socket.socket.connect = refuse  # type: ignore[method-assign]
socket.socket.connect_ex = refuse  # type: ignore[method-assign]
socket.getaddrinfo = refuse
socket.create_connection = refuse

from otel_learning import LearningDatabase, LearningSpanExporter  # noqa: E402
from tests.durability.harness import tasks  # noqa: E402

exporter = LearningSpanExporter(path=sys.argv[1])
exporter.export(tasks("t", 0, 50))
assert exporter.force_flush()
with LearningDatabase(sys.argv[1]) as db:
    print(len(db.executions()))
exporter.shutdown()
