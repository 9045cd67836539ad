"""What is done to a case, and what is measured meanwhile. Runs in the case's own process.

Before a clock starts, a store of its own is written once (imports, plan caches, first
connections), the spans are built, and `gc.collect(); gc.freeze()` moves all that out of the
collector's sight: an application does not hold tens of thousands of ended spans. The collector
then stays on, because applications do not freeze, and what it costs is in the figures.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from cases import CASES, Case, Noop, Subject
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from workload import PLAIN_SPANS_PER_TASK, SPANS_PER_TASK, Orchestrator, prebuilt, tracer

BATCH = 512
WARM_UP_TASKS = 400
BURST_TASKS = 600
"""Between two flushes in `memory`: 1,800 spans, which a default queue of 2,048 can hold."""

Figures = dict[str, float | int | None]


@dataclass(frozen=True)
class Job:
    """One case in one mode, once."""

    mode: str
    case: str
    folder: Path
    port: int
    tasks: int
    pairs: int = 1
    spin: int = 0

    @property
    def subject(self) -> Subject:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self._case.build(self.folder, self.port)

    @property
    def _case(self) -> Case:
        return CASES[self.case]

    def stored(self) -> int | None:
        return self._case.stored(self.folder) if self._case.stored is not None else None


def run(job: Job) -> Figures:
    return _MODES[job.mode](job)


def direct(job: Job) -> Figures:
    """Ended spans in batches of 512, then force_flush; CPU of all threads of the process."""
    spans = prebuilt(job.tasks)
    _warm_up(job, spans)
    figures = _export(job, spans)
    return figures | {"tasks_stored": job.stored()}


def low(job: Job) -> Figures:
    """One task, one flush, and again: an application with little to do."""
    spans = prebuilt(job.tasks)
    _warm_up(job, spans)
    subject = job.subject
    half_bytes = 0
    cpu = time.process_time()
    for task in range(job.tasks):
        first = task * SPANS_PER_TASK
        subject.give(spans[first : first + SPANS_PER_TASK])
        subject.flush()
        if task + 1 == job.tasks // 2:
            half_bytes = bytes_in(job.folder)
    cpu = time.process_time() - cpu
    subject.close()
    size = bytes_in(job.folder)
    return {
        "bytes_per_task": size / job.tasks,
        "bytes_per_further_task": (size - half_bytes) / (job.tasks - job.tasks // 2),
        "cpu_ms_per_task": cpu / job.tasks * 1e3,
        "tasks_stored": job.stored(),
    }


def plain(job: Job) -> Figures:
    """The same tasks without and with ten plain spans each, one after the other."""
    bare_spans, full_spans = prebuilt(job.tasks), prebuilt(job.tasks, plain=True)
    _warm_up(job, full_spans)
    bare = _export(_in(job, "bare"), bare_spans)
    full_job = _in(job, "full")
    full = _export(full_job, full_spans)
    extra_cpu = (full["cpu_us_per_span"] or 0) * len(full_spans)
    extra_cpu -= (bare["cpu_us_per_span"] or 0) * len(bare_spans)
    return {
        "cpu_us_per_span": full["cpu_us_per_span"],
        "cpu_us_per_plain_span": extra_cpu / job.tasks / PLAIN_SPANS_PER_TASK,
        "bytes_per_task_extra": (full["bytes_per_task"] or 0) - (bare["bytes_per_task"] or 0),
        "tasks_stored": full_job.stored(),
    }


def contend(job: Job) -> Figures:
    """An application at work, with and without the exporter by turns, in one process.

    Each task is about 1 ms of Python and its three spans. Each segment ends with a flush that
    no task waits for, so that a drain does not fall into the control's turn.
    """
    control_processor = BatchSpanProcessor(Noop())
    subject = job.subject
    case_processor = subject.as_processor()
    control = Orchestrator(tracer(control_processor))
    case = Orchestrator(tracer(case_processor))
    control_times: list[float] = []
    case_times: list[float] = []
    control_cpu = case_cpu = 0.0
    for turn in range(job.pairs + 1):
        if turn == 1:  # the first pair was the warm-up
            gc.collect()
            gc.freeze()
            control_times, case_times, control_cpu, case_cpu = [], [], 0.0, 0.0
        cpu = time.process_time()
        control_times += _busy(control, job)
        control_processor.force_flush()
        control_cpu += time.process_time() - cpu
        cpu = time.process_time()
        case_times += _busy(case, job)
        case_processor.force_flush()
        subject.flush()
        case_cpu += time.process_time() - cpu
    spans = job.pairs * job.tasks * SPANS_PER_TASK
    emitted = case.done * SPANS_PER_TASK
    control_p99, case_p99 = _p99(control_times), _p99(case_times)
    control_processor.shutdown()
    case_processor.shutdown()
    return {
        "p99_ms": case_p99 * 1e3,
        "p99_control_ms": control_p99 * 1e3,
        "p99_ratio": case_p99 / control_p99,
        "max_ms": max(case_times) * 1e3,
        "max_control_ms": max(control_times) * 1e3,
        "task_wall_ratio": sum(case_times) / sum(control_times),
        "extra_cpu_us_per_span": (case_cpu - control_cpu) / spans * 1e6,
        "dropped_percent": _dropped(subject, job, emitted),
    }


def flood(job: Job) -> Figures:
    """Two bursts as fast as they can be emitted, through a default queue of 2,048 spans.

    Nothing is warmed up: in the first burst an exporter meets its own imports.
    """
    subject = job.subject
    processor = subject.as_processor()
    orchestrator = Orchestrator(tracer(processor))
    bursts: list[Figures] = []
    arrived_before = 0
    for _ in range(2):
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(job.tasks):
            orchestrator.task()
        emitting = time.perf_counter() - wall
        processor.force_flush()
        subject.flush()
        lag = time.perf_counter() - wall - emitting
        cpu = time.process_time() - cpu
        arrived = _arrived(subject, job)
        spans = job.tasks * SPANS_PER_TASK
        bursts.append(
            {
                "dropped_percent": 100 * (1 - (arrived - arrived_before) / spans),
                "emit_wall_us_per_span": emitting / spans * 1e6,
                "cpu_us_per_span": cpu / spans * 1e6,
                "lag_seconds": lag,
            }
        )
        arrived_before = arrived
    processor.shutdown()
    first, second = bursts
    return second | {
        "dropped_first_percent": first["dropped_percent"], "tasks_stored": job.stored()
    }  # fmt: skip


def memory(job: Job) -> Figures:
    """Peak resident memory of an application that emits bursts which its queue can hold."""
    subject = job.subject
    processor = subject.as_processor()
    orchestrator = Orchestrator(tracer(processor))
    while orchestrator.done < job.tasks:
        for _ in range(BURST_TASKS):
            orchestrator.task()
        processor.force_flush()
    subject.flush()
    processor.shutdown()
    return {
        "peak_mb": peak_resident_bytes() / 1e6,
        "dropped_percent": _dropped(subject, job, orchestrator.done * SPANS_PER_TASK),
    }


def _warm_up(job: Job, spans: list[ReadableSpan]) -> None:
    warm = _in(job, "warm-up").subject
    for first in range(0, min(len(spans), WARM_UP_TASKS * SPANS_PER_TASK), BATCH):
        warm.give(spans[first : first + BATCH])
    warm.flush()
    warm.close()
    gc.collect()
    gc.freeze()


def _in(job: Job, name: str) -> Job:
    folder = job.folder.with_name(f"{job.folder.name}-{name}")
    return Job(job.mode, job.case, folder, job.port, job.tasks)


def _export(job: Job, spans: list[ReadableSpan]) -> Figures:
    batches = [spans[first : first + BATCH] for first in range(0, len(spans), BATCH)]
    subject = job.subject
    wall, cpu, thread = time.perf_counter(), time.process_time(), time.thread_time()
    for batch in batches:
        subject.give(batch)
    thread_exporting = time.thread_time() - thread
    subject.flush()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    subject.close()
    return {
        "cpu_us_per_span": cpu / len(spans) * 1e6,
        "export_thread_us_per_span": thread_exporting / len(spans) * 1e6,
        "spans_per_second": len(spans) / wall,
        "bytes_per_task": bytes_in(job.folder) / job.tasks,
    }


def _busy(orchestrator: Orchestrator, job: Job) -> list[float]:
    clock = time.perf_counter
    times = []
    for _ in range(job.tasks):
        start = clock()
        spin(job.spin)
        orchestrator.task()
        times.append(clock() - start)
    return times


def spin(rounds: int) -> int:
    """Python work that holds the GIL."""
    total = 0
    for number in range(rounds):
        total += number
    return total


def rounds_per_millisecond() -> int:
    """How many rounds of `spin` take 1 ms here, by the quickest of some tries."""
    quickest = float("inf")
    for _ in range(15):
        start = time.perf_counter()
        spin(100_000)
        quickest = min(quickest, time.perf_counter() - start)
    return int(100_000 * 1e-3 / quickest)


def _p99(times: list[float]) -> float:
    return quantiles(times, n=100, method="inclusive")[98]


def _arrived(subject: Subject, job: Job) -> int:
    """Spans that reached the exporter; for a processor, those that reached the store."""
    if subject.exporter is not None:
        return subject.handed
    return (job.stored() or 0) * SPANS_PER_TASK


def _dropped(subject: Subject, job: Job, emitted: int) -> float:
    return 100 * (1 - _arrived(subject, job) / emitted)


def bytes_in(folder: Path) -> int:
    """Bytes of all files, lock, key, log and spool included."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def peak_resident_bytes() -> int:
    """The most memory that was resident so far. Linux only."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmHWM")


_MODES: dict[str, Callable[[Job], Figures]] = {
    "direct": direct,
    "low": low,
    "plain": plain,
    "contend": contend,
    "flood": flood,
    "memory": memory,
}
