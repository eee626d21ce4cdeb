"""Pictures of studies. Needs matplotlib (the extra `plot`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clockwork_triton.simulation.studies import RAMP_FACTOR

Result = Mapping[str, Any]
"""A report, with the `label` of its run."""

STYLES = {
    "adaptive": ("C0", "-"),
    "clockwork": ("C1", "--"),
    "clipper": ("C2", ":"),
    "infaas": ("C3", ":"),
    "triton": ("C4", ":"),
}


def plot(study: str, axis: str, results: Sequence[Result], path: Path) -> None:
    """Draws what the study is about. ModuleNotFoundError without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    if study in RAMPS:
        figure = _ramps(pyplot, results, study)
    elif len({result["label"] for result in results}) > 1:
        figure = _sweep(pyplot, axis, results)
    else:
        figure = _course(pyplot, results)
    figure.suptitle(study)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _policies(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(result["policy"] for result in results))


def _line(axes: Any, x: Sequence[Any], y: Sequence[float], policy: str, **more: Any) -> None:
    colour, dashes = STYLES.get(policy, ("C5", "-."))
    axes.plot(x, y, dashes, color=colour, marker="o", markersize=3, label=policy, **more)


def _sweep(pyplot: Any, axis: str, results: Sequence[Result]) -> Any:
    """Goodput and attainment over the labels of the runs."""
    figure, (goodput, attained) = pyplot.subplots(1, 2, figsize=(10, 4))
    for policy in _policies(results):
        mine = [result for result in results if result["policy"] == policy]
        labels = [result["label"] for result in mine]
        _line(goodput, labels, [result["goodput_rps"] for result in mine], policy)
        _line(attained, labels, [100 * result["attainment"] for result in mine], policy)
    for axes, title in ((goodput, "goodput, r/s"), (attained, "answered in time, %")):
        axes.set_xlabel(axis)
        axes.set_ylabel(title)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    goodput.legend()
    if any(len(result["label"]) > 8 for result in results):
        figure.autofmt_xdate(rotation=25)
    return figure


def _course(pyplot: Any, results: Sequence[Result]) -> Any:
    """Offered load and goodput over time, and the latencies of the answers."""
    figure, (rates, latency) = pyplot.subplots(1, 2, figsize=(10, 4))
    series = results[0]["series"]
    rates.plot(
        [row["t_s"] for row in series], [row["offered_rps"] for row in series], color="0.6", label="offered"
    )
    for result in results:
        colour, dashes = STYLES.get(result["policy"], ("C5", "-."))
        times = [row["t_s"] for row in result["series"]]
        goodput = [row["goodput_rps"] for row in result["series"]]
        rates.plot(times, goodput, dashes, color=colour, label=result["policy"])
        names = list(result["latency_ms"])
        _line(latency, names, [result["latency_ms"][name] for name in names], result["policy"])
    rates.set_xlabel("s")
    rates.set_ylabel("r/s")
    rates.set_ylim(bottom=0)
    latency.set_ylabel("latency of answers, ms")
    latency.set_ylim(bottom=0)
    for axes in (rates, latency):
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def _ramps(pyplot: Any, results: Sequence[Result], study: str) -> Any:
    """Attainment over the SLO's multiple of the execution time, one picture a label."""
    labels = list(dict.fromkeys(result["label"] for result in results))
    columns = min(3, len(labels))
    rows = -(-len(labels) // columns)
    figure, grid = pyplot.subplots(
        rows, columns, figsize=(4 * columns, 3 * rows), squeeze=False, sharex=True, sharey=True
    )
    for number, label in enumerate(labels):
        axes = grid[number // columns][number % columns]
        for result in results:
            if result["label"] == label:
                _line(axes, *attained_by_multiple(result, RAMPS[study]), result["policy"])
        axes.axhline(99, color="0.7", linewidth=0.8)
        axes.set_title(label, fontsize=10)
        axes.set_xscale("log")
        axes.set_xlabel("SLO / execution time")
        axes.grid(alpha=0.3)
    grid[0][0].set_ylabel("answered in time, %")
    grid[0][0].legend()
    return figure


Pick = Callable[[Mapping[str, float]], tuple[float, float]]
"""Requests offered and answered in time of a row of a series, per second."""

RAMPS: Mapping[str, Pick] = {
    "how-low": lambda row: (row["offered_rps"], row["goodput_rps"]),
    "isolation": lambda row: (row["deadline_offered_rps"], row["deadline_goodput_rps"]),
}


def attained_by_multiple(result: Result, pick: Pick) -> tuple[list[float], list[float]]:
    """The multiples of the ramp, and the percentage answered in time at each."""
    multiples, attained = [], []
    for step, row in enumerate(result["series"]):
        offered, in_time = pick(row)
        multiples.append(RAMP_FACTOR**step)
        attained.append(100 * in_time / offered if offered else 100.0)
    return multiples, attained


def lowest_multiple(result: Result, pick: Pick, percent: float) -> float | None:
    """The lowest multiple from which on at least this percentage was answered in time."""
    lowest = None
    for multiple, attained in reversed(list(zip(*attained_by_multiple(result, pick), strict=True))):
        if attained < percent:
            break
        lowest = multiple
    return lowest
