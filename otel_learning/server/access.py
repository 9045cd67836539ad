"""Who may ask: the token, and what keeps other people's web pages out of a local server.

Where there is no token, the server relies on being reached by its own machine alone. A web page
that the user looks at runs on that machine too: it may send requests here (cross-site), or have
its own name resolve to this address (DNS rebinding). So a request that a page of another origin
sends is refused, and without a token so is one for a name that is not known to be ours.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import json
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from otel_learning.server import limits, otlp
from otel_learning.server.metrics import Metrics
from otel_learning.server.refusal import Reason, Refusal

OPEN_PATHS: Final = frozenset(("/healthz", "/readyz"))
"""Probes carry no token; they tell whether, not what."""
_WITHOUT_BODY: Final = frozenset(("GET", "HEAD", "OPTIONS"))
"""What a body that comes with these says is nobody's business, and is not read."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask."""

    token: str | None = field(default=None, repr=False)
    hosts: frozenset[str] = frozenset()
    """Names, beside this machine's own, under which the server may be asked without a token."""

    def check(self, path: str, headers: Headers) -> None:
        """Raises Refusal where a request may not be served."""
        host = _host_of(headers.get("host", ""))
        self._check_origin(headers, host)
        if self.token is None:
            if not (is_address(host) or is_own_name(host) or host in self.hosts):
                raise Refusal(
                    Reason.FORBIDDEN,
                    f"the Host {host[:100]!r} is not known",
                    "start the server with --allow-host NAME, or with a token",
                )
        elif path not in OPEN_PATHS:
            self.check_token(headers.get("authorization", ""))

    def check_token(self, authorization: str) -> None:
        """Raises Refusal where the token is asked for and not given."""
        if self.token is None:
            return
        given = _token_in(authorization)
        if given is None or not hmac.compare_digest(given.encode(), self.token.encode()):
            said = "the token is wrong" if given else "a token is needed"
            raise Refusal(
                Reason.UNAUTHENTICATED, said, "send the header Authorization: Bearer TOKEN"
            )

    @staticmethod
    def _check_origin(headers: Headers, host: str) -> None:
        """Refuses what a page of another origin sends; programs say nothing of an origin."""
        origin = headers.get("origin")
        if origin is not None and origin != "null":
            split = urlsplit(origin)
            if split.netloc.lower() == headers.get("host", "").lower():
                return
        elif origin is None and headers.get("sec-fetch-site") in (None, "same-origin", "none"):
            return
        elif origin is None and headers.get("sec-fetch-mode") == "navigate":
            return  # a link that somebody followed; it changes nothing
        raise Refusal(
            Reason.FORBIDDEN, f"a page of another origin asks ({(origin or host)[:100]!r})",
            "web pages of others are not served; send through a Collector",
        )  # fmt: skip


class Guard:
    """The first to see a request: refuses what may not be served, and counts the answers."""

    def __init__(self, app: ASGIApp, access: Access, metrics: Metrics) -> None:
        self._app = app
        self._access = access
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counted(message: Any) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                self._metrics.requests.labels("http", route, str(message["status"])).inc()
            await send(message)

        try:
            self._access.check(scope["path"], Headers(scope=scope))
            if scope["method"] not in _WITHOUT_BODY and not _is_otlp(scope):
                receive = await _bounded(scope, receive)
        except Refusal as refusal:
            await _answer(scope, refusal)(scope, receive, counted)
            return
        except ClientDisconnect:
            return
        await self._app(scope, receive, counted)


async def _bounded(scope: Scope, receive: Receive) -> Receive:
    """The same request with its body whole: what reads it afterwards knows no bounds.

    Raises:
        Refusal: it is too large, or too slow.
        ClientDisconnect: nobody waits for an answer any more.
    """
    size = 0

    def took(count: int) -> None:
        nonlocal size
        size += count
        if size > limits.QUESTION_BYTES:
            raise limits.too_large(limits.QUESTION_BYTES, "a question needs no more")

    body = await limits.read(Request(scope, receive).stream(), took)
    given: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return given.pop() if given else await receive()

    return again


def _is_otlp(scope: Scope) -> bool:
    return str(scope["path"]).startswith("/v1/")


def _answer(scope: Scope, refusal: Refusal) -> Response:
    if _is_otlp(scope):
        return otlp.refused(Request(scope), refusal)
    answer = refused(refusal)
    if refusal.reason is Reason.UNAUTHENTICATED:
        # A browser asks its user then: any name, and the token as password.
        answer.headers["WWW-Authenticate"] = 'Basic realm="otel-learning", charset="UTF-8"'
    return answer


def refused(refusal: Refusal) -> Response:
    """A refusal as the API says it."""
    answer = problem(refusal.reason.http, refusal.message, refusal.hint, refusal.retry_seconds)
    if refusal.reason in (Reason.TOO_LARGE, Reason.SLOW):
        answer.headers["Connection"] = "close"  # what is still to come of it is not read
    return answer


def problem(
    status: int, message: str, hint: str | None = None, retry_seconds: int | None = None
) -> Response:
    """An error of the API: what happened, and the way out."""
    headers = {} if retry_seconds is None else {"Retry-After": str(retry_seconds)}
    body = json.dumps({"error": message, "hint": hint}, ensure_ascii=False)
    return Response(body, status, headers, media_type="application/json")


def is_address(host: str) -> bool:
    """Whether it is a number: those are not looked up, and cannot be made to lead elsewhere."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def is_own_name(host: str) -> bool:
    """Whether a name always means this machine (RFC 6761, 6.3)."""
    return host == "localhost" or host.endswith(".localhost")


def _host_of(header: str) -> str:
    """The name in a Host header, without the port."""
    header = header.strip().lower()
    if header.startswith("["):
        return header.partition("]")[0] + "]"
    return header.partition(":")[0].rstrip(".")


def _token_in(authorization: str) -> str | None:
    """The token of a Bearer header, or of a Basic one's password, as browsers send it."""
    scheme, _, said = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return said.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(said.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None
