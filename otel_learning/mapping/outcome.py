"""Folds error classes, HTTP status codes and messages into an `ErrorType`.

Pure. The order matters: what names the cause most narrowly comes first, so that a
"RateLimitError" whose text mentions a connection is a rate limit.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_CLASS_RULES: Final[tuple[tuple[str, str], ...]] = (
    ("content_filter", r"content.?filter|content.?policy|moderation|safety|"
                       r"guardrail.{0,40}tripwire|prohibited|responsible.?ai|refusal"),
    ("quality_gate", r"quality.?gate|test.?fail|tests?.?failed|assertion|coverage|lint|"
                     r"review.?reject"),
    ("rate_limit", r"rate.?limit|too.?many.?requests|throttl|quota|resource.?exhausted|"
                   r"capacity.?exceeded"),
    ("timeout", r"time.?out|timed.?out|deadline|did not (?:answer|respond)"),
    ("authentication", r"auth|unauthori[sz]ed|forbidden|permission|access.?denied|"
                       r"invalid.?api.?key|credential"),
    ("cancelled", r"cancel|abort|interrupt|keyboardinterrupt"),
    ("validation", r"bad.?request|invalid|validation|unprocessable|context.?(?:window|length)|"
                   r"too.?long|not.?found|value.?error|type.?error|key.?error|attribute.?error|"
                   r"unsupported|schema|parse|json.?decode|unicode|model.?behavior|"
                   r"max.?tokens|length"),
    ("network", r"connect|network|unavailable|overloaded|internal.?server|server.?error|"
                r"bad.?gateway|gateway|upstream|service|ssl|socket|dns|remote.?protocol|"
                r"api.?error|\bio.?error|\bos.?error|broken.?pipe|model.?http|http.?error"),
    ("crash", r"runtime.?error|crash|segfault|sigkill|sigterm|memory.?error|oom|"
              r"out.?of.?memory|recursion|assert|system.?exit|zero.?division|index.?error|"
              r"exception$|error$|panic|traceback|tool"),
)  # fmt: skip
_COMPILED: Final = tuple((kind, re.compile(rule)) for kind, rule in _CLASS_RULES)

_STATUS: Final[dict[int, str]] = {
    400: "validation", 401: "authentication", 402: "rate_limit", 403: "authentication",
    404: "validation", 408: "timeout", 409: "validation", 413: "validation", 415: "validation",
    422: "validation", 429: "rate_limit", 499: "cancelled", 504: "timeout", 529: "network",
}  # fmt: skip

_MESSAGE_STATUS: Final = re.compile(
    r"(?:error code|status[ _]?code|status|http(?:/1\.1)?|code)"
    r"[\"']?\s*[:= ]\s*[\"']?([1-5]\d\d)\b",
    re.IGNORECASE,
)
_CLASS_IN_TEXT: Final = re.compile(
    r"^\s*(?:[a-z_][\w.]*\.)?([A-Z][A-Za-z0-9]*(?:Error|Exception|Timeout|Exceeded|Interrupt|"
    r"Limit|Group|Exit|Tripwire\w*))\b"
)

# Classes that say that something failed, not what: a message or a status code says more.
_VAGUE: Final = re.compile(
    r"^(?:_other|error|exception|apierror|apistatuserror|openaiapierror|modelhttperror|"
    r"fallbackexceptiongroup|exceptiongroup|runtimeerror|plannederror|agenterror|"
    r"modelapierror|llmerror|baseexception|httpstatuserror|modelexception|toolexception|"
    r"agentgenerationerror)$"
)


@lru_cache(maxsize=2048)
def error_type(error_class: str | None, message: str | None = None) -> str | None:
    """The family of an error, or None where nothing was said.

    Args:
        error_class: an exception's class, an `error.type`, or a status code as text.
        message: the error's message; read where the class is vague or missing.
    """
    if not error_class and not message:
        return None
    if error_class:
        known = _from_class(error_class)
        if known is not None and not _VAGUE.match(_bare(error_class)):
            return known
    if message:
        hinted = _from_message(message[:1000])
        if hinted is not None:
            return hinted
    if error_class:
        return _from_class(error_class) or "unknown"
    return "unknown"


def class_in(description: str | None) -> str | None:
    """The exception class that a status description starts with, as the SDK writes it."""
    if not description:
        return None
    found = _CLASS_IN_TEXT.match(description[:200])
    return found.group(1) if found else None


def _bare(error_class: str) -> str:
    return error_class.rsplit(".", 1)[-1].strip().lower()


def _from_status(code: int) -> str | None:
    known = _STATUS.get(code)
    if known is None and 500 <= code < 600:
        return "network"
    if known is None and 400 <= code < 500:
        return "validation"
    return known


def _from_class(error_class: str) -> str | None:
    bare = _bare(error_class)
    if bare.isdigit() and len(bare) == 3:
        return _from_status(int(bare))
    for kind, rule in _COMPILED:
        if rule.search(bare):
            return kind
    return None


def _from_message(message: str) -> str | None:
    named = class_in(message)
    if named and not _VAGUE.match(named.lower()):
        known = _from_class(named)
        if known is not None and known != "crash":
            return known
    code = _MESSAGE_STATUS.search(message)
    if code:
        known = _from_status(int(code.group(1)))
        if known is not None:
            return known
    lowered = message.lower()
    for kind, rule in _COMPILED:
        # What a crash looks like in a class name is an ordinary word in a sentence.
        if kind in ("crash", "quality_gate"):
            continue
        if rule.search(lowered):
            return kind
    return None
