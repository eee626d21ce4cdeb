"""What is measured of one model on one GPU, with the worker's own code."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

from benchmarks.gpu.bench import SLOTS, Bench, Run
from benchmarks.gpu.kit import Model
from benchmarks.gpu.results import Failure, Infer, InferTimes, Load, OneSlot, Plain, Times
from clockwork_triton.artifact import Manifest
from clockwork_triton.artifact.anonymous import AnonymousMemory
from clockwork_triton.artifact.expectation import Expectation
from clockwork_triton.controller.estimates import DurationEstimate
from clockwork_triton.worker.cuda.driver import Driver

WARM_UP = 20
LOADS = 50
PLAIN_RUNS = 1000
ONE_SLOT_RUNS = 1000
# Of the time for a batch size, at most.
ONE_SLOT_SHARE = 0.1

Open = Callable[[], Driver]


def infers(
    model: Model, open_driver: Open, runs: int, until: float, **bench: Any
) -> Iterator[Infer | OneSlot | Failure]:
    """Correctness and times: `runs` INFERs of each batch size, or as many as there is time for until `until`
    (time.monotonic()), shared evenly; after them some from one slot. `bench`: more for Bench."""
    expectation = Expectation.read(model.artifact, Manifest.read(model.artifact))
    assert expectation is not None, "a kit is converted for a device that is not there"
    with closing(Bench(model.artifact, open_driver(), **bench)) as opened:
        opened.load()
        for number, batch in enumerate(model.batches):
            share = (until - time.monotonic()) / (len(model.batches) - number)
            few_s = ONE_SLOT_SHARE * share
            step = f"infer {model.key} {batch}"
            try:
                yield _infer(model, opened, batch, expectation, runs, share - few_s)
                step = f"one slot {model.key} {batch}"
                few = infer_times(opened, batch, min(runs, ONE_SLOT_RUNS), few_s, slots=1)
                yield OneSlot(model.key, batch, few)
            except Exception as error:
                yield failure(step, error)


def _infer(
    model: Model, bench: Bench, batch: int, expectation: Expectation, runs: int, seconds: float
) -> Infer:
    difference, allowed = _check(model, bench, batch, expectation)
    warm_up(bench, batch, runs)
    found = bench.infers(batch, runs, seconds)
    durations = [run.stages.end_ns - run.stages.begin_ns for run in found]
    copies = [
        stages.input_end_ns - stages.input_begin_ns + stages.output_end_ns - stages.output_begin_ns
        for stages in (run.stages for run in found)
    ]
    over, under = _prediction_errors(durations)
    steps = bench.manifest.variants[batch].steps
    launches = sum(len(bench.manifest.launches[step.kernel]) for step in steps)
    times = _times_of(found)
    answer_ns = sum(run.stages.output_end_ns - run.arrived_ns for run in found) / len(found)
    around = answer_ns / 1e3 - times.gpu.p50
    return Infer(
        *(model.key, batch, SLOTS, launches, difference, allowed, times, over, under),
        *(Times.of(copies).p50, around),
    )


def _check(model: Model, bench: Bench, batch: int, expectation: Expectation) -> tuple[float | None, float]:
    """How far the outputs are off in the last of the slots, and how far they may be; the inputs stay in
    all."""
    bench.put(batch, model.arrays(batch, "in"))
    for slot in range(SLOTS):
        bench.infer(batch, slot)
    if not model.weights:
        return None, max(expectation.tolerances)
    wanted = model.arrays(batch, "out")
    flat = bench.outputs(batch, SLOTS - 1)
    have = [array.reshape(want.shape) for array, want in zip(flat, wanted, strict=True)]
    found, number = expectation.worst(wanted, have)
    return found, expectation.tolerances[number]


def warm_up(bench: Bench, batch: int, runs: int) -> None:
    bench.infers(batch, min(WARM_UP, runs), math.inf)


def infer_times(
    bench: Bench,
    batch: int,
    runs: int,
    seconds: float,
    slots: int = SLOTS,
    enough: Callable[[], bool] | None = None,
) -> InferTimes:
    """Of INFERs as in Bench.infers."""
    return _times_of(bench.infers(batch, runs, seconds, slots, enough))


def _times_of(runs: Sequence[Run]) -> InferTimes:
    return InferTimes(
        Times.of([run.stages.end_ns - run.stages.begin_ns for run in runs]),
        Times.of([run.seen_ns - run.called_ns for run in runs]),
        Times.of([run.stages.output_end_ns - run.arrived_ns for run in runs]),
    )


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


def loads(model: Model, open_driver: Open, **bench: Any) -> Iterator[Load]:
    """LOADs to the same pages, and by turns to one place and another."""
    driver = open_driver()
    manifest = Manifest.read(model.artifact)
    free = driver.available()
    raw_rate = _raw_rate(driver, manifest.weight_bytes)
    with closing(Bench(model.artifact, driver, **bench)) as opened:
        memory = {
            "weights": opened.device.pages * opened.device.page_bytes,
            "workspace": opened.device.workspace_bytes,
            "slots": SLOTS * max(manifest.slot(size).bytes for size in manifest.batch_sizes),
        }
        unaccounted = free - driver.available() - sum(memory.values())
        opened.load()
        still = Times.of([opened.load() for _ in range(LOADS)])
        moved = Times.of([opened.load(1 - number % 2) for number in range(LOADS)])
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


def plain(
    model: Model, open_driver: Open, runs: int, until: float, **bench: Any
) -> Iterator[Plain | Failure]:
    with closing(Bench(model.artifact, open_driver(), graphs=False, **bench)) as opened:
        opened.load()
        for number, batch in enumerate(model.batches):
            share = (until - time.monotonic()) / (len(model.batches) - number)
            try:
                opened.put(batch, model.arrays(batch, "in"))
                warm_up(opened, batch, runs)
                yield Plain(model.key, batch, infer_times(opened, batch, min(runs, PLAIN_RUNS), share))
            except Exception as error:
                yield failure(f"plain {model.key} {batch}", error)


def failure(what: str, error: BaseException) -> Failure:
    return Failure(what, f"{type(error).__name__}: {error}")
