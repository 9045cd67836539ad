"""Shows an explanation as text: first the spans, then the executions they make."""

from __future__ import annotations

from typing import Any

from otel_learning.cli.output import cell, print_table, print_text


def print_explanation(found: dict[str, Any]) -> None:
    for span in found["spans"]:
        _span(span)
    for execution in found["executions"]:
        _execution(execution)
    if not found["executions"]:
        print_text("These spans make no execution: none names a task, a route, an agent or a call.")


def _span(span: dict[str, Any]) -> None:
    name = f" {cell(span['name'])}" if span["name"] else ""
    print_text(f"span {span['span_id']}{name}")
    if span["role"] is None:
        print_text("  left out: nothing of interest can stand below it")
    elif span["role"] == "ancestor":
        print_text("  ancestor: tells nothing itself, kept while ancestry may need it")
    else:
        print_text(f"  role {span['role']}")
    for fact in span["facts"] if span["role"] not in (None, "ancestor") else ():
        origin = f"  <- {fact['key']} ({fact['profile']})" if fact["key"] else ""
        print_text(f"  {fact['fact']} = {cell(fact['value'])}{origin}")
    if span["not_read"]:
        print_text(f"  not read: {cell(', '.join(span['not_read']))}")
    print_text()


def _execution(execution: dict[str, Any]) -> None:
    task = f", task {cell(execution['task_id'])}" if execution["task_id"] else ""
    print_text(f"execution {execution['execution_id']}{task}\n")
    print_table(
        ("column", "value", "decided by"),
        [(c["column"], c["value"], c["from"]) for c in execution["columns"]],
    )
    print_text(f"\nunknown: {', '.join(execution['unknown'])}\n")
    if execution["attempts"]:
        names = ("ordinal", "role", "reason", "model", "success", "error_type", "input_tokens",
                 "output_tokens", "span_id")  # fmt: skip
        print_table(names, [[attempt[n] for n in names] for attempt in execution["attempts"]])
        print_text()
