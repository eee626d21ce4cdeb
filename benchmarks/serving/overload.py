"""Three times more load than a model can carry, each request with 100 ms to live: on time, or refused."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from benchmarks.serving import plots
from benchmarks.serving.latency import milliseconds
from benchmarks.serving.load import Answer, closed_loop, open_loop, poisson
from benchmarks.serving.report import Report
from benchmarks.serving.server import Server, Setup
from benchmarks.serving.subjects import Subject, subjects

PROMISED = 0.99
LATE = "clockwork_requests_late_total"
EXPIRED = ("UNAVAILABLE", "Request timeout expired")


@dataclass(frozen=True)
class Overload:
    """What became of the requests of `seconds`. `capacity`: answers a second without overload.

    `late_at_server`: answers that the server itself counts as sent after their deadline.
    """

    capacity: float
    late_at_server: int
    seconds: float
    timeout_ms: int
    answers: list[Answer]

    @cached_property
    def answered(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.ok]

    @cached_property
    def timely(self) -> list[Answer]:
        return [answer for answer in self.answered if answer.latency_ns <= self.timeout_ms * 1_000_000]

    @cached_property
    def refused(self) -> list[Answer]:
        return [answer for answer in self.answers if (answer.status, answer.details) == EXPIRED]

    @cached_property
    def others(self) -> list[str]:
        """Neither answered nor refused."""
        return [
            f"{a.status} {a.details}" for a in self.answers if not a.ok and (a.status, a.details) != EXPIRED
        ]


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=10.0, help="of overload for each model")
    parser.add_argument("--factor", type=float, default=3.0, help="offered load over measured capacity")
    parser.add_argument("--timeout-ms", type=int, default=100)


def run(setup: Setup, arguments: argparse.Namespace) -> Report:
    report = Report("overload", f"Overload at {arguments.factor:g} times capacity")
    goodput = report.table(
        "Requests",
        "model",
        "capacity/s",
        "offered/s",
        "on time/s",
        "answered",
        "late",
        "late at the server",
        "refused",
        "other",
    )
    latency = report.table(
        "Latency in ms",
        *(
            "model",
            "answers p50",
            "p99",
            "max",
            "refusals p50",
            "refusals p99",
            "client's slip p50",
            "slip p99",
        ),
    )
    with setup.serve(arguments.model_repository, name="overload") as server:
        for subject in subjects(server, arguments.model_repository, arguments.models):
            seen = drive(server, subject, arguments.seconds, arguments.factor, arguments.timeout_ms)
            goodput.add(
                *(subject.name, seen.capacity, len(seen.answers) / seen.seconds),
                *(len(seen.timely) / seen.seconds, len(seen.answered)),
                *(len(seen.answered) - len(seen.timely), seen.late_at_server),
                *(len(seen.refused), len(seen.others)),
            )
            latency.add(
                subject.name,
                *(milliseconds([a.latency_ns for a in seen.answered], percent) for percent in (50, 99, 100)),
                *(milliseconds([a.latency_ns for a in seen.refused], percent) for percent in (50, 99)),
                *(milliseconds([a.slip_ns for a in seen.answers], percent) for percent in (50, 99)),
            )
            _judge(report, subject.name, seen)
            report.pictures.append(setup.pictures / f"overload-{subject.name}.png")
            plots.overload(subject.name, seen.answers, seen.timeout_ms, report.pictures[-1])
    report.notes.append(
        "Capacity: a closed loop of 16 without a timeout. Overload: an open loop with Poisson arrivals, from"
        " a client on the same cores. Latency is from the client's sending to its reading of the answer;"
        " the client's slip is how much later than its schedule it sent. An answer that is late, but not at"
        " the server, waited before the server saw the request, or after it had answered."
    )
    return report


def drive(server: Server, subject: Subject, seconds: float, factor: float, timeout_ms: int) -> Overload:
    """Measures the capacity, then offers `factor` times as much."""
    generator = np.random.default_rng(4)
    inputs = [subject.random_inputs(1, generator) for _ in range(16)]
    plain = [subject.request(one) for one in inputs]
    closed_loop(server.address, plain, 16, seconds=1)
    capacity = sum(a.ok for a in closed_loop(server.address, plain, 16, seconds=seconds / 2)) / (seconds / 2)
    urgent = [subject.request(one, timeout_us=timeout_ms * 1000) for one in inputs]
    arrivals = poisson(capacity * factor, seconds, seed=5)
    before = server.metric(LATE, model=subject.name)
    answers = open_loop(server.address, urgent, arrivals)
    late = server.metric(LATE, model=subject.name) - before
    return Overload(capacity, int(late), seconds, timeout_ms, answers)


def _judge(report: Report, model: str, seen: Overload) -> None:
    share = len(seen.timely) / max(1, len(seen.answered))
    report.claim(
        f"`{model}`: at least {PROMISED:.0%} of the answers arrive within {seen.timeout_ms} ms,"
        " and the other requests are refused",
        bool(seen.answered) and share >= PROMISED and not seen.others,
        f"{share:.2%} of {len(seen.answered)}, {seen.late_at_server} late at the server"
        + "".join(f"; {other}" for other in seen.others[:2]),
    )
    report.claim(
        f"`{model}`: answers on time use at least half of the capacity",
        len(seen.timely) / seen.seconds >= seen.capacity / 2,
        f"{len(seen.timely) / seen.seconds:.0f}/s of {seen.capacity:.0f}/s",
    )
