"""A receiver that takes OTLP, throws it away and says yes: `receiver.py http|grpc`.

Prints the port that it listens on, so that no port is guessed. What a real collector costs is
not in any figure.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Accept(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
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
    import grpc as rpc

    accept = rpc.unary_unary_rpc_method_handler(lambda request, context: b"")
    server = rpc.server(
        ThreadPoolExecutor(2), options=[("grpc.max_receive_message_length", 256 * 1024**2)]
    )
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server.add_generic_rpc_handlers(
        (rpc.method_handlers_generic_handler(service, {"Export": accept}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    {"http": http, "grpc": grpc}[sys.argv[1]]()
