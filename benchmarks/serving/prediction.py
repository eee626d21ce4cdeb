"""Predicted against measured INFER time, out of the server's action log."""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.serving.actions import Record, served
from benchmarks.serving.latency import milliseconds, percentile
from benchmarks.serving.load import closed_loop
from benchmarks.serving.report import Report
from benchmarks.serving.server import Setup
from benchmarks.serving.subjects import subjects


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--requests", type=int, default=2000, help="for each model, half one by one, half eight"
    )


def run(setup: Setup, arguments: argparse.Namespace) -> Report:
    report = Report("prediction", "Predicted and measured INFER times")
    half = arguments.requests // 2
    rows: dict[str, int] = {}
    table = report.table(
        "",
        *("model", "batch", "INFERs", "predicted ms", "measured ms", "measured p99 ms"),
        *("error p50 ms", "error p99 ms", "error p50 %", "error p99 %", "longer than predicted %"),
    )
    with setup.serve(arguments.model_repository, name="prediction") as server:
        found = subjects(server, arguments.model_repository, arguments.models)
        answered = 0
        for subject in found:
            generator = np.random.default_rng(2)
            requests = [subject.request(subject.random_inputs(1, generator)) for _ in range(32)]
            for concurrency, count in ((1, arguments.requests - half), (8, half)):
                answers = closed_loop(server.address, requests, concurrency, count=count)
                answered += sum(answer.ok for answer in answers)
    for subject in found:
        infers = served(server.actions(), subject.name)
        for batch in sorted({record.batch_size for record in infers}):
            table.add(subject.name, batch, *_figures([r for r in infers if r.batch_size == batch]))
        table.add(subject.name, "all", *_figures(infers))
        rows[subject.name] = sum(record.requests for record in infers)
    report.notes.append(
        f"{arguments.requests} requests of one row for each model: half one after the other, half from eight"
        " clients at once. Error is the absolute difference of an INFER's measured and predicted time."
    )
    wanted = arguments.requests * len(found)
    report.claim("Every request was answered", bool(found) and answered == wanted, f"{answered} of {wanted}")
    report.claim(
        "The action log accounts for every request",
        bool(found) and set(rows.values()) == {arguments.requests},
        ", ".join(f"{model} {count}" for model, count in rows.items()),
    )
    return report


def _figures(records: list[Record]) -> list[int | float]:
    errors = [abs(record.measured_ns - record.expected_ns) for record in records]
    percent = [100 * error / record.expected_ns for error, record in zip(errors, records, strict=True)]
    late = sum(record.measured_ns > record.expected_ns for record in records)
    return [
        len(records),
        milliseconds([record.expected_ns for record in records], 50),
        *(milliseconds([record.measured_ns for record in records], p) for p in (50, 99)),
        *(milliseconds(errors, p) for p in (50, 99)),
        *(percentile(percent, p) for p in (50, 99)),
        100 * late / max(1, len(records)),
    ]
