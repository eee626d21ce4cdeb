"""What the controller itself costs."""

from __future__ import annotations

import gc
from pathlib import Path

from benchmarks.serving.report import Report
from benchmarks.simulation.trials import Trials
from clockwork_triton.controller.controller import Controller
from clockwork_triton.controller.policy import POLICIES
from clockwork_triton.controller.specs import ModelSpec, WorkerSpec
from clockwork_triton.simulation.device import SimulatedDevice
from clockwork_triton.simulation.loop import Simulation
from clockwork_triton.simulation.network import Network
from clockwork_triton.simulation.noise import Noise
from clockwork_triton.simulation.recorder import Recorder
from clockwork_triton.simulation.studies import zoo_mix
from clockwork_triton.simulation.workloads import FixedSlo, Mix, Poisson
from clockwork_triton.simulation.zoo import V100, V100_PAGES

MS = 1_000_000
SECOND = 1_000_000_000
# Devices, models, requests a second, seconds to warm up and to measure.
SIZES = ((1, 10, 90, 20, 200), (10, 400, 700, 10, 30), (100, 4000, 7000, 5, 5))
ZIPF = 0.9
MOST_US = 50.0
REPEATS = 3


def run(trials: Trials, pictures: Path) -> Report:
    found = Report("cost", "Microseconds of controller time a request")
    table = found.table(
        f"The least of {REPEATS} runs, on one core, after warming up",
        *("policy", "devices", "models", "r/s", "in time", "devices busy", "us/request"),
    )
    cost: dict[tuple[str, int], float] = {}
    for policy in ("adaptive", "clockwork"):
        for devices, models, rate, warm_s, seconds in SIZES:
            runs = [
                measure(policy, devices, models, rate, warm_s, seconds * trials.share) for _ in range(REPEATS)
            ]
            us, attainment, busy = min(runs)
            cost[policy, devices] = us
            table.add(policy, devices, models, rate, f"{attainment:.1%}", f"{busy:.0%}", us)
    mine = [cost["adaptive", size[0]] for size in SIZES]
    found.claim(
        f"`adaptive`: at most {MOST_US:g} at each size",
        max(mine) <= MOST_US,
        ", ".join(f"{us:.1f}" for us in mine),
    )
    found.claim(
        "`adaptive`: at most twice as much at the largest as at the smallest",
        mine[-1] <= 2 * mine[0],
        f"{mine[-1] / mine[0]:.2f} times",
    )
    found.notes.append(
        "Models of all published profiles, asked for by Zipf's law (exponent 0.9), 100 ms, Poisson arrivals."
        " Of the time that handling all events takes, on the wall's clock, divided by the requests."
    )
    return found


def measure(
    policy: str, devices: int, models: int, rate: float, warm_s: float, seconds: float
) -> tuple[float, float, float]:
    """Microseconds a request, the part of requests in time, and how busy devices were."""
    zoo = zoo_mix(models, 5)
    specs = [ModelSpec(n, model.name, model.segments, {V100: model.estimate}) for n, model in enumerate(zoo)]
    estimates = {n: model.estimate for n, model in enumerate(zoo)}
    durations = Noise().durations(estimates, "")
    machines = [SimulatedDevice(WorkerSpec(n, V100, V100_PAGES, 8, True), durations) for n in range(devices)]
    recorder = Recorder()
    simulation = Simulation(
        Controller(POLICIES[policy]()), machines, specs, recorder, network=Network(50_000), seed=1
    )
    load = Poisson(Mix(range(models), [(n + 1) ** -ZIPF for n in range(models)]), rate, FixedSlo(100 * MS))
    gc.collect()
    gc.disable()
    simulation.run([load], round(warm_s * SECOND))
    before = simulation.requests
    recorder.start(simulation.now_ns, 0)
    for machine in machines:
        machine.use.infer_ns = 0
    simulation.run([load], round(seconds * SECOND))
    gc.enable()
    requests = simulation.requests - before
    counts = recorder.models.values()
    in_time = sum(each.in_time for each in counts) / sum(each.offered for each in counts)
    busy = sum(machine.use.infer_ns for machine in machines) / (devices * seconds * SECOND)
    return simulation.controller_ns / 1e3 / requests, in_time, busy
