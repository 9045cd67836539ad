"""Measures the exporter beside its peers and limits: one command, one table, one run.

    python benchmarks/run.py            # about half an hour; leave the machine alone meanwhile
    python benchmarks/run.py --quick    # some minutes; says whether something broke, no more

Every measurement has a process and a folder of its own. A round measures all cases once, in an
order that turns with the round, so that a slow minute of the machine falls on all of them;
ratios are of one round.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import tables
from cases import CASES, JSON_FILE, has_json_file
from modes import rounds_per_millisecond
from results import Figure, Results

TIMEOUT_SECONDS = 900
_PACKAGES = (
    "otel-learning", "duckdb", "pyarrow", "pydantic", "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-http", "opentelemetry-exporter-otlp-proto-grpc", "grpcio",
)  # fmt: skip


@dataclass(frozen=True)
class Effort:
    """How often a mode is measured, and on how many tasks."""

    rounds: int
    tasks: int
    pairs: int = 1


FULL = {
    "direct": Effort(5, 20_000),
    "low": Effort(3, 300),
    "plain": Effort(5, 5_000),
    "flood": Effort(5, 4_000),
    "memory": Effort(3, 20_000),
    "contend": Effort(5, 2_000, pairs=4),
}
QUICK = {
    "direct": Effort(2, 4_000),
    "low": Effort(1, 300),
    "plain": Effort(2, 1_500),
    "flood": Effort(3, 2_000),
    "memory": Effort(1, 6_000),
    "contend": Effort(1, 1_500, pairs=2),
}


def main() -> int:
    options = _options()
    plan = QUICK if options.quick else FULL
    modes = options.modes.split(",") if options.modes else list(plan)
    cases = options.cases.split(",") if options.cases else list(CASES)
    unknown = [name for name in (*modes, *cases) if name not in plan and name not in CASES]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; modes: {', '.join(plan)}; "
              f"cases: {', '.join(CASES)}", file=sys.stderr)  # fmt: skip
        return 2
    if JSON_FILE in cases and not options.json_python and not has_json_file():
        cases.remove(JSON_FILE)
        print("the OTLP JSON file exporter is not installed and left out (see --json-python)",
              file=sys.stderr)  # fmt: skip
    results = Results(_about(options))
    failures = 0
    for mode in modes:
        effort = plan[mode]
        tasks = (options.tasks or effort.tasks) if mode == "direct" else effort.tasks
        for turn in range(options.rounds or effort.rounds):
            chosen = [name for name in cases if mode in CASES[name].modes]
            first = turn % max(1, len(chosen))
            for case in chosen[first:] + chosen[:first]:
                figures = _measure(mode, case, tasks, effort, results.about["spin"], options)
                if figures is None:
                    failures += 1
                else:
                    results.add(mode, case, turn, tasks, figures)
            print(f"{mode}: round {turn + 1} done, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    results.about["seconds"] = round(time.time() - results.about.pop("_started"))
    results.about["load_after"] = os.getloadavg()[0]
    if options.json:
        results.save(options.json)
    print(tables.cases(results), tables.targets(results), sep="\n\n")
    for line in tables.stored(results):
        print(f"\nNOT ALL STORED: {line}")
        failures += 1
    return 1 if failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few rounds on few tasks")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement here")
    parser.add_argument("--modes", help=f"some of {','.join(FULL)}")
    parser.add_argument("--cases", help=f"some of {','.join(CASES)}")
    parser.add_argument("--rounds", type=int, help="rounds of every mode")
    parser.add_argument("--tasks", type=int, help="tasks of the mode `direct`")
    parser.add_argument("--dir", type=Path, help="where stores are written; on a real disk")
    parser.add_argument(
        "--json-python", metavar="PYTHON",
        help="an interpreter that has opentelemetry-exporter-otlp-json-file",
    )  # fmt: skip
    return parser.parse_args()


def _about(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "_started": time.time(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": shlex.join(["python", "benchmarks/run.py", *sys.argv[1:]]),
        "quick": options.quick,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "commit": _commit(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "spin": rounds_per_millisecond(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    """The commit of the package that is imported, with a plus where files differ from it."""
    package = importlib.util.find_spec("otel_learning")
    if package is None or package.origin is None:
        return "unknown"
    here = Path(package.origin).parent
    questions = ("rev-parse", "--short", "HEAD"), ("status", "--porcelain", ".")
    asked = []
    for question in questions:
        try:
            answer = subprocess.run(
                ["git", *question], cwd=here, capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return "unknown"
        asked.append(answer.stdout.strip())
    head, changed = asked
    return head + ("+" if changed else "")


def _measure(
    mode: str, case: str, tasks: int, effort: Effort, spin: int, options: argparse.Namespace
) -> dict[str, Figure] | None:
    """One case once; None, and why on stderr, where it failed."""
    folder = Path(tempfile.mkdtemp(prefix="otel-learning-benchmark-", dir=options.dir))
    job = {
        "mode": mode, "case": case, "folder": str(folder / "case"), "tasks": tasks,
        "pairs": effort.pairs, "spin": spin,
    }  # fmt: skip
    python = options.json_python if case == JSON_FILE and options.json_python else sys.executable
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    try:
        done = subprocess.run(
            [python, str(Path(__file__).with_name("worker.py")), json.dumps(job)],
            capture_output=True, text=True, env=environment, timeout=TIMEOUT_SECONDS, check=False,
        )  # fmt: skip
        lines = [line for line in done.stdout.splitlines() if line.startswith("FIGURES ")]
        if lines:
            return dict(json.loads(lines[0].removeprefix("FIGURES ")))
        why = done.stderr[-1500:]
    except subprocess.TimeoutExpired:
        why = f"no answer within {TIMEOUT_SECONDS} s"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"FAILED: {case} in {mode}: {why}", file=sys.stderr)
    return None


if __name__ == "__main__":
    sys.exit(main())
