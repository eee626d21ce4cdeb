"""Whether a server stays as it is: added latency and memory, minute by minute, at half load.

    python -m benchmarks.steady --seconds 3600

Added latency is what a client waits beyond the INFER that answered it, request by request: the requests come
evenly spaced, so that none waits for another, and the nth is answered by the nth INFER of the action log.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.compare import models
from benchmarks.compare.servers import Running
from benchmarks.serving import machine
from benchmarks.serving.actions import Record, served
from benchmarks.serving.report import Report
from benchmarks.serving.server import Setup
from clockwork_triton.bench import run as bench
from clockwork_triton.bench.ledger import Outcome
from clockwork_triton.bench.models import describe
from clockwork_triton.bench.plan import Plan
from clockwork_triton.bench.requests import random_rows
from clockwork_triton.bench.summary import percentiles_ms

INTRODUCTION = """# Does it stay as it is?

Written by `python -m benchmarks.steady`. Requests come evenly spaced, at half of what one waiting client
gets. Added latency is what a client waits beyond the INFER that answered it, request by request: the nth
request belongs to the nth INFER of the action log. Memory is that of all of the server's processes.
"""
MINUTE_NS = 60_000_000_000
GROWTH_MB = 8.0
GROWTH = 1.25
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Memory:
    """Megabytes of the server's processes, at monotonic times."""

    times_ns: Sequence[int]
    megabytes: Sequence[float]

    def at(self, time_ns: int) -> float:
        return self.megabytes[int(np.argmin(np.abs(np.array(self.times_ns) - time_ns)))]


class Watch(threading.Thread):
    """Looks at a server's memory every few seconds until it is told to stop."""

    def __init__(self, server: Running) -> None:
        super().__init__()
        self._server = server
        self._stopped = threading.Event()
        self._times_ns: list[int] = []
        self._megabytes: list[float] = []

    def run(self) -> None:
        while True:
            self._times_ns.append(time.monotonic_ns())
            self._megabytes.append(self._server.resident_mb())
            if self._stopped.wait(5):
                return

    def stop(self) -> Memory:
        self._stopped.set()
        self.join()
        return Memory(self._times_ns, self._megabytes)


def added(run: bench.Run, infers: Sequence[Record]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """When each request was sent, and its latency less the INFER that answered it. AssertionError if the two
    do not go together one by one."""
    order = np.argsort(np.array(run.ledger.sent, dtype=np.int64), kind="stable")
    sent = np.array(run.ledger.sent, dtype=np.int64)[order]
    latency = np.array(run.ledger.done, dtype=np.int64)[order] - sent
    ordered = sorted(infers, key=lambda record: record.begin_ns)
    duration = np.repeat([r.measured_ns for r in ordered], [r.requests for r in ordered])
    assert len(duration) == len(sent), f"{len(sent)} requests, but INFERs for {len(duration)}"
    counted = sent >= run.begin_ns
    return sent[counted], (latency - duration)[counted]


def judge(report: Report, name: str, run: bench.Run, infers: Sequence[Record], memory: Memory) -> None:
    sent, extra = added(run, infers)
    table = report.table(
        f"{name}, {run.plan.rate:,.0f} requests a second, INFER {percentiles_ms(_times(infers))[0]:.3f} ms",
        *("minute", "requests", "added p50 ms", "p99", "p99.9", "max", "memory MB"),
    )
    medians = []
    for begin_ns in range(run.begin_ns, run.end_ns, MINUTE_NS):
        chosen = extra[(sent >= begin_ns) & (sent < begin_ns + MINUTE_NS)]
        p50, _, p99, p999, most = percentiles_ms(chosen)
        medians.append(p50)
        end_ns = min(begin_ns + MINUTE_NS, run.end_ns)
        figures = [f"{value:.3f}" for value in (p50, p99, p999, most)]
        table.add(str(len(medians)), len(chosen), *figures, f"{memory.at(end_ns):.1f}")
    p50, _, p99, p999, most = percentiles_ms(extra)
    table.add("all", len(extra), *(f"{value:.3f}" for value in (p50, p99, p999, most)), "")
    counts = run.ledger.counts
    report.claim(f"{name}: every request was answered", counts[Outcome.GOOD] == len(run.ledger), f"{counts}")
    report.claim(
        f"{name}: the last minute's median is within {GROWTH:g} times the first's",
        medians[-1] <= GROWTH * medians[0],
        f"{medians[0]:.3f} and {medians[-1]:.3f} ms",
    )
    first, last = memory.at(run.begin_ns + 10_000_000_000), memory.at(run.end_ns)
    report.claim(
        f"{name}: memory grows by less than {GROWTH_MB:g} MB after the first ten seconds",
        last - first < GROWTH_MB,
        f"{first:.1f} to {last:.1f} MB",
    )
    complaint = run.summary().schedule.complaint
    if complaint:
        report.notes.append(f"{name}: {complaint}")


def _times(infers: Sequence[Record]) -> NDArray[np.int64]:
    return np.array([record.measured_ns for record in infers], dtype=np.int64)


def measure(setup: Setup, repository: Path, name: str, rate: float, seconds: float, report: Report) -> None:
    """`rate` 0: half of what one waiting client gets."""
    flags = ("--grpc-transport", "http2")
    with setup.serve(repository, *flags, name=f"steady-{name}") as server:
        described = describe(server.address, [name], {}).models
        rows = [random_rows(model, 0) for model in described]
        warm = bench.run(
            bench.Settings(server.address, seconds=3), described, rows, Plan("closed-loop", (None,))
        )
        rate = rate or warm.summary().total.goodput / 2
        after_ns = time.monotonic_ns()
        watch = Watch(Running(name, server.address, server.process.pid))
        watch.start()
        run = bench.run(
            bench.Settings(server.address, seconds=seconds, warmup_s=2),
            described,
            rows,
            Plan("steady", (None,), rate=rate),
        )
        memory = watch.stop()
    infers = [record for record in served(server.actions(), name) if record.begin_ns > after_ns]
    judge(report, name, run, infers, memory)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3600, help="of each model")
    parser.add_argument("--rate", type=float, default=0, help="default: half of what one waiting client gets")
    parser.add_argument("--models", nargs="+", default=["tiny", "text"], choices=("tiny", "text"))
    parser.add_argument("--artifact-cache", type=Path)
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "results" / "steady.md")
    arguments = parser.parse_args()
    report, others = Report("steady", "Steadiness"), machine.Others()
    with tempfile.TemporaryDirectory(prefix="clockwork-steady-") as scratch:
        folder = Path(scratch)
        command = (sys.executable, "-m", "clockwork_triton.cli", "serve")
        setup = Setup(command, folder, arguments.artifact_cache or folder / "artifacts", folder)
        for name in arguments.models:
            models.write_single(name, folder / name)
            measure(setup, folder / name, name, arguments.rate, arguments.seconds, report)
    report.notes.append(
        f"{arguments.seconds:g} s each, client and server on the same cores. Other processes took"
        f" {others.share():.0%} of the machine's CPU time meanwhile."
    )
    text = f"{INTRODUCTION}\n{machine.description()}\n\n{report.markdown(arguments.page.parent)}"
    arguments.page.write_text(text.rstrip() + "\n")
    print(arguments.page.read_text())
    return 0 if report.holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
