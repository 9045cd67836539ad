"""Turns attribute values into typed facts: numbers, units, words, JSON in strings.

Pure. A value that is not what its fact takes gives None, never an exception: what a producer
writes is not ours to trust.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from otel_learning.attributes import ISSUES, SATISFACTION, VISIBILITIES
from otel_learning.observation import FACTS, FactValue

Convert = Callable[[Any], FactValue | None]

TEXT_LIMIT: Final = 500
"""Characters kept of a free text; a fact is a name or a sentence, not a document."""
NAME_LIMIT: Final = 256
"""Characters kept of a name or an id."""
CONTAINER_LIMIT: Final = 65_536
"""Characters of a JSON string that are looked at."""
CONTAINER_KEYS: Final = 64
"""Keys taken out of one container."""
CONTAINER_DEPTH: Final = 3
_INTEGER_LIMIT: Final = 2**53
_HUGE: Final = 1.7e308
_FREE_TEXT: Final = {"task_description", "prompt", "error_message", "feedback_comment",
                     "solution_summary"}  # fmt: skip

_SUCCESS_WORDS: Final = frozenset(
    ("success", "succeeded", "successful", "ok", "okay", "complete", "completed", "done",
     "passed", "pass", "resolved", "solved", "finished", "merged")
)  # fmt: skip
_FAILURE_WORDS: Final = frozenset(
    ("failure", "failed", "fail", "error", "errored", "timeout", "timed_out", "cancelled",
     "canceled", "aborted", "abort", "crashed", "exception", "exhausted", "gave_up",
     "unresolved", "unsolved", "partial_failure", "denied", "killed", "escalated", "abandoned",
     "blocked")
)  # fmt: skip
_ACCEPTED_WORDS: Final = frozenset(
    ("accepted", "accept", "approved", "good", "excellent", "thumbs_up", "thumbsup", "up",
     "positive", "like", "liked", "yes", "true", "1", "helpful", "correct")
)  # fmt: skip
_REJECTED_WORDS: Final = frozenset(
    ("rejected", "reject", "declined", "bad", "poor", "thumbs_down", "thumbsdown", "down",
     "negative", "dislike", "disliked", "no", "false", "0", "-1", "unhelpful", "incorrect")
)  # fmt: skip
_TRUTH: Final[dict[float, bool]] = {0: False, 1: True}
_VERDICT: Final[dict[float, bool]] = {1: True, 0: False, -1: False}
_PLACEHOLDERS: Final = frozenset(
    ("", "unknown", "none", "null", "nil", "n/a", "na", "undefined", "-", "?", "{}", "[]")
)


def text(value: Any, limit: int = NAME_LIMIT) -> str | None:
    """A non-empty string of at most `limit` characters; placeholders such as "none" are None."""
    if isinstance(value, str):
        if len(value) < 24:
            return _short_text(value)  # names of tiers, pools, types: the same few come again
        found = value.strip()
        if found[:1] == '"' and found[-1:] == '"' and len(found) > 1:
            found = _unquote(found)
        if 9 < len(found) <= limit and found.isascii() and "\x00" not in found:
            return found  # nearly every value; the rest looks closer
    elif isinstance(value, bool) or value is None:
        return None
    elif isinstance(value, int | float):
        found = str(value)
    elif isinstance(value, (tuple, list)) and len(value) == 1:
        return text(value[0], limit)
    else:
        return None
    return _clean(found, limit)


def _clean(found: str, limit: int) -> str | None:
    if len(found) < 10 and found.lower() in _PLACEHOLDERS:
        return None
    found = found[:limit]
    # A lone surrogate cannot be stored as UTF-8, a NUL byte not be read back everywhere.
    if not found.isascii():
        found = found.encode("utf-8", "replace").decode("utf-8")
    return found.replace("\x00", "") or None


@lru_cache(maxsize=4096)
def _short_text(value: str) -> str | None:
    found = value.strip()
    if found[:1] == '"' and found[-1:] == '"' and len(found) > 1:
        found = _unquote(found)
    return _clean(found, NAME_LIMIT)


def _unquote(found: str) -> str:
    """The string inside a JSON string: some producers encode every value."""
    try:
        inner = json.loads(found)
    except ValueError:
        return found
    return inner.strip() if isinstance(inner, str) else found


def free_text(value: Any) -> str | None:
    """A sentence: as `text`, but longer, and blanks folded."""
    found = text(value, TEXT_LIMIT * 2)
    return " ".join(found.split())[:TEXT_LIMIT] if found else None


def number(value: Any) -> float | None:
    """A finite number; strings that spell one count, booleans do not."""
    if type(value) is float:
        return value if -_HUGE < value < _HUGE else None  # false for NaN and infinity, too
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        if len(value) > 40:
            return None
        try:
            value = float(value.strip().strip('"').lstrip("$"))
        except ValueError:
            return None
    if not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def count(value: Any) -> int | None:
    """A whole number that is not negative."""
    if type(value) is int:
        return value if 0 <= value < _INTEGER_LIMIT else None
    found = number(value)
    if found is None or found < 0 or found >= _INTEGER_LIMIT:
        return None
    return int(found)


def amount(value: Any) -> float | None:
    """A number that is not negative: money, seconds, bytes."""
    found = number(value)
    return found if found is not None and found >= 0 else None


def boolean(value: Any) -> bool | None:
    """True or False, also from the words and numbers that mean it."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _TRUTH.get(value)
    if isinstance(value, str):
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
            value.strip().lower()
        )
    return None


def _word(value: Any) -> str | None:
    if not isinstance(value, str) or len(value) > 40:
        return None
    # "TaskStatus.COMPLETED" and "STATUS_CODE_OK" mean what their last part says.
    bare = value.strip().strip('"').lower().rsplit(".", 1)[-1]
    return bare.replace("-", "_").replace(" ", "_")


def outcome(value: Any) -> bool | None:
    """True for a word that means success, False for one that means failure."""
    known = boolean(value)
    if known is not None:
        return known
    word = _word(value)
    if word is None:
        return None
    if word in _SUCCESS_WORDS:
        return True
    return False if word in _FAILURE_WORDS else None


def acceptance(value: Any) -> bool | None:
    """True for a verdict that accepts, False for one that rejects, None for one that does not."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _VERDICT.get(value)
    if isinstance(value, bool):
        return value
    word = _word(value)
    if word in _ACCEPTED_WORDS:
        return True
    return False if word in _REJECTED_WORDS else None


def fraction(value: Any) -> float | None:
    """A number of 0..1; a percentage above 1 is divided by 100."""
    found = number(value)
    if found is None or found < 0 or found > 100:
        return None
    return found if found <= 1 else found / 100


def probability(value: Any) -> float | None:
    """A number of 0..1 and nothing else: a propensity is never guessed at."""
    found = number(value)
    return found if found is not None and 0 <= found <= 1 else None


def score(value: Any) -> float | None:
    """0..100; a value of 0..1 counts times 100."""
    found = number(value)
    if found is None or found < 0 or found > 100:
        return None
    return found * 100 if found <= 1 else found


def complexity(value: Any) -> float | None:
    """0..100; a fraction counts times 100, the whole number 1 stays 1."""
    if type(value) is int:
        return float(value) if 0 <= value <= 100 else None
    return score(value)


def rating(value: Any) -> float | None:
    """1..5, or a word that people are asked for: excellent, good, fair, poor."""
    word = _word(value)
    if word is not None and word in SATISFACTION:
        return SATISFACTION[word]
    found = number(value)
    return found if found is not None and 1 <= found <= 5 else None


def issue(value: Any) -> str | None:
    """What was wrong: one of the known issues, `other` for any other word."""
    word = _word(value)
    if not word:
        return None
    return word if word in ISSUES else "other"


def visibility(value: Any) -> str | None:
    """private, team or public; None, which is private, for anything else."""
    word = _word(value)
    return word if word in VISIBILITIES else None


def repository(value: Any) -> str | None:
    """A repository's name; of a URL or a file path, the part that names it."""
    found = text(value, 512)
    if found is None:
        return None
    url = re.match(r"^(?:[a-z+]+://|git@)(?:[^@/]*@)?[^/:]+[/:](.+)$", found)
    if url:
        found = url.group(1)
    elif found.startswith(("/", "~", "./", "../")) or re.match(r"^[A-Za-z]:\\", found):
        found = re.split(r"[\\/]", found.rstrip("\\/"))[-1]
    found = found.rstrip("/").removesuffix(".git").strip()
    return found[:NAME_LIMIT] or None


_SCALES: Final[dict[str, tuple[tuple[str, float], ...]]] = {
    "duration_seconds": (("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("millis", 1e-3),
                         ("milliseconds", 1e-3), ("minutes", 60.0)),
    "cpu_time_seconds": (("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("millis", 1e-3)),
    "peak_memory_mb": (("bytes", 1 / 1048576), ("kb", 1 / 1024), ("gb", 1024.0)),
    "cost": (("cents", 0.01), ("microusd", 1e-6)),
    "total_cost": (("cents", 0.01), ("microusd", 1e-6)),
    "cost_estimate": (("cents", 0.01), ("microusd", 1e-6)),
}  # fmt: skip


def error_class(value: Any) -> str | None:
    """The name of an error; a sentence about one is a message, not a class."""
    found = text(value, 120)
    return None if found is None or " " in found else found


_CONVERSIONS: Final[dict[str, Convert]] = {
    "success": outcome,
    "error_class": error_class,
    "feedback_accepted": acceptance,
    "feedback_rating": rating,
    "feedback_issue": issue,
    "feedback_visibility": visibility,
    "feedback_quality": score,
    "quality_score": score,
    "complexity_score": complexity,
    "routing_confidence": fraction,
    "propensity": probability,
    "sampling_ratio": probability,
    "repo": repository,
    "cost": amount,
    "total_cost": amount,
    "stated_cost": amount,
    "cost_estimate": amount,
    "duration_seconds": amount,
    "cpu_time_seconds": amount,
    "peak_memory_mb": amount,
}
_BY_KIND: Final[dict[str, Convert]] = {
    "text": text, "integer": count, "number": number, "boolean": boolean,
}  # fmt: skip


def conversion(fact: str, key: str) -> Convert:
    """How a value under `key` becomes `fact`; a unit in the key's last word is minded."""
    convert = _CONVERSIONS.get(fact)
    if convert is None:
        kind = FACTS[fact]
        if fact in _FREE_TEXT:
            return free_text
        return _BY_KIND[kind]
    last = re.split(r"[._]", key.lower())[-1]
    for unit, factor in _SCALES.get(fact, ()):
        if last == unit:
            return _scaled(factor)
    return convert


def _scaled(factor: float) -> Convert:
    def convert(value: Any) -> float | None:
        found = amount(value)
        return None if found is None else found * factor

    return convert


def flatten(key: str, value: Any) -> dict[str, Any]:
    """The scalars inside a container, under dotted keys: `metadata` -> `metadata.task_id`.

    Takes a mapping, a JSON string, a Python repr of a dict, or the readable part of one that
    was cut off. Bounded in length, depth and number of keys.
    """
    inner = _parse(value)
    found: dict[str, Any] = {}
    if inner is not None:
        _walk(key, inner, found, CONTAINER_DEPTH)
    return found


def _walk(prefix: str, inner: Mapping[Any, Any], found: dict[str, Any], depth: int) -> None:
    for name, value in inner.items():
        if len(found) >= CONTAINER_KEYS:
            return
        key = f"{prefix}.{name}"
        if isinstance(value, Mapping):
            if depth > 1:
                _walk(key, value, found, depth - 1)
        elif isinstance(value, str) and depth > 1 and value[:1] == "{":
            nested = _parse(value)
            if nested is not None:
                _walk(key, nested, found, depth - 1)
        elif value is not None:
            found[key] = value


def _parse(value: Any) -> Mapping[Any, Any] | None:
    if isinstance(value, Mapping):
        return value
    if not isinstance(value, str) or value[:1] != "{":
        return None
    if len(value) > CONTAINER_LIMIT:
        return _salvage(value[:CONTAINER_LIMIT])
    try:
        parsed = json.loads(value)
    except ValueError:
        pass
    except RecursionError:
        return None
    else:
        return parsed if isinstance(parsed, dict) else None
    if len(value) < 8192:
        try:
            parsed = ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return _salvage(value)
        return parsed if isinstance(parsed, dict) else None
    return _salvage(value)


_PAIR: Final = re.compile(
    r"""["']([\w.\-]{1,64})["']\s*:\s*(?:"((?:[^"\\]|\\.){0,512})"|'((?:[^'\\]|\\.){0,512})'"""
    r"""|(-?\d{1,18}(?:\.\d{1,18})?(?:[eE][+-]?\d{1,3})?)(?=\s*[,}])|(true|false|True|False)\b)"""
)


def _salvage(cut: str) -> dict[str, Any] | None:
    """The first value of every readable key of a text that is no longer valid JSON."""
    found: dict[str, Any] = {}
    for name, double, single, digits, word in _PAIR.findall(cut):
        if len(found) >= CONTAINER_KEYS:
            break
        value: Any = double or single
        if digits:
            value = float(digits)
        elif word:
            value = word.lower() == "true"
        if value != "":
            found.setdefault(name, value)
    return found or None
