"""Goodput of each policy with nothing in the way: exact times, no network, every model on every device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.report import Report
from benchmarks.simulation.trials import Trials
from clockwork_triton.controller.options import Options
from clockwork_triton.controller.policy import POLICIES
from clockwork_triton.simulation.experiment import DeviceSpec, Experiment, SimulatedModel, zoo_models
from clockwork_triton.simulation.network import Network
from clockwork_triton.simulation.workloads import FixedSlo, Mix, Poisson

MS = 1_000_000
DEVICES = 6
REACHED = 0.99
# A load is found to this precision.
PRECISION = 0.01
WARM_UP_S = 1
SEEDS = (1, 2, 3)
BARE = Options(schedule_ahead_ns=0, lead_ns=0, window_ns=0, buffer_ns=0, buffer_share=0.0)


@dataclass(frozen=True)
class Case:
    """`models`: (profile, how many, SLO in ms). `overload`: the load that goodput is measured at, in requests
    a second. `clockwork`, `best`: load and goodput by another simulation of the orders alone, which are to be
    reproduced, and met."""

    name: str
    models: Sequence[tuple[str, int, int]]
    overload: float
    clockwork: tuple[float, float]
    best: tuple[float, float]


# What the devices can do at most in batches of 16, of all models alike.
RESNET50 = 6 * 736.3
MIXED = 3027
MIX = ("resnet18_v2", "resnet50_v2", "resnet152_v2")
CASES = (
    Case("12 ResNet50, 10 ms", [("resnet50_v2", 12, 10)], 1.5 * RESNET50, (1901, 2513), (1901, 2633)),
    Case("12 ResNet50, 25 ms", [("resnet50_v2", 12, 25)], 1.5 * RESNET50, (2968, 3710), (2968, 3834)),
    Case("12 ResNet50, 50 ms", [("resnet50_v2", 12, 50)], 1.5 * RESNET50, (3856, 4349), (3892, 4425)),
    Case("1 ResNet50, 10 ms", [("resnet50_v2", 1, 10)], 1.5 * RESNET50, (2221, 3206), (2221, 3206)),
    Case("4+4+4 mixed, 100 ms", [(name, 4, 100) for name in MIX], 3 * MIXED, (2715, 2104), (2667, 5237)),
    Case(
        "4+4+4 mixed, 25/50/100 ms",
        [(name, 4, slo) for name, slo in zip(MIX, (25, 50, 100), strict=True)],
        3 * MIXED,
        (2520, 2042),
        (2447, 5188),
    ),
)


def experiment(case: Case, rate: float, duration_ns: int, seed: int) -> Experiment:
    models: list[SimulatedModel] = []
    loads = []
    total = sum(count for _, count, _ in case.models)
    for profile, count, slo_ms in case.models:
        places = range(len(models), len(models) + count)
        models += zoo_models(profile, count)
        loads.append(Poisson(Mix(places), rate * count / total, FixedSlo(slo_ms * MS)))
    return Experiment(
        case.name,
        models,
        loads,
        duration_ns + WARM_UP_S * 1_000_000_000,
        devices=DEVICES,
        device=DeviceSpec(slots=1),
        warm_up_ns=WARM_UP_S * 1_000_000_000,
        resident=True,
        network=Network(),
        options=BARE,
        seed=seed,
    )


def attainment(trials: Trials, policy: str, case: Case, rate: float) -> float:
    """The part answered in time at this load."""
    duration_ns = trials.duration_ns(10)
    runs = [trials.run(policy, experiment(case, rate, duration_ns, seed)) for seed in SEEDS]
    return float(sum(run["attainment"] for run in runs) / len(runs))


def greatest_load(trials: Trials, policy: str, case: Case) -> float:
    """The most requests a second of which 99 % are answered in time."""
    low, high = 0.5 * case.best[0], 1.5 * case.best[0]
    if attainment(trials, policy, case, low) < REACHED:
        return 0.0
    while high - low > PRECISION * low:
        middle = (low + high) / 2
        if attainment(trials, policy, case, middle) >= REACHED:
            low = middle
        else:
            high = middle
    return low


def run(trials: Trials, pictures: Path) -> Report:
    found = Report("ideal", "The order of batches alone: exact times, no network, every model everywhere")
    table = found.table(
        "Most requests a second of which 99 % are in time / goodput at overload, 6 devices",
        "case",
        "overload r/s",
        "reference: Clockwork",
        "reference: best known",
        *POLICIES,
    )
    cells: dict[tuple[str, str], tuple[float, float]] = {}
    for case in CASES:
        for policy in POLICIES:
            load = greatest_load(trials, policy, case)
            over = trials.run(policy, experiment(case, case.overload, trials.duration_ns(10), SEEDS[0]))
            cells[case.name, policy] = load, over["goodput_rps"]
        mine = [cells[case.name, policy] for policy in POLICIES]
        table.add(case.name, round(case.overload), *map(_cell, (case.clockwork, case.best, *mine)))
    _judge(found, cells)
    found.notes.append(
        "The references are by another simulation, of the orders alone. The overload is 1.5 (mixed: 3) times"
        " what the devices can do in batches of 16, where its goodput for Clockwork is found again."
    )
    return found


def _cell(pair: tuple[float, float]) -> str:
    return f"{pair[0]:,.0f} / {pair[1]:,.0f}"


def _judge(found: Report, cells: dict[tuple[str, str], tuple[float, float]]) -> None:
    for what, index in (("greatest load", 0), ("goodput at overload", 1)):
        off = {case.name: cells[case.name, "clockwork"][index] / case.clockwork[index] - 1 for case in CASES}
        worst = max(off.items(), key=lambda item: abs(item[1]))
        found.claim(
            f"The {what} of `clockwork` is the reference's within 5 % in every case",
            all(abs(error) <= 0.05 for error in off.values()),
            f"furthest: {worst[0]}, {worst[1]:+.1%}",
        )
        ratios = {case.name: cells[case.name, "adaptive"][index] / case.best[index] - 1 for case in CASES}
        least = min(ratios.items(), key=lambda item: item[1])
        found.claim(
            f"The {what} of `adaptive` is the best known or more in every case, to the {PRECISION:.0%} that"
            " loads are found to",
            least[1] >= -PRECISION,
            f"least: {least[0]}, {least[1]:+.1%}",
        )
        beside = {
            case.name: cells[case.name, "adaptive"][index] / cells[case.name, "clockwork"][index] - 1
            for case in CASES
        }
        least = min(beside.items(), key=lambda item: item[1])
        found.claim(
            f"and not below that of `clockwork` here ({what})",
            least[1] >= -PRECISION,
            f"least: {least[0]}, {least[1]:+.1%}; most: {max(beside.values()):+.0%}",
        )
