"""A model endpoint for examples: OpenAI's chat completions, on this machine, answering at once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def fake_openai(overloaded: tuple[str, ...] = ()) -> Iterator[str]:
    """Serves while the block runs and gives the base URL; `overloaded` models answer 429."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(overloaded))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(overloaded: tuple[str, ...]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            request = json.loads(self.rfile.read(length))
            model = str(request.get("model", "unknown"))
            if model in overloaded:
                self._answer(429, {"error": {"message": "too many requests", "code": "rate_limit"}})
                return
            self._answer(200, _completion(model, request))

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing: an example prints its records only."""

    return Handler


def _completion(model: str, request: dict[str, Any]) -> dict[str, Any]:
    asked = len(json.dumps(request.get("messages", ""))) // 4
    return {
        "id": "chatcmpl-example",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Done: one line changed."},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": asked, "completion_tokens": 7, "total_tokens": asked + 7},
    }
