"""Goodput as the load rises, of every policy."""

from __future__ import annotations

from pathlib import Path

import matplotlib

from benchmarks.serving.report import Report
from benchmarks.simulation.trials import Trials
from clockwork_triton.controller.policy import POLICIES
from clockwork_triton.simulation.experiment import Experiment, SimulatedModel, zoo_models
from clockwork_triton.simulation.network import Network
from clockwork_triton.simulation.noise import Noise
from clockwork_triton.simulation.plot import STYLES
from clockwork_triton.simulation.workloads import FixedSlo, Mix, Poisson

# Before pyplot looks for a display.
matplotlib.use("Agg")
from matplotlib import pyplot

SECOND = 1_000_000_000
SECONDS = 10
WARM_UP_S = 2
SLO_MS = 100
RATES = (500, 1000, 1500, 2000, 2500, 3000, 4000, 5000, 6500, 8000)
PROFILES = ("resnet18_v2", "resnet50_v2", "resnet152_v2")


def experiment(rate: float, duration_ns: int) -> Experiment:
    models: list[SimulatedModel] = [model for profile in PROFILES for model in zoo_models(profile, 4)]
    load = Poisson(Mix(range(len(models))), rate, FixedSlo(SLO_MS * 1_000_000))
    return Experiment(
        "load",
        models,
        [load],
        duration_ns + WARM_UP_S * SECOND,
        devices=6,
        warm_up_ns=WARM_UP_S * SECOND,
        resident=True,
        network=Network(50_000, 50_000),
        noise=Noise(1.05),
        seed=1,
    )


def run(trials: Trials, pictures: Path) -> Report:
    found = Report("load", f"Goodput under rising load, {SLO_MS} ms")
    duration_ns = trials.duration_ns(SECONDS)
    goodput = {
        policy: [trials.run(policy, experiment(rate, duration_ns))["goodput_rps"] for rate in RATES]
        for policy in POLICIES
    }
    table = found.table("Answers in time a second", "offered r/s", *POLICIES)
    for place, rate in enumerate(RATES):
        table.add(rate, *(goodput[policy][place] for policy in POLICIES))
    others = [
        max(goodput[policy][place] for policy in POLICIES if policy != "adaptive")
        for place in range(len(RATES))
    ]
    ratios = [mine / best for mine, best in zip(goodput["adaptive"], others, strict=True)]
    least = min(ratios)
    found.claim(
        "`adaptive` has as much goodput as the best of the others at every load (to 2 %)",
        least >= 0.98,
        f"{least:.3f} times at {RATES[ratios.index(least)]:,} r/s, {ratios[-1]:.1f} times at the last",
    )
    found.pictures.append(pictures / "load.png")
    draw(goodput, found.pictures[-1])
    found.notes.append(
        "4 ResNet18, 4 ResNet50 and 4 ResNet152 with Clockwork's published profiles, all on 6 devices."
        " Messages take 50 to 100 us, execution times have a p99 of 1.05 times the median."
    )
    return found


def draw(goodput: dict[str, list[float]], path: Path) -> None:
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    axes.plot(RATES, RATES, color="0.75", linewidth=1, label="offered")
    for policy, values in goodput.items():
        colour, dashes = STYLES[policy]
        axes.plot(RATES, values, dashes, color=colour, marker="o", markersize=3, label=policy)
    axes.set(xlabel="offered, requests/s", ylabel=f"answered within {SLO_MS} ms, requests/s")
    axes.set_ylim(0, 1.1 * max(max(values) for values in goodput.values()))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
