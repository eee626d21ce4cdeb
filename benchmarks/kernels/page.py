"""docs/results/kernels.md and its picture."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from benchmarks.architectures import NAMES
from benchmarks.kernels.comparison import Comparison, Growth
from benchmarks.kernels.conversion import Conversion
from benchmarks.serving import machine

# Before pyplot looks for a display.
matplotlib.use("Agg")
from matplotlib import pyplot

INTRODUCTION = """# Kernels, measured

Written by `python -m benchmarks.kernels write`. Networks with random weights (`benchmarks/architectures.py`);
the artifact and ONNX Runtime run by turns on one core, one thread each, and the ratio is the median over the
rounds of our time to ONNX Runtime's: below 1 is faster. The difference is the largest of any output, relative
to the output's largest magnitude.
"""
TARGET_MEAN, TARGET_WORST = 1.0, 1.25
TARGET_SECONDS, TARGET_MB = 60, 3000


def write(
    folder: Path,
    ratios: Sequence[Comparison],
    tails: Sequence[Comparison],
    growths: Sequence[Growth],
    conversions: Sequence[Conversion],
) -> str:
    """The page's text."""
    folder.mkdir(parents=True, exist_ok=True)
    _draw(ratios, folder / "kernels.png")
    parts = [
        INTRODUCTION,
        machine.description(),
        "",
        summary(ratios),
        _clock(ratios),
        _left_out(ratios),
        "",
        "![Ratios](kernels.png)",
        "",
        "| network | batch | ours, ms | ONNX Runtime, ms | ratio | difference |",
        "|---|---|---|---|---|---|",
        *(
            f"| {c.model} | {c.batch} | {c.ours_ms:.2f} | {c.theirs_ms:.2f} | {c.ratio:.2f} | {c.error:.0e} |"
            for c in ratios
        ),
        "",
        *_growth(growths),
        *_steadiness(tails),
        "## Conversion",
        "",
        f"The bounds for ResNet-50 and five batch sizes are {TARGET_SECONDS} s on two cores and"
        f" {TARGET_MB:,} MB. Times include the check against ONNX Runtime. Where the cores had other work,"
        " the seconds on the clock are more than half of the CPU's.",
        "",
        "| network | batch sizes | cores | seconds | CPU seconds | memory, MB | weights, MB | kernels |",
        "|---|---|---|---|---|---|---|---|",
        *map(_conversion, conversions),
    ]
    text = "\n".join(parts) + "\n"
    (folder / "kernels.md").write_text(text)
    return text


def summary(ratios: Sequence[Comparison]) -> str:
    mean = statistics.geometric_mean(c.ratio for c in ratios)
    worst = max(ratios, key=lambda c: c.ratio)
    return (
        f"Geometric mean **{mean:.2f}** (bound {TARGET_MEAN:.2f}), worst **{worst.ratio:.2f}** "
        f"({worst.model}, batch {worst.batch}; bound {TARGET_WORST:.2f})."
    )


def _growth(growths: Sequence[Growth]) -> list[str]:
    """What a row costs in each batch size."""
    if not growths:
        return []
    lines = []
    for each in growths:
        rows = [ms / batch for batch, ms in zip(each.batches, each.ms, strict=True)]
        lines += [
            f"| {each.model} | {batch} | {ms:.2f} | {row:.2f} | {row / rows[0]:.3f} |"
            for batch, ms, row in zip(each.batches, each.ms, rows, strict=True)
        ]
    columns = "| network | batch | ms | ms a row | to the first |"
    words = "Batch sizes by turns: a row should cost no more in a larger batch."
    return ["## Cost by batch size", "", words, "", columns, "|---|---|---|---|---|", *lines, ""]


def _steadiness(tails: Sequence[Comparison]) -> list[str]:
    rows = [
        f"| {c.model} | {c.batch} | {c.rounds:,} | {c.ours_p99:.3f} | {c.theirs_p99:.3f} |" for c in tails
    ]
    if not rows:
        return []
    columns = "| network | batch | runs | p99 / p50, ours | p99 / p50, ONNX Runtime |"
    return ["## Steadiness", "", columns, "|---|---|---|---|---|", *rows, ""]


def _left_out(ratios: Sequence[Comparison]) -> str:
    missing = sorted({*NAMES} - {c.model for c in ratios})
    return f"Not in this run: {', '.join(missing)}." if missing else ""


def _clock(ratios: Sequence[Comparison]) -> str:
    if not any(c.cpu_time for c in ratios):
        return "By the clock: what else ran on the machine shows in the tails, and hardly in the medians."
    return (
        "The machine had other work meanwhile, so these are times on the core, not by the clock: who shares "
        "its caches still shows, on both sides."
    )


def _conversion(c: Conversion) -> str:
    sizes = ", ".join(map(str, c.batches))
    return (
        f"| {c.model} | {sizes} | {c.cores} | {c.seconds:.1f} | {c.cpu_seconds:.1f} | {c.memory_mb:,} "
        f"| {c.weights_mb:.0f} | {c.kernels} |"
    )


def _draw(ratios: Sequence[Comparison], path: Path) -> None:
    names = sorted({c.model for c in ratios})
    batches = sorted({c.batch for c in ratios})
    figure: Figure
    figure, axes = pyplot.subplots(figsize=(8, 4), layout="constrained")
    width = 0.8 / len(batches)
    for number, batch in enumerate(batches):
        places = {c.model: c.ratio for c in ratios if c.batch == batch}
        axes.bar(
            [names.index(name) + (number + 0.5) * width - 0.4 for name in places],
            list(places.values()),
            width,
            label=f"batch {batch}",
        )
    axes.axhline(1.0, color="black", linewidth=1)
    axes.axhline(TARGET_WORST, color="black", linewidth=1, linestyle="dashed")
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set(ylabel="our time / ONNX Runtime's")
    axes.legend()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
