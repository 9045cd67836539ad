"""What a call costs where nobody said: by a table that is installed, or not at all."""

from __future__ import annotations

import pytest

from otel_learning.mapping.pricing import price


def test_a_known_model_has_a_price() -> None:
    """More tokens cost more, and output more than input."""
    little, much = price("gpt-4o", "openai", 1000, 0), price("gpt-4o", "openai", 2000, 0)
    answered = price("gpt-4o", "openai", 1000, 1000)

    assert little and much and answered
    assert much == pytest.approx(2 * little)
    assert answered > much


@pytest.mark.parametrize("model", ["openai/gpt-4o", "gpt-4o-2024-08-06", "gpt-4o"])
@pytest.mark.parametrize("provider", ["openai", None, "nobody"])
def test_names_are_understood(model: str, provider: str | None) -> None:
    """A provider's prefix, a date, and a missing or odd provider do not hide the price."""
    assert price(model, provider, 1000, 0) == pytest.approx(price("gpt-4o", "openai", 1000, 0))


def test_cached_tokens_are_cheaper() -> None:
    """Tokens read from a cache are priced as such, and never more of them than there are."""
    full, cached = price("gpt-4o", "openai", 1000, 0), price("gpt-4o", "openai", 1000, 0, 800)

    assert full and cached
    assert cached < full
    assert price("gpt-4o", "openai", 10, 0, 999) is not None


@pytest.mark.parametrize("model", ["home-made-1", "", "/", "💥"])
def test_an_unknown_model_has_none(model: str) -> None:
    """R4: a model without a price has none; nothing is guessed."""
    assert price(model, None, 1000, 1000) is None


def test_nothing_used_costs_nothing() -> None:
    """No tokens of a known model cost zero."""
    assert price("gpt-4o", "openai", 0, 0) == 0
