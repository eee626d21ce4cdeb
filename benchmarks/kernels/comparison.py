"""An artifact and ONNX Runtime by turns on one core, each with one thread."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from clockwork_triton.artifact.difference import difference
from clockwork_triton.artifact.manifest import Manifest
from clockwork_triton.datatypes import numpy_dtype
from converters.execute import LoadedArtifact

Array = np.ndarray[Any, Any]

# Least time for each side: short models run more often, so that their medians are as steady.
LEAST_NS = 500_000_000


@dataclass(frozen=True)
class Comparison:
    """Median times, the median over the rounds of our time to theirs, and times over the median.

    `error`: the largest difference of an output, relative to the output's largest magnitude.
    """

    model: str
    batch: int
    rounds: int
    ours_ms: float
    theirs_ms: float
    ratio: float
    ours_p99: float
    theirs_p99: float
    error: float
    cpu_time: bool = False
    """Whether times are the thread's on its core, and not the clock's: for a machine that has other work."""


def compare(name: str, folder: Path, batch: int, rounds: int, *, cpu_time: bool = False) -> Comparison:
    """At least `rounds` rounds of the artifact that `conversion.convert` left in `folder`."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    artifact = LoadedArtifact(folder / "artifact")
    session = _session(folder / "model.onnx")
    inputs = _inputs(artifact.manifest, batch)
    feeds = {tensor.name: x for tensor, x in zip(artifact.manifest.inputs, inputs, strict=True)}
    names = [tensor.name for tensor in artifact.manifest.outputs]
    pairs = zip(session.run(names, feeds), artifact.run(batch, inputs), strict=True)
    error = max(difference(theirs, ours) for theirs, ours in pairs)
    clock = time.thread_time_ns if cpu_time else time.perf_counter_ns
    ours: list[int] = []
    theirs: list[int] = []
    turns = [(ours, lambda: artifact.infer(batch)), (theirs, lambda: session.run(names, feeds))]
    while len(ours) < rounds or min(sum(ours), sum(theirs)) < LEAST_NS:
        for times, run in turns:
            begin = clock()
            run()
            times.append(clock() - begin)
        # Who runs first finds the caches as the other left them, and so in turn.
        turns.reverse()
    return Comparison(
        name,
        batch,
        len(ours),
        statistics.median(ours) / 1e6,
        statistics.median(theirs) / 1e6,
        statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
        _tail(ours),
        _tail(theirs),
        error,
        cpu_time,
    )


@dataclass(frozen=True)
class Growth:
    """The median time of each batch size, in the batch sizes' order."""

    model: str
    rounds: int
    batches: Sequence[int]
    ms: Sequence[float]


def growth(name: str, folder: Path, batches: Sequence[int], rounds: int) -> Growth:
    """Batch sizes by turns, so that the machine's moods are the same for all."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    artifact = LoadedArtifact(folder / "artifact")
    times: dict[int, list[int]] = {batch: [] for batch in batches}
    for batch in batches:
        artifact.run(batch, _inputs(artifact.manifest, batch))
    for _ in range(rounds):
        for batch in batches:
            begin = time.perf_counter_ns()
            artifact.infer(batch)
            times[batch].append(time.perf_counter_ns() - begin)
    return Growth(name, rounds, batches, [statistics.median(times[batch]) / 1e6 for batch in batches])


def _tail(times: list[int]) -> float:
    """p99 over p50."""
    return float(np.percentile(times, 99) / np.percentile(times, 50))


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _inputs(manifest: Manifest, batch: int) -> list[Array]:
    """Normal floats, and integers that are valid as tokens and as masks."""
    rng = np.random.default_rng(0)
    inputs: list[Array] = []
    for tensor in manifest.inputs:
        dtype = numpy_dtype(tensor.dtype)
        shape = (batch, *tensor.shape)
        normal = rng.standard_normal(shape) if dtype.kind == "f" else rng.integers(0, 2, shape)
        inputs.append(normal.astype(dtype))
    return inputs
