"""What a model call costs where its producer did not say, by the table of `genai-prices`.

The table is part of that package, so nothing is downloaded. A model it does not know has no
price: None, never a guess.
"""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=4096)
def price(
    model: str,
    provider: str | None,
    input_tokens: int,
    output_tokens: int,
    cached_tokens: int = 0,
) -> float | None:
    """The price of one call in USD.

    Args:
        model: as the response or the request names it; a `provider/` prefix is understood.
        provider: the producer's name of the provider, None where it gave none.
        input_tokens: all of them, cached ones included.
        output_tokens: all of them, reasoning included.
        cached_tokens: those of the input that were read from a cache.
    """
    from genai_prices import Usage, calc_price

    usage = Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=min(cached_tokens, input_tokens) or None,
    )
    prefix, _, bare = model.rpartition("/")
    for name, provider_id in ((bare, provider), (bare, prefix or None), (bare, None)):
        try:
            return float(calc_price(usage, name, provider_id=provider_id).total_price)
        except (LookupError, ValueError):
            continue
    return None
