"""Real architectures with random weights, each served alone, against ONNX Runtime at batch 1 and 4."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import onnx

from benchmarks import architectures
from benchmarks.serving.actions import Record, served
from benchmarks.serving.latency import milliseconds
from benchmarks.serving.outputs import ask
from benchmarks.serving.report import Report
from benchmarks.serving.server import Setup
from benchmarks.serving.subjects import TOLERANCE, subjects

BATCH_SIZES = (1, 4)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", nargs="*", default=architectures.NAMES, choices=architectures.NAMES)
    parser.add_argument("--samples", type=int, default=2, help="random inputs of each batch size")


def run(setup: Setup, arguments: argparse.Namespace) -> Report:
    report = Report("architectures", "Architectures")
    columns = [f"{figure}, batch {size}" for size in BATCH_SIZES for figure in ("deviation", "INFER ms")]
    table = report.table(
        "", "architecture", "weights MiB", "ready after s", *columns, "ONNX Runtime with itself"
    )
    report.notes.append(
        "The last column is how far ONNX Runtime is from itself when it fuses nothing: what rounding alone"
        " does to these networks with their random weights."
    )
    for name in arguments.only:
        repository = setup.scratch / "architectures" / name
        weights_mib = write(name, repository) / 2**20
        try:
            ready_s, deviations, sensitivity, infers = ask_all(setup, repository, name, arguments.samples)
        except RuntimeError as error:
            report.claim(f"`{name}` is served", False, str(error))
            continue
        finally:
            # Half a gigabyte each, and the artifact is what counts.
            shutil.rmtree(repository)
        figures = [figure for size in BATCH_SIZES for figure in (deviations[size], _infer_ms(infers, size))]
        table.add(name, weights_mib, ready_s, *figures, sensitivity)
        worst = max(deviations.values())
        report.claim(f"`{name}` agrees to {TOLERANCE:.0e}", worst <= TOLERANCE, f"{worst:.1e}")
    return report


def ask_all(
    setup: Setup, repository: Path, name: str, samples: int
) -> tuple[float, dict[int, float], float, list[Record]]:
    """When the server was ready, the worst deviation of each batch size (infinite if a request failed), how
    far ONNX Runtime is from itself on the same inputs, and the INFERs. RuntimeError if it is not served."""
    deviations, sensitivity = {}, 0.0
    with setup.serve(repository, name=name) as server:
        (subject,) = subjects(server, repository, [name])
        generator = np.random.default_rng(8)
        for size in BATCH_SIZES:
            inputs = [subject.random_inputs(size, generator) for _ in range(samples)]
            worst, failures = ask(server.address, subject, inputs, 1)
            deviations[size] = float("inf") if failures else worst
            sensitivity = max(sensitivity, subject.sensitivity(inputs))
    return server.ready_s, deviations, sensitivity, served(server.actions(), name)


def write(name: str, repository: Path) -> int:
    """Makes it a model of a repository; the size of its file."""
    file = repository / name / "1" / "model.onnx"
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(architectures.build(name), file)
    (repository / name / "config.pbtxt").write_text(
        f'backend: "onnxruntime"\nmax_batch_size: {max(BATCH_SIZES)}\n'
    )
    return file.stat().st_size


def _infer_ms(infers: list[Record], size: int) -> float:
    return milliseconds([record.measured_ns for record in infers if record.batch_size == size], 50)
