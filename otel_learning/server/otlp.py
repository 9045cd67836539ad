"""OTLP over HTTP: bodies in, protobuf or JSON out, as the specification says.

https://opentelemetry.io/docs/specs/otlp/#otlphttp: the answer has the form of the request, an
error is a google.rpc.Status, and a sender comes again after 503 with Retry-After.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any, Final

from fastapi import APIRouter
from google.protobuf import json_format  # type: ignore[import-untyped]
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from otel_learning.server import limits
from otel_learning.server.limits import Load
from otel_learning.server.receiver import Receiver
from otel_learning.server.refusal import Reason, Refusal
from otel_learning.server.signals import LOGS, METRICS, TRACES, Signal

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
_LINGER_BYTES: Final = 4 * limits.BODY_BYTES
_LINGER_SECONDS: Final = 10.0
"""How much is read and thrown away, so that a sender of too much gets to read why it is refused:
while it still writes, a closed connection is all that it would see."""

router = APIRouter(tags=["OTLP"])


def _described(signal: Signal) -> dict[str, Any]:
    body = {"schema": {"type": "string", "format": "binary"}}
    answer = {"description": "Durable; a partial success says what was rejected.",
              "content": {PROTOBUF: body, JSON: {"schema": {"type": "object"}}}}  # fmt: skip
    refusals = {
        "400": "It is no OTLP.", "413": "It is too large.", "415": "Its form is not known.",
        "503": "It cannot be taken now; Retry-After says when it can.",
    }  # fmt: skip
    return {
        "requestBody": {
            "description": f"An export request of {signal.name}, plain or with gzip.",
            "required": True,
            "content": {PROTOBUF: body, JSON: {"schema": {"type": "object"}}},
        },
        "responses": {
            "200": answer,
            **{code: {"description": f"{said} The body is a google.rpc.Status."}
               for code, said in refusals.items()},
        },
    }  # fmt: skip


@router.post(TRACES.path, openapi_extra=_described(TRACES), response_class=Response)
async def traces(request: Request) -> Response:
    """Take spans: what they tell of executions is stored before the answer."""
    return await _export(request, TRACES)


@router.post(LOGS.path, openapi_extra=_described(LOGS), response_class=Response)
async def logs(request: Request) -> Response:
    """Take log records: feedback and evaluations among them are stored before the answer."""
    return await _export(request, LOGS)


@router.post(METRICS.path, openapi_extra=_described(METRICS), response_class=Response)
async def metrics(request: Request) -> Response:
    """Take metrics and keep none, so that a sender of all signals to one address is at ease."""
    return await _export(request, METRICS)


async def _export(request: Request, signal: Signal) -> Response:
    receiver: Receiver = request.app.state.receiver
    try:
        is_json = _is_json(request)
        is_gzip = _is_gzip(request)
        if signal.kept:
            receiver.check_room()
        with receiver.gate.entered() as load:
            body = await _body(request, load)
            response = await receiver.receive(signal, body, is_json=is_json, is_gzip=is_gzip)
        return _answer(response, 200, is_json=is_json)
    except ClientDisconnect:
        return Response(status_code=400)  # nobody reads it
    except Refusal as refusal:
        return refused(request, refusal)


def refused(request: Request, refusal: Refusal) -> Response:
    """The answer that says why a request is not taken, in the form in which it asked."""
    status = status_pb2.Status(code=refusal.reason.grpc, message=str(refusal))
    headers = {}
    if refusal.retry_seconds is not None:
        delay = error_details_pb2.RetryInfo()
        delay.retry_delay.seconds = refusal.retry_seconds
        status.details.add().Pack(delay)
        headers["Retry-After"] = str(refusal.retry_seconds)
    if refusal.reason in (Reason.TOO_LARGE, Reason.SLOW):
        headers["Connection"] = "close"  # what is still to come of it is not read
    if refusal.reason is Reason.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = "Bearer"
    asked = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    response = _answer(status, refusal.reason.http, is_json=asked != PROTOBUF)
    response.headers.update(headers)
    return response


def _answer(message: Any, status: int, *, is_json: bool) -> Response:
    if is_json:
        return Response(json.dumps(json_format.MessageToDict(message)), status, media_type=JSON)
    return Response(message.SerializeToString(), status, media_type=PROTOBUF)


def _is_json(request: Request) -> bool:
    media = request.headers.get("content-type", "")
    found = media.partition(";")[0].strip().lower()
    if found not in (PROTOBUF, JSON):
        said = f"the Content-Type {media[:100]!r} is not taken" if media else "no Content-Type"
        raise Refusal(Reason.UNSUPPORTED, said, f"send {PROTOBUF} or {JSON}")
    return found == JSON


def _is_gzip(request: Request) -> bool:
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("gzip", "identity", ""):
        said = f"the Content-Encoding {coding[:100]!r} is not taken"
        raise Refusal(Reason.UNSUPPORTED, said, "send gzip, or none")
    return coding == "gzip"


async def _body(request: Request, load: Load) -> bytes:
    """The whole body, as long as sender and size keep within the bounds."""
    declared = request.headers.get("content-length", "")
    try:
        if declared.isdecimal() and int(declared) > limits.BODY_BYTES:
            raise limits.too_large()
        return await limits.read(request.stream(), load.add)
    except Refusal as refusal:
        if refusal.reason is Reason.TOO_LARGE:
            await _linger(request)
        raise


async def _linger(request: Request) -> None:
    """Reads on for a while what is not wanted."""
    read = 0
    with contextlib.suppress(TimeoutError, ClientDisconnect, RuntimeError):
        async with asyncio.timeout(_LINGER_SECONDS):
            async for part in request.stream():
                read += len(part)
                if read > _LINGER_BYTES:
                    return
