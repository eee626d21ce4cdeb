"""A run as a picture: what was sent and what came of it, and how long answers took, second by second."""

from __future__ import annotations

from pathlib import Path

from clockwork_triton.bench.ledger import Outcome
from clockwork_triton.bench.summary import Summary

SHOWN = {Outcome.GOOD: "good", Outcome.LATE: "late", Outcome.REFUSED: "refused", Outcome.FAILED: "failed"}


def plot(title: str, summary: Summary, slo_ms: float | None, path: Path) -> None:
    """Writes a picture of the kind that the file's name ends in. ImportError without matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    rates, latencies = figure.subplots(2, 1, sharex=True)
    at = [second.at_s for second in summary.seconds]
    edges = range(len(at) + 1)
    rates.stairs([second.sent for second in summary.seconds], edges, color="grey", label="sent")
    for outcome, label in SHOWN.items():
        if summary.total.counts[outcome]:
            counts = [second.counts[outcome] for second in summary.seconds]
            rates.stairs(counts, edges, label=label)
    rates.set(title=title, ylabel="requests a second", ylim=(0, None))
    rates.legend()
    p99_ms = [second.p99_ms for second in summary.seconds]
    latencies.plot([each + 0.5 for each in at], p99_ms, label="p99 of answers")
    if slo_ms is not None:
        latencies.axhline(slo_ms, color="black", linestyle="dashed", label="SLO")
    latencies.set(xlabel="s", ylabel="ms", ylim=(0, None))
    latencies.legend()
    figure.savefig(path, dpi=110)
