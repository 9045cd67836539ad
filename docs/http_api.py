"""Turns the server's OpenAPI description into a page of Markdown."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def page(note: str) -> str:
    """The reference page of the HTTP API."""
    from otel_learning.server.app import create_app

    with tempfile.TemporaryDirectory() as folder:
        described = create_app(Path(folder) / "learning.duckdb").openapi()
    parts = [
        "# HTTP API\n", note,
        "What `otel-learning serve` answers on its HTTP port. The same, for programs, is at "
        "`/openapi.json` (OpenAPI 3.1). Where the server has a token, every request but the probes "
        "carries `Authorization: Bearer TOKEN`. An error is an object with `error` and `hint`; of "
        "OTLP, a `google.rpc.Status`. An argument that is not known is an error that names it. "
        "See [how to serve](../how-to/serve.md).\n",
    ]  # fmt: skip
    used: dict[str, Any] = {}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            parts += _operation(path, method, operation, used)
    parts.append("## Shapes\n")
    schemas = described["components"]["schemas"]
    shown: set[str] = set()
    while waiting := sorted(set(used) - shown):
        for name in waiting:
            shown.add(name)
            parts.append(f"### `{name}`\n")
            said = schemas[name].get("description", "").split("\n\n")[0].strip()
            parts.append(f"{said}\n" if said else "")
            parts.append(_fields(schemas[name], used))
    return "\n".join(part for part in parts if part)


def _operation(path: str, method: str, operation: Any, used: dict[str, Any]) -> Iterable[str]:
    yield f"## `{method.upper()} {path}`\n"
    yield f"{operation['description'].strip()}\n"
    given = operation.get("parameters", [])
    if given:
        rows = [
            (f"`{p['name']}`", _kind(p["schema"], used), _default(p["schema"]),
             p.get("description") or p["schema"].get("description", ""))
            for p in given
        ]  # fmt: skip
        yield _table(("Argument", "Type", "Default", "Meaning"), rows)
    body = operation.get("requestBody")
    if body:
        forms = ", ".join(f"`{form}`" for form in body["content"])
        schema = next(iter(body["content"].values()))["schema"]
        kind = "" if schema.get("format") == "binary" else f", {_kind(schema, used)}"
        said = body.get("description", "")
        yield f"Body ({forms}{kind}){': ' + said if said else '.'}\n"
    rows = []
    for status, answer in operation["responses"].items():
        content = answer.get("content", {})
        schema = next(iter(content.values()))["schema"] if content else {}
        rows.append((f"`{status}`", _kind(schema, used), answer["description"]))
    yield _table(("Status", "Answer", "When"), rows)


def _fields(schema: Any, used: dict[str, Any]) -> str:
    if "enum" in schema:
        return f"One of {', '.join(f'`{value}`' for value in schema['enum'])}.\n"
    needed = schema.get("required", ())
    rows = [
        (f"`{name}`", _kind(field, used), _default(field) or ("needed" if name in needed else ""),
         field.get("description", ""))
        for name, field in schema.get("properties", {}).items()
    ]  # fmt: skip
    return _table(("Field", "Type", "Default", "Meaning"), rows)


def _kind(schema: Any, used: dict[str, Any]) -> str:
    """A type in a few words; the name of a shape of ours is a link to it."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        used[name] = True
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        kinds = [_kind(each, used) for each in schema["anyOf"] if each.get("type") != "null"]
        return " or ".join(kinds)
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        inner = _kind(schema.get("items", {}), used)
        return f"list of {inner}" if inner else "list"
    return str(schema.get("format") or schema.get("type") or "")


def _default(schema: Any) -> str:
    default = schema.get("default")
    return (
        "" if default is None else f"`{default}`".replace("True", "true").replace("False", "false")
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in rows:
        cells = [" ".join(str(cell).split()).replace("|", "\\|") for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
