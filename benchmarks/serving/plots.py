"""Pictures of what checks measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from benchmarks.serving.load import Answer

# Before pyplot looks for a display.
matplotlib.use("Agg")
from matplotlib import pyplot


def overload(model: str, answers: Sequence[Answer], timeout_ms: int, path: Path) -> None:
    """The share of answers and of refusals that arrived within a time."""
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for label, chosen in (
        ("answered", [a for a in answers if a.ok]),
        ("refused", [a for a in answers if not a.ok]),
    ):
        if chosen:
            axes.ecdf([a.latency_ns / 1e6 for a in chosen], label=f"{label}: {len(chosen):,}")
    axes.axvline(timeout_ms, color="black", linestyle="dashed", label="timeout")
    axes.set(
        title=f"{model}, overloaded",
        xlabel="latency seen by the client (ms)",
        ylabel="share",
        xlim=(0, 1.5 * timeout_ms),
    )
    axes.legend(loc="center right")
    _save(figure, path)


def recovery(answers: Sequence[Answer], killed_ns: int, path: Path) -> None:
    """Latency of every request around the moment at which the worker was killed."""
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for label, chosen in (
        ("answered", [a for a in answers if a.ok]),
        ("failed", [a for a in answers if not a.ok]),
    ):
        axes.plot(
            [(a.done_ns - killed_ns) / 1e9 for a in chosen],
            [a.latency_ns / 1e6 for a in chosen],
            linestyle="none",
            marker=".",
            markersize=3,
            label=f"{label}: {len(chosen):,}",
        )
    axes.set(
        title="The worker is killed at 0 s",
        xlabel="end of the request (s)",
        ylabel="latency (ms)",
        xlim=(-1, 2),
        yscale="log",
    )
    axes.legend()
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
