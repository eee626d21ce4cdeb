"""How long compiled models take beside ONNX Runtime, on one core, and how long compiling them takes.

    python benchmarks/kernels.py [--models a,b] [--batches 1,8] [--rounds N] [--cpu-time] [--json FILE]

Each model is converted in a process of its own, whose time and largest memory are taken. Then this process,
pinned to one core, runs both by turns, each with one thread. The ratio is the median over the rounds of
our time to ONNX Runtime's; `error` is the largest difference, relative to the output's largest magnitude.
`--cpu-time` measures the processor's time instead of the clock's: for a machine that has other work.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from benchmarks.architectures import NAMES, build
from clockwork_triton.artifact.manifest import Manifest
from converters.crosscheck import difference
from converters.execute import LoadedArtifact, numpy_dtype

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Conversion:
    """What converting a model to some batch sizes took."""

    model: str
    batches: tuple[int, ...]
    seconds: float
    cpu_seconds: float
    memory_mb: int
    weights_mb: float
    kernels: int


@dataclass(frozen=True)
class Comparison:
    """Median times, the median ratio, and tails over the median."""

    model: str
    batch: int
    ours_ms: float
    theirs_ms: float
    ratio: float
    ours_p99: float
    theirs_p99: float
    error: float


def main() -> None:
    options = _options()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    clock = time.thread_time_ns if options.cpu_time else time.perf_counter_ns
    conversions, comparisons = [], []
    for name in options.models.split(","):
        batches = tuple(map(int, options.batches.split(",")))
        with tempfile.TemporaryDirectory() as scratch:
            directory = Path(scratch)
            onnx.save(build(name), directory / "model.onnx")
            conversions.append(_convert(name, directory, batches))
            print(_conversion_line(conversions[-1]), flush=True)
            for batch in batches:
                comparisons.append(_compare(name, directory, batch, options.rounds, clock))
                print(_comparison_line(comparisons[-1]), flush=True)
    mean = statistics.geometric_mean(comparison.ratio for comparison in comparisons)
    worst = max(comparisons, key=lambda comparison: comparison.ratio)
    print(f"geometric mean {mean:.3f}, worst {worst.ratio:.3f} ({worst.model}, batch {worst.batch})")
    if options.json:
        document = {
            "geometric_mean": mean,
            "conversions": [asdict(conversion) for conversion in conversions],
            "comparisons": [asdict(comparison) for comparison in comparisons],
        }
        options.json.write_text(json.dumps(document, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", default=",".join(NAMES))
    parser.add_argument("--batches", default="1,8")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _convert(name: str, directory: Path, batches: tuple[int, ...]) -> Conversion:
    (directory / "artifact").mkdir()
    program = (
        "import sys; from pathlib import Path; from converters.convert import convert;"
        "from converters.request import ConversionRequest; d = Path(sys.argv[1]);"
        "sizes = tuple(map(int, sys.argv[3:]));"
        "request = ConversionRequest(d / 'model.onnx', sys.argv[2], max(sizes), sizes);"
        "convert(request, d / 'artifact', {}, lambda progress: None);"
        # The largest memory of this program, which getrusage confuses with that of the process it came from.
        "lines = Path('/proc/self/status').read_text().splitlines();"
        "(d / 'memory').write_text(next(line.split()[1] for line in lines if line.startswith('VmHWM')))"
    )
    begin = time.perf_counter()
    command = [sys.executable, "-c", program, str(directory), name, *map(str, batches)]
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{name} was not converted")
    manifest = Manifest.read(directory / "artifact")
    kernels = {step.kernel for variant in manifest.variants.values() for step in variant.steps}
    return Conversion(
        name,
        batches,
        time.perf_counter() - begin,
        usage.ru_utime + usage.ru_stime,
        int((directory / "memory").read_text()) >> 10,
        manifest.weight_bytes / 2**20,
        len(kernels),
    )


def _compare(name: str, directory: Path, batch: int, rounds: int, clock: Any) -> Comparison:
    artifact = LoadedArtifact(directory / "artifact")
    session = _session(directory / "model.onnx")
    inputs = _inputs(artifact.manifest, batch)
    feeds = {tensor.name: x for tensor, x in zip(artifact.manifest.inputs, inputs, strict=True)}
    names = [tensor.name for tensor in artifact.manifest.outputs]
    expected = session.run(names, feeds)
    error = max(
        difference(theirs, ours) for theirs, ours in zip(expected, artifact.run(batch, inputs), strict=True)
    )
    ours, theirs = [], []
    for _ in range(rounds):
        begin = clock()
        artifact.infer(batch)
        between = clock()
        session.run(names, feeds)
        ours.append(between - begin)
        theirs.append(clock() - between)
    return Comparison(
        name,
        batch,
        statistics.median(ours) / 1e6,
        statistics.median(theirs) / 1e6,
        statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
        _tail(ours),
        _tail(theirs),
        error,
    )


def _tail(times: Sequence[int]) -> float:
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


def _conversion_line(done: Conversion) -> str:
    sizes = ",".join(map(str, done.batches))
    return (
        f"{done.model:14}{sizes:>6}  converted in {done.seconds:5.1f} s ({done.cpu_seconds:.1f} s CPU), "
        f"{done.memory_mb} MB; {done.kernels} kernels, {done.weights_mb:.0f} MB of weights"
    )


def _comparison_line(done: Comparison) -> str:
    times = f"ours {done.ours_ms:9.2f} ms   ONNX Runtime {done.theirs_ms:9.2f} ms   ratio {done.ratio:.3f}"
    tails = f"p99/p50 {done.ours_p99:.2f} and {done.theirs_p99:.2f}   error {done.error:.1e}"
    return f"{done.model:14}{done.batch:6}  {times}   {tails}"


if __name__ == "__main__":
    main()
