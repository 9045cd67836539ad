"""Errors fold into families, by class, by status code, and by what they say."""

from __future__ import annotations

import pytest

from otel_learning.mapping.outcome import class_in, error_type
from otel_learning.records import ErrorType

_BY_CLASS = {
    "timeout": ["TimeoutError", "openai.APITimeoutError", "ReadTimeout", "DeadlineExceeded",
                "asyncio.exceptions.TimeoutError", "timeout", "timed_out"],
    "rate_limit": ["RateLimitError", "litellm.exceptions.RateLimitError", "TooManyRequests",
                   "ThrottlingException", "ResourceExhausted", "429", "402", "QuotaExceeded"],
    "network": ["ConnectionError", "APIConnectionError", "ServiceUnavailableError",
                "InternalServerError", "BadGatewayError", "OverloadedError", "SSLError", "IOError",
                "OSError", "500", "502", "503", "529", "RemoteProtocolError"],
    "authentication": ["AuthenticationError", "PermissionDeniedError", "Unauthorized", "401", "403",
                       "OpenAIAuthenticationError"],
    "validation": ["BadRequestError", "ValidationError", "ContextWindowExceededError",
                   "NotFoundError", "ValueError", "KeyError", "JSONDecodeError", "400", "404",
                   "422", "ContextTooLong", "UnexpectedModelBehavior"],
    "content_filter": ["ContentPolicyViolationError", "content_filter", "ContentFilterError",
                       "InputGuardrailTripwireTriggered", "OutputGuardrailTripwireTriggered"],
    "quality_gate": ["QualityGateError", "TestFailure", "AssertionError", "LintError"],
    "cancelled": ["CancelledError", "KeyboardInterrupt", "Aborted", "499"],
    "crash": ["MemoryError", "ZeroDivisionError", "RecursionError", "RuntimeError", "SystemExit",
              "ExecutionError", "ToolError", "IndexError"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("family", "name"), [(family, name) for family, names in _BY_CLASS.items() for name in names]
)
def test_classes(family: str, name: str) -> None:
    """An error's class, or its status code, tells its family."""
    assert error_type(name) == family


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("authentication", "Error code: 401 - Incorrect API key provided"),
        ("rate_limit", "litellm.RateLimitError: slow down"),
        ("rate_limit", "HTTP 429: too many"),
        ("network", "status_code: 503, model_name: gpt-5"),
        ("validation", "This model's maximum context length is 128000 tokens"),
        ("timeout", "Request timed out."),
        ("network", "Connection refused"),
        ("content_filter", "The response was filtered due to the content policy"),
        ("content_filter", "Guardrail InputGuardrail triggered tripwire"),
        ("validation", "the prompt is too long"),
        ("unknown", "it did not work"),
    ],
)
def test_messages(family: str, message: str) -> None:
    """Where no class is known, or a vague one, the message tells the family."""
    assert error_type(None, message) == family
    if family != "unknown":
        assert error_type("Exception", message) == family


def test_a_precise_class_stands_over_its_message() -> None:
    """A rate limit whose text speaks of a connection is a rate limit."""
    assert error_type("RateLimitError", "connection to the pool refused") == "rate_limit"


@pytest.mark.parametrize(
    "vague",
    ["Exception", "APIError", "RuntimeError", "AgentGenerationError", "FallbackExceptionGroup",
     "_OTHER", "ModelHTTPError"],
)  # fmt: skip
def test_a_vague_class_lets_its_message_speak(vague: str) -> None:
    """A class that says only that something failed does not hide what did."""
    assert error_type(vague, "Error code: 401 - no such key") == "authentication"


def test_nothing_said_is_nothing() -> None:
    """Without a class and a message there is no family; with an odd one, the unknown."""
    assert error_type(None, None) is None
    assert error_type("", "") is None
    assert error_type("Zorp") == "unknown"


def test_every_answer_is_a_family() -> None:
    """Whatever is asked, the answer is one of the families."""
    families = {member.value for member in ErrorType}
    assert families >= set(_BY_CLASS)
    for name in ("x" * 9999, "💥", "418", "302", "\n", "Error: Error: Error"):
        assert error_type(name, name) in families


@pytest.mark.parametrize(
    ("description", "expected"),
    [("TimeoutError: too slow", "TimeoutError"), ("openai.RateLimitError: x", "RateLimitError"),
     ("it failed", None), (None, None), ("", None), ("Error code: 500", None),
     ("ValueError", "ValueError")],
)  # fmt: skip
def test_class_in_a_status(description: str | None, expected: str | None) -> None:
    """The SDK starts a status description with the exception's class; prose has none."""
    assert class_in(description) == expected
