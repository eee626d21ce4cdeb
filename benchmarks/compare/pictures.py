"""Pictures of comparisons."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

Medians = Mapping[tuple[str, str, int], Mapping[str, float]]
"""By tool, server and concurrency."""


def closed(title: str, medians: Medians, path: Path) -> None:
    """Throughput and CPU of every server and concurrency, with `bench`."""
    mine = {key[1:]: value for key, value in medians.items() if key[0] == "bench"}
    servers = list(dict.fromkeys(key[0] for key in mine))
    concurrencies = sorted({key[1] for key in mine})
    figure = Figure(figsize=(9, 4), layout="constrained")
    throughput, cpu = figure.subplots(1, 2)
    height = 0.8 / len(concurrencies)
    for place, concurrency in enumerate(concurrencies):
        rows = [row + place * height for row in range(len(servers))]
        for axes, field in ((throughput, "rps"), (cpu, "cpu_us")):
            values = [mine.get((server, concurrency), {}).get(field, math.nan) for server in servers]
            axes.barh(rows, values, height, label=f"concurrency {concurrency}")
    middle = [row + 0.4 - height / 2 for row in range(len(servers))]
    throughput.set_yticks(middle, servers)
    cpu.set_yticks(middle, [""] * len(servers))
    throughput.set(xlabel="requests a second")
    cpu.set(xlabel="server CPU a request (us)")
    for axes in (throughput, cpu):
        axes.invert_yaxis()
    throughput.legend(loc="lower right")
    figure.suptitle(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def overload(title: str, capacity: float, goodput: Mapping[tuple[str, float], float], path: Path) -> None:
    """Answers in time over offered load, both in capacities."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for server in dict.fromkeys(name for name, _ in goodput):
        points = sorted((factor, value) for (name, factor), value in goodput.items() if name == server)
        shown = [(factor, value / capacity) for factor, value in points if not math.isnan(value)]
        axes.plot(*zip(*shown, strict=True), marker="o", label=server)
    most = max(factor for _, factor in goodput)
    axes.plot([0, 1, most], [0, 1, 1], color="grey", linestyle="dotted", label="all that capacity allows")
    axes.set(
        title=title,
        xlabel="offered load (capacities)",
        ylabel="answers in time (capacities)",
        xlim=(0, None),
        ylim=(0, None),
    )
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
