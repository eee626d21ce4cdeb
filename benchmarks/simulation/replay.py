"""A real server's log, replayed: does the simulator say what the server did?"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.serving.load import closed_loop, open_loop, poisson
from benchmarks.serving.report import Report
from benchmarks.serving.server import Setup
from benchmarks.serving.subjects import subjects
from benchmarks.simulation.trials import Trials
from clockwork_triton.simulation.replay import Measured, read_logs

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path.home() / ".cache" / "clockwork-triton"
MODEL = "encoder"
SECONDS = 20
TIMEOUT_MS = 100
# Of what the server can do in a closed loop.
LOADS = (0.4, 0.7, 1.5)
# Loads by turns.
ROUNDS = 3
GOODPUT = 0.03
P99 = 0.1


def run(trials: Trials, pictures: Path) -> Report:
    found = Report("replay", "A log of the real server, replayed in simulation")
    table = found.table(
        f"`{MODEL}` on the CPU, Poisson arrivals, {TIMEOUT_MS} ms",
        *("load of capacity", "goodput r/s measured", "simulated", "p50 ms measured", "simulated"),
        *("p99 ms measured", "simulated"),
    )
    errors: dict[tuple[str, float], list[float]] = defaultdict(list)
    for _ in range(ROUNDS):
        for load in LOADS:
            goodput, p50, p99 = _both(trials, load)
            table.add(load, *goodput, *p50, *p99)
            for what, (measured, simulated) in (("goodput", goodput), ("p99 of latency", p99)):
                errors[what, load].append(simulated / measured - 1)
    for what, within in (("goodput", GOODPUT), ("p99 of latency", P99)):
        for load in LOADS:
            error = median(errors[what, load])
            words = f"At {load:g} of the capacity, {what}: simulated within {within:.0%}"
            seen = ", ".join(f"{each:+.1%}" for each in errors[what, load])
            found.claim(words, abs(error) <= within, f"{error:+.1%}, the median of {seen}")
    return found


def _both(trials: Trials, load: float) -> Sequence[tuple[float, float]]:
    """Goodput, p50 and p99 of the latency in milliseconds: measured and simulated."""
    with tempfile.TemporaryDirectory(prefix="clockwork-replay-") as name:
        requests, actions = record(Path(name), load, SECONDS * trials.share)
        experiment, measured = read_logs(requests, actions, 4096, overlaps=False)
    simulated = trials.run("adaptive", experiment)
    latencies = [
        (percentile(measured, percent), float(simulated["latency_ms"][f"p{percent}"])) for percent in (50, 99)
    ]
    return [(measured.goodput_rps, float(simulated["goodput_rps"])), *latencies]


def record(folder: Path, load: float, seconds: float) -> tuple[Path, Path]:
    """The logs of a server that is asked for `load` times what it can do."""
    setup = Setup([sys.executable, "-m", "clockwork_triton.cli", "serve"], folder, CACHE, folder)
    repository = ROOT / "model_repository"
    log = folder / "requests.tsv"
    generator = np.random.default_rng(4)
    with setup.serve(repository, "--request-log", str(log), name="replay") as server:
        (subject,) = subjects(server, repository, [MODEL])
        inputs = [subject.random_inputs(1, generator) for _ in range(16)]
        plain = [subject.request(one) for one in inputs]
        closed_loop(server.address, plain, 16, seconds=2)
        capacity = sum(a.ok for a in closed_loop(server.address, plain, 16, seconds=3)) / 3
        urgent = [subject.request(one, timeout_us=TIMEOUT_MS * 1000) for one in inputs]
        open_loop(server.address, urgent, poisson(capacity * load, seconds, seed=5))
    # Only those of the open loop count: it is they that have a deadline.
    header, *rows = log.read_text().splitlines(keepends=True)
    place = header.split("\t").index("slo_ns")
    log.write_text(header + "".join(row for row in rows if row.split("\t")[place] != "0"))
    return log, server.action_log


def percentile(measured: Measured, percent: float) -> float:
    """Of the latencies, in milliseconds."""
    latencies = measured.latencies_ns
    return latencies[min(len(latencies) - 1, int(percent / 100 * len(latencies)))] / 1e6
