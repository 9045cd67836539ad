"""The names that a user may rely on."""

from __future__ import annotations

import importlib
import inspect
from importlib.metadata import entry_points

import pytest

import otel_learning
from otel_learning import attributes, errors
from otel_learning.errors import OtelLearningError


def test_all_is_sorted_and_complete() -> None:
    """`__all__` lists each lazily loaded name once, in order, and `dir` shows them."""
    assert otel_learning.__all__ == sorted(set(otel_learning.__all__))
    assert set(otel_learning.__all__) == set(otel_learning._HOMES)
    assert set(otel_learning.__all__) <= set(dir(otel_learning))


@pytest.mark.parametrize("name", otel_learning.__all__)
def test_every_name_resolves(name: str) -> None:
    """Each public name is a class that says what it is."""
    found = getattr(otel_learning, name)

    assert inspect.isclass(found) or inspect.isfunction(found)
    assert inspect.getdoc(found)
    home = importlib.import_module(f"otel_learning.{otel_learning._HOMES[name]}")
    assert getattr(home, name) is found


def test_what_calls_answer_is_public() -> None:
    """Both databases, and the types of what they answer, can be imported from the package."""
    databases = {"LearningDatabase", "AsyncLearningDatabase"}
    answers = {"Attempt", "ExecutionDetail", "ExecutionRecord", "FeedbackRecord", "Page"}

    assert databases | answers <= set(otel_learning.__all__)


@pytest.mark.parametrize("name", ["NoSuchThing", "_private", "duckdb"])
def test_other_names_do_not(name: str) -> None:
    """A name that is none raises what Python raises, with both names in it."""
    with pytest.raises(AttributeError, match=f"otel_learning.*{name}"):
        getattr(otel_learning, name)


def test_every_public_error_is_exported() -> None:
    """Whoever catches an error can import it from the package."""
    public = {
        name
        for name, found in vars(errors).items()
        if inspect.isclass(found) and issubclass(found, OtelLearningError)
    }

    assert public <= set(otel_learning.__all__)


@pytest.mark.parametrize(
    ("group", "name"),
    [
        ("opentelemetry_traces_exporter", "LearningSpanExporter"),
        ("opentelemetry_logs_exporter", "LearningLogExporter"),
    ],
)
def test_entry_points(group: str, name: str) -> None:
    """`OTEL_TRACES_EXPORTER=learning` finds a real class that takes no arguments."""
    (found,) = entry_points(group=group, name="learning")

    assert found.load() is getattr(otel_learning, name)
    assert all(
        parameter.default is not parameter.empty or parameter.kind is parameter.VAR_KEYWORD
        for parameter in inspect.signature(found.load()).parameters.values()
    )


def test_attribute_names_are_ours() -> None:
    """Each constant is a key below `learning.`, and no two are the same."""
    # What a value may be stands beside the keys, as collections.
    found = {n: v for n, v in vars(attributes).items() if n.isupper()}
    keys = [value for value in found.values() if isinstance(value, str)]

    assert keys
    assert all(key.startswith("learning.") for key in keys)
    assert len(keys) == len(set(keys))
