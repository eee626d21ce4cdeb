"""SIGKILL to the worker under load, several times: nothing hangs, and service comes back."""

from __future__ import annotations

import argparse
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence

import numpy as np

from benchmarks.serving import plots
from benchmarks.serving.load import Answer, closed_loop
from benchmarks.serving.outputs import ask
from benchmarks.serving.processes import Process
from benchmarks.serving.report import Report
from benchmarks.serving.server import Server, Setup
from benchmarks.serving.subjects import TOLERANCE, subjects

BACK_WITHIN_S = 5.0
BEFORE_S = 2.0


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kills", type=int, default=3, help="one after the other, on one server")


def run(setup: Setup, arguments: argparse.Namespace) -> Report:
    report = Report("kill_worker", "A worker killed under load")
    table = report.table(
        "",
        "kill",
        "model",
        "answered",
        "failed with",
        "longest request s",
        "back after ms",
        "last failure ms",
    )
    hung, wrong_codes, backs, deviations = 0, set[str](), [], []
    with setup.serve(arguments.model_repository, name="kill-worker") as server:
        found = subjects(server, arguments.model_repository, arguments.models)
        for number in range(arguments.kills):
            subject = found[number % len(found)]
            inputs = [subject.random_inputs(1, np.random.default_rng(6 + i)) for i in range(8)]
            requests = [subject.request(one) for one in inputs]
            answers, killed_ns = load_around_a_kill(server, requests)
            back = [a.done_ns - killed_ns for a in answers if a.ok and a.sent_ns > killed_ns]
            failed = [a for a in answers if not a.ok]
            hung += sum(a.status == "HANG" for a in failed)
            wrong_codes |= {f"{a.status} {a.details}" for a in failed if a.status != "UNAVAILABLE"}
            backs.append(min(back, default=float("inf")) / 1e9)
            deviations.append(ask(server.address, subject, inputs, 8))
            codes = Counter(a.status for a in failed)
            table.add(
                *(number + 1, subject.name, len(answers) - len(failed)),
                ", ".join(f"{count} {status}" for status, count in codes.items()) or "none",
                max(a.latency_ns for a in answers) / 1e9,
                backs[-1] * 1e3,
                max(((a.done_ns - killed_ns) / 1e6 for a in failed), default=0.0),
            )
            if number == 0:
                report.pictures.append(setup.pictures / "kill-worker.png")
                plots.recovery(answers, killed_ns, report.pictures[-1])
    report.claim("No request hangs", not hung, f"{hung} hung")
    report.claim("Requests are answered, or fail with UNAVAILABLE", not wrong_codes, "; ".join(wrong_codes))
    report.claim(
        f"Service is back within {BACK_WITHIN_S:g} s",
        max(backs) <= BACK_WITHIN_S,
        f"at most {max(backs):.2f} s",
    )
    report.claim(
        "Afterwards answers are right",
        all(worst <= TOLERANCE and not failures for worst, failures in deviations),
        f"worst deviation {max(worst for worst, _ in deviations):.1e}",
    )
    return report


def load_around_a_kill(server: Server, requests: Sequence[bytes]) -> tuple[list[Answer], int]:
    """Eight clients for some seconds; the moment of the kill in monotonic nanoseconds."""
    victim, killed = worker(server), list[int]()

    def kill() -> None:
        time.sleep(BEFORE_S)
        killed.append(time.monotonic_ns())
        os.kill(victim.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    answers = closed_loop(server.address, requests, 8, seconds=BEFORE_S + BACK_WITHIN_S + 1, pause_s=0.01)
    killer.join()
    return answers, killed[0]


def worker(server: Server) -> Process:
    """Its only one."""
    workers = [p for p in server.descendants() if "clockwork_triton.worker" in p.command]
    assert len(workers) == 1, workers
    return workers[0]
