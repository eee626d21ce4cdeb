"""What is measured of one model on one GPU, with the worker's own code."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.kit import Model
from benchmarks.gpu.results import Busy, Failure, Infer, Load, Plain, Times
from clockwork_triton.artifact import Manifest
from clockwork_triton.artifact.anonymous import AnonymousMemory
from clockwork_triton.artifact.expectation import Expectation
from clockwork_triton.controller.estimates import DurationEstimate
from clockwork_triton.transport.messages import Stages
from clockwork_triton.worker.cuda.driver import Driver

WARM_UP = 20
LOADS = 50
PLAIN_RUNS = 1000

Open = Callable[[], Driver]


def infers(
    model: Model, open_driver: Open, runs: int, until: float, **device: Any
) -> Iterator[Infer | Failure]:
    """Correctness and times: `runs` INFERs of each batch size, or as many as there is time for until `until`
    (time.monotonic()), shared evenly. `device`: more for CudaDevice."""
    expectation = Expectation.read(model.artifact, Manifest.read(model.artifact))
    assert expectation is not None, "a kit is converted for a device that is not there"
    with closing(Bench(model.artifact, open_driver(), **device)) as bench:
        bench.load()
        for number, batch in enumerate(model.batches):
            share = (until - time.monotonic()) / (len(model.batches) - number)
            try:
                yield _infer(model, bench, batch, expectation, runs, share)
            except Exception as error:
                yield failure(f"infer {model.key} {batch}", error)


def _infer(
    model: Model, bench: Bench, batch: int, expectation: Expectation, runs: int, seconds: float
) -> Infer:
    bench.put(batch, model.arrays(batch, "in"))
    bench.infer(batch)
    found, allowed = None, max(expectation.tolerances)
    if model.weights:
        wanted = model.arrays(batch, "out")
        have = [flat.reshape(want.shape) for flat, want in zip(bench.outputs(batch), wanted, strict=True)]
        found, number = expectation.worst(wanted, have)
        allowed = expectation.tolerances[number]
    _warm_up(bench, batch, runs)
    begin = time.perf_counter_ns()
    stages = _runs(bench, batch, runs, seconds)
    elapsed = (time.perf_counter_ns() - begin) / len(stages)
    durations = [run.end_ns - run.begin_ns for run in stages]
    times = Times.of(durations)
    copies = [
        run.input_end_ns - run.input_begin_ns + run.output_end_ns - run.output_begin_ns for run in stages
    ]
    over, under = _prediction_errors(durations)
    steps = bench.manifest.variants[batch].steps
    launches = sum(len(bench.manifest.launches[step.kernel]) for step in steps)
    around = elapsed / 1e3 - times.p50
    return Infer(model.key, batch, launches, found, allowed, times, over, under, Times.of(copies).p50, around)


def _warm_up(bench: Bench, batch: int, runs: int) -> None:
    for _ in range(min(WARM_UP, runs)):
        bench.infer(batch)


def _runs(bench: Bench, batch: int, runs: int, seconds: float) -> list[Stages]:
    """At least one; what is in the slot stays as it is."""
    found: list[Stages] = []
    end = time.monotonic() + seconds
    while len(found) < runs and (not found or time.monotonic() < end):
        found.append(bench.infer(batch))
    return found


def _times(bench: Bench, batch: int, runs: int, seconds: float) -> Times:
    _warm_up(bench, batch, runs)
    return Times.of([run.end_ns - run.begin_ns for run in _runs(bench, batch, runs, seconds)])


def _prediction_errors(durations: Sequence[int]) -> tuple[float, float]:
    """As the controller predicts: from the ten last runs of the same batch size."""
    estimate = DurationEstimate(durations[0])
    errors = []
    for measured_ns in durations:
        errors.append(measured_ns - estimate.expected_ns)
        estimate.add(measured_ns)
    over = [max(0, -error) for error in errors]
    under = [max(0, error) for error in errors]
    return Times.of(over).p99, Times.of(under).p99


def loads(model: Model, open_driver: Open, **device: Any) -> Iterator[Load]:
    """LOADs to the same pages, and by turns to one place and another."""
    driver = open_driver()
    manifest = Manifest.read(model.artifact)
    free = driver.available()
    raw_rate = _raw_rate(driver, manifest.weight_bytes)
    with closing(Bench(model.artifact, driver, **device)) as bench:
        memory = {
            "weights": bench.device.pages * bench.device.page_bytes,
            "workspace": bench.device.workspace_bytes,
            "slot": max(manifest.slot(size).bytes for size in manifest.batch_sizes),
        }
        unaccounted = free - driver.available() - sum(memory.values())
        bench.load()
        still = Times.of([bench.load() for _ in range(LOADS)])
        moved = Times.of([bench.load(1 - number % 2) for number in range(LOADS)])
    yield Load(model.key, manifest.weight_bytes, still, moved, raw_rate, memory, unaccounted)


def _raw_rate(driver: Driver, size: int) -> float:
    """One pinned copy of as many bytes, in GB/s: the median of as many as there are LOADs."""
    memory = AnonymousMemory(size)
    memory.bytes[:] = 1
    address, stream = driver.allocate(size), driver.stream(0)
    begin, end = driver.event(), driver.event()
    driver.pin(memory.address, size)
    durations = []
    for _ in range(LOADS):
        driver.record(begin, stream)
        driver.copy_in(address, memory.address, size, stream)
        driver.record(end, stream)
        while not driver.happened(end):
            pass
        durations.append(driver.elapsed_ns(begin, end))
    driver.unpin(memory.address)
    driver.free(address)
    return size / (Times.of(durations).p50 * 1e3)


def busy(model: Model, open_driver: Open, runs: int, until: float, **device: Any) -> Iterator[Busy | Failure]:
    """INFERs of the smallest batch size while a second model is LOADed by another thread, as in a worker."""
    batch = model.batches[0]
    with closing(Bench(model.artifact, open_driver(), places=3, copies=2, **device)) as bench:
        bench.load()
        bench.put(batch, model.arrays(batch, "in"))
        bench.infer(batch)
        with _loading(bench) as done:
            times = _times(bench, batch, runs, until - time.monotonic())
        *counts, last = done
        if isinstance(last, Exception):
            yield failure(f"busy {model.key} {batch}", last)
        else:
            yield Busy(model.key, batch, times, len(counts) + 1)


@contextmanager
def _loading(bench: Bench) -> Iterator[list[int | Exception]]:
    """LOADs the second model by turns to the second and third place until the block ends: their durations,
    and what went wrong last."""
    done: list[int | Exception] = []
    ended = threading.Event()

    def run() -> None:
        # Only the thread of INFERs is a real-time one, and this one inherits.
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        try:
            while not (ended.is_set() and done):
                done.append(bench.load(1 + len(done) % 2, 2))
        except Exception as error:
            done.append(error)

    thread = threading.Thread(target=run, name="load")
    thread.start()
    try:
        yield done
    finally:
        ended.set()
        thread.join()


def plain(
    model: Model, open_driver: Open, runs: int, until: float, **device: Any
) -> Iterator[Plain | Failure]:
    with closing(Bench(model.artifact, open_driver(), graphs=False, **device)) as bench:
        bench.load()
        for number, batch in enumerate(model.batches):
            share = (until - time.monotonic()) / (len(model.batches) - number)
            try:
                bench.put(batch, model.arrays(batch, "in"))
                yield Plain(model.key, batch, _times(bench, batch, min(runs, PLAIN_RUNS), share))
            except Exception as error:
                yield failure(f"plain {model.key} {batch}", error)


def failure(what: str, error: BaseException) -> Failure:
    return Failure(what, f"{type(error).__name__}: {error}")
