"""What the contract and durability tests are run under, beside the usual environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

OLDEST_SDK: Final = "1.39.0"
"""The log exporter's base class has its name, `LogRecordExporter`, since this release."""
OLDEST_CONTRIB: Final = "0.60b0"
"""The packages that are released along with it."""


@dataclass(frozen=True)
class Leg:
    """One environment."""

    name: str
    python: str = "3.11"
    pins: tuple[str, ...] = ()
    """Requirements that hold in it alone."""
    extras: str = "[auto]"


LEGS: Final = (
    Leg("python-3.12", python="3.12"),
    Leg("python-3.13", python="3.13"),
    Leg("duckdb-1.5.5", pins=("duckdb==1.5.5",)),
    Leg(
        "oldest-sdk",
        pins=(
            f"opentelemetry-api=={OLDEST_SDK}",
            f"opentelemetry-sdk=={OLDEST_SDK}",
            f"opentelemetry-proto=={OLDEST_SDK}",
            f"opentelemetry-exporter-otlp-proto-common=={OLDEST_SDK}",
            f"opentelemetry-distro=={OLDEST_CONTRIB}",
            f"opentelemetry-instrumentation=={OLDEST_CONTRIB}",
        ),
        extras="",  # the declarative file is read by a package that is younger
    ),
)
