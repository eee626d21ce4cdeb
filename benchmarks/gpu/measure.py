"""What is measured of one model on one GPU, with the worker's own code."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.gpu.kit import Model
from clockwork_triton.artifact import Manifest
from clockwork_triton.artifact.anonymous import AnonymousMemory
from clockwork_triton.artifact.difference import difference
from clockwork_triton.artifact.expectation import Expectation
from clockwork_triton.controller.estimates import DurationEstimate
from clockwork_triton.datatypes import numpy_dtype
from clockwork_triton.worker.cuda.device import CudaDevice
from clockwork_triton.worker.cuda.driver import Driver
from clockwork_triton.worker.device import Device, DeviceOptions
from clockwork_triton.worker.profiler import Subject, subject

WARM_UP = 20
LOADS = 50
PLAIN_RUNS = 1000


@dataclass(frozen=True)
class Times:
    """Of `count` runs, in microseconds; percentiles by the nearest rank."""

    count: int
    p50: float
    p99: float
    p9999: float
    longest: float

    @classmethod
    def of(cls, durations_ns: Sequence[int]) -> Times:
        ordered = np.sort(np.asarray(durations_ns)) / 1e3

        def rank(percent: float) -> float:
            return float(ordered[max(0, int(np.ceil(percent / 100 * len(ordered))) - 1)])

        return cls(len(ordered), rank(50), rank(99), rank(99.99), float(ordered[-1]))

    @property
    def spread(self) -> float:
        """How far p99.99 is from the median, as a part of it."""
        return self.p9999 / self.p50 - 1


@dataclass(frozen=True)
class BatchResult:
    """`difference` from ONNX Runtime, relative to the output's largest magnitude, None where weights are
    random. `plain`: launched kernel by kernel in place of as a graph. `over`, `under`: the 99th percentiles
    of how much shorter and longer an INFER was than predicted, in microseconds. `around`: what a call took
    beside the execution, copies included, on average."""

    batch: int
    difference: float | None
    right: bool
    infer: Times
    plain: Times
    over: float
    under: float
    around: float


@dataclass(frozen=True)
class ModelResult:
    """Rates in GB/s. `memory`: bytes that the device took, by what for; `unaccounted`: what the driver has
    less than before besides."""

    name: str
    precision: str
    kind: str
    launches: int
    batches: tuple[BatchResult, ...]
    load: Times
    load_rate: float
    raw_rate: float
    memory: dict[str, int]
    unaccounted: int


def measure(
    model: Model, open_driver: Callable[[], Driver], runs: int, seconds: float, **device: Any
) -> ModelResult:
    """`runs` INFERs of each batch size, or as many as `seconds` admit; `device`: more for CudaDevice."""
    driver = open_driver()
    free = driver.available()
    raw_rate = _raw_rate(driver, Manifest.read(model.artifact).weight_bytes)

    def opener(_: str, options: DeviceOptions) -> Device:
        return CudaDevice(options, driver, **device)

    manifest = Manifest.read(model.artifact)
    with subject(model.artifact, "cuda", opener) as measured:
        memory = {
            "weights": measured.device.pages * measured.device.page_bytes,
            "workspace": measured.device.workspace_bytes,
            "slot": max(manifest.slot(size).bytes for size in manifest.batch_sizes),
        }
        unaccounted = free - driver.available() - sum(memory.values())
        loads = [measured.load() for _ in range(LOADS)]
        infers = {batch: _infer(model, measured, batch, runs, seconds) for batch in model.batches}
        kind = measured.device.kind
    plain_driver = open_driver()
    with subject(
        model.artifact, "cuda", lambda _, options: CudaDevice(options, plain_driver, graphs=False, **device)
    ) as measured:
        measured.load()
        plain = {
            batch: Times.of(_durations(measured, batch, min(runs, PLAIN_RUNS), seconds))
            for batch in model.batches
        }
    expectation = Expectation.read(model.artifact, manifest)
    assert expectation is not None, "a kit is converted for a device that is not there"
    allowed = expectation.tolerance
    results = tuple(
        BatchResult(batch, found, found is None or found <= allowed, times, plain[batch], over, under, around)
        for batch, (found, times, over, under, around) in infers.items()
    )
    load = Times.of(loads)
    return ModelResult(
        model.name,
        model.precision,
        kind,
        sum(len(manifest.launches[step.kernel]) for step in manifest.variants[model.batches[0]].steps),
        results,
        load,
        manifest.weight_bytes / (load.p50 * 1e3),
        raw_rate,
        memory,
        unaccounted,
    )


def _infer(
    model: Model, measured: Subject, batch: int, runs: int, seconds: float
) -> tuple[float | None, Times, float, float, float]:
    measured.feed(batch, [array.tobytes() for array in model.arrays(batch, "in")])
    measured.infer(batch)
    found = _difference(model, measured, batch) if model.weights else None
    begin = time.perf_counter_ns()
    durations = _durations(measured, batch, runs, seconds)
    elapsed = (time.perf_counter_ns() - begin) / (len(durations) + WARM_UP)
    times = Times.of(durations)
    over, under = _prediction_errors(durations)
    return found, times, over, under, elapsed / 1e3 - times.p50


def _difference(model: Model, measured: Subject, batch: int) -> float:
    tensors = Manifest.read(model.artifact).outputs
    worst = 0.0
    for tensor, data, want in zip(tensors, measured.outputs(batch), model.arrays(batch, "out"), strict=True):
        have = np.frombuffer(data, numpy_dtype(tensor.dtype)).reshape(want.shape)
        worst = max(worst, difference(want, have))
    return worst


def _durations(measured: Subject, batch: int, runs: int, seconds: float) -> list[int]:
    for _ in range(WARM_UP):
        measured.infer(batch)
    durations: list[int] = []
    end = time.monotonic() + seconds
    while len(durations) < runs and (not durations or time.monotonic() < end):
        durations.append(measured.infer(batch))
    return durations


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
