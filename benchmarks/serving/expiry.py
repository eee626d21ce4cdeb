"""A timeout of one microsecond: refused at once, in Triton's words, and no worker hears of it."""

from __future__ import annotations

import argparse
import time

import numpy as np

from benchmarks.serving.latency import milliseconds
from benchmarks.serving.load import closed_loop
from benchmarks.serving.report import Report
from benchmarks.serving.server import Setup
from benchmarks.serving.subjects import subjects


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--requests", type=int, default=200, help="refused requests for each model")


def run(setup: Setup, arguments: argparse.Namespace) -> Report:
    report = Report("expiry", "A timeout of one microsecond")
    table = report.table("", "model", "requests", "refused", "refusal p50 ms", "p99 ms")
    refused, everything, after = 0, 0, 0
    with setup.serve(arguments.model_repository, name="expiry") as server:
        found = subjects(server, arguments.model_repository, arguments.models)
        inputs = {subject: subject.random_inputs(1, np.random.default_rng(0)) for subject in found}
        begin_ns = time.monotonic_ns()
        for subject in found:
            hopeless = [subject.request(inputs[subject], timeout_us=1)]
            answers = closed_loop(server.address, hopeless, 4, count=arguments.requests)
            right = [
                a for a in answers if (a.status, a.details) == ("UNAVAILABLE", "Request timeout expired")
            ]
            latencies = [answer.latency_ns for answer in right]
            table.add(
                *(subject.name, len(answers), len(right)),
                *(milliseconds(latencies, percent) for percent in (50, 99)),
            )
            refused, everything = refused + len(right), everything + len(answers)
        # Long enough for the result of an action that should not have been sent.
        time.sleep(1)
        end_ns = time.monotonic_ns()
        for subject in found:
            after += closed_loop(server.address, [subject.request(inputs[subject])], 1, count=1)[0].ok
    touched = [record for record in server.actions() if begin_ns <= record.t_ns <= end_ns]
    report.claim(
        "Refused with UNAVAILABLE `Request timeout expired`",
        bool(found) and refused == everything,
        f"{refused} of {everything}",
    )
    report.claim("No worker was given an action", not touched, f"{len(touched)} actions")
    report.claim("Every model serves afterwards", bool(found) and after == len(found))
    return report
