"""Pages as HTML: templates with everything escaped, for the server and for the report."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from otel_learning.server.dashboard import catalogue, words
from otel_learning.server.dashboard.asked import ALL, ARMS, NONE, OUTCOMES, PERIODS, Asked
from otel_learning.server.dashboard.assets import asset, version

if TYPE_CHECKING:
    from otel_learning.server.dashboard.catalogue import Entry
    from otel_learning.server.dashboard.page import Page

PERIOD_WORDS: Final = {
    "7d": "7 days", "30d": "30 days", "90d": "90 days", "365d": "A year", "all": "All time",
}  # fmt: skip


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("otel_learning.server.dashboard"), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.globals |= {"words": words, "ALL": ALL, "NONE": NONE}
    return made


def page(entry: Entry, found: Page, asked: Asked, base: str) -> str:
    """A page as the server sends it.

    Args:
        entry: which page.
        found: what is on it.
        asked: the filters, as they stand in the form.
        base: the path below which the application is mounted.
    """
    return _environment().get_template("page.html").render(
        **_frame(base), entry=entry, page=found, asked=asked, fields=_fields(entry, found, asked),
        standalone=False,
    )  # fmt: skip


def trouble(status: int, title: str, text: str, hint: str, command: str | None, base: str) -> str:
    """The page of an error."""
    return _environment().get_template("trouble.html").render(
        **_frame(base), entry=None, status=status, title=title, text=words.plain(text, 1000),
        hint=words.plain(hint, 1000), command=command, standalone=False,
    )  # fmt: skip


def report(found: Sequence[tuple[Entry, Page]], title: str, made_at: datetime) -> str:
    """Pages as one file that needs no other: style, script and pictures are in it."""
    style = asset("dashboard.css").decode()
    script = asset("dashboard.js").decode()
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return _environment().get_template("report.html").render(
        pages=found, title=title, made_at=words.moment(made_at.astimezone(UTC)), policy=policy,
        style=Markup(style), script=Markup(script), standalone=True, base="",
    )  # fmt: skip


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _frame(base: str) -> dict[str, Any]:
    return {
        "base": base,
        "navigation": [one for one in catalogue.entries() if one.label is not None],
        "style_href": f"{base}/static/dashboard.css?v={version('dashboard.css')}",
        "script_src": f"{base}/static/dashboard.js?v={version('dashboard.js')}",
    }


# ----------------------------------------------------------------------------------- filters


def _fields(entry: Entry, found: Page, asked: Asked) -> list[dict[str, Any]]:
    """The form's fields: what the page takes, with the values that the store has."""
    fields = []
    for name in entry.takes:
        if name in _LABELS:
            options = _options(name, entry, found, asked)
            fields.append({"name": name, "label": _LABELS[name], "options": options,
                           "kind": "select" if options is not None else _KINDS.get(name, "text"),
                           "value": getattr(asked, name)})  # fmt: skip
    return fields


_LABELS: Final = {
    "environment": "Environment", "repo": "Repository", "task_type": "Task type",
    "model_tier": "Tier", "outcome": "Outcome", "error_type": "Error", "task_id": "Task id",
    "by": "Compare by", "cost_weight": "Cost weight", "period": "Period", "since": "From",
    "until": "To",
}  # fmt: skip
_KINDS: Final = {"since": "date", "until": "date", "cost_weight": "number"}
_NONE_WORDS: Final = {
    "environment": "none named", "repo": "none named", "task_type": "none named",
}  # fmt: skip


def _options(
    name: str, entry: Entry, found: Page, asked: Asked
) -> list[tuple[str, str, bool]] | None:
    """Value, words and whether it is chosen; None where it is not chosen from a list."""
    value = getattr(asked, name)
    if name == "period":
        return [(word, PERIOD_WORDS[word], word == value) for word in PERIODS]
    if name == "by":
        return [(column, noun, column == value) for column, noun in ARMS.items()]
    if name == "outcome":
        return [("", "any", not value), *((word, word, word == value) for word in OUTCOMES)]
    if name == "error_type":
        from otel_learning.records import ErrorType

        kinds = [str(kind) for kind in ErrorType]
        return [("", "any", not value), *((kind, kind, kind == value) for kind in kinds)]
    if name not in found.choices:
        return None
    known = found.choices[name]
    options = []
    if name == "environment" and entry.default_environment:
        main = known[0] if known else None
        options.append(("", f"{words.label(main)} (main)", not value))
        if "period" in entry.takes:
            options.append((ALL, "all of them", value == ALL))
    else:
        options.append(("", "all of them", value in ("", ALL)))
    for one in known:
        if one is None and not entry.nameless:
            continue
        said = NONE if one is None else one
        words_ = _NONE_WORDS[name] if one is None else words.plain(one, 80)
        options.append((said, words_, said == value))
    if value and value not in [option for option, _, _ in options]:
        options.append((value, words.plain(value, 80), True))
    return options
