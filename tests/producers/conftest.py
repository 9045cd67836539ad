"""Measures every recording once per test run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.producers.measure import Measurement, measure
from tests.producers.truth import recordings


@pytest.fixture(scope="session")
def measurements(tmp_path_factory: pytest.TempPathFactory) -> list[Measurement]:
    folder: Path = tmp_path_factory.mktemp("producers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_SDK_DISABLED", "false")
        return [measure(recording, folder) for recording in recordings()]
