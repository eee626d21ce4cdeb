"""Answers against ONNX Runtime: every batch size alone, then requests of all sizes joined by the server."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from benchmarks.serving.load import Answer, closed_loop
from benchmarks.serving.report import Report
from benchmarks.serving.server import Setup
from benchmarks.serving.subjects import TOLERANCE, Arrays, Subject, deviation, subjects

JOINED = 64


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--samples", type=int, default=3, help="random inputs of each batch size")


def run(setup: Setup, arguments: argparse.Namespace) -> Report:
    report = Report("outputs", "Outputs against ONNX Runtime")
    report.notes.append(
        "Deviation: the largest difference in an output over the largest magnitude in it; the worst of all."
    )
    table = report.table("", "model", "batch sizes", "requests", "deviation", "deviation joined", "failed")
    worst, failures = 0.0, []
    with setup.serve(arguments.model_repository, name="outputs") as server:
        found = subjects(server, arguments.model_repository, arguments.models)
        for subject in found:
            generator = np.random.default_rng(1)
            sizes = range(1, max(1, subject.max_batch_size) + 1)
            each = [subject.random_inputs(n, generator) for n in sizes for _ in range(arguments.samples)]
            rows = generator.integers(1, max(2, subject.max_batch_size // 2 + 1), JOINED)
            mixed = [subject.random_inputs(int(n), generator) for n in rows]
            alone, failed_alone = ask(server.address, subject, each, concurrency=1)
            joined, failed_joined = ask(server.address, subject, mixed, concurrency=16)
            failures += failed_alone + failed_joined
            worst = max(worst, alone, joined)
            table.add(
                *(subject.name, f"1 to {len(sizes)}", len(each) + len(mixed)),
                *(alone, joined, len(failed_alone + failed_joined)),
            )
    report.claim(
        f"{len(found)} models at every batch size within {TOLERANCE:.0e} of ONNX Runtime",
        bool(found) and not failures and worst <= TOLERANCE,
        f"worst {worst:.1e}" + "".join(f"; {failure}" for failure in failures[:3]),
    )
    return report


def ask(
    address: str, subject: Subject, inputs: Sequence[Arrays], concurrency: int
) -> tuple[float, list[str]]:
    """The worst deviation of the answers, and the failures."""
    requests = [subject.request(one) for one in inputs]
    answers = closed_loop(address, requests, concurrency, count=len(requests), keep=True, patience_s=300)
    failures = [f"{subject.name}: {a.status} {a.details}" for a in answers if not a.ok]
    return max((_deviation(subject, inputs, a) for a in answers if a.ok), default=0.0), failures


def _deviation(subject: Subject, inputs: Sequence[Arrays], answer: Answer) -> float:
    return deviation(subject.answer(answer.reply), subject.expected(inputs[answer.index]))
