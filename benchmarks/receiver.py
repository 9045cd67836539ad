"""A receiver that takes OTLP, throws it away and says yes: `receiver.py http|grpc|parse`.

`parse` listens for both, and makes messages of what comes before it throws them away. Prints the
port that it listens on, so that no port is guessed. What a real collector costs is not in any
figure.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Accept(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    parse = staticmethod(lambda body: None)

    def do_POST(self) -> None:
        self.parse(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing per request."""


def http() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Accept)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def grpc() -> None:
    server, port = _grpc(lambda body: None)
    print(port, flush=True)
    server.wait_for_termination()


def parse() -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    def made(body: bytes) -> None:
        ExportTraceServiceRequest.FromString(body)

    _Accept.parse = staticmethod(made)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Accept)
    _, port = _grpc(made)
    print(server.server_address[1], port, flush=True)
    server.serve_forever()


def _grpc(made: Callable[[bytes], None]) -> tuple[Any, int]:
    import grpc as rpc

    def take(request: bytes, context: object) -> bytes:
        made(request)
        return b""

    accept = rpc.unary_unary_rpc_method_handler(take)
    server = rpc.server(
        ThreadPoolExecutor(2), options=[("grpc.max_receive_message_length", 256 * 1024**2)]
    )
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server.add_generic_rpc_handlers(
        (rpc.method_handlers_generic_handler(service, {"Export": accept}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


if __name__ == "__main__":
    {"http": http, "grpc": grpc, "parse": parse}[sys.argv[1]]()
