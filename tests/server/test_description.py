"""The OpenAPI description is valid, whole, and true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from openapi_spec_validator import OpenAPIV31SpecValidator

from otel_learning.server.app import PARTS, create_app
from tests.server.serving import Server


@pytest.fixture
def description(tmp_path: Path) -> dict[str, Any]:
    return create_app(tmp_path / "learning.duckdb").openapi()


def test_it_is_valid(description: dict[str, Any]) -> None:
    """It is OpenAPI 3.1, as a validator of others reads it."""
    assert description["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(description).validate()


def test_every_route_is_in_it(description: dict[str, Any]) -> None:
    """What can be asked is described, each with a summary of its own and a shape of its answer."""
    routes = [
        (route.path, method.lower(), route)
        for part in PARTS
        for route in part.router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    ]

    assert len(routes) > 15
    for path, method, route in routes:
        described = description["paths"][path][method]
        assert described["description"], path
        assert route.include_in_schema
        answer = described["responses"]["200"]
        assert answer.get("content"), path
        if path.startswith("/api/"):
            assert answer["content"]["application/json"]["schema"] != {}, path


def test_the_server_gives_it(server: Server) -> None:
    """`/openapi.json` is that description; there are no pages that load scripts from elsewhere."""
    status, told = server.ask("/openapi.json")

    assert (status, told["info"]["title"]) == (200, "otel-learning")
    assert server.ask("/docs")[0] == server.ask("/redoc")[0] == 404
