"""Triton's own load generator, run and read."""

from __future__ import annotations

import csv
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "perf-analyzer"


@dataclass(frozen=True)
class Measurement:
    """`error` is empty if every request was answered; the figures are then those of its last windows."""

    throughput: float
    p50_ms: float
    p99_ms: float
    error: str = ""


@dataclass(frozen=True)
class BothSides:
    """What it reports of its last windows together: its own figures, and those that it asked the server for.

    Times are means in microseconds; `server_us` is the server's mean latency, of which `queue_us` to
    `output_us` are the parts.
    """

    requests: int
    client_us: int
    server_requests: int
    server_rows: int
    server_executions: int
    server_us: int
    overhead_us: int
    queue_us: int
    input_us: int
    infer_us: int
    output_us: int


def trouble() -> str:
    """Why it cannot be run here; empty if it can."""
    run = subprocess.run([str(SCRIPT), "--version"], capture_output=True, text=True, check=False)
    said = run.stderr.strip().splitlines()
    return "" if run.returncode == 0 else said[-1] if said else f"it ended with {run.returncode}"


def both_sides(flags: Sequence[str], patience_s: float = 60) -> BothSides:
    """Runs it. RuntimeError with the end of its output if any request failed or a figure is missing."""
    try:
        run = subprocess.run(
            [str(SCRIPT), *flags], capture_output=True, text=True, timeout=patience_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"it did not end within {patience_s} s") from error
    if run.returncode != 0 or "Failed Request Count" in run.stdout:
        raise RuntimeError(f"it ended with {run.returncode}: {(run.stdout + run.stderr).strip()[-600:]}")
    return parse(run.stdout)


def parse(output: str) -> BothSides:
    """The report that it prints, of one load. RuntimeError if it is not whole."""
    server = re.search(
        r"Inference count: (\d+)\s+Execution count: (\d+)\s+Successful request count: (\d+)\s+"
        r"Avg request latency: (\d+) usec \(overhead (\d+) usec \+ queue (\d+) usec"
        r" \+ compute input (\d+) usec \+ compute infer (\d+) usec \+ compute output (\d+) usec\)",
        output,
    )
    requests = re.search(r"^ +Request count: (\d+)$", output, re.MULTILINE)
    # With --percentile there is no mean latency, but the mean of the same times under another name.
    mean = re.search(r"^ +Avg (?:latency|HTTP time|gRPC time): (\d+) usec", output, re.MULTILINE)
    if server is None or requests is None or mean is None:
        raise RuntimeError(f"its report is not whole: {output.strip()[-600:]}")
    rows, executions, successes, *times = map(int, server.groups())
    return BothSides(int(requests[1]), int(mean[1]), successes, rows, executions, *times)


def measure(
    address: str,
    model: str,
    input_data: Path,
    concurrency: int,
    scratch: Path,
    *flags: str,
    patience_s: float = 180,
) -> Measurement:
    """Concurrency 1 waits for each answer; more of them are sent asynchronously."""
    report = scratch / f"perf_analyzer-{model}-{concurrency}.csv"
    report.unlink(missing_ok=True)
    command = [
        *(str(SCRIPT), "-i", "grpc", "-u", address, "-m", model, "--input-data", str(input_data)),
        *("--concurrency-range", str(concurrency), "--async" if concurrency > 1 else "--sync"),
        # Windows of requests rather than of time, and any stability: a busy machine is no failure.
        *("--measurement-mode", "count_windows", "--measurement-request-count", "50"),
        *("-s", "999", "-r", "6", "-f", str(report)),
        *flags,
    ]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=patience_s, check=False)
    except subprocess.TimeoutExpired:
        return Measurement(0, 0, 0, f"it did not end within {patience_s:.0f} s")
    output = run.stdout + run.stderr
    if run.returncode != 0 or not report.exists() or "Failed Request Count" in output:
        return Measurement(0, 0, 0, f"it ended with {run.returncode}: {output.strip()[-600:]}")
    with report.open() as file:
        row = next(csv.DictReader(file))
    return Measurement(
        float(row["Inferences/Second"]), float(row["p50 latency"]) / 1e3, float(row["p99 latency"]) / 1e3
    )
