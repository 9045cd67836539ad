"""The demo's orchestrator, twice: by its own thresholds, and told by a policy that learns from it.

Real spans through the real processor into a real store; only the models and the clock are made
up. Run as a program it prints the figures: `python -m tests.learning.closed_loop`.
"""

from __future__ import annotations

import random
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from otel_learning import LearningDatabase, LearningSpanProcessor
from otel_learning.cli.demo.orchestrator import Orchestrator
from otel_learning.learning import policy_keeper
from otel_learning.learning.policy_evidence import Wanted
from otel_learning.policy_reader import PolicyReader
from otel_learning.store.policy_rows import scope

START_NS: Final = round(datetime(2026, 3, 2, 8, tzinfo=UTC).timestamp() * 1e9)
COST_WEIGHT: Final = 0.05
DEAREST_USD: Final = 0.02
"""A premium task of the demo costs about this; the same measure for both runs."""
ROUNDS: Final = 8
TASKS: Final = 600
"""In one round."""
PAUSE_SECONDS: Final = 600.0


@dataclass(frozen=True)
class Round:
    """What one round of tasks came to."""

    success: float
    cost: float
    policy_version: str | None
    """In force while it ran."""

    @property
    def utility(self) -> float:
        return self.success - COST_WEIGHT * self.cost / DEAREST_USD


def run(folder: Path, seed: int, *, told: bool) -> list[Round]:
    """One run of all rounds; with `told` the policy is kept between them as in MODE=act."""
    store = folder / f"{'told' if told else 'own'}-{seed}.duckdb"
    provider = TracerProvider(
        resource=Resource({"deployment.environment.name": "demo"}), shutdown_on_exit=False
    )
    processor = LearningSpanProcessor(path=store)
    provider.add_span_processor(processor)
    orchestrator = Orchestrator(
        seed, START_NS, f"loop-{seed}", tracer_provider=provider,
        policy=PolicyReader(
            store, draw=random.Random(seed).random, clock=lambda: orchestrator.now_ns / 1e9
        ) if told else None,
    )  # fmt: skip
    wanted = Wanted(
        scope("model_tier", "complexity_score"), "demo", COST_WEIGHT, cool_down=timedelta(hours=24)
    )
    rounds, since = [], START_NS
    with LearningDatabase(store) as database:
        for _ in range(ROUNDS):
            orchestrator.run(TASKS, PAUSE_SECONDS)
            assert provider.force_flush()
            now = datetime.fromtimestamp(orchestrator.now_ns / 1e9, UTC)
            rows = database.sql(
                "SELECT avg(CAST(success AS INTEGER)), avg(actual_cost), mode(policy_version) "
                "FROM executions WHERE started_at >= ?",
                [datetime.fromtimestamp(since / 1e9, UTC)],
            )
            rounds.append(Round(*rows[0]))
            since = orchestrator.now_ns
            if told:
                for receipt in policy_keeper.tick(database, wanted, "act", now):
                    print(receipt["event"], receipt["policy_version"], receipt.get("why"),
                          file=sys.stderr)  # fmt: skip
    provider.shutdown()
    return rounds


def main() -> None:
    for seed in (1, 2, 3):
        with tempfile.TemporaryDirectory() as folder:
            own = run(Path(folder), seed, told=False)
            told = run(Path(folder), seed, told=True)
        for name, rounds in (("own", own), ("told", told)):
            print(seed, name, " ".join(f"{r.utility:.3f}" for r in rounds),
                  f"mean {sum(r.utility for r in rounds) / len(rounds):.4f}",
                  [r.policy_version for r in rounds], f"{rounds[-1].cost:.4f}",
                  f"{rounds[-1].success:.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
