"""Triton's own load generator, run and read."""

from __future__ import annotations

import csv
import subprocess
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


def measure(
    address: str, model: str, input_data: Path, concurrency: int, scratch: Path, *flags: str
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
        run = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    except subprocess.TimeoutExpired:
        return Measurement(0, 0, 0, "it did not end within 180 s")
    output = run.stdout + run.stderr
    if run.returncode != 0 or not report.exists() or "Failed Request Count" in output:
        return Measurement(0, 0, 0, f"it ended with {run.returncode}: {output.strip()[-600:]}")
    with report.open() as file:
        row = next(csv.DictReader(file))
    return Measurement(
        float(row["Inferences/Second"]), float(row["p50 latency"]) / 1e3, float(row["p99 latency"]) / 1e3
    )
