"""Starts the demo's orchestrator under whatever the environment switches on.

This does what `opentelemetry-instrument` does before it starts a program: it lets the SDK
configure itself from the variables. The orchestrator below it has no part in that.
"""

from __future__ import annotations

import time

from opentelemetry.sdk._configuration import _OTelSDKConfigurator

from otel_learning.cli.demo.orchestrator import SECOND, Orchestrator

TASKS = 90
PAUSE_SECONDS = 25 * 60


def main() -> None:
    # opentelemetry-distro, which does this for any program, is not part of the base install.
    _OTelSDKConfigurator().configure(auto_instrumentation_version=None)  # type: ignore[no-untyped-call]
    now = time.time_ns()
    start = now - round(TASKS * PAUSE_SECONDS * 1.15) * SECOND
    Orchestrator(seed=7, start_ns=start, prefix=f"demo-{now // SECOND:x}").run(TASKS, PAUSE_SECONDS)


if __name__ == "__main__":
    main()
